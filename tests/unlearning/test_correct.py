"""Rectification: old values forgotten and new ones learnt, in one request."""

import json
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.naive_bayes import BernoulliNB, GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from skunlearn import (
    FineTuneUnlearner,
    RetrainUnlearner,
    RidgeUnlearner,
    ShardedUnlearner,
    SufficientStatisticsUnlearner,
    UnlearningPipeline,
)
from skunlearn.exceptions import UnknownRowsError
from skunlearn.utils import all_unlearners
from tests.instances import all_instances, make_net

ROWS = np.array([40, 3, 77])  # not in order


def task(n=120):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 5))
    return X, (X[:, 0] + 0.5 * rng.normal(size=n) > 0).astype(int)


def corrected(X, y):
    """Two new values and a new label."""
    X, y = X.copy(), y.copy()
    X[ROWS[:2]] = np.arange(10.0).reshape(2, 5) / 10
    y[ROWS[2]] = 1 - y[ROWS[2]]
    return X, y


def outputs(model, X):
    return model.predict_proba(X) if hasattr(model, "predict_proba") else model.predict(X)


EXACT = {
    "any": lambda: RetrainUnlearner(LogisticRegression(), random_state=0),
    "net": lambda: RetrainUnlearner(make_net(max_epochs=3, module__n_out=2), random_state=0),
    "ridge": lambda: RidgeUnlearner(Ridge()),
    "ridge classifier": lambda: RidgeUnlearner(RidgeClassifier()),
    "Gaussian": lambda: SufficientStatisticsUnlearner(GaussianNB()),
    "Bernoulli": lambda: SufficientStatisticsUnlearner(BernoulliNB()),
    "discriminant": lambda: SufficientStatisticsUnlearner(LinearDiscriminantAnalysis()),
    "neighbours": lambda: SufficientStatisticsUnlearner(KNeighborsClassifier()),
    "shards": lambda: ShardedUnlearner(DecisionTreeClassifier(), n_shards=3, random_state=0),
    "slices": lambda: ShardedUnlearner(
        make_net(max_epochs=2, module__n_out=2), n_shards=2, n_slices=2, random_state=0
    ),
}


@pytest.mark.parametrize("kind", EXACT)
def test_exact_methods_give_the_model_of_the_corrected_rows(kind):
    X, y = task()
    X = X.astype(np.float32) if kind in ("net", "slices") else X
    names = [f"id {i}" for i in range(len(X))]
    unlearner = EXACT[kind]().fit(X, y, ids=names)
    before = outputs(unlearner, X)
    X_true, y_true = corrected(X, y)
    unlearner.correct(ids=[names[i] for i in ROWS], X_new=X_true[ROWS], y_new=y_true[ROWS])
    expected = EXACT[kind]().fit(X_true, y_true, ids=names)
    np.testing.assert_allclose(outputs(unlearner, X), outputs(expected, X), rtol=1e-6, atol=1e-9)
    assert not np.allclose(before, outputs(expected, X), rtol=1e-6)  # there was something to do
    # The row is known by its name still, and is forgotten with its new values.
    unlearner.unlearn(ids=["id 40"])
    expected.unlearn(ids=["id 40"])
    np.testing.assert_allclose(outputs(unlearner, X), outputs(expected, X), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("form", ["array", "frame", "tensor", "sparse"])
@pytest.mark.parametrize("named", ["rows", "indices"])
def test_forms_of_rows_and_ways_to_name_them(form, named):
    X, y = task()
    make = {
        "array": lambda a: a,
        "frame": lambda a: pd.DataFrame(a, columns=list("abcde")),
        "tensor": torch.tensor,
        "sparse": sparse.csr_matrix,
    }[form]
    net = make_net(max_epochs=2, module__n_out=2)
    recipe = net if form == "tensor" else LogisticRegression()
    X_true, y_true = corrected(X, y)
    unlearner = RetrainUnlearner(recipe, random_state=0).fit(make(X), y)
    name = {"indices": ROWS} if named == "indices" else {"X_old": make(X[ROWS]), "y_old": y[ROWS]}
    unlearner.correct(**name, X_new=make(X_true[ROWS]), y_new=y_true[ROWS])
    expected = RetrainUnlearner(recipe, random_state=0).fit(make(X_true), y_true)
    assert np.array_equal(unlearner.predict_proba(make(X)), expected.predict_proba(make(X)))


def test_values_or_labels_alone():
    X, y = task()
    X_true, y_true = corrected(X, y)
    unlearner = RetrainUnlearner(LogisticRegression(), random_state=0).fit(X, y)
    unlearner.correct(indices=ROWS[:2], X_new=X_true[ROWS[:2]])
    unlearner.correct(X_old=X[ROWS[2:]], y_new=y_true[ROWS[2:]])
    expected = LogisticRegression(random_state=0).fit(X_true, y_true)
    np.testing.assert_array_equal(unlearner.estimator_.coef_, expected.coef_)
    assert [entry["corrected"] for entry in unlearner.deletions_] == [2, 1]


def test_equal_rows_are_corrected_together_and_weights_stay():
    X, y = task()
    X[50], y[50] = X[3], y[3]
    weights = np.random.default_rng(1).random(len(X))
    unlearner = RetrainUnlearner(LogisticRegression()).fit(X, y, weights)
    unlearner.correct(X_old=X[[3]], X_new=np.zeros((1, 5)))
    X[[3, 50]] = 0
    expected = LogisticRegression().fit(X, y, weights)
    np.testing.assert_allclose(unlearner.estimator_.coef_, expected.coef_, rtol=1e-6)
    assert unlearner.deletions_[0]["corrected"] == 2


# ---------------------------------------------------------------------- what is known after it


def test_the_old_values_are_unknown_and_the_new_ones_known():
    X, y = task()
    X_true, _ = corrected(X, y)
    unlearner = RetrainUnlearner(LogisticRegression()).fit(X, y)
    unlearner.correct(indices=ROWS[:2], X_new=X_true[ROWS[:2]])
    with pytest.raises(UnknownRowsError):
        unlearner.unlearn(X[ROWS[:1]])
    assert unlearner._record.retained.all()
    assert unlearner._forgotten is None
    unlearner.unlearn(X_true[ROWS[:1]])
    assert np.flatnonzero(~unlearner._record.retained).tolist() == [ROWS[0]]
    # Corrected once more, and in a copy from a pickle.
    again = pickle.loads(pickle.dumps(unlearner))
    again.correct(X_old=X_true[ROWS[1:2]], X_new=X[ROWS[1:2]])
    left = np.delete(np.arange(len(X)), ROWS[0])
    expected = LogisticRegression().fit(X[left], y[left])
    np.testing.assert_allclose(again.estimator_.coef_, expected.coef_, rtol=1e-6)


def test_pickles_and_caches_hold_no_old_value(tmp_path):
    X, y = task()
    X_true, _ = corrected(X, y)
    unlearner = RetrainUnlearner(LogisticRegression(), random_state=0, memory=str(tmp_path))
    unlearner.fit(X, y).correct(indices=ROWS[:2], X_new=X_true[ROWS[:2]])
    held = pickle.dumps(unlearner)
    assert X[ROWS[0]].tobytes() not in held
    assert X[ROWS[2]].tobytes() in held
    assert X_true[ROWS[0]].tobytes() in held
    assert unlearner.deletions_[0]["caches"]["models"] == 1  # the one that saw them


def test_a_loaded_estimator_takes_the_corrected_rows_back(tmp_path):
    X, y = task()
    X_true, y_true = corrected(X, y)
    unlearner = RetrainUnlearner(LogisticRegression(), random_state=0).fit(X, y)
    unlearner.correct(indices=ROWS, X_new=X_true[ROWS], y_new=y_true[ROWS])
    unlearner.store_data = False
    again = pickle.loads(pickle.dumps(unlearner))
    with pytest.raises(UnknownRowsError):
        again.attach(X, y)
    again.attach(X_true, y_true).unlearn(indices=[0])
    expected = LogisticRegression(random_state=0).fit(X_true[1:], y_true[1:])
    np.testing.assert_array_equal(again.estimator_.coef_, expected.coef_)


def test_log_and_certificate_say_corrected():
    X, y = task()
    names = [f"id {i}" for i in range(len(X))]
    unlearner = RetrainUnlearner(LogisticRegression(), random_state=0).fit(X, y, ids=names)
    unlearner.correct(ids=names[:2], X_new=np.zeros((2, 5)))
    certificate = unlearner.certificate()
    content = json.loads(certificate)
    assert content["forgotten_rows"] == 0
    assert content["retained_rows"] == len(X)
    assert content["guarantee"] == "retrained without the rows"
    assert content["deletions"][0]["corrected"] == 2
    assert content["deletions"][0]["exact"]
    assert any("2 of the rows in the log were corrected" in note for note in content["notes"])
    assert "Of 2 of them the old values" in unlearner.certificate(format="letter")
    # The ids are in use still, so that no digest of them says that they are gone.
    assert content["deletions"][0]["forgotten"]["named_by"] == "rows"
    unlearner.unlearn(ids=names[5:6])
    assert "corrected" not in unlearner.deletions_[1]
    assert json.loads(unlearner.certificate())["forgotten_rows"] == 1


def test_fine_tuning_goes_towards_a_net_of_the_corrected_rows():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 20)).astype(np.float32)
    y = rng.integers(0, 2, 80)
    net = make_net(max_epochs=40, module__n_out=2)
    unlearner = FineTuneUnlearner(net, max_epochs=40, random_state=0).fit(X, y)
    wrong = np.arange(10)
    before = unlearner.predict_proba(X[wrong])
    unlearner.correct(indices=wrong, y_new=1 - y[wrong])
    retrained = RetrainUnlearner(net, random_state=1).fit(X, np.where(np.arange(80) < 10, 1 - y, y))
    wanted = retrained.predict_proba(X[wrong])
    assert np.abs(before - wanted).mean() > 0.8  # all were known by heart
    assert np.abs(unlearner.predict_proba(X[wrong]) - wanted).mean() < 0.2
    assert json.loads(unlearner.certificate())["guarantee"] == "none"


# ---------------------------------------------------------------------- Datasets, augmented rows


class Items(torch.utils.data.Dataset):
    """Rows through a transform, which may draw at random."""

    def __init__(self, X, y, transform=None):
        y = np.zeros(len(X), int) if y is None else y
        self.X, self.y, self.transform = torch.tensor(X).float(), torch.tensor(y), transform

    def __len__(self):
        return len(self.X)

    def __getitem__(self, i):
        x = self.X[i]
        return (x if self.transform is None else self.transform(x)), int(self.y[i])


def shake(x):
    return x + 0.1 * torch.randn_like(x)


@pytest.mark.filterwarnings("ignore::skunlearn.exceptions.NotForgottenWarning")  # after one epoch
@pytest.mark.parametrize("kind", ["net", "slices", "fine-tuning"])
@pytest.mark.parametrize("place", [False, True], ids=["another", "the same, changed"])
def test_items_of_a_dataset(kind, place):
    X, y = task()
    X_true, y_true = corrected(X, y)
    net = make_net(max_epochs=2, module__n_out=2)
    make = EXACT.get(kind, lambda: FineTuneUnlearner(net, max_epochs=1, random_state=0))
    data, names = Items(X, y), [f"id {i}" for i in range(len(X))]
    unlearner = make().fit(data, y, ids=names)
    right = data if place else Items(X_true, y_true)
    if place:
        data.X[ROWS], data.y[ROWS] = torch.tensor(X_true[ROWS]).float(), torch.tensor(y_true[ROWS])
    unlearner.correct(ids=[names[i] for i in ROWS], X_new=right)
    entry = unlearner.deletions_[0]
    assert (entry["corrected"], entry["forgotten"]["named_by"]) == (3, "corrected positions")
    if kind != "fine-tuning":
        expected = make().fit(Items(X_true, y_true), y_true, ids=names)
        assert np.array_equal(outputs(unlearner, right), outputs(expected, right))
        assert json.loads(unlearner.certificate())["deletions"][0]["exact"]
        unlearner.unlearn(indices=[3])  # the item is known still
        assert len(unlearner.deletions_) == 2


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, bool])
@pytest.mark.parametrize("pipeline", [False, True])
def test_values_that_the_dtype_of_the_rows_cannot_hold(dtype, pipeline):
    X, y = task()
    X = np.clip(2 * X, 0, 9).astype(dtype)
    unlearner = RetrainUnlearner(DecisionTreeClassifier(random_state=0))
    if pipeline:
        unlearner = UnlearningPipeline([("scale", StandardScaler()), ("model", unlearner)])
    unlearner.fit(X, y)
    before = unlearner.predict_proba(X)
    for wrong in (0.5, np.nan, 1e30):
        X_new = X[[3, 4]].astype(float)
        X_new[1, 2] = wrong
        with pytest.raises(ValueError, match=rf"1 of 2 rows of X_new \(rows 1\) hold .*{X.dtype}"):
            unlearner.correct(indices=[3, 4], X_new=X_new)
    assert np.array_equal(unlearner.predict_proba(X), before)
    unlearner.correct(indices=[3, 4], X_new=X[[5, 6]].astype(float))  # these it can
    assert unlearner.deletions_[0]["corrected"] == 2


def test_items_that_are_not_named_must_stay():
    X, y = task()
    X_true, y_true = corrected(X, y)
    unlearner = RetrainUnlearner(make_net(max_epochs=1, module__n_out=2)).fit(Items(X, y))
    before = unlearner.predict_proba(X)
    with pytest.raises(ValueError, match=r"Item 77 of X_new is another one .* does not name"):
        unlearner.correct(indices=[3, 40], X_new=Items(X_true, y_true))
    other = X.copy()
    other[0] += 1  # the first is among the items that are compared
    with pytest.raises(ValueError, match="Item 0 of X_new"):
        unlearner.correct(indices=[3], X_new=Items(other, y))
    with pytest.raises(ValueError, match="X_new has 3 items, but the Dataset of fit has 120"):
        unlearner.correct(indices=[3], X_new=Items(X[:3], y[:3]))
    for given in ({"y_new": [1]}, {"X_new": X[:1]}, {"X_new": Items(X, y), "y_new": [1]}):
        with pytest.raises(TypeError, match="whole Dataset"):
            unlearner.correct(indices=[3], **given)
    assert np.array_equal(unlearner.predict_proba(X), before)
    assert unlearner.deletions_ == []


def test_augmented_items_are_measured_as_they_are():
    X, y = task()
    X_true, y_true = corrected(X, y)
    unlearner = RetrainUnlearner(make_net(max_epochs=3, module__n_out=2), random_state=0)
    unlearner.fit(Items(X, y, shake), measure_on=Items(X, y))
    right, plain = Items(X_true, y_true, shake), Items(X_true, y_true)
    with pytest.raises(TypeError, match="pass measure_on= again"):
        unlearner.correct(indices=ROWS, X_new=right)
    unlearner.correct(indices=ROWS, X_new=right, measure_on=plain)
    expected = RetrainUnlearner(unlearner.estimator, random_state=0).fit(right, measure_on=plain)
    assert np.array_equal(outputs(unlearner, plain), outputs(expected, plain))
    measured = unlearner.deletions_[0]["measured"]
    p = outputs(unlearner, Items(X, y))[np.arange(len(y)), y][ROWS]
    assert measured["forget_after"]["loss"] == pytest.approx(-np.log(p).mean(), rel=1e-4)
    unlearner.unlearn(indices=[3])


@pytest.mark.parametrize("by", ["dataset", "transform"])
def test_augmented_arrays(by):
    X, y = task()
    X = X.astype(np.float32)
    X_true, y_true = corrected(X, y)
    net = make_net(max_epochs=2, module__n_out=2, dataset=Items, dataset__transform=shake)
    plain = {"dataset": (Items(X, y), Items(X_true, y_true)), "transform": (shake, None)}[by]
    unlearner = RetrainUnlearner(net, random_state=0).fit(X, y, measure_on=plain[0])
    if by == "dataset":
        with pytest.raises(TypeError, match="pass measure_on= again"):
            unlearner.correct(indices=ROWS, y_new=y_true[ROWS])
        with pytest.raises(ValueError, match="measure_on has 3 rows"):
            unlearner.correct(indices=ROWS, y_new=y_true[ROWS], measure_on=Items(X[:3], y[:3]))
    new = {"X_new": X_true[ROWS], "y_new": y_true[ROWS]}
    unlearner.correct(indices=ROWS, **new, measure_on=plain[1])
    expected = RetrainUnlearner(net, random_state=0).fit(
        X_true, y_true, measure_on=plain[1] if by == "dataset" else shake
    )
    assert np.array_equal(outputs(unlearner, Items(X, y)), outputs(expected, Items(X, y)))
    measured = [u.unlearn(indices=[3]).deletions_[-1]["measured"] for u in (unlearner, expected)]
    assert measured[0]["forget_before"] == measured[1]["forget_before"]  # read without the shaking


# ---------------------------------------------------------------------- what is refused


def test_methods_that_cannot_learn_say_so():
    refused = set()
    for unlearner in all_instances():
        name = type(unlearner).__name__
        if unlearner._make_promises().corrects or name in refused:
            continue
        refused.add(name)
        unlearner.__sklearn_is_fitted__ = lambda: True
        certified = unlearner._make_promises().certified
        words = "fit anew with the corrected" if certified else "RetrainUnlearner can"
        with pytest.raises(TypeError, match=f"{name} cannot learn new values.*{words}"):
            unlearner.correct(indices=[0], y_new=[0])
    assert {"SSDUnlearner", "DELETEUnlearner", "LangevinUnlearner"} <= refused
    able = {name for name, cls in all_unlearners().items() if cls._promises.corrects}
    assert {"RetrainUnlearner", "ForestUnlearner"} <= able


@pytest.mark.parametrize(
    ("request_", "error", "says"),
    [
        ({"indices": [0]}, TypeError, "Pass the new values"),
        ({"y_new": [1]}, TypeError, "exactly one way"),
        ({"indices": [0], "ids": ["a"], "y_new": [1]}, TypeError, "exactly one way"),
        ({"indices": [0], "y_old": [1], "y_new": [1]}, TypeError, "exactly one way"),
        ({"indices": [0, 1], "X_new": np.zeros((1, 5))}, ValueError, "X_new has 1 rows, but 2"),
        ({"indices": [0, 1], "y_new": [1]}, ValueError, "y_new has 1 entries, but 2"),
        ({"indices": [0], "y_new": [7]}, ValueError, "7"),
        ({"indices": [0], "X_new": np.zeros((1, 4))}, ValueError, "4 features"),
        ({"indices": [0], "X_new": np.full((1, 5), np.nan)}, ValueError, "NaN"),
        ({"indices": [], "y_new": []}, ValueError, "empty"),
        ({"indices": [999], "y_new": [1]}, UnknownRowsError, "999"),
        ({"X_old": np.zeros((1, 5)), "y_new": [1]}, UnknownRowsError, "never seen"),
    ],
)
def test_bad_requests_change_nothing(request_, error, says):
    X, y = task()
    unlearner = RetrainUnlearner(make_net(max_epochs=1, module__n_out=2)).fit(X, y)
    before = unlearner.predict_proba(X)
    with pytest.raises(error, match=says):
        unlearner.correct(**request_)
    assert np.array_equal(unlearner.predict_proba(X), before)
    assert unlearner.deletions_ == []


def test_a_row_named_twice_is_refused():
    X, y = task()
    unlearner = RetrainUnlearner(LogisticRegression()).fit(X, y)
    with pytest.raises(ValueError, match="names a row twice"):
        unlearner.correct(X_old=X[[0, 0]], X_new=np.zeros((2, 5)))
