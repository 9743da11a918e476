"""Forget sets that are drawn, named, near, memorised or hard."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from scipy.special import log_softmax
from sklearn.datasets import load_iris
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.svm import LinearSVC

from skunlearn import FineTuneUnlearner, RetrainUnlearner, RUMUnlearner
from skunlearn._rows.memorisation import confidence_proxy, gain
from skunlearn.forget_sets import (
    class_forget_set,
    high_loss_forget_set,
    memorisation_scores,
    memorised_forget_set,
    nearest_forget_set,
    random_forget_set,
    subpopulation_forget_set,
)
from skunlearn.forget_sets._drawing import draw, pick_top, resolve_size
from skunlearn.model_selection import ForgetSplit
from tests.small import net, quiet

Y = np.repeat([3, 5, 9], [20, 30, 50])


def chosen(forget_set):
    return forget_set.indices.tolist()


# ------------------------------------------------------------------ sizes and draws


@pytest.mark.parametrize(("size", "rows"), [(1, 1), (7, 7), (0.1, 10), (0.004, 1), (0.125, 12)])
def test_sizes(size, rows):
    assert resolve_size(size, 100) == rows
    assert len(random_forget_set(Y, size, random_state=0)) == rows


@pytest.mark.parametrize(
    ("size", "error", "match"),
    [
        (0, ValueError, "there are 100 rows to choose from"),
        (101, ValueError, "size=101 does not fit"),
        (-0.1, ValueError, r"must be in \(0, 1\]"),
        (1.5, ValueError, r"must be in \(0, 1\]"),
        (np.nan, ValueError, r"must be in \(0, 1\]"),
        (True, TypeError, "got True"),
        ("half", TypeError, "got 'half'"),
        (100, ValueError, "nothing would be left"),
        (1.0, ValueError, "nothing would be left"),
    ],
)
def test_bad_sizes(size, error, match):
    with pytest.raises(error, match=match):
        random_forget_set(Y, size)


def test_each_class_gives_its_share():
    for seed in range(20):
        marked = Y[random_forget_set(Y, 10, random_state=seed).mask]
        assert [(marked == c).sum() for c in (3, 5, 9)] == [2, 3, 5]
        # 2.2, 3.3 and 5.5: the largest remainder takes the odd row.
        marked = Y[random_forget_set(Y, 11, random_state=seed).mask]
        assert [(marked == c).sum() for c in (3, 5, 9)] == [2, 3, 6]
    spread = {
        tuple(np.unique(Y[random_forget_set(Y, 10, stratify=False, random_state=s).mask],
                        return_counts=True)[1])
        for s in range(20)
    }  # fmt: skip
    assert len(spread) > 1
    other = np.arange(100) % 2
    marked = other[random_forget_set(Y, 10, stratify=other, random_state=0).mask]
    assert marked.sum() == 5


def test_remainders_that_tie_are_drawn():
    strata = np.repeat([0, 1], 50)
    counts = [strata[draw(np.random.RandomState(s), np.arange(100), 3, strata)].sum()
              for s in range(30)]  # fmt: skip
    assert set(counts) == {1, 2}


def test_every_row_is_drawn_as_often():
    counts = sum(random_forget_set(Y, 10, random_state=s).mask.astype(int) for s in range(500))
    assert abs(counts / 500 - 0.1).max() < 5 * np.sqrt(0.1 * 0.9 / 500)


def test_seeds_repeat_and_differ():
    a, b, c = (random_forget_set(Y, 20, random_state=s) for s in (0, 0, 1))
    assert np.array_equal(a.mask, b.mask)
    assert not np.array_equal(a.mask, c.mask)
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    random_forget_set(Y, 20, random_state=0)
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002


def test_targets_of_a_regression_have_no_classes():
    forget_set = random_forget_set(np.linspace(0, 1, 50), 5, random_state=0)
    assert len(forget_set) == 5
    assert not forget_set.details["stratified"]


def test_masks_go_where_masks_go(data):
    X, y = data
    forget_set = random_forget_set(y, 6, random_state=0)
    assert forget_set.mask.dtype == bool
    unlearner = RetrainUnlearner(LogisticRegression(), random_state=0)
    unlearner.fit(X, y, forget=forget_set.mask)
    assert unlearner.deletions_[0]["rows"] == len(forget_set) == 6
    for train, _ in ForgetSplit(2, forget=forget_set.mask, random_state=0).split(X, y):
        assert np.isin(forget_set.indices, train).all()
    assert str(forget_set).startswith("random: 6 of 60 rows drawn at random, each class")


# ------------------------------------------------------------------ classes, attributes


def test_classes():
    assert np.array_equal(class_forget_set(Y, 5).mask, Y == 5)
    assert np.array_equal(class_forget_set(Y, [3, 9]).mask, Y != 5)
    names = np.array(["cat", "dog", "car"])[np.searchsorted([3, 5, 9], Y)]
    assert np.array_equal(class_forget_set(names, "dog").mask, Y == 5)
    part = class_forget_set(Y, [3, 9], size=0.1, random_state=0)
    assert [(Y[part.mask] == c).sum() for c in (3, 5, 9)] == [2, 0, 5]
    assert part.kind == "part of a class"
    with pytest.raises(ValueError, match=r"classes 7 do not occur in y, which holds 3, 5, 9"):
        class_forget_set(Y, [3, 7])
    with pytest.raises(ValueError, match="'5' do not occur"):
        class_forget_set(Y, "5")
    with pytest.raises(ValueError, match="nothing would be left"):
        class_forget_set(Y, [3, 5, 9])
    with pytest.raises(ValueError, match="at least one value"):
        class_forget_set(Y, [])
    with pytest.raises(ValueError, match="20 rows to choose from"):
        class_forget_set(Y, 3, size=21)


def test_subpopulations():
    person = np.array([f"p{i % 25}" for i in range(100)])
    assert chosen(subpopulation_forget_set(person, "p3")) == [3, 28, 53, 78]
    assert len(subpopulation_forget_set(person, ["p3", "p4"])) == 8
    drawn = subpopulation_forget_set(person, n_values=3, random_state=0)
    assert set(person[drawn.mask]) == set(drawn.details["values"])
    assert len(drawn) == 12
    again = subpopulation_forget_set(person, n_values=3, random_state=1)
    assert set(again.details["values"]) != set(drawn.details["values"])
    half = subpopulation_forget_set(person, "p3", size=0.5, random_state=0)
    assert set(chosen(half)) < {3, 28, 53, 78}
    age = np.arange(100)
    assert chosen(subpopulation_forget_set(age, lambda a: a >= 97)) == [97, 98, 99]
    for bad, error, match in (
        ({}, TypeError, "either values= or n_values="),
        ({"values": "p3", "n_values": 1}, TypeError, "either values= or n_values="),
        ({"values": "p99"}, ValueError, "'p99' do not occur in attribute"),
        ({"n_values": 26}, ValueError, "there are 25 values to choose from"),
        ({"values": lambda a: np.arange(3)}, ValueError, "must return a boolean mask"),
        ({"values": lambda a: a == "nobody"}, ValueError, "marks no row"),
    ):
        with pytest.raises(error, match=match):
            subpopulation_forget_set(person, **bad)


# ------------------------------------------------------------------ neighbours


@pytest.mark.parametrize("metric", ["euclidean", "cityblock", "cosine"])
def test_neighbours_are_those_of_scipy(metric):
    X = np.random.default_rng(0).normal(size=(80, 2, 3))
    flat = X.reshape(80, -1)
    found = nearest_forget_set(X, 17, size=9, metric=metric)
    expected = np.argsort(cdist(flat[17:18], flat, metric)[0])[:9]
    assert chosen(found) == sorted(expected)
    assert found.details["distances"] == pytest.approx(
        cdist(flat[17:18], flat[found.mask], metric)[0], abs=1e-7
    )
    assert chosen(nearest_forget_set(X, X[17], size=9, metric=metric)) == chosen(found)


def test_bytes_do_not_wrap_round():
    X = np.array([[0], [255], [10]], dtype=np.uint8)
    assert chosen(nearest_forget_set(X, 0, size=2)) == [0, 2]
    assert chosen(nearest_forget_set(torch.from_numpy(X), 0, size=2)) == [0, 2]


def test_neighbours_of_the_same_class():
    X = np.arange(100.0)[:, None]
    y = np.arange(100) % 2
    assert chosen(nearest_forget_set(X, 50, size=3, y=y)) == [48, 50, 52]
    for bad, error, match in (
        ({"row": 100}, ValueError, "no position among 100"),
        ({"row": True}, TypeError, "a position or a row"),
        ({"row": 1.5}, TypeError, "a position or a row"),
        ({"row": [1.0, 2.0]}, ValueError, "row has 2 values"),
        ({"row": [1.0], "y": y}, TypeError, "row as a position"),
        ({"row": 1, "y": y[:5]}, ValueError, "y has 5"),
    ):
        with pytest.raises(error, match=match):
            nearest_forget_set(X, **({"size": 3} | bad))
    with pytest.raises(TypeError, match="must hold numbers"):
        nearest_forget_set(np.array([["a"], ["b"]]), 0, size=1)


# ------------------------------------------------------------------ memorised, hard


def test_the_highest_and_lowest_scores():
    scores = np.array([0.3, 0.1, 0.9, 0.9, 0.0])
    assert chosen(memorised_forget_set(scores, 2)) == [2, 3]
    assert chosen(memorised_forget_set(scores, 1)) == [2]  # the first of equal ones
    least = memorised_forget_set(scores, 2, most=False)
    assert chosen(least) == [1, 4]
    assert least.details["scores"].tolist() == [0.1, 0.0]
    assert least.kind == "least memorised"
    classes = [0, 0, 1, 1, 1]
    assert chosen(memorised_forget_set(scores, 0.4, stratify=classes)) == [0, 2]
    assert pick_top(-scores, np.array([0, 2, 4]), 1).tolist() == [4]
    for bad in (np.ones((2, 2)), [], [0.0, np.nan]):
        with pytest.raises(ValueError, match="one finite number per row"):
            memorised_forget_set(bad, 1)
    with pytest.raises(TypeError, match="array of labels"):
        memorised_forget_set(scores, 1, stratify=True)
    with pytest.raises(ValueError, match="one label per row"):
        memorised_forget_set(scores, 1, stratify=[0, 1])


@pytest.fixture(scope="module")
def iris():
    X, y = load_iris(return_X_y=True)
    names = np.array(["a", "b", "c"])[y]
    return X, names, LogisticRegression(max_iter=1000).fit(X, names)


def test_scores_of_memorisation(iris):
    X, names, model = iris
    p = model.predict_proba(X)[np.arange(150), np.searchsorted(["a", "b", "c"], names)]
    assert memorisation_scores(model, X, names) == pytest.approx(-p)
    without = [LogisticRegression(max_iter=500).fit(X[i::2], names[i::2]) for i in (0, 1)]
    others = [m.predict_proba(X)[np.arange(150), np.searchsorted(["a", "b", "c"], names)]
              for m in without]  # fmt: skip
    found = memorisation_scores(model, X, names, without=without)
    assert found == pytest.approx(p - np.mean(others, axis=0))
    assert memorisation_scores(model, X, names, without=without[0]) == pytest.approx(p - others[0])
    with pytest.raises(ValueError, match="without is empty"):
        memorisation_scores(model, X, names, without=[])
    with pytest.raises(ValueError, match="is about classifiers"):
        memorisation_scores(LinearRegression().fit(X, X[:, 0]), X, X[:, 0])
    with pytest.raises(ValueError, match="not among the classes"):
        memorisation_scores(model, X, np.repeat("z", 150))


@quiet
def test_rum_splits_by_the_same_scores(data):
    X, y = data
    rum = RUMUnlearner(net(), random_state=0).fit(X, y)
    forget = rum._record.view(np.arange(12))
    assert rum._measure_memorisation(None, forget) == pytest.approx(
        memorisation_scores(rum, X[:12], y[:12])
    )
    assert confidence_proxy(np.log([2.0, 4.0])) == pytest.approx([-0.5, -0.25])
    assert gain(np.log([2.0]), [np.log([4.0]), np.log([8.0])]) == pytest.approx([0.5 - 3 / 16])


@quiet
def test_losses(iris, data):
    X, names, model = iris
    losses = -model.predict_log_proba(X)[np.arange(150), np.searchsorted(["a", "b", "c"], names)]
    hard = high_loss_forget_set(model, X, names, 15)
    assert chosen(hard) == sorted(np.argsort(-losses)[:15])
    assert hard.details["losses"] == pytest.approx(losses[hard.mask])
    assert chosen(high_loss_forget_set(model, X, names, 5, highest=False)) == sorted(
        np.argsort(losses)[:5]
    )
    spread = high_loss_forget_set(model, X, names, 15, stratify=True)
    assert np.unique(names[spread.mask], return_counts=True)[1].tolist() == [5, 5, 5]
    X, y = data
    unlearner = FineTuneUnlearner(net(), random_state=0).fit(X, y)
    logits = unlearner.estimator_.forward(X).numpy()
    own = -log_softmax(logits.astype(float), axis=1)[np.arange(60), y]
    for asked in (unlearner, unlearner.estimator_):
        assert chosen(high_loss_forget_set(asked, X, y, 6)) == sorted(np.argsort(-own)[:6])
    line = LinearRegression().fit(X, X[:, 0] ** 2)
    error = (line.predict(X) - X[:, 0] ** 2) ** 2
    found = high_loss_forget_set(line, X, X[:, 0] ** 2, 6)
    assert chosen(found) == sorted(np.argsort(-error)[:6])


def test_models_that_have_no_loss(iris):
    X, names, _ = iris
    from sklearn.decomposition import PCA
    from sklearn.exceptions import NotFittedError
    from sklearn.neighbors import NearestCentroid

    with pytest.raises(NotFittedError):
        high_loss_forget_set(LogisticRegression(), X, names)
    with pytest.raises(TypeError, match="neither a classifier nor a regressor"):
        high_loss_forget_set(PCA().fit(X), X, names)
    assert len(high_loss_forget_set(LinearSVC(max_iter=10_000).fit(X, names), X, names, 5)) == 5

    class Silent(NearestCentroid):
        predict_proba = decision_function = property()

    with pytest.raises(TypeError, match="gives no probabilities"):
        high_loss_forget_set(Silent().fit(X, names), X, names)
