"""What brings trained state along is found at any depth; what brings none is left alone."""

import functools
import json

import numpy as np
import pytest
import torch
from sklearn.calibration import CalibratedClassifierCV
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    GradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.feature_selection import SelectFromModel
from sklearn.frozen import FrozenEstimator
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    Normalizer,
    StandardScaler,
)
from sklearn.tree import DecisionTreeClassifier
from skorch.callbacks import Callback, EarlyStopping, EpochScoring, Initializer
from skorch.dataset import Dataset
from skorch.helper import predefined_split
from torch import nn

from skunlearn import (
    FineTuneUnlearner,
    RetrainUnlearner,
    ShardedUnlearner,
)
from skunlearn._recipe.from_scratch import name_trained
from skunlearn._recipe.trained_before import find_trained
from skunlearn._torch.first_weights import find_fixed_weights
from skunlearn.nets import CIFARResNet18, FastCIFARNet, digits_classifier
from tests import carriers
from tests.carriers import Around, Net, Votes, net, tree

FORGET = np.arange(20)


quiet = pytest.mark.filterwarnings("ignore::UserWarning")


def certified(unlearner):
    return json.loads(unlearner.certificate())


# ------------------------------------------------------------------ what brings nothing


class Inited(nn.Module):
    """Takes a layer without weights, and a width as an array of one number."""

    def __init__(self, act=None, widths=(8,), scale=None):
        super().__init__()
        self.one, self.act = nn.Linear(12, int(widths[0])), act or nn.ReLU()
        self.norm, self.two = nn.LayerNorm(int(widths[0])), nn.Linear(int(widths[0]), 3)
        self.register_buffer("where", torch.linspace(0, 1, 12))

    def forward(self, X):
        return self.two(self.norm(self.act(self.one(X + self.where))))


def build(hidden):
    """A function that builds modules."""
    return nn.Sequential(nn.Linear(12, hidden), nn.ReLU(), nn.Linear(hidden, 3))


def clean_nets(X, y):
    width = np.zeros((3, 7))
    split = predefined_split(Dataset(X[:9], y[:9]))
    return {
        "class": net(Inited),
        "activation": net(Inited, module__act=nn.Tanh(), module__widths=np.array([5])),
        "criterion": net(Inited, criterion=nn.CrossEntropyLoss(weight=torch.ones(3))),
        "weights of classes": net(Inited, criterion__weight=torch.tensor([1.0, 2.0, 3.0])),
        "factory": net(functools.partial(build, 7)),
        "lambda": net(lambda: build(width.shape[1])),
        "validation rows": net(
            Inited, train_split=split, callbacks=[EarlyStopping(load_best=True)]
        ),
        "scores": net(Inited, callbacks=[("s", EpochScoring("accuracy", on_train=True))]),
        "initializer": net(Inited, callbacks=[Initializer("one.weight", fn=nn.init.orthogonal_)]),
    }


def test_clean_nets_stay_exact(unrelated):
    X, y = unrelated
    for name, clean in clean_nets(X, y).items():
        unlearner = RetrainUnlearner(clean, random_state=0).fit(X, y).unlearn(indices=FORGET)
        found = certified(unlearner)
        assert (found["guarantee"], found["notes"]) == ("retrained without the rows", []), name
        assert found["deletions"][0]["exact"] is True
    for clean in (digits_classifier(), net(CIFARResNet18), net(FastCIFARNet)):
        assert name_trained(clean) == []


@pytest.mark.parametrize(
    "clean",
    [
        # Clones of fitted estimators are not fitted.
        lambda X, y: make_pipeline(StandardScaler().fit(X), tree(X, y)),
        lambda X, y: VotingClassifier([("a", tree(X, y))]),
        lambda X, y: GradientBoostingClassifier(n_estimators=2, init=tree(X, y)),
        lambda X, y: CalibratedClassifierCV(tree(X, y)),
        lambda X, y: RandomForestClassifier(3, warm_start=True).fit(X, y),
        lambda X, y: DecisionTreeClassifier(class_weight={0: 1.0, 1: 2.0, 2: 1.0}),
        lambda X, y: make_pipeline(FrozenEstimator(FunctionTransformer()), tree(X, y)),
        lambda X, y: make_pipeline(
            FrozenEstimator(make_pipeline(Normalizer(), FunctionTransformer())), tree(X, y)
        ),
        lambda X, y: make_pipeline(
            FunctionTransformer(np.tanh), SelectFromModel(tree(X, y)), tree(X, y)
        ),
        lambda X, y: make_pipeline(FunctionTransformer(lambda rows: rows * 2), tree(X, y)),
        lambda X, y: KNeighborsClassifier(metric="minkowski", metric_params={"w": np.ones(12)}),
    ],
)
def test_clean_estimators_stay_exact(unrelated, clean):
    X, y = unrelated
    unlearner = RetrainUnlearner(clean(X, y), random_state=0).fit(X, y).unlearn(indices=FORGET)
    found = certified(unlearner)
    assert (found["guarantee"], found["notes"]) == ("retrained without the rows", [])


class Watching(Callback):
    """Looks at a few pictures of several sizes."""

    def __init__(self, pictures):
        self.pictures = pictures


@pytest.mark.parametrize(
    "clean",
    [
        FunctionTransformer(np.abs, kw_args={"alphas": np.logspace(-3, 3, 1000)}),
        FunctionTransformer(np.abs, kw_args={"alphas": torch.linspace(0, 7, 1500)}),
        FunctionTransformer(np.abs, kw_args={"alphas": np.linspace(-1, 3, 1000).tolist()}),
        FunctionTransformer(np.abs, kw_args={"ones": np.ones(1000, np.float32)}),
        FunctionTransformer(np.abs, kw_args={"letters": "".join(map(chr, range(0x4E00, 0x5E00)))}),
        net(Net, callbacks=[Watching([torch.zeros(3, n, n + 1) for n in range(5, 9)])]),
        net(Net, callbacks=[Watching([torch.zeros(n, 3) for n in range(5, 9)])]),
    ],
)
def test_settings_that_are_long_or_several_were_not_learnt(clean):
    assert find_trained(clean) == []


@pytest.mark.parametrize(
    "learnt",
    [
        FunctionTransformer(np.abs, kw_args={"w": np.random.default_rng(0).normal(size=1000)}),
        FunctionTransformer(np.abs, kw_args={"w": np.sort(np.random.default_rng(0).random(1000))}),
        FunctionTransformer(np.abs, kw_args={"text": "ab" * 500}),
        net(Net, callbacks=[Watching([p.detach() for p in Net().parameters()])]),
        net(
            Net,
            callbacks=[Watching([torch.zeros(n, n - 1) for n in (9, 7, 5, 3)])],  # without biases
        ),
    ],
)
def test_numbers_and_texts_that_are_long_are_named(learnt):
    (found,) = find_trained(learnt)
    assert found.kind == "given"


# ------------------------------------------------------------------ what is found, and where


@pytest.mark.parametrize(
    ("around", "right"),
    [
        (CalibratedClassifierCV, 1.0),
        (lambda frozen: VotingClassifier([("a", frozen)]), 1.0),
        (lambda frozen: StackingClassifier([("a", frozen)]), 1.0),
        (lambda frozen: make_pipeline(FunctionTransformer(), frozen), 1.0),
        (lambda frozen: make_pipeline(SelectFromModel(frozen), DecisionTreeClassifier()), None),
    ],
)
def test_a_frozen_tree_of_random_labels(around, right):
    """It names all forgotten labels; it was certified, without a note."""
    rng = np.random.default_rng(0)
    X, yr = rng.normal(size=(300, 12)).astype(np.float32), rng.integers(0, 3, 300)
    unlearner = RetrainUnlearner(around(FrozenEstimator(tree(X, yr))), random_state=0)
    unlearner.fit(X, yr).unlearn(indices=np.arange(30))
    if right is not None:
        assert np.mean(unlearner.predict(X[:30]) == yr[:30]) == right
    found = certified(unlearner)
    assert (found["guarantee"], found["deletions"][0]["exact"]) == ("none", False)
    assert len(found["notes"]) == 1
    assert "a FrozenEstimator of DecisionTreeClassifier" in found["notes"][0]


def test_paths_are_those_of_get_params(unrelated):
    X, y = unrelated
    frozen = FrozenEstimator(tree(X, y))
    for estimator, path in (
        (CalibratedClassifierCV(frozen), "estimator"),
        (StackingClassifier([("a", make_pipeline(PCA(2), frozen))]), "a__frozenestimator"),
        (make_pipeline(SelectFromModel(frozen), tree(X, y)), "selectfrommodel__estimator"),
        (make_pipeline(Votes(frozen), net(Inited)), "votes__model"),
    ):
        (item,) = find_trained(estimator, "estimator")
        assert (item.path, item.kind) == (f"estimator__{path}", "frozen")
        assert estimator.get_params()[path] is frozen


def test_prefit_estimators_are_refused(unrelated):
    """Copies of them are not fitted."""
    X, y = unrelated
    for estimator, path in (
        (StackingClassifier([("a", tree(X, y))], cv="prefit"), "estimator__cv"),
        (make_pipeline(SelectFromModel(tree(X, y), prefit=True), tree(X, y)), "from.*__prefit"),
    ):
        with pytest.raises(ValueError, match=f"{path} is .*FrozenEstimator"):
            RetrainUnlearner(estimator).fit(X, y)
    allowed = StackingClassifier([("a", FrozenEstimator(tree(X, y)))], cv="prefit")
    unlearner = RetrainUnlearner(allowed, random_state=0).fit(X, y).unlearn(indices=FORGET)
    assert "estimator__a (a FrozenEstimator" in certified(unlearner)["notes"][0]


class Learnt(nn.Module):
    """A criterion with weights of its own."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Linear(3, 3)

    def forward(self, out, y):
        return nn.functional.cross_entropy(self.scale(out), y)


def test_criteria_that_learn(unrelated):
    X, y = unrelated
    for estimator in (net(Inited, criterion=Learnt()), make_pipeline(net(criterion=Learnt()))):
        with pytest.raises(TypeError, match=r"criterion is a module instance \(Learnt\)"):
            RetrainUnlearner(estimator).fit(X, y)
    unlearner = RetrainUnlearner(net(Inited, criterion=Learnt)).fit(X, y).unlearn(indices=FORGET)
    assert certified(unlearner)["guarantee"] == "retrained without the rows"


def test_errors_leave_everything_as_it_was(unrelated):
    X, y = unrelated
    unlearner = FineTuneUnlearner(net()).fit(X, y)
    before = unlearner.certificate()
    unlearner.estimator = net(Around, module__enc=Net())
    with pytest.raises(TypeError, match=r"module__enc is a module instance.*Pass the class"):
        unlearner.unlearn(indices=FORGET)
    assert unlearner.certificate() == before


def test_modules_that_are_shared_are_refused(unrelated):
    X, y = unrelated
    held = [Net()]

    class Same(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = held[0]

        def forward(self, X):
            return self.inner(X)

    with pytest.raises(TypeError, match="same tensors every time"):
        RetrainUnlearner(net(Same)).fit(X, y).unlearn(indices=FORGET)
    assert find_fixed_weights(net(Same))[1]


@quiet
def test_frozen_outside_means_trained_on_these_rows(unrelated):
    """It is retrained, and then exact."""
    X, y = unrelated
    unlearner = RetrainUnlearner(FrozenEstimator(tree(X, y)), random_state=0).fit(X, y)
    unlearner.unlearn(indices=FORGET)
    assert certified(unlearner)["guarantee"] == "retrained without the rows"
    assert np.mean(unlearner.predict(X[FORGET]) == y[FORGET]) < 0.7
    with pytest.raises(TypeError, match="estimator is a FrozenEstimator"):
        RetrainUnlearner(FrozenEstimator(FrozenEstimator(tree(X, y)))).fit(X, y)


def test_what_an_earlier_recipe_of_shards_froze_stays_named(unrelated):
    """Though all of them are trained again: the log of the ensemble says it on the safe side."""
    X, y = unrelated
    frozen = VotingClassifier([("a", FrozenEstimator(tree(X, y)))])
    unlearner = ShardedUnlearner(frozen, aggregate="vote", random_state=0).fit(X, y)
    unlearner.estimator = DecisionTreeClassifier()
    with pytest.warns(UserWarning, match="trains all of them again"):
        unlearner.unlearn(indices=[0])
    assert certified(unlearner)["guarantee"] == "none"
    assert "estimator__a" in certified(unlearner)["notes"][0]


@quiet
def test_checkpoints_of_nets_in_pipelines(unrelated, tmp_path):
    """A retraining reads and writes in a folder of its own."""
    X, y = unrelated
    inner = net(callbacks=[carriers._checkpoint(X, y, tmp_path)])
    inner.callbacks[0].set_params(monitor=carriers.never, load_best=True, event_name=None)
    unlearner = RetrainUnlearner(make_pipeline(FunctionTransformer(), inner), random_state=0)
    unlearner.fit(X, y)
    assert np.mean(unlearner.predict(X) == y) > 0.9  # from the file
    before = unlearner.certificate(), (tmp_path / "params.pt").read_bytes()
    with pytest.raises(FileNotFoundError):
        unlearner.unlearn(indices=FORGET)
    assert (unlearner.certificate(), (tmp_path / "params.pt").read_bytes()) == before
    inner.callbacks[0].set_params(monitor=None)
    unlearner.fit(X, y).unlearn(indices=FORGET)
    assert certified(unlearner)["guarantee"] == "retrained without the rows"
    assert np.mean(unlearner.predict(X[FORGET]) == y[FORGET]) < 0.8
    assert inner.callbacks[0].dirname == str(tmp_path)
