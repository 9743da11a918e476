"""AutoUnlearner and ShrinkPerturbUnlearner: forgetting without a choice of a method."""

import json
import warnings

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris, make_friedman1
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetRegressor
from skorch.dataset import Dataset
from skorch.helper import predefined_split

from skunlearn import (
    AutoUnlearner,
    FineTuneUnlearner,
    RetrainUnlearner,
    ShrinkPerturbUnlearner,
    UnlearningPipeline,
)
from skunlearn._rows.views import Rows
from skunlearn._torch.parts.net_state import weights
from skunlearn.auto._adapting import LateDecay
from skunlearn.auto._judge import NAMED, Judge
from skunlearn.auto._keeping import share_that_forgets
from skunlearn.exceptions import ClassForgottenWarning, NotForgottenWarning
from skunlearn.finetuning._shrinking import shrink
from skunlearn.production import DeletionQueue, DeletionWorker
from skunlearn.utils._check_tools import same_parameters
from tests.auto.digits import SCORES, damaged, digits, net, sides, small, started, unsure


@pytest.fixture(scope="module")
def by_heart():
    X, y, X_unseen, y_unseen, forget = digits()
    fitted = RetrainUnlearner(net(), random_state=0).fit(X, y)
    state = {k: v for k, v in vars(fitted).items() if k not in fitted.get_params(deep=False)}
    kept = np.setdiff1d(np.arange(1000), forget)
    rows = X[forget], y[forget], X_unseen, y_unseen
    retrained = [
        sides(RetrainUnlearner(net(), random_state=seed).fit(X[kept], y[kept]), *rows)
        for seed in (1, 2, 3, 4)  # two of them are up to 0.06 apart
    ]
    target = {score: np.mean([found[score] for found in retrained]) for score in SCORES}
    return state, rows, forget, target, sides(fitted, *rows)


# ------------------------------------------------------------------ whether it forgets


def hellinger(ours, theirs):
    """Mean distance of what two models say of the same rows."""
    return np.sqrt(np.clip(1 - np.sqrt(ours * theirs).sum(axis=1), 0, None)).mean()


def test_it_is_nearer_to_retrained_nets_than_training_anew_for_the_same_budget(by_heart):
    """And about as sure of rows that it has never seen: the floor is far from it."""
    state, rows, forget, *_ = by_heart
    X, y, X_unseen, y_unseen, _ = digits()
    kept = np.setdiff1d(np.arange(1000), forget)
    gold = [RetrainUnlearner(net(), random_state=seed).fit(X[kept], y[kept]) for seed in (11, 12)]
    auto = started(AutoUnlearner(net(), random_state=0), state)
    auto.unlearn(indices=forget, X_val=X_unseen[:400], y_val=y_unseen[:400])
    floor = RetrainUnlearner(net().set_params(max_epochs=12), random_state=1)
    floor.fit(X[kept], y[kept])

    def apart(model, X):
        ours = model.predict_proba(X)
        return np.mean([hellinger(ours, one.predict_proba(X)) for one in gold])

    others = X_unseen[400:]  # that nobody has looked at
    assert apart(auto, rows[0]) < 0.95 * apart(floor, rows[0])
    assert apart(auto, others) < 0.9 * apart(floor, others)
    done = auto.deletions_[-1]["auto"]
    assert done["confidence"] > 1.1
    assert done["lowered"] is None

    def sureness(model):
        return model.predict_proba(others).max(axis=1).mean()

    goal = sureness(state["_fitted"].model)
    assert abs(sureness(auto) - goal) < 0.05 < abs(sureness(floor) - goal)


def test_rows_known_by_heart_are_forgotten_from_every_side(by_heart):
    state, rows, forget, target, original = by_heart
    assert original["loss"] - target["loss"] > 0.15
    assert original["entropy"] - target["entropy"] > 0.05
    before = state["_fitted"].model.score(rows[2], rows[3])
    auto = started(AutoUnlearner(net(), random_state=0), state)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it is not accused of what it has not done
        auto.unlearn(indices=forget, X_val=rows[2], y_val=rows[3])
    found = sides(auto, *rows)
    assert max(abs(found[score] - target[score]) for score in SCORES) < 0.06
    assert auto.score(rows[2], rows[3]) > before
    done = auto.deletions_[0]["auto"]
    assert done["judged"]
    assert not done["retrained"]
    assert set(done["before"]) == set(done["after"]) == set(done["errors"]) == set(SCORES)
    assert done["before"]["loss"] > 0.1 > 0.06 > done["after"]["loss"]
    assert done["shares"] == sorted(done["shares"], reverse=True)
    # 0.35 of 60 epochs would be 21, of which 10 are enough.
    assert (done["epochs"], done["reference_epochs"], done["recipe_epochs"]) == (8, 2, 60)
    assert len(auto.estimator_.history) == 8
    # Nobody looks at the unseen rows a second time: it cost a twentieth of a retraining.
    assert not {"unseen", "not_looked_at"} & set(auto.deletions_[0])
    assert json.loads(auto.certificate())["deletions"][0]["auto"] == done


def test_without_an_unseen_row_it_forgets_and_says_that_nobody_looked(by_heart):
    state, rows, forget, target, _ = by_heart
    blind = started(AutoUnlearner(net(), random_state=0), state).unlearn(indices=forget)
    found = sides(blind, *rows)
    assert max(abs(found[score] - target[score]) for score in SCORES) < 0.09
    done = blind.deletions_[0]["auto"]
    assert not done["judged"]
    assert "not_looked_at" in blind.deletions_[0]
    assert done["reference_epochs"] == 0
    assert done["before"] is done["after"] is done["errors"] is None
    assert (done["accuracy"], done["accuracy_rows"], done["looks"]) == ([None, None], 0, [])


def test_a_share_between_fine_tuning_and_training_anew(by_heart):
    state, rows, forget, target, original = by_heart
    left = []
    for share in (1.0, 0.6, 0.3, 0.0):
        one = started(ShrinkPerturbUnlearner(net(), shrink=share, random_state=0), state)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotForgottenWarning)
            found = sides(one.unlearn(indices=forget), *rows)
        left.append(found["loss"] - target["loss"])
    assert left[0] > left[1] > left[2] > left[3] - 0.02
    assert left[0] > 0.6 * (original["loss"] - target["loss"])
    assert abs(left[2]) < 0.06


def test_a_class_is_forgotten_and_judged_without_unseen_rows(by_heart):
    X, y, X_unseen, y_unseen, _ = digits()
    auto = started(AutoUnlearner(net(), random_state=0), by_heart[0])
    with pytest.warns(ClassForgottenWarning):
        auto.unlearn(X[y == 3], y[y == 3])
    assert auto.score(X[y == 3], y[y == 3]) == 0
    done = auto.deletions_[0]["auto"]
    assert done["judged"]
    assert done["before"]["named"] > 0.8
    assert done["after"] == {"named": 0.0}
    # No retained row has it: a full training would have left hardly anything.
    assert auto.predict_proba(X[y == 3])[:, 3].mean() < 2e-3
    assert done["lowered"] > 0
    assert done["confidence"] > 1.2  # it is as sure of retained rows as it was
    assert done["accuracy_rows"] == 0  # nobody has shown it unseen ones
    kept = y_unseen != 3
    assert auto.score(X_unseen[kept], y_unseen[kept]) > 0.7


@pytest.mark.parametrize("judged", [False, True])
def test_regressions_are_judged_by_their_squared_error(judged):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 64)).astype(np.float32)
    y = (X[:, 0] + rng.normal(size=500)).astype(np.float32)
    model = net(NeuralNetRegressor, module__n_out=1, lr=0.02, max_epochs=60)
    auto = AutoUnlearner(model, random_state=0).fit(X[:300], y[:300])
    before = np.square(auto.predict(X[:30]).ravel() - y[:30]).mean()
    given = {"X_val": X[300:], "y_val": y[300:]} if judged else {}
    auto.unlearn(indices=np.arange(30), **given)
    after, unseen = (
        np.square(auto.predict(X[part]).ravel() - y[part]).mean()
        for part in (slice(30), slice(300, None))
    )
    assert before < 0.2
    assert 0.5 * unseen < after
    done = auto.deletions_[0]["auto"]
    assert done["judged"] == judged
    if judged:
        assert set(done["after"]) == {"squared error"}


# ------------------------------------------------------------------ what it looks at


def test_a_predefined_split_is_looked_at():
    X, y, X_unseen, y_unseen = small()
    model = net(
        train_split=predefined_split(Dataset(X_unseen, y_unseen)),
        max_epochs=20,
        batch_size=8,
        lr=0.005,
    )
    auto = AutoUnlearner(model, random_state=0).fit(X, y).unlearn(indices=np.arange(20))
    assert auto.deletions_[0]["auto"]["judged"]


def test_unseen_rows_pass_the_steps_of_a_pipeline():
    X, y, X_unseen, y_unseen = small()
    scale = StandardScaler()
    steps = [
        ("scale", scale),
        ("model", AutoUnlearner(unsure(), random_state=0)),
    ]
    for refit in (True, False):
        pipe = UnlearningPipeline(steps, refit_transformers=refit).fit(1000 * X, y)
        pipe.unlearn(indices=np.arange(20), X_val=1000 * X_unseen, y_val=y_unseen)
        done = pipe.deletions_[0]["auto"]
        assert done["judged"]
        plain = AutoUnlearner(unsure(), random_state=0)
        plain.fit(StandardScaler().fit_transform(1000 * X), y)
        shown = (scale if refit else StandardScaler()).fit(1000 * X).transform(1000 * X_unseen)
        plain.unlearn(indices=np.arange(20), X_val=shown, y_val=y_unseen)
        # Rows that were not scaled would look nothing like those to forget.
        assert done["before"]["loss"] == pytest.approx(
            plain.deletions_[0]["auto"]["before"]["loss"], abs=0.15
        )


def test_training_rows_are_no_unseen_rows():
    X, y, _, _ = small()
    auto = AutoUnlearner(net(max_epochs=2), random_state=0).fit(X, y)
    with pytest.raises(ValueError, match="X_val holds 20 training rows"):
        auto.unlearn(indices=[30], X_val=X[:20], y_val=y[:20])
    assert auto.deletions_ == []
    with pytest.raises(ValueError, match="come together"):
        auto.unlearn(indices=[30], X_val=X[:20])
    # Others are judged by them, too.
    other = FineTuneUnlearner(net(max_epochs=2), random_state=0).fit(X, y)
    with pytest.raises(ValueError, match="X_val holds 20 training rows"):
        other.unlearn(indices=[30], X_val=X[:20], y_val=y[:20])


@pytest.mark.filterwarnings("ignore::skunlearn.exceptions.NotForgottenWarning")
def test_training_rows_that_unseen_rows_equal_by_chance_are_left_out():
    X, y, X_unseen, y_unseen = small()
    with_one = np.concatenate([X_unseen, X[3:4]]), np.append(y_unseen, y[3])
    assert len(X_unseen) >= 19
    for shown in (np.asarray, torch.as_tensor):
        one, other = (
            FineTuneUnlearner(net(max_epochs=2), random_state=0, lr=1e-3).fit(shown(X), y)
            for _ in range(2)
        )
        with pytest.warns(UserWarning, match="holds 1 of .* training rows too. They are left out"):
            one.unlearn(
                indices=[30],
                X_val=shown(with_one[0]),
                y_val=with_one[1].tolist(),
                max_accuracy_drop=1.0,
            )
        other.unlearn(indices=[30], X_val=shown(X_unseen), y_val=y_unseen, max_accuracy_drop=1.0)
        assert one.deletions_[0]["guard"] == other.deletions_[0]["guard"]


@damaged
def test_a_limit_and_unseen_rows_together():
    X, y, X_unseen, y_unseen = small()
    auto = AutoUnlearner(unsure(), random_state=0).fit(X, y)
    auto.unlearn(indices=[0, 1], X_val=X_unseen, y_val=y_unseen, max_accuracy_drop=0.9)
    assert "guard" in auto.deletions_[0]
    done = auto.deletions_[0]["auto"]
    assert not done["judged"]  # two rows say nothing
    assert done["epochs"] + done["reference_epochs"] == 7  # no more than are taken otherwise
    auto.unlearn(indices=np.arange(2, 30), X_val=X_unseen, y_val=y_unseen)
    assert auto.deletions_[1]["auto"]["judged"]


@damaged
def test_classes_without_an_unseen_row_are_left_out_of_the_attack():
    X, y, X_unseen, y_unseen = small()
    auto = AutoUnlearner(unsure(), random_state=0).fit(X, y)
    some = y_unseen != 2
    auto.unlearn(indices=np.arange(40), X_val=X_unseen[some], y_val=y_unseen[some])
    assert auto.deletions_[0]["auto"]["judged"]


def test_a_net_that_knows_less_than_a_short_reference_is_not_accused():
    """Wrong labels are the harder, the longer a net is trained that never saw them."""
    X, y = load_digits(return_X_y=True)
    X, gone = (X / 16).astype(np.float32), np.arange(100)
    wrong = np.where(np.arange(len(y)) < 100, (y + 3) % 10, y)
    forget, unseen = Rows(X, wrong, gone), Rows(X, y, np.arange(1000, len(y)))
    kept = np.arange(100, 1000)
    torch.manual_seed(0)
    reference, retrained = (
        net(module__hidden=64, max_epochs=n, lr=0.005).fit(X[kept], y[kept]) for n in (2, 40)
    )
    original = net(module__hidden=64).fit(X[:1000], wrong[:1000])
    judge = Judge(np.arange(10), forget, unseen, reference, False, 0)
    found = judge.differences(judge.look(retrained))
    assert found["margin"] < -0.06
    assert min(judge.remembered(found).values(), default=1) > 0
    known = judge.differences(judge.look(original))
    assert judge.remembered(known)["margin"] == known["margin"] > 0.06


def test_a_net_that_finds_easier_rows_easier_is_not_accused():
    """Rows with right labels among unseen ones with wrong: the gap grows with training, too."""
    X, y = load_digits(return_X_y=True)
    X, wrong = (X / 16).astype(np.float32), np.where(np.arange(len(y)) % 3, y, (y + 3) % 10)
    forget, unseen = Rows(X, y, np.arange(100)), Rows(X, wrong, np.arange(1000, len(y)))
    kept = np.arange(100, 1000)
    torch.manual_seed(0)
    reference, retrained = (
        net(module__hidden=64, max_epochs=n, lr=0.02).fit(X[kept], wrong[kept]) for n in (2, 40)
    )
    judge = Judge(np.arange(10), forget, unseen, reference, False, 0)
    easier = judge._figures(judge.reference)["loss"] - 0.5
    grown = judge.differences(judge.look(retrained))["loss"]
    assert easier > 0.05
    assert 0.05 < grown < 1.5 * easier
    assert judge.remembered({"loss": 0.95 * easier}) == {}
    # Nor one that knows less of them than the reference does.
    assert judge.remembered({"loss": -0.3}) == {}
    # More than that no longer training explains, nor anything where both sides are alike.
    assert judge.remembered({"loss": 0.3}) == {"loss": 0.3}
    alike = Judge(np.arange(10), forget, Rows(X, y, np.arange(1000, len(y))), reference, False, 0)
    assert alike.remembered({"loss": 0.02}) == {"loss": 0.02}


@pytest.mark.parametrize("gone", [None, 4])
def test_the_accuracy_comes_of_the_same_pass(gone):
    X, y, X_unseen, y_unseen, forget = digits()
    forget = forget if gone is None else np.flatnonzero(y == gone)
    model = net(max_epochs=2).fit(X, y)
    rows, unseen = Rows(X, y, forget), Rows(X_unseen, y_unseen, np.arange(797))
    judge = Judge(np.arange(10), rows, unseen, model, gone is not None, 0)
    seen, accuracy = judge.look_well(model)
    stay = y_unseen != gone
    expected = np.mean(model.predict(X_unseen[stay]) == y_unseen[stay])
    assert accuracy == judge.score == pytest.approx(expected)
    again = judge.look(model)
    assert set(seen) == set(again)
    for name in set(seen) - {NAMED}:
        for ours, theirs in zip(seen[name], again[name], strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-4)
    assert set(judge.differences(seen).values()) == {0.0}


def test_what_was_trained_for_the_reference_is_not_lost(by_heart, monkeypatch):
    """The weights are drawn towards those of the reference, not towards untrained ones."""
    state, (_, _, X_unseen, y_unseen), forget, *_ = by_heart
    shown = {}

    def note(net, new, factor, sparse):
        shown.setdefault("new", weights(new))
        return shrink(net, new, factor)

    monkeypatch.setattr("skunlearn.auto.auto_unlearner.shrink_evenly", note)
    looked = Judge.look_well
    monkeypatch.setattr(
        Judge, "look_well",
        lambda judge, net: shown.setdefault("reference", weights(net)) and looked(judge, net),
    )  # fmt: skip
    auto = started(AutoUnlearner(net(), random_state=0), state)
    auto.unlearn(indices=forget, X_val=X_unseen, y_val=y_unseen)
    assert same_parameters(shown["new"], shown["reference"])


def test_a_regression_keeps_what_its_short_training_would_not_reach():
    """Without any old weights R² was 3 to 5 points below that of a retrained net."""
    X, y = make_friedman1(2000, 10, noise=1.0, random_state=0)
    X = StandardScaler().fit_transform(X).astype(np.float32)
    y = ((y - y.mean()) / y.std()).astype(np.float32)[:, None]
    model = net(NeuralNetRegressor, module__n_in=10, module__n_out=1, lr=0.02, max_epochs=60)
    kept, unseen = np.arange(120, 1200), X[1600:]
    auto = AutoUnlearner(model, random_state=0).fit(X[:1200], y[:1200])
    before = np.square(auto.predict(X[:120]) - y[:120]).mean()
    auto.unlearn(indices=np.arange(120), X_val=X[1200:1600], y_val=y[1200:1600])
    gold = RetrainUnlearner(model, random_state=1).fit(X[kept], y[kept])
    floor = RetrainUnlearner(clone(model).set_params(max_epochs=12), random_state=2)
    floor.fit(X[kept], y[kept])
    apart, floors = (
        np.square(one.predict(unseen) - gold.predict(unseen)).mean() for one in (auto, floor)
    )
    assert apart < 0.6 * floors
    assert auto.score(unseen, y[1600:]) > gold.score(unseen, y[1600:]) - 0.015
    known, wanted = (
        np.square(one.predict(X[:120]) - y[:120]).mean() - before for one in (auto, gold)
    )
    assert known > 0.5 * wanted
    found = [
        share_that_forgets({"squared error": d}, 0.0, "rows", 0.03, None) for d in (0.06, 0.24)
    ]
    assert found == [0.8, pytest.approx(0.5)]


def test_of_a_class_nothing_is_kept_where_the_reference_is_as_good():
    """Nets for irises ended 6 null distances from retrained ones with it, and 5 without."""
    X, y = load_iris(return_X_y=True)
    X, order = StandardScaler().fit_transform(X).astype(np.float32), np.random.default_rng(0)
    order = order.permutation(np.unique(X, axis=0, return_index=True)[1])  # two are alike
    X, y = X[order], y[order]
    model = net(module__n_in=4, module__n_out=3, batch_size=16, lr=0.05, max_epochs=60)
    auto = AutoUnlearner(model, random_state=0).fit(X[:75], y[:75])
    with pytest.warns(ClassForgottenWarning):
        auto.unlearn(indices=np.flatnonzero(y[:75] == 2), X_val=X[75:], y_val=y[75:])
    assert auto.deletions_[0]["auto"]["shares"] == [0.0]
    assert auto.score(X[75:][y[75:] != 2], y[75:][y[75:] != 2]) == 1


def test_few_rows_that_seem_unknown_are_not_taken_at_their_word(by_heart):
    """A fifteenth of a small table was kept at 0.8 by chance, five null distances away."""
    doubts = [(0.02, 0.02), (0.02, 0.06), (-0.2, 0.09)]
    found = [share_that_forgets({"loss": d}, e, "rows", 0.03, np.arange(10)) for d, e in doubts]
    assert found == pytest.approx([0.8, np.sqrt(0.015 / 0.05), 0.5])
    _, _, X_unseen, y_unseen, forget = digits()
    known = []
    for rows in (forget[:10], forget):
        auto = started(AutoUnlearner(net(), random_state=0), by_heart[0])
        auto.unlearn(indices=rows, X_val=X_unseen, y_val=y_unseen)
        done = auto.deletions_[0]["auto"]
        known.append(0.015 / done["shares"][0] ** 2 - done["before"]["loss"])
    assert known[0] > 0.02 > 0.01 > known[1]


def test_the_unseen_rows_that_it_looks_at_are_few():
    """Looking at all of them cost as much as training on small nets."""
    X, y, X_unseen, y_unseen, _ = digits()
    model = net(max_epochs=1).fit(X[200:], y[200:])
    forget, unseen = Rows(X, y, np.arange(10)), Rows(X_unseen, y_unseen, np.arange(797))
    judge = Judge(np.arange(10), forget, unseen, model, False, 0)
    assert len(judge.unseen) <= 600
    assert len(judge.kept) == 797  # the accuracy is cheap: it is asked twice


def test_a_rate_that_falls_late():
    shares = [LateDecay([0.25]).share_at(step, 100) for step in range(100)]
    assert shares[:70] == [1.0] * 70
    assert shares == sorted(shares, reverse=True)
    assert shares[-1] == pytest.approx(1 / 30)
    # Of weights that are hardly shrunk from the beginning, as fine-tuning has it.
    assert [LateDecay([0.9]).share_at(step, 100) for step in (0, 50)] == pytest.approx([1.0, 0.5])
    assert LateDecay([0.9, 0.7]).share_at(50, 100) == pytest.approx(0.5 / 0.65)


# ------------------------------------------------------------------ as a service


@damaged
@pytest.mark.filterwarnings("ignore::skunlearn.exceptions.NotForgottenWarning")
def test_a_worker_that_is_given_a_net_takes_it(tmp_path):
    """And lets it look at the test rows."""
    X, y, X_test, y_test = small()
    queue = DeletionQueue(tmp_path, batch_size=1)
    worker = DeletionWorker(queue, unsure(), X_test, y_test).start(X, y, ids=range(120))
    assert isinstance(worker.unlearner, AutoUnlearner)
    queue.submit("ticket", ids=range(20))
    worker.run_once()
    assert worker.unlearner.deletions_[0]["auto"]["judged"]
    again = DeletionWorker(queue, unsure(), X_test, y_test).start(
        X[20:], y[20:], ids=range(20, 120)
    )
    assert again.unlearner.deletions_ == worker.unlearner.deletions_
