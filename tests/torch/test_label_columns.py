"""Integer labels are the columns of the net's output that they name."""

import functools
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import recall_score
from sklearn.model_selection import PredefinedSplit, cross_validate
from torch import nn

from skunlearn import (
    FineTuneUnlearner,
    RandomLabelUnlearner,
    RetrainUnlearner,
    RUMUnlearner,
    ShardedUnlearner,
)
from skunlearn._torch.columns import label_columns
from skunlearn.evaluation import audit, compare, input_gradients
from skunlearn.exceptions import ClassForgottenWarning
from skunlearn.forget_sets import high_loss_forget_set
from skunlearn.metrics import MIAScorer
from skunlearn.relabelling.boundary import neighbouring_class
from skunlearn.shadow import ShadowModels
from skunlearn.utils import all_unlearners
from skunlearn.utils._check_tools import parameters, same_parameters
from tests.instances import make_binary_net
from tests.small import net, quiet
from tests.turns import in_turns

METHODS = [name for name in all_unlearners(nets=True) if name != "CTUnlearner"]


@pytest.fixture
def rows():
    """Three classes called 1, 2 and 3 that a small net can learn."""
    rng = np.random.default_rng(0)
    y = rng.integers(1, 4, 90)
    centres = rng.normal(size=(4, 4)) * 2
    return (centres[y] + rng.normal(size=(90, 4))).astype(np.float32), y


def wide(weight=(0.0, 1.0, 1.0, 1.0), **params):
    """A net of four columns whose criterion has a weight for each."""
    params = {"module__n_out": 4, "max_epochs": 10} | params
    if weight is not None:
        params["criterion__weight"] = torch.tensor(weight)
    return net(**params)


# ------------------------------------------------------------------ integer labels


@quiet
@pytest.mark.parametrize("name", in_turns(METHODS, 1))
def test_labels_from_one_on(rows, name):
    X, y = rows
    unlearner = all_unlearners()[name](wide(), random_state=0).fit(X, y)
    assert unlearner.classes_.tolist() == [1, 2, 3]
    # None of the classes has the weight 0, which is that of the column that nobody names.
    assert recall_score(y, unlearner.predict(X), average=None).min() > 0.8
    named = all_unlearners()[name](wide(classes=[0, 1, 2, 3]), random_state=0).fit(X, y)
    assert same_parameters(parameters(named.estimator_), parameters(unlearner.estimator_))
    forget = np.flatnonzero(y == 3)[:-1] if name == "UNSIRUnlearner" else np.arange(9)
    unlearner.unlearn(X[forget], y[forget])
    p = unlearner.predict_proba(X)
    assert p.shape == (90, 3)
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-5)
    assert set(unlearner.predict(X)) <= {1, 2, 3}
    assert np.array_equal(unlearner.predict(X), unlearner.classes_[p.argmax(axis=1)])


@quiet
def test_a_net_that_is_trained_by_skorch_alone_agrees(rows):
    torch.manual_seed(0)
    X, y = rows
    weight = torch.tensor([0.0, 1.0, 1.0, 1.0])
    alone = wide(criterion__weight=weight, max_epochs=20).fit(X, y.astype(np.int64))
    ours = RetrainUnlearner(wide(criterion__weight=weight, max_epochs=20), random_state=0).fit(X, y)
    recalls = [recall_score(y, m.predict(X), average=None) for m in (alone, ours)]
    np.testing.assert_allclose(*recalls, atol=0.1)
    # The unlearner's net answers as such a net does.
    assert np.array_equal(ours.estimator_.predict(X), ours.predict(X))


@quiet
def test_rows_whose_label_the_criterion_ignores(rows):
    X, y = rows
    model = wide(weight=None, criterion__ignore_index=1)
    unlearner = RetrainUnlearner(model, random_state=0).fit(X, y)
    others = RetrainUnlearner(wide(weight=None, classes=[0, 1, 2, 3]), random_state=0)
    assert recall_score(y, unlearner.predict(X), average=None)[0] == 0
    assert recall_score(y, unlearner.predict(X), average=None)[1:].min() > 0.8
    assert recall_score(y, others.fit(X, y).predict(X), average=None).min() > 0.8


@quiet
def test_a_fold_that_lacks_a_class(rows):
    X, y = rows
    weight = (5.0, 1.0, 1.0)
    model = wide(weight, module__n_out=3)
    y = y - 1
    fold = np.where(y == 0, 0, 1)  # the second fold is trained on without class 0
    result = cross_validate(
        RetrainUnlearner(model, random_state=0),
        X,
        y,
        cv=PredefinedSplit(fold),
        return_estimator=True,
        error_score="raise",
    )
    lacks = result["estimator"][0]
    assert lacks.classes_.tolist() == [1, 2]
    named = RetrainUnlearner(wide(weight, module__n_out=3, classes=[0, 1, 2]), random_state=0)
    named.fit(X[y > 0], y[y > 0])
    assert same_parameters(parameters(lacks.estimator_), parameters(named.estimator_))


DTYPES = [np.int64, np.uint8, np.int16, np.uint64]


@quiet
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_of_integers(rows, dtype):
    X, y = rows
    unlearner = RetrainUnlearner(wide(), random_state=0).fit(X, y.astype(dtype))
    assert unlearner.classes_.dtype == dtype
    assert unlearner.predict(X).dtype == dtype
    assert unlearner._classes.tolist() == [0, 1, 2, 3]
    assert unlearner.unlearn(X[:3], y[:3]).deletions_[0]["rows"] == 3


def columns(labels, width=4, **params):
    return label_columns(wide(**params), np.asarray(labels), lambda: width).tolist()


def test_which_labels_are_columns():
    assert columns([0, 1, 2]) == [0, 1, 2]
    assert columns([1, 3]) == [0, 1, 2, 3]
    assert columns([2, 2]) == [0, 1, 2]
    assert columns([True]) == [False, True]
    unweighted = {"weight": None}
    assert columns([1, 2, 4], **unweighted) == [1, 2, 4]
    assert columns([-1, 1], **unweighted) == [-1, 1]
    assert columns(["a", "c"], **unweighted) == ["a", "c"]
    assert columns([0.0, 2.0], **unweighted) == [0, 2]
    assert columns(["a", "b", "c", "d"]) == ["a", "b", "c", "d"]
    assert columns([0.0, 1.0, 2.0]) == [0, 1, 2]

    def width():
        raise AssertionError("the net was asked for its width in vain")

    label_columns(wide(), np.array([0, 1, 2]), width)
    label_columns(wide(None), np.array(["a", "b"]), width)


WEIGHT = torch.ones(4)
SETTINGS = {
    "a parameter": {"criterion__weight": WEIGHT},
    "an instance": {"criterion": nn.CrossEntropyLoss(weight=WEIGHT)},
    "a function": {"criterion": functools.partial(nn.CrossEntropyLoss, weight=WEIGHT)},
    "ignore_index": {"criterion__ignore_index": 5},
}


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize(
    "labels", [[1, 2, 4], [-1, 0, 1], [0.0, 2.0, 3.0], ["a", "b", "c"], [10, 20, 30]], ids=str
)
def test_labels_that_would_be_numbered_anew_beside_settings_by_column(rows, setting, labels):
    X, y = rows
    labels = np.array(labels)[y - 1]
    model = wide(None, **SETTINGS[setting])
    with pytest.raises(ValueError, match=r"NeuralNetClassifier\(\.\.\., classes=\[\.\.\.\]\)") as e:
        RetrainUnlearner(model).fit(X, labels)
    assert ("ignore_index=" if setting == "ignore_index" else "weight=") in str(e.value)
    # The way out that it names.
    given = [*np.unique(labels), 99] if labels.dtype.kind != "U" else ["a", "b", "c", "d"]
    unlearner = RetrainUnlearner(model.set_params(classes=given), random_state=0).fit(X, labels)
    assert unlearner.unlearn(X[:3], labels[:3]).deletions_[0]["rows"] == 3


@pytest.mark.parametrize("index", [-100, 255])
def test_rows_that_the_criterion_leaves_out(rows, index):
    X, y = rows
    labels = np.where(np.arange(90) < 5, index, y)
    model = wide(None, criterion__ignore_index=index)
    with pytest.raises(ValueError, match=f"{index}.*ignore_index.*Leave them out"):
        RetrainUnlearner(model).fit(X, labels)


# ------------------------------------------------------------------ binary nets


@quiet
@pytest.mark.parametrize("label", [0, 1, True, "yes"])
def test_binary_nets_with_one_class(rows, label):
    X, _ = rows
    y = np.full(90, label)
    unlearner = RetrainUnlearner(make_binary_net(max_epochs=5), random_state=0).fit(X, y)
    assert unlearner.classes_.tolist() == [label]
    assert (unlearner.predict(X) == label).all()
    assert np.array_equal(unlearner.predict_proba(X), np.ones((90, 1)))
    # skorch alone: 1 is the positive class, also where there is no other.
    expected = 1 if label is True or label == 1 else 0
    assert (unlearner.estimator_.predict(X) == expected).mean() > 0.9
    unlearner.unlearn(X[:5], y[:5])
    assert unlearner.score(X, y) == 1


@quiet
def test_binary_nets_with_other_labels(rows):
    X, y = rows
    expected = None
    for labels in ([0, 1], [-1, 1], [1, 2], ["no", "yes"], [False, True], [0.0, 1.0]):
        labels = np.array(labels)
        unlearner = RetrainUnlearner(make_binary_net(max_epochs=5), random_state=0)
        unlearner.fit(X, labels[(y == 2).astype(int)])
        assert np.array_equal(unlearner.classes_, labels)
        p = unlearner.predict_proba(X)
        expected = p if expected is None else expected
        assert np.array_equal(p, expected)


# ------------------------------------------------------------------ what else asks the net


@quiet
def test_measures_and_references(rows):
    X, y = rows
    Xt, yt, X, y = X[60:], y[60:], X[:60], y[:60]
    unlearner = FineTuneUnlearner(wide(), random_state=0).fit(X, y).unlearn(X[:9], y[:9])
    named = FineTuneUnlearner(wide(classes=[0, 1, 2, 3]), random_state=0)
    named.fit(X, y).unlearn(X[:9], y[:9])
    for reference in (None, "retrain"):
        scorer = MIAScorer(reference=reference)
        assert scorer(unlearner, Xt, yt) == scorer(named, Xt, yt)
    reports = [audit(u, Xt, yt) for u in (unlearner, named)]
    figures = ["test", "retained train", "forget train", "AUC", "forget JS"]
    pd.testing.assert_frame_equal(*(r.wide[figures] for r in reports))
    alone = wide().fit(X, y.astype(np.int64))  # a net of the user's own as the reference
    other = audit(unlearner, Xt, yt, retrained=alone)
    assert other.wide.loc["retrained", "retained train"] > 0.8
    forget = np.isin(np.arange(60), np.arange(9))
    given = {"forget": forget, "X_test": Xt, "y_test": yt}
    reports = [
        compare([FineTuneUnlearner(n), ShardedUnlearner(n, n_shards=2)], X, y, **given)
        for n in (wide(), wide(classes=[0, 1, 2, 3]))
    ]
    pd.testing.assert_frame_equal(*(r.wide[["test", "AUC"]] for r in reports))


@quiet
def test_shadow_models(rows):
    X, y = rows
    forgets = RandomLabelUnlearner(wide(max_epochs=2))
    for estimator in (wide(max_epochs=2), forgets):
        shadows = ShadowModels(estimator, n_models=4, random_state=0)
        candidates = np.arange(90) < 45
        margins = shadows.fit(X, y, candidates=candidates).margins_
        assert shadows.classes_.tolist() == [1, 2, 3]
        model = RetrainUnlearner(wide(max_epochs=2), random_state=0).fit(X, y)
        assert np.isfinite(shadows.attack(model, range(20), range(20, 45)).auc)
        if estimator is not forgets:
            other = wide(max_epochs=2, classes=[0, 1, 2, 3])
            named = ShadowModels(other, n_models=4, random_state=0)
            assert np.array_equal(named.fit(X, y, candidates=candidates).margins_, margins)


@quiet
@pytest.mark.parametrize("aggregate", ["mean", "vote"])
def test_shards(rows, aggregate):
    X, y = rows
    unlearner = ShardedUnlearner(wide(), n_shards=2, aggregate=aggregate, random_state=0).fit(X, y)
    assert set(unlearner.predict(X)) <= {1, 2, 3}
    assert unlearner.predict_proba(X).shape == (90, 3)
    assert unlearner.unlearn(X[:3]).score(X, y) > 0.8


@quiet
def test_files_and_pickles(rows, tmp_path):
    X, y = rows
    unlearner = RUMUnlearner(wide(), random_state=0).fit(X, y).unlearn(indices=range(6))
    unlearner.save(tmp_path / "model")
    loaded = RUMUnlearner(wide()).load(tmp_path / "model").attach(X[6:], y[6:])
    for again in (loaded, pickle.loads(pickle.dumps(unlearner))):
        assert again.classes_.tolist() == [1, 2, 3]
        assert np.array_equal(again.predict_proba(X), unlearner.predict_proba(X))
        again.unlearn(X[[7]], y[[7]])
        assert again.deletions_[-1]["rows"] == 1


@quiet
def test_a_whole_class_and_what_is_left(rows):
    X, y = rows
    unlearner = RetrainUnlearner(wide(), random_state=0).fit(X, y)
    with pytest.warns(ClassForgottenWarning, match=r"\[2\]"):
        unlearner.unlearn(X[y == 2])
    assert unlearner.deletions_[-1]["classes_forgotten"] == [2]
    assert unlearner.classes_.tolist() == [1, 2, 3]
    assert 2 not in unlearner.predict(X)


@quiet
def test_no_row_is_given_a_label_that_no_row_has(rows):
    X, y = rows
    seen = set()

    class Loss(nn.CrossEntropyLoss):
        def forward(self, out, target):
            seen.update(target.tolist())
            return super().forward(out, target)

    y = np.where(y == 2, 0, y)  # 0, 1 and 3
    for order in ("mixed", "sequential"):
        for exclude_true in (True, False):
            settings = {"order": order, "exclude_true": exclude_true, "max_epochs": 5}
            model = wide(None, criterion=Loss)
            unlearner = RandomLabelUnlearner(model, random_state=0, **settings).fit(X, y)
            unlearner.unlearn(indices=range(30))
    assert seen == {0, 1, 3}
    model = RetrainUnlearner(wide(None), random_state=0).fit(X, y).estimator_
    model._set_training(False)
    x, codes = torch.from_numpy(X), torch.from_numpy(y)
    found = neighbouring_class(model, x, codes, 0.1, 4, unseen=[2])
    assert set(found.tolist()) <= {0, 1, 3}
    assert not (found == codes).any()


@quiet
def test_nets_that_skorch_trained_on_such_labels(rows):
    """What is asked about them goes by column too."""
    X, y = rows
    alone = wide().fit(X, y.astype(np.int64))
    named = RetrainUnlearner(wide(), random_state=0).fit(X, y)
    named._change(model=alone)
    sets = [high_loss_forget_set(model, X, y, size=9).indices for model in (alone, named)]
    assert np.array_equal(*sets)
    gradients = [input_gradients(model, X[:9], y[:9]) for model in (alone, named)]
    np.testing.assert_array_equal(*gradients)
    right = alone.predict(X) == y
    assert right[sets[0]].mean() < right.mean()
