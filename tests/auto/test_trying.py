"""Without unseen rows a trial shows whether what a net knows holds for rows like its own."""

import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.datasets import load_digits

from skunlearn import AutoUnlearner, RetrainUnlearner
from skunlearn._rows.views import Rows
from skunlearn._torch.parts.net_state import weights
from skunlearn.auto import _settling
from skunlearn.auto._settling import Confidence
from skunlearn.auto._trying import FEWEST, TRIED, Trial, _tell
from skunlearn.exceptions import ClassForgottenWarning
from skunlearn.net_unlearner import NetUnlearner
from tests.auto.digits import SCORES, digits, net, sides, small, started

CLASSES, WRONG = np.arange(10), 17


@pytest.fixture(scope="module")
def generalising():
    """A net that names unseen rows as rightly as its own, but for one row with a wrong label."""
    X, y = load_digits(return_X_y=True)
    X, y = (X / 16).astype(np.float32), y.copy()
    y[WRONG] = (y[WRONG] + 3) % 10
    model = net(module__hidden=128, max_epochs=60)
    fitted = RetrainUnlearner(model, random_state=0).fit(X[:1000], y[:1000])
    own = fitted.get_params(deep=False)
    return X, y, model, {key: value for key, value in vars(fitted).items() if key not in own}


def say(unlearner, rows):
    return unlearner.predict_proba(rows)


def test_an_ordinary_row_costs_nothing(generalising):
    """Shrunk to a quarter, the net said of unseen rows what a retrained one would not."""
    X, y, model, state = generalising
    auto = started(AutoUnlearner(model, random_state=0), state)
    before, said = auto.score(X[1000:], y[1000:]), say(auto, X[1000:])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        auto.unlearn(indices=[40])
    done = auto.deletions_[0]["auto"]
    assert auto.score(X[1000:], y[1000:]) > before - 0.005
    assert np.abs(say(auto, X[1000:]) - said).sum(axis=1).mean() < 0.06
    assert done["shares"] == [pytest.approx(0.7, abs=0.05)]
    assert done["trial"]["epochs"] == 2
    assert done["trial"]["hard"] == done["trial"]["left"] == 0
    assert min(done["trial"]["score"]) > 0.93
    assert (done["epochs"], done["reference_epochs"], done["judged"]) == (8, 0, False)
    assert len(auto.estimator_.history) == 8  # of a trial there is no trace


def test_a_row_that_is_known_by_heart_is_forgotten_beside_it(generalising):
    X, y, model, state = generalising
    auto = started(AutoUnlearner(model, random_state=0), state)
    before = auto.score(X[1000:], y[1000:])
    row = X[WRONG : WRONG + 1]
    assert say(auto, row)[0, y[WRONG]] > 0.8
    auto.unlearn(indices=[WRONG])
    assert say(auto, row)[0, y[WRONG]] < 0.05
    assert auto.score(X[1000:], y[1000:]) > before - 0.01
    done = auto.deletions_[0]["auto"]
    assert done["trial"]["hard"] == done["odd"] == 1
    assert done["shares"] == [0.12]


def test_where_much_is_known_by_heart_no_more_than_a_quarter_is_kept():
    X, y, *_ = digits()
    auto = AutoUnlearner(net(), random_state=0).fit(X, y).unlearn(indices=np.arange(5))
    done = auto.deletions_[0]["auto"]
    before, after = done["trial"]["score"]
    assert before - after > 0.15
    assert done["shares"][0] < 0.32


def test_a_whole_class_is_tried_too(generalising):
    X, y, model, state = generalising
    auto = started(AutoUnlearner(model, random_state=0), state)
    with pytest.warns(ClassForgottenWarning):
        auto.unlearn(indices=np.flatnonzero(y[:1000] == 1))
    done = auto.deletions_[0]["auto"]
    assert done["trial"]["epochs"] == done["reference_epochs"] == 2
    assert done["epochs"] == 6
    assert done["shares"][0] == pytest.approx(TRIED, abs=0.05)
    assert done["after"] == {"named": 0.0}
    stay = y[1000:] != 1
    assert auto.score(X[1000:][stay], y[1000:][stay]) > 0.95


@pytest.mark.parametrize(("unseen", "tried"), [(30, True), (200, False)])
def test_too_few_unseen_rows_to_tell_a_row_by_are_as_good_as_none(generalising, unseen, tried):
    X, y, model, state = generalising
    auto = started(AutoUnlearner(model, random_state=0), state)
    given = X[1000 : 1000 + unseen], y[1000 : 1000 + unseen]
    auto.unlearn(indices=[40], X_val=given[0], y_val=given[1])
    done = auto.deletions_[0]["auto"]
    assert (done["trial"] is not None) == tried
    assert (done["rarity"] is None) == tried
    assert done["shares"][0] > 0.6


@pytest.mark.filterwarnings("ignore::skunlearn.exceptions.NotForgottenWarning")
@pytest.mark.parametrize(("rows", "epochs"), [(40, 30), (120, 8)])
def test_few_rows_and_few_epochs_are_not_tried(rows, epochs):
    X, y, *_ = small()
    model = net(max_epochs=epochs, batch_size=2, module__n_out=3, module__hidden=32, lr=0.01)
    auto = AutoUnlearner(model, random_state=0).fit(X[:rows], y[:rows])
    done = auto.unlearn(indices=[0]).deletions_[0]["auto"]
    assert done["trial"] is None
    assert not done["retrained"]
    assert done["epochs"] < max(4, rows)
    assert FEWEST > 40


@pytest.mark.parametrize(("row", "heard"), [(40, False), (WRONG, True)])
def test_the_loss_of_a_row_that_was_not_known_by_heart_shows_nothing(
    monkeypatch, generalising, row, heard
):
    """Of a face among others it fell, and it was said to be remembered."""
    *_, model, state = generalising
    seen = []
    monkeypatch.setattr(
        NetUnlearner, "_warn_if_wrong", lambda self, change, measured, most: seen.append(measured)
    )
    started(AutoUnlearner(model, random_state=0), state).unlearn(indices=[row])
    assert (seen[0]["forget_before"]["loss"] is not None) == heard


@pytest.mark.parametrize(
    ("whole", "scores", "hard", "left", "share"),
    [
        (False, (1.0, 0.98), 0.0, 0.0, 0.7),
        (False, (1.0, 0.70), 0.0, 0.0, 0.25),  # known by heart
        (False, (0.95, 0.835), 0.0, 0.0, 0.475),  # half of it
        (False, (1.0, 0.98), 1.0, 0.01, 0.5),  # it stands out
        (False, (1.0, 0.98), 1.0, 0.60, 0.35),  # and is known all the same
        (False, (1.0, 0.98), 1.0, 0.10, 0.35),  # faces with wrong labels were told from others
        (False, (1.0, 0.98), 0.2, 0.01, 0.6),  # one of five does
        (True, (1.0, 0.98), 1.0, 0.0, 0.5),
        (True, (1.0, 0.70), 1.0, 0.0, 0.25),
    ],
)
def test_the_share(whole, scores, hard, left, share):
    given = SimpleNamespace(whole=whole, scores=scores, hard=hard, left=left, odd=0.0, told=0.0)
    assert Trial.choose(given, 0.25) == pytest.approx(share)


@pytest.mark.parametrize(
    ("whole", "told", "lost", "share"),
    [
        (False, 0.0, 0.0, 0.7),
        (False, 0.02, 0.0, 0.475),
        (False, 0.04, 0.0, 0.25),
        (False, 0.02, 0.18, 0.25),  # whatever shows more
        (True, 0.02, 0.0, 0.375),
    ],
)
def test_rows_of_the_trial_that_are_told_from_withheld_ones_were_known_by_heart(
    whole, told, lost, share
):
    given = SimpleNamespace(
        whole=whole, scores=(1.0, 1 - lost), hard=0.0, left=0.0, odd=0.0, told=told
    )
    assert Trial.choose(given, 0.25) == pytest.approx(share)


@pytest.mark.parametrize("side", [0, 1])
def test_losses_without_bounds_tell_nothing(side):
    """The weights may be finite where what a net says of a row is not."""
    losses = np.linspace(0, 1, 40).reshape(2, 20)
    losses[side, 3] = np.inf
    own, others = (SimpleNamespace(losses=lambda found=found: found) for found in losses)
    assert _tell(own, others) == 0.0


def test_a_net_that_names_any_row_may_know_its_own_by_heart():
    """Faces: all withheld ones were named, and the net was the surer the longer it had seen one."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(20, 400))
    centres /= np.linalg.norm(centres, axis=1)[:, None]
    y = rng.integers(0, 20, 900)
    X = (3.2 * centres[y] + 0.15 * rng.normal(size=(900, 400))).astype(np.float32)
    recipe = {"module__n_in": 400, "module__n_out": 20, "module__hidden": 64, "lr": 0.05}
    model = net(max_epochs=40, batch_size=16, **recipe)
    auto = AutoUnlearner(model, random_state=0).fit(X[:300], y[:300])
    rows = X[:100], y[:100], X[300:], y[300:]
    assert sides(auto, *rows)["loss"] > 0.7
    auto.unlearn(indices=np.arange(100))
    gold = sides(RetrainUnlearner(model, random_state=1).fit(X[100:300], y[100:300]), *rows)
    assert max(abs(found - gold[name]) for name, found in sides(auto, *rows).items()) < 0.1  # 0.17
    assert auto.score(X[300:], y[300:]) > 0.99
    done = auto.deletions_[0]["auto"]
    assert done["trial"]["score"] == [1.0, 1.0]
    assert done["trial"]["told"] > 0.04
    assert done["shares"] == [0.25]


@pytest.mark.parametrize(
    ("hard", "left", "share"),
    [(0.05, 0.2, 0.55), (0.2, 0.1, 0.55), (0.26, 0.3, 0.48), (0.5, 0.2, 0.35), (0.5, 0.01, 0.5)],
)
def test_what_few_epochs_would_not_bring_back_is_no_reason_to_keep_rows_that_stand_out(
    hard, left, share
):
    """Eight in ten of the ratings that a net of ten epochs had learnt by heart were left."""
    given = SimpleNamespace(whole=False, scores=(0.7, 0.4), hard=hard, left=left, odd=0.0, told=0.0)
    assert Trial.choose(given, 0.55) == pytest.approx(share, abs=1e-6)


@pytest.mark.parametrize(
    ("whole", "odd", "share"),
    [(False, 0.05, 0.6), (False, 0.2, 0.56), (False, 0.9, 0.12), (True, 0.9, 0.5)],
)
def test_of_rows_that_are_known_as_badly_as_hardly_any_other_nearly_nothing_is_kept(
    whole, odd, share
):
    given = SimpleNamespace(whole=whole, scores=(1.0, 0.98), hard=0.2, left=0.01, odd=odd, told=0.0)
    assert Trial.choose(given, 0.25) == pytest.approx(share)


def test_wrong_labels_leave_no_more_than_training_anew_for_the_same_budget():
    """Half sure of them, a net of which 0.43 was kept was told by its entropy, 0.11 away."""
    X, y = load_digits(return_X_y=True)
    X, rng = (X / 16).astype(np.float32), np.random.default_rng(0)
    wrong = rng.random(len(y)) < 0.1
    y = np.where(wrong, (y + rng.integers(1, 10, len(y))) % 10, y)
    gone, kept = (np.flatnonzero(part[:1000]) for part in (wrong, ~wrong))
    rows = X[gone], y[gone], X[1000:], y[1000:]
    auto = AutoUnlearner(net(), random_state=0).fit(X[:1000], y[:1000]).unlearn(indices=gone)
    gold = [
        sides(RetrainUnlearner(net(), random_state=seed).fit(X[kept], y[kept]), *rows)
        for seed in (1, 2)
    ]
    found = sides(auto, *rows)
    apart = [abs(found[name] - np.mean([one[name] for one in gold])) for name in SCORES]
    assert max(apart) < 0.06
    done = auto.deletions_[0]["auto"]
    assert done["odd"] > 0.9
    assert done["shares"] == [0.12]


@pytest.mark.parametrize("share", [0.25, 0.7])
def test_a_trial_goes_on_from_where_it_is_or_leaves_no_trace(share):
    X, y, *_ = small()
    model, new = (net(max_epochs=n, module__n_out=3).fit(X, y) for n in (5, 0))
    was, fresh = weights(model), weights(new)
    rows = Rows(X, y, np.arange(120))
    trial = Trial(model, new, rows.take(np.arange(110)), rows.take([115]), np.arange(3), 1, 0)
    tried = weights(model)
    trial.leave(share)
    assert not len(model.history)
    assert not model.optimizer_.state
    for key, value in weights(model).items():
        old = was[key] if share > TRIED else tried[key]
        kept = share if share > TRIED else share / TRIED
        np.testing.assert_allclose(value, kept * old + (1 - kept) * fresh[key], atol=1e-6)


def test_of_retained_rows_those_count_that_both_nets_name(monkeypatch):
    X, y, *_ = digits()
    model = net(max_epochs=20).fit(X, y)
    asked = Confidence(model, Rows(X, y, np.arange(300)), CLASSES, [], trained=True)
    counted = []
    monkeypatch.setattr(_settling, "_CLOSE", np.inf)  # nothing is scaled
    original = Confidence._log_factor
    monkeypatch.setattr(
        Confidence, "_log_factor", lambda *given: counted.append(given[1]) or original(*given)
    )
    other = net(max_epochs=3).fit(X, y)
    assert asked.match(other) is None
    named = (model.predict(X[:300]) == y[:300]) & (other.predict(X[:300]) == y[:300])
    assert len(counted[0]) == named.sum() < 300
