"""Nets that name a class for each position of a row: what is measured, who forgets, who refuses."""

import pickle
import warnings

import numpy as np
import pytest
import torch
from scipy.stats import entropy
from sklearn.metrics import accuracy_score
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from skunlearn import (
    AutoUnlearner,
    FineTuneUnlearner,
    NegGradPlusUnlearner,
    ProximalUnlearner,
    RetrainUnlearner,
    from_torch,
    make_unlearner,
)
from skunlearn._rows.views import Rows
from skunlearn._torch.observation import observe
from skunlearn._torch.parts import positions
from skunlearn._torch.parts.positions import Positions
from skunlearn._unlearning.removal import draw_sample
from skunlearn.evaluation import audit, compare
from skunlearn.exceptions import NotForgottenWarning
from skunlearn.metrics import ForgottenScorer, MIAScorer, membership_scores
from skunlearn.plotting import MIACurveDisplay
from skunlearn.shadow import ShadowModels
from skunlearn.utils import all_unlearners
from tests.position_nets import LENGTH, PADDED, WORDS, images, next_word, pixels, texts
from tests.small import quiet

TAKE_THEM = {
    "AmnesiacUnlearner",
    "AutoUnlearner",
    "CFkUnlearner",
    "EUkUnlearner",
    "FineTuneUnlearner",
    "L1SparseUnlearner",
    "NegGradPlusUnlearner",
    "NoTUnlearner",
    "ProximalUnlearner",
    "RetrainUnlearner",
    "RewindUnlearner",
    "ShrinkPerturbUnlearner",
}
N_FORGET = 30


@pytest.fixture(scope="module")
def data():
    return texts(150, 0)


@pytest.fixture(scope="module")
def unseen(data):
    X, y = texts(170, 1)
    new = ~(X[:, None] == data[0]).all(axis=2).any(axis=1)
    return X[new], y[new]


@pytest.fixture(scope="module")
def fitted(data):
    return RetrainUnlearner(next_word(), random_state=0).fit(*data)


def start(cls, fitted, **params):
    """An unlearner with the model of `fitted`, whose training it shares."""
    unlearner = cls(next_word(), random_state=0, **params)
    own = unlearner.get_params(deep=False)
    vars(unlearner).update({k: v for k, v in vars(fitted).items() if k not in own})
    return unlearner


def see(unlearner, data):
    rows = Rows(*data, np.arange(len(data[1])))
    return observe(unlearner.estimator_, rows, unlearner._classes)


def test_scores_of_a_row_are_means_over_the_positions_that_count(fitted, data):
    """Oracles: torch.nn.functional.cross_entropy (2.14), scipy.stats.entropy (1.16)."""
    X, y = data
    said = see(fitted, data)
    net = fitted.estimator_
    with torch.no_grad():
        logits = net.module_.eval()(torch.as_tensor(X))
    each = nn.functional.cross_entropy(
        logits, torch.as_tensor(y), ignore_index=PADDED, reduction="none"
    ).numpy()
    counts = y != PADDED
    assert counts.sum(axis=1).min() < LENGTH  # some do not count
    means = each.sum(axis=1) / counts.sum(axis=1)
    np.testing.assert_allclose(said.losses(), means, rtol=1e-5)
    p = logits.softmax(1).numpy()
    spread = np.where(counts, entropy(p, axis=1), 0).sum(axis=1) / counts.sum(axis=1)
    np.testing.assert_allclose(said.by_row["entropy"], -spread, rtol=1e-4)
    flat = np.moveaxis(logits.numpy(), 1, -1)[counts]
    rows = np.nonzero(counts)[0]
    for name in ("loss", "margin", "confidence", "entropy", "modified_entropy"):
        score = membership_scores(flat, y[counts], name)
        mean = np.bincount(rows, score) / np.bincount(rows)
        np.testing.assert_allclose(said.by_row[name], mean, rtol=1e-4, err_msg=name)
    right = accuracy_score(y[counts], p.argmax(1)[counts])
    assert said.score() == pytest.approx(right)
    assert fitted.score(X, y) == pytest.approx(right)
    np.testing.assert_allclose(fitted.predict_proba(X), p, rtol=1e-4)
    assert np.array_equal(fitted.predict(X), p.argmax(1))


def test_weights_of_rows_count_for_their_positions(fitted, data):
    X, y = data
    weights = np.r_[np.ones(10), np.zeros(len(y) - 10)]
    assert fitted.score(X, y, sample_weight=weights) == pytest.approx(fitted.score(X[:10], y[:10]))


def test_no_more_logits_are_held_than_memory_takes(fitted, data, monkeypatch):
    whole = see(fitted, data)
    monkeypatch.setattr(positions, "_ENTRIES", 40 * WORDS * LENGTH)
    assert [len(part) for part in fitted._classes.cut(len(data[0]))] == [40, 40, 40, 30]
    parts = see(fitted, data)
    for name, scores in whole.by_row.items():
        np.testing.assert_allclose(parts.by_row[name], scores, rtol=1e-5)
    assert np.array_equal(fitted.predict(data[0]), parts_of(fitted, data[0]))


def test_a_request_looks_at_fewer_retained_rows_of_many_logits(fitted, monkeypatch):
    monkeypatch.setattr(positions, "_LOOKED_AT", (20, 50 * WORDS * LENGTH))
    unlearner = start(FineTuneUnlearner, fitted, max_epochs=1)
    assert len(draw_sample(unlearner, unlearner._record.view(np.arange(140)))) <= 50
    monkeypatch.setattr(positions, "_LOOKED_AT", (20, 1))
    assert fitted._classes.most_looked_at == 20


def parts_of(fitted, X):
    with torch.no_grad():
        return fitted.estimator_.module_(torch.as_tensor(X)).argmax(1).numpy()


@quiet
@pytest.mark.parametrize("name", sorted(all_unlearners(nets=True)))
def test_every_method_takes_them_or_refuses_before_it_trains(name, data, monkeypatch):
    X, y = data
    unlearner = all_unlearners(nets=True)[name](next_word(epochs=2), random_state=0)
    if name not in TAKE_THEM:
        monkeypatch.setattr(type(unlearner), "_first_model", None)  # nothing is trained
        with pytest.raises(ValueError, match="does not take a net that names a class for each"):
            unlearner.fit(X, y)
        assert not hasattr(unlearner, "estimator_")
        return
    unlearner.fit(X, y).unlearn(indices=range(10)).unlearn(X[20:22], y[20:22])
    assert unlearner.predict(X).shape == y.shape
    assert [entry["rows"] for entry in unlearner.deletions_] == [10, 2]
    assert unlearner.deletions_[1]["measured"]["forget_after"]["loss"] > 0


def test_settings_that_need_a_class_of_each_row_are_refused(data):
    for unlearner in (
        ProximalUnlearner(next_word(), norm="fisher"),
        NegGradPlusUnlearner(next_word(), stop="reference"),
    ):
        with pytest.raises(ValueError, match="with the parameters it has"):
            unlearner.fit(*data)


def test_what_was_known_by_heart_is_forgotten_and_what_was_not_is_told(fitted, data, unseen):
    X, y = data
    with pytest.warns(NotForgottenWarning, match="an attack by"):
        kept = start(FineTuneUnlearner, fitted).unlearn(
            indices=range(N_FORGET), X_val=unseen[0], y_val=unseen[1]
        )
    weights = kept.estimator_.module_.out.weight.detach().clone()
    with warnings.catch_warnings():
        warnings.simplefilter("error", NotForgottenWarning)
        gone = start(AutoUnlearner, fitted).unlearn(
            indices=range(N_FORGET), X_val=unseen[0], y_val=unseen[1]
        )
    retrained = RetrainUnlearner(next_word(), random_state=8).fit(X[N_FORGET:], y[N_FORGET:])
    forget = X[:N_FORGET], y[:N_FORGET]
    before, ours, theirs = (u.score(*forget) - u.score(*unseen) for u in (fitted, gone, retrained))
    assert before > theirs + 0.1
    assert abs(ours - theirs) < 0.1
    assert gone.score(*unseen) > fitted.score(*unseen)
    both = [
        MIAScorer(reference="retrain").measure(unlearner, *unseen) for unlearner in (kept, gone)
    ]
    assert both[0].auc - both[0].reference_auc > 0.2
    assert abs(both[1].auc - both[1].reference_auc) < 0.1
    assert torch.equal(weights, kept.estimator_.module_.out.weight)
    # Nearer to a retrained net in all that it says of the forget rows.
    far, near = (
        np.abs(u.predict_proba(forget[0]) - retrained.predict_proba(forget[0])).mean()
        for u in (fitted, gone)
    )
    assert near < far


@quiet
@pytest.mark.parametrize("first", [0, 20])
def test_forget_rows_are_pushed_away(fitted, data, first):
    """By the loss at their positions: beyond what training on the others does, and no others."""
    X, y = data
    rows, others = np.arange(first, first + 20), np.arange(60, 80)
    pushed = start(NegGradPlusUnlearner, fitted).unlearn(indices=rows)
    tuned = start(FineTuneUnlearner, fitted).unlearn(indices=rows)
    gone = see(pushed, (X[rows], y[rows])).losses().mean()
    assert gone > see(tuned, (X[rows], y[rows])).losses().mean() + 0.2
    assert gone > see(pushed, (X[others], y[others])).losses().mean() + 0.2


@quiet
def test_the_whole_budget_is_trained(data):
    """Texts that stay take longer to be known by heart again than rows of a class do."""
    X, y = (part[:40] for part in data)
    net = next_word().set_params(max_epochs=30, batch_size=4)
    unlearner = AutoUnlearner(net, budget=0.5, random_state=0).fit(X, y)
    done = unlearner.unlearn(indices=range(5)).deletions_[0]["auto"]
    assert done["epochs"] + (done["trial"] or {"epochs": 0})["epochs"] == 15


@quiet
def test_one_seed_repeats_and_two_differ(fitted):
    nets = []
    for seed in (0, 0, 1):
        unlearner = start(FineTuneUnlearner, fitted, max_epochs=1)
        unlearner._change(seed=seed)
        nets.append(unlearner.unlearn(indices=range(5)).estimator_.module_.out.weight)
    assert torch.equal(nets[0], nets[1])
    assert not torch.equal(nets[0], nets[2])


@quiet
def test_files_and_pickles_bring_the_task_back(fitted, data, unseen, tmp_path):
    X, y = data
    unlearner = start(FineTuneUnlearner, fitted, max_epochs=1).unlearn(indices=[3])
    unlearner.save(tmp_path / "net.skun")
    loaded = FineTuneUnlearner(next_word(), max_epochs=1, random_state=0).load(
        tmp_path / "net.skun"
    )
    assert loaded._classes == unlearner._classes == Positions(WORDS, (LENGTH,), PADDED)
    for other in (loaded, pickle.loads(pickle.dumps(unlearner))):
        assert np.array_equal(other.predict(unseen[0]), unlearner.predict(unseen[0]))
        assert other.score(*unseen) == unlearner.score(*unseen)
    loaded.unlearn(X[4:6], y[4:6], X_retain=X[6:], y_retain=y[6:])
    assert loaded.deletions_[-1]["rows"] == 2


@quiet
def test_images_and_data_sets(data):
    X, y = images(60, 0)
    unlearner = AutoUnlearner(pixels(), random_state=0).fit(X, y).unlearn(indices=range(10))
    assert unlearner.predict(X).shape == y.shape
    assert unlearner.predict_proba(X).shape == (60, 3, 6, 6)
    rows = TensorDataset(torch.as_tensor(data[0]), torch.as_tensor(data[1]))
    asked = {"random_state": 0, "max_epochs": 1}
    net = next_word(epochs=2).set_params(iterator_train__shuffle=False)
    one = FineTuneUnlearner(net, **asked).fit(rows)
    other = FineTuneUnlearner(net, **asked).fit(*data)
    assert np.array_equal(one.predict(rows), other.predict(data[0]))
    assert one.score(rows) == other.score(*data)
    assert one.unlearn(indices=[1]).score(rows) > 0
    assert isinstance(make_unlearner(next_word()), AutoUnlearner)


def test_nets_of_pytorch_are_taken_by_the_loader_they_were_trained_with(data):
    X, y = (torch.as_tensor(part) for part in data)
    net = next_word(epochs=5).fit(*data)
    loader = DataLoader(TensorDataset(X, y), batch_size=32, shuffle=True)
    how = {
        "criterion": nn.CrossEntropyLoss(ignore_index=PADDED),
        "optimizer": torch.optim.Adam(net.module_.parameters(), 0.01),
        "max_epochs": 5,
    }
    frozen = from_torch(net.module_, loader, **how)
    unlearner = FineTuneUnlearner(frozen, random_state=0).fit(loader.dataset)
    counts = data[1] != PADDED
    assert unlearner.score(*data) == pytest.approx(
        accuracy_score(data[1][counts], net.forward(data[0]).argmax(1).numpy()[counts])
    )
    with pytest.raises(ValueError, match="takes it as net_class="):
        FineTuneUnlearner(from_torch(net.module_, batch_size=32, **how)).fit(*data)


class Last(nn.Module):
    """Classes come last, as models of transformers have them."""

    def __init__(self):
        super().__init__()
        self.inner = next_word().module()

    def forward(self, X):
        return self.inner(X).movedim(1, -1)


def own_loss(out, y):
    return nn.functional.cross_entropy(out.flatten(0, 1), y.flatten())


class OwnLoss(nn.Module):
    forward = staticmethod(own_loss)


def test_what_does_not_fit_is_refused_in_words(fitted, data, unseen):
    X, y = data

    def fit(net, y=y):
        return FineTuneUnlearner(net).fit(X, y)

    with pytest.raises(ValueError, match="takes integers in y"):
        fit(next_word(), y.astype(float))
    with pytest.raises(ValueError, match=r"this one returns \(n, 8, 12\).*movedim\(-1, 1\)"):
        fit(next_word().set_params(module=Last))
    with pytest.raises(ValueError, match=r"logits of shape \(n, n_classes, 8\): out.movedim"):
        fit(pixels().set_params(module=Last, criterion=OwnLoss))
    with pytest.raises(ValueError, match="classes from 0 to 11"):
        fit(next_word(), y + 5)
    with pytest.raises(ValueError, match=r"of which no position counts.*row 7"):
        fit(next_word(), np.where(np.arange(len(y))[:, None] == 7, PADDED, y))
    with pytest.raises(ValueError, match=r"y_val must hold integers of shape \(n, 8\)"):
        start(FineTuneUnlearner, fitted).unlearn(
            indices=[1], X_val=unseen[0], y_val=unseen[1][:, :4]
        )


@quiet
def test_judges_of_one_class_a_row_refuse(fitted, data, unseen):
    X, y = data
    unlearner = start(FineTuneUnlearner, fitted, max_epochs=1).unlearn(indices=range(10))
    with pytest.raises(ValueError, match="attack='learned' is for one class"):
        MIAScorer(attack="learned").measure(unlearner, *unseen)
    with pytest.raises(ValueError, match="one class per row"):
        ForgottenScorer()(unlearner, *unseen)
    for who, ask in {
        "audit": lambda: audit(unlearner, *unseen),
        "compare": lambda: compare(
            [FineTuneUnlearner(next_word(epochs=1))],
            X,
            y,
            forget=np.arange(len(y)) < 10,
            X_test=unseen[0],
            y_test=unseen[1],
        ),
        "ShadowModels": lambda: ShadowModels(next_word(epochs=1), n_models=4).fit(X, y),
        "MIACurveDisplay.from_estimator": lambda: MIACurveDisplay.from_estimator(
            unlearner, *unseen
        ),
    }.items():
        with pytest.raises(ValueError, match=f"{who} does not take .* MIAScorer does"):
            ask()
