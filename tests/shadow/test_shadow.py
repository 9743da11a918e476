"""Shadow models: design, resuming, stacked training, and the attacks that they serve."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from joblib import parallel_config
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.tree import DecisionTreeClassifier
from torch import nn

from skunlearn import BaseUnlearner, FineTuneUnlearner, RetrainUnlearner
from skunlearn._recipe import training
from skunlearn._rows.seeding import derive_seed
from skunlearn._torch.parts.tasks import Labels
from skunlearn.callbacks import LinearDecay
from skunlearn.metrics import auc, lira, margin
from skunlearn.nets import BatchLoader, DigitsNet
from skunlearn.shadow import ShadowModels
from skunlearn.shadow._attacking import less_labels
from skunlearn.shadow._design import draw_membership
from tests.instances import make_net, make_regressor_net
from tests.interpreters import LIGHT
from tests.label_nets import labelled, plain_net

quiet = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.fixture(scope="module")
def pool():
    X, y = make_classification(240, 8, n_informative=5, flip_y=0.3, random_state=0)
    return X.astype(np.float32), y


def tree():
    return DecisionTreeClassifier(min_samples_leaf=2, random_state=0)


def net(**kwargs):
    return make_net(**({"module__n_out": 2, "max_epochs": 4, "batch_size": 16} | kwargs))


# ------------------------------------------------------------------ design


@pytest.mark.parametrize("n", [40, 41])
def test_every_candidate_is_in_half_of_the_models(n):
    candidates = np.arange(n) % 4 != 0
    membership = draw_membership(candidates, 8, 0)
    assert (membership[:, candidates].sum(axis=0) == 4).all()
    assert membership[:, ~candidates].all()
    assert len(np.unique(membership, axis=0)) == 8
    assert not np.array_equal(membership, draw_membership(candidates, 8, 1))
    # More models later leave the first ones as they were.
    assert np.array_equal(draw_membership(candidates, 6, 0), membership[:6])


def test_margins_are_those_of_models_trained_by_hand(pool):
    X, y = pool
    shadows = ShadowModels(tree(), n_models=4, random_state=0).fit(X, y)
    for i in range(4):
        rows = shadows.membership_[i]
        model = tree().fit(X[rows], y[rows])
        tiny = np.finfo(float).tiny
        expected = margin(np.log(np.maximum(model.predict_proba(X), tiny)), y)
        assert shadows.margins_[i] == pytest.approx(expected, rel=1e-5)
    assert shadows.margins_.dtype == np.float32
    assert shadows.candidates_.tolist() == list(range(240))


def test_labels_of_any_type_and_seeds(pool):
    X, y = pool
    one = ShadowModels(tree(), n_models=4, random_state=0).fit(X, y)
    named = ShadowModels(tree(), n_models=4, random_state=0).fit(X, np.array(["no", "yes"])[y])
    assert np.array_equal(one.margins_, named.margins_)
    assert named.classes_.tolist() == ["no", "yes"]
    other = ShadowModels(tree(), n_models=4, random_state=1).fit(X, y)
    assert not np.array_equal(one.membership_, other.membership_)


# ------------------------------------------------------------------ stacked training


@pytest.mark.parametrize(
    "recipe",
    [
        {"optimizer__momentum": 0.9, "optimizer__nesterov": True, "optimizer__weight_decay": 0.01},
        {"optimizer": torch.optim.Adam, "optimizer__momentum": None, "lr": 0.01},
        {"callbacks": [LinearDecay(warmup=0.2)], "criterion__label_smoothing": 0.1},
        {"iterator_train__drop_last": True},
        {"batch_size": -1, "iterator_train__shuffle": False},
        {"iterator_train": BatchLoader, "iterator_train__resident": True},
    ],
    ids=["sgd", "adam", "decay", "drop_last", "whole batch", "resident"],
)
@quiet
def test_stacked_nets_are_those_of_one_after_the_other(pool, recipe):
    X, y = pool
    params = net().get_params()
    given = net(**{k: v for k, v in recipe.items() if v is not None})
    if recipe.get("optimizer__momentum", 0) is None:
        given = type(given)(
            **{k: v for k, v in params.items() if k in ("module", "criterion")},
            optimizer=torch.optim.Adam, lr=0.01, max_epochs=4, batch_size=16, module__n_out=2,
            iterator_train__shuffle=True, train_split=None,
        )  # fmt: skip
    margins = {}
    for backend in ("stacked", "sequential"):
        shadows = ShadowModels(given, n_models=4, backend=backend, random_state=0)
        margins[backend] = shadows.fit(X, y).margins_
    assert np.ptp(margins["sequential"]) > 1
    assert margins["stacked"] == pytest.approx(margins["sequential"], abs=2e-3)


def test_auto_stacks_small_nets_only(pool, monkeypatch):
    X, y = pool
    calls = []
    monkeypatch.setattr(
        "skunlearn.shadow._stacked.train_stacked",
        lambda net, members, *args: (
            calls.append(len(members)) or (lambda rows: np.zeros((len(members), len(rows), 2)))
        ),
    )
    ShadowModels(net(), n_models=6, random_state=0).fit(X, y)
    assert sum(calls) == 6
    calls.clear()
    images = np.zeros((40, 1, 8, 8), np.float32)
    convolutional = make_net(max_epochs=1).set_params(module=DigitsNet)
    convolutional = type(convolutional)(
        DigitsNet, criterion=nn.CrossEntropyLoss, max_epochs=1, train_split=None
    )
    ShadowModels(convolutional, n_models=4, random_state=0).fit(images, np.arange(40) % 10)
    assert calls == []


class Normed(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(8, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


@pytest.mark.parametrize(
    ("estimator", "reason"),
    [
        (tree(), "no skorch net"),
        (net(module__dropout=0.5), "dropout"),
        (net(callbacks=[("x", nn.Module)]), "callbacks other than LinearDecay"),
        (net(optimizer=torch.optim.LBFGS), "LBFGS is none of"),
        (net(criterion=nn.NLLLoss), "not a CrossEntropyLoss"),
        (net().set_params(module=Normed), "buffers"),
        (FineTuneUnlearner(net()), "is an unlearner"),
    ],
)
def test_what_cannot_be_stacked_is_said(pool, estimator, reason):
    X, y = pool
    if "Normed" in str(getattr(estimator, "module", "")):
        estimator = type(estimator)(Normed, criterion=nn.CrossEntropyLoss, train_split=None)
    with pytest.raises(ValueError, match=reason):
        ShadowModels(estimator, backend="stacked", random_state=0).fit(X, y)


# ------------------------------------------------------------------ on disk


class Stops(DecisionTreeClassifier):
    """Dies at the fit after `left` more."""

    left = 0

    def fit(self, X, y):
        Stops.left -= 1
        if Stops.left < 0:
            raise KeyboardInterrupt
        return super().fit(X, y)


def test_a_killed_run_goes_on(pool, tmp_path):
    X, y = pool
    recipe = Stops(random_state=0)
    Stops.left = 100
    whole = ShadowModels(recipe, n_models=6, random_state=0).fit(X, y)
    Stops.left = 4
    shadows = ShadowModels(recipe, n_models=6, random_state=0, folder=tmp_path)
    with pytest.raises(KeyboardInterrupt):
        shadows.fit(X, y)
    assert not hasattr(shadows, "margins_")
    assert len(list(tmp_path.glob("model-*.npy"))) == 4
    Stops.left = 2  # exactly those that are missing
    assert np.array_equal(shadows.fit(X, y).margins_, whole.margins_)
    Stops.left = 2  # two more than before
    shadows.set_params(n_models=8).fit(X, y)
    assert np.array_equal(shadows.margins_[:6], whole.margins_)


def test_a_folder_of_another_task_is_refused(pool, tmp_path):
    X, y = pool
    ShadowModels(tree(), n_models=4, random_state=0, folder=tmp_path).fit(X, y)
    for other, rows in (
        (ShadowModels(tree(), n_models=4, random_state=1, folder=tmp_path), X),
        (ShadowModels(tree(), n_models=4, random_state=0, folder=tmp_path), X + 1),
        (
            ShadowModels(
                tree().set_params(max_depth=2), n_models=4, random_state=0, folder=tmp_path
            ),
            X,
        ),
    ):
        with pytest.raises(ValueError, match="of another task"):
            other.fit(rows, y)
    with pytest.raises(ValueError, match="int random_state"):
        ShadowModels(tree(), folder=tmp_path).fit(X, y)


@pytest.mark.long
def test_processes_and_threads_give_the_same(pool, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(LIGHT)
    X, y = pool
    one = ShadowModels(tree(), n_models=4, random_state=0).fit(X, y)
    two = ShadowModels(tree(), n_models=4, random_state=0, n_jobs=2, folder=tmp_path).fit(X, y)
    assert np.array_equal(one.margins_, two.margins_)
    with parallel_config(backend="threading", n_jobs=2):
        three = ShadowModels(tree(), n_models=4, random_state=0).fit(X, y)
    assert np.array_equal(one.margins_, three.margins_)


def test_nets_in_threads_do_not_share_their_draws(pool):
    X, y = pool
    with parallel_config(backend="threading", n_jobs=4):
        threads = ShadowModels(net(), n_models=4, backend="sequential", random_state=0).fit(X, y)
    alone = ShadowModels(net(), n_models=4, backend="sequential", random_state=0).fit(X, y)
    assert np.array_equal(threads.margins_, alone.margins_)


# ------------------------------------------------------------------ attacks


@pytest.fixture(scope="module")
def shadows(pool):
    X, y = pool
    rng = np.random.default_rng(1)
    unseen = X[rng.integers(240, size=100)] + rng.normal(scale=0.5, size=(100, 8))
    population = unseen.astype(np.float32), rng.integers(2, size=100)
    return ShadowModels(tree(), n_models=32, random_state=0).fit(
        X, y, X_population=population[0], y_population=population[1]
    )


@pytest.mark.parametrize("method", ["lira", "rmia"])
def test_attacks_find_a_trained_model_out_and_not_a_retrained_one(pool, shadows, method):
    X, y = pool
    forget, retain, unseen = np.arange(60), np.arange(60, 120), np.arange(120, 240)
    seen = np.concatenate([forget, retain])
    original = tree().fit(X[seen], y[seen])
    retrained = tree().fit(X[retain], y[retain])
    leak = shadows.attack(original, forget, unseen, method=method, random_state=0)
    assert leak.interval.low > 0.55
    assert (leak.attack, leak.matched) == (method, True)
    clean = shadows.attack(retrained, forget, unseen, method=method, random_state=0)
    assert clean.interval.low <= 0.5 <= clean.interval.high


def test_models_unlearners_and_margins_are_taken(pool, shadows):
    X, y = pool
    unlearner = RetrainUnlearner(tree(), random_state=0).fit(X[:120], y[:120])
    scores = shadows.lira(unlearner)
    assert np.array_equal(scores, shadows.lira(unlearner.estimator_))
    margins = shadows._margins(unlearner)
    assert np.array_equal(scores, shadows.lira(margins))
    assert np.array_equal(scores[[3, 9]], shadows.lira(unlearner, [3, 9]))
    # An ensemble's estimator_ is the recipe of its members, and no model.
    forest = RandomForestClassifier(5, random_state=0).fit(X, y)
    assert np.isfinite(shadows.lira(forest)).all()


class Pretends(BaseUnlearner):
    """Keeps the model as it is."""

    _promises = replace(BaseUnlearner._promises, takes_any_estimator=True)

    def _attempt(self, retain, forget, seed):
        return self.estimator_


@quiet
@pytest.mark.parametrize("cls", [Pretends, RetrainUnlearner])
def test_u_lira_trains_and_unlearns(pool, cls):
    """It finds a method out that does nothing, and finds nothing in retrained models."""
    X, y = pool
    candidates = np.arange(240) < 160
    shadows = ShadowModels(cls(tree()), n_models=24, random_state=0).fit(
        X, y, candidates=candidates
    )
    assert shadows.candidates_.tolist() == list(range(160))
    assert shadows.membership_[:, 160:].all()
    seen, forget, unseen = np.r_[0:80, 160:240], np.arange(80), np.arange(80, 160)
    attacked = cls(tree(), random_state=5).fit(X[seen], y[seen]).unlearn(indices=forget)
    result = shadows.attack(attacked, forget, unseen, random_state=0)
    assert result.attack == "u_lira"
    if cls is Pretends:
        assert result.interval.low > 0.55
    else:
        assert result.interval.low <= 0.5 <= result.interval.high
    with pytest.raises(ValueError, match="use u_lira"):
        shadows.lira(attacked)
    with pytest.raises(ValueError, match="no candidates"):
        shadows.u_lira(attacked, [200])


@quiet
def test_nets_are_made_to_forget(pool):
    """The margins are those of the unlearned model, by the unlearner's own attempt."""
    X, y = pool
    candidates = np.arange(240) < 40
    unlearner = FineTuneUnlearner(net(), max_epochs=2)
    shadows = ShadowModels(unlearner, n_models=4, random_state=0).fit(X, y, candidates=candidates)
    members = np.flatnonzero(shadows.membership_[1])
    by_hand = clone(unlearner).set_params(random_state=derive_seed(0, 1, 1))
    by_hand.fit(X[members], y[members]).unlearn(indices=np.flatnonzero(members < 40))
    assert shadows.margins_[1] == pytest.approx(shadows._margins(by_hand), rel=1e-3, abs=1e-4)


def test_bad_input(pool, shadows):
    X, y = pool
    model = tree().fit(X, y)
    for kwargs, message in (
        ({"n_models": 2}, "n_models == 2"),
        ({"backend": "vmap"}, "backend must be"),
    ):
        with pytest.raises(ValueError, match=message):
            ShadowModels(tree(), **kwargs).fit(X, y)
    with pytest.raises(ValueError, match="is for classifiers"):
        ShadowModels(make_regressor_net()).fit(X, y * 1.0)
    with pytest.raises(ValueError, match="not FrozenEstimator"):
        ShadowModels(FrozenEstimator(model)).fit(X, y)
    for mask in (np.arange(240), np.ones(5, bool)):
        with pytest.raises(ValueError, match="boolean mask of shape"):
            ShadowModels(tree()).fit(X, y, candidates=mask)
    with pytest.raises(ValueError, match="nothing is left to retain"):
        ShadowModels(FineTuneUnlearner(net()), n_models=4, random_state=0).fit(X, y)
    with pytest.raises(ValueError, match="pass an unlearner"):
        shadows.u_lira(model)
    with pytest.raises(ValueError, match="needs a population"):
        ShadowModels(tree(), n_models=4, random_state=0).fit(X, y).rmia(model)
    with pytest.raises(ValueError, match="method must be"):
        shadows.attack(model, [0], [1], method="loss")
    with pytest.raises(ValueError, match="margins of shape"):
        shadows.lira(np.zeros(3))
    with pytest.raises(ValueError, match="rows must be positions"):
        shadows.lira(model, [0.5])


# ------------------------------------------------------------------ several labels per row


@pytest.fixture(scope="module")
def several():
    """Rows of four labels, the first of them drawn: a net that saw it knows it by heart."""
    X, y = labelled(200, random=np.arange(0))
    y[:, 0] = np.random.default_rng(1).integers(2, size=200)
    X_population, y_population = labelled(60, seed=2)
    recipe = plain_net(module=Wide, max_epochs=15)
    shadows = ShadowModels(recipe, n_models=8, random_state=0)
    shadows.fit(X, y, X_population=X_population, y_population=y_population)
    return X, y, recipe, shadows


class Wide(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(12, 64), nn.ReLU(), nn.Linear(64, 4))


@quiet
def test_margins_of_labels_are_those_of_nets_trained_by_hand(several):
    X, y, recipe, shadows = several
    assert shadows.margins_.shape == (8, 200, 4)
    assert shadows.population_margins_.shape == (8, 60, 4)
    rows = shadows.membership_[3]
    by_hand = RetrainUnlearner(recipe, random_state=0).fit(X[rows], y[rows])
    seen = by_hand._record.view(np.arange(rows.sum()))
    trained = training.train(recipe, seen, Labels(4), derive_seed(0, 1, 3))
    z = trained.forward(X).numpy()
    assert shadows.margins_[3] == pytest.approx(np.where(y, z, -z), abs=1e-3)


@quiet
def test_labels_are_attacked_together_and_each_alone(several):
    X, y, recipe, shadows = several
    forget, unseen = np.arange(60), np.arange(100, 200)
    original = RetrainUnlearner(recipe, random_state=0).fit(X[:100], y[:100])
    retrained = RetrainUnlearner(recipe, random_state=0).fit(X[60:100], y[60:100])
    for method in ("lira", "rmia"):
        how = {"method": method, "random_state": 0}
        leak = shadows.attack(original, forget, unseen, per_class=True, **how)
        assert leak.interval.low > 0.55
        assert (leak.attack, leak.matched, list(leak.per_class)) == (method, True, [0, 1, 2, 3])
        clean = shadows.attack(retrained, forget, unseen, **how)
        assert clean.interval.low <= 0.5 <= clean.interval.high
        assert getattr(shadows, method)(original).shape == (200,)
    margins = shadows._margins(original)
    assert np.array_equal(
        shadows.lira(margins), lira(margins, shadows.margins_, shadows.membership_)
    )
    # Each label alone is compared with unseen rows that have it, or lack it, as well.
    alone = lira(margins[:, 2], shadows.margins_[..., 2], shadows.membership_)
    for value in (0, 1):
        alone[y[:, 2] == value] -= alone[unseen][y[unseen, 2] == value].mean()
    found = shadows.attack(original, forget, unseen, per_class=True, random_state=0)
    assert found.per_class[2].estimate == pytest.approx(auc(alone[forget], alone[unseen]))
    with pytest.raises(ValueError, match=r"margins of shape \(200,\); expected \(200, 4\)"):
        shadows.lira(margins[:, 0])
    lacks = np.flatnonzero(y[:, 1] == 0)
    with pytest.raises(ValueError, match=r"Forget rows have labels \[1\] and no unseen row"):
        shadows.attack(original, forget, lacks)


@quiet
def test_nets_of_labels_are_made_to_forget(several):
    X, y, recipe, _ = several
    candidates = np.arange(200) < 160
    unlearner = RetrainUnlearner(recipe.set_params(max_epochs=3))
    shadows = ShadowModels(unlearner, n_models=4, random_state=0).fit(X, y, candidates=candidates)
    seen = np.r_[0:80, 160:200]
    attacked = clone(unlearner).fit(X[seen], y[seen]).unlearn(indices=np.arange(80))
    result = shadows.attack(attacked, np.arange(80), np.arange(80, 160), random_state=0)
    assert (result.attack, result.n_forget, result.n_unseen) == ("u_lira", 80, 80)


def test_what_follows_from_the_labels_alone_is_no_memory():
    """Scores that are nothing but a function of the labels, of which the two sides have others."""
    rng = np.random.default_rng(0)
    y = rng.random((600, 5)) < np.where(np.arange(600) < 300, 0.7, 0.3)[:, None]
    scores = y @ np.arange(5) + rng.normal(size=600)
    scores[0] = 1e12  # one row does not turn the line
    plain = auc(scores[:300], scores[300:])
    labels = y[:300], y[300:]
    forget, unseen = less_labels((scores[:300], scores[300:]), labels)
    assert plain > 0.8
    assert 0.45 < auc(forget, unseen) < 0.55
    # What is known of a row beyond its labels stays.
    forget, unseen = less_labels((scores[:300] + 2, scores[300:]), labels)
    assert auc(forget, unseen) > 0.8
