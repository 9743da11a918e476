"""Rows of unusual kinds, which random tests found."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.tree import DecisionTreeClassifier

from skunlearn import (
    FineTuneUnlearner,
    ProximalUnlearner,
    RetrainUnlearner,
    ShardedUnlearner,
    SufficientStatisticsUnlearner,
)
from skunlearn._rows.containers import row_digests
from skunlearn.exceptions import UnknownRowsError
from tests.instances import make_dict_net
from tests.small import net, quiet


@quiet
def test_another_machines_byte_order(data):
    X, y = data
    foreign = FineTuneUnlearner(net(), random_state=0).fit(X.astype(">f4"), y)
    # numpy's pickles bring arrays back in this machine's order.
    again = pickle.loads(pickle.dumps(foreign)).unlearn(X[:3])
    native = FineTuneUnlearner(net(), random_state=0).fit(X, y).unlearn(X[:3])
    assert np.array_equal(again.predict_proba(X), native.predict_proba(X))


@quiet
def test_bfloat16_rows_are_saved(data, tmp_path):
    X, y = data
    X = torch.from_numpy(X).to(torch.bfloat16)
    FineTuneUnlearner(net(), random_state=0).fit(X, y).save(tmp_path / "model")
    loaded = FineTuneUnlearner(net(), random_state=0).load(tmp_path / "model").attach(X, y)
    assert loaded.unlearn(X[:2]).deletions_[0]["rows"] == 2


@quiet
def test_no_rows_of_a_dict(data):
    X, y = data
    X = {"a": X[:, :3], "b": X[:, 3]}
    unlearner = FineTuneUnlearner(make_dict_net(module__n_out=3), random_state=0).fit(X, y)
    with pytest.raises(ValueError, match="forget set is empty"):
        unlearner.unlearn({key: value[:0] for key, value in X.items()})


def test_frames_with_values_that_the_training_columns_cannot_hold(data):
    _, y = data
    X = pd.DataFrame({"a": np.arange(60), "b": np.arange(60) % 2 == 0})
    unlearner = RetrainUnlearner(DecisionTreeClassifier(), random_state=0).fit(X, y)
    row = X.iloc[[3]].astype(float)
    for wrong in (row + [0.7, 0], row + [0, 76]):  # neither 3.7 nor 76 is in the row 3
        with pytest.raises(UnknownRowsError, match="hold values that the training data cannot"):
            unlearner.unlearn(wrong)
    assert unlearner.unlearn(row).deletions_[0]["rows"] == 1


def test_sparse_rows_in_shards(data):
    X, y = data
    X = sparse.csr_matrix(np.round(X))
    unlearner = ShardedUnlearner(DecisionTreeClassifier(), n_shards=3, random_state=0).fit(X, y)
    assert unlearner.unlearn(indices=[0]).predict_proba(X).shape == (60, 3)


@quiet
def test_proximal_on_fewer_rows_than_a_batch_when_the_last_one_is_dropped(data):
    X, y = data
    few = net(batch_size=64, iterator_train__drop_last=True)
    unlearner = ProximalUnlearner(few, random_state=0).fit(X[:9], y[:9])
    assert unlearner.unlearn(indices=[0]).deletions_[0]["rows"] == 1


@pytest.mark.parametrize("inner", [LogisticRegression(), None], ids=["scikit-learn", "net"])
@pytest.mark.parametrize("X", [3.0, [], "rows"], ids=["a number", "an empty list", "text"])
def test_things_that_are_no_rows(data, inner, X):
    unlearner = RetrainUnlearner(net() if inner is None else inner, random_state=0).fit(*data)
    for act in (lambda: unlearner.predict(X), lambda: unlearner.fit(X, data[1])):
        with pytest.raises((ValueError, TypeError)):
            act()


def test_sparse_tensors(data):
    X, y = data
    with pytest.raises(TypeError, match="to_dense"):
        FineTuneUnlearner(net(), random_state=0).fit(torch.from_numpy(X).to_sparse(), y)


def test_rows_of_a_shape_that_the_module_does_not_take(data):
    unlearner = FineTuneUnlearner(net(), random_state=0).fit(*data)
    for verb in (unlearner.predict, unlearner.predict_proba):
        with pytest.raises(ValueError, match=r"rows of shape \(4, 2\).* of shape \(4,\)"):
            verb(np.zeros((3, 4, 2), np.float32))


@pytest.mark.parametrize("form", ["to_sparse", "to_sparse_csr"])
@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support:UserWarning")
def test_a_sparse_tensor_is_refused_with_a_remedy(form):
    X = getattr(torch.eye(12, 4), form)()
    unlearner = FineTuneUnlearner(net())
    with pytest.raises(TypeError, match=r"sparse tensor .* X\.to_dense\(\)"):
        unlearner.fit(X, np.arange(12) % 3)
    assert not hasattr(unlearner, "estimator_")


@pytest.mark.skipif(np.finfo(np.longdouble).nmant <= 52, reason="long doubles are doubles here")
@pytest.mark.parametrize("dtype", [np.longdouble, np.clongdouble])
def test_long_doubles_have_bytes_that_mean_nothing(dtype):
    """Equal ones differ in them, so that a row was another one than itself."""
    rows = np.random.default_rng(0).normal(size=(20, 3)).astype(dtype) / 3
    again = np.frombuffer(bytearray(b"\xff" * rows.nbytes), np.uint8).view(dtype).reshape(20, 3)
    again[:] = rows
    again[1] = np.nextafter(rows[1].real, np.longdouble(9))  # what no double can tell
    same = (row_digests(again) == row_digests(rows)).all(axis=1)
    assert np.array_equal(same, np.arange(20) != 1)
    twice = np.array([rows[2], rows[2] + np.finfo(dtype).eps * 8])
    assert len(np.unique(row_digests(twice), axis=0)) == 2


def test_requests_for_rows_of_long_doubles():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 3)).astype(np.longdouble) / 3, np.arange(60) % 2
    unlearner = SufficientStatisticsUnlearner(GaussianNB()).fit(X, y)
    unlearner.unlearn(X[[4, 7]]).unlearn(indices=[9]).correct(X[[11]], X_new=X[[12]] + 1)
    assert np.flatnonzero(~unlearner._record.retained).tolist() == [4, 7, 9]
