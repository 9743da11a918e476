"""NaN and infinity in rows: refused with their place, or taken where the net takes them."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin
from skorch import NeuralNetClassifier
from torch import nn

from skunlearn import FineTuneUnlearner, RetrainUnlearner
from skunlearn._rows.containers import row_digests
from skunlearn.evaluation import audit
from skunlearn.exceptions import UnknownRowsError
from skunlearn.metrics import MIAScorer
from skunlearn.utils import all_unlearners
from tests.instances import make_dict_net
from tests.small import net, quiet
from tests.turns import in_turns


def spoilt(X, *places, value=np.nan):
    X = X.copy()
    for place in places:
        X[place] = value
    return X


CONTAINERS = {
    "array": (lambda X: X, "row 7, column 2"),
    "float64": (lambda X: X.astype(np.float64), "row 7, column 2"),
    "fortran": (np.asfortranarray, "row 7, column 2"),
    "list": (lambda X: X.tolist(), "row 7, column 2"),
    "tensor": (torch.as_tensor, "row 7, column 2"),
    "half": (lambda X: torch.as_tensor(X).bfloat16(), "row 7, column 2"),
    "frame": (lambda X: pd.DataFrame(X, columns=list("abcd")), r"row 7, column 2 \('c'\)"),
    "nullable": (
        lambda X: pd.DataFrame(X, columns=list("abcd")).convert_dtypes(),
        r"column 2 \('c",
    ),
    "csr": (sparse.csr_array, "row 7, column 2"),
    "coo": (sparse.coo_matrix, "row 7, column 2"),
    "images": (lambda X: X.reshape(-1, 1, 2, 2), r"row 7, at \(0, 1, 0\)"),
    "objects": (lambda X: X.astype(object), "row 7, column 2"),
}


@pytest.mark.parametrize("kind", CONTAINERS)
def test_the_error_says_where_nan_stands(data, kind):
    X, y = data
    change, place = CONTAINERS[kind]
    rows = change(spoilt(X, (40, 0), (7, 2), (7, 3)))
    unlearner = FineTuneUnlearner(net(), random_state=0)
    with pytest.raises(ValueError, match=f"contains NaN: 2 rows of 60.*first at .*{place}") as e:
        unlearner.fit(rows, y)
    assert "HistGradientBoosting" not in str(e.value)
    assert "input_tags.allow_nan" in str(e.value)


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_infinity_is_refused_wherever_it_stands(data, value):
    X, y = data
    for tags in (False, True):
        unlearner = FineTuneUnlearner(TakesNaN.make() if tags else net(), random_state=0)
        with pytest.raises(ValueError, match=r"contains infinity.*1 row of 60.*row 5, column 1"):
            unlearner.fit(spoilt(X, (5, 1), value=value), y)


@pytest.mark.parametrize("value", [np.inf, np.array(np.nan), torch.tensor(np.inf)])
def test_a_single_number_is_no_row(data, value):
    unlearner = FineTuneUnlearner(net(), random_state=0).fit(*data)
    for ask in (lambda: unlearner.attach(value, data[1]), lambda: unlearner.unlearn(value)):
        with pytest.raises(ValueError, match=r"has rows of shape \(\), but the model"):
            ask()


def test_nan_in_a_dict_names_its_entry(data):
    X, y = data
    X = {"a": X, "b": spoilt(X[:, 0], (9,))}
    with pytest.raises(ValueError, match=r"X\['b'\] contains NaN: 1 row of 60 holds.*row 9\."):
        RetrainUnlearner(make_dict_net(module__n_out=3)).fit(X, y)


def test_nan_in_a_memory_mapped_file_is_counted_from_its_first_row(tmp_path, data, monkeypatch):
    monkeypatch.setattr("skunlearn._rows.checking._PIECE", 64)
    np.save(tmp_path / "X.npy", spoilt(data[0], (41, 2)))
    X = np.load(tmp_path / "X.npy", mmap_mode="r")
    with pytest.raises(ValueError, match="row 41, column 2"):
        FineTuneUnlearner(net(), random_state=0).fit(X, data[1])


class FillsIn(nn.Module):
    """Reads NaN as zero and says so in columns of their own."""

    def __init__(self, n_out):
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, n_out))

    def forward(self, X):
        gone = torch.isnan(X)
        return self.inner(torch.cat([torch.where(gone, 0.0, X), gone.to(X.dtype)], dim=1))


class TakesNaN(NeuralNetClassifier):
    """A net that says by its tag that it takes NaN."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    @classmethod
    def make(cls, **params):
        params = {"max_epochs": 5, "batch_size": 16, "lr": 0.1, "train_split": None} | params
        return cls(
            FillsIn,
            module__n_out=3,
            criterion=nn.CrossEntropyLoss,
            iterator_train__shuffle=True,
            **params,
        )


@quiet
@pytest.mark.parametrize(
    "name", in_turns([n for n in all_unlearners(nets=True) if n != "CTUnlearner"], 3)
)
def test_nets_that_take_nan_have_it(data, name):
    X, y = data
    X = spoilt(X, (7, 2), (40, 0), (0, 1))
    unlearner = all_unlearners()[name](TakesNaN.make(), random_state=0).fit(X, y)
    assert unlearner.__sklearn_tags__().input_tags.allow_nan
    # A row with NaN is found by its content, NaN being a value like others here.
    forget = np.flatnonzero(y == y[7]) if name == "UNSIRUnlearner" else [0, 7, 20]
    unlearner.unlearn(X[forget])
    assert np.isfinite(unlearner.predict_proba(X)).all()
    with pytest.raises(UnknownRowsError):
        unlearner.unlearn(spoilt(X[30:31], (0, 0)))


@quiet
def test_what_is_measured_takes_nan_too(data):
    X, y = data
    X = spoilt(X, (7, 2), (50, 0))
    unlearner = FineTuneUnlearner(TakesNaN.make(), random_state=0)
    unlearner.fit(X[:40], y[:40]).unlearn(indices=[1, 5, 7, 9])
    assert MIAScorer()(unlearner, X[40:], y[40:]) <= 0
    assert audit(unlearner, X[40:], y[40:]).verdicts
    unlearner.unlearn(indices=[2], max_accuracy_drop=1.0, X_val=X[40:], y_val=y[40:])


def nullable(dtype, *, alone):
    """Forty rows of two kinds, in one of which a value is missing, each of them several times."""
    values = [None if i % 8 == 0 else i % 4 for i in range(40)]
    cast = {"boolean": bool, "string": str}.get(dtype, int)
    values = pd.array([None if v is None else cast(v) for v in values], dtype=dtype)
    X = pd.DataFrame({"a": values})
    return X if alone else X.assign(b=["x", "y"] * 20)


class Blind(ClassifierMixin, BaseEstimator):
    """Takes rows of any kind."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.full(len(X), self.classes_[0])


@pytest.mark.parametrize("alone", [True, False], ids=["alone", "mixed"])
@pytest.mark.parametrize("dtype", ["Int64", "Int8", "UInt8", "boolean", "Float64", "string"])
def test_values_that_may_be_missing(dtype, alone):
    X, y = nullable(dtype, alone=alone), np.arange(40) // 8 % 2
    assert len(np.unique(row_digests(X), axis=0)) == len(X.drop_duplicates())
    each = [row_digests(X.iloc[[i]]) for i in range(40)]
    assert np.array_equal(row_digests(X), np.concatenate(each))  # whatever lies beside it
    assert np.array_equal(
        row_digests(X["a"]), np.concatenate([row_digests(X["a"].iloc[[i]]) for i in range(40)])
    )
    for form in (lambda rows: rows, lambda rows: rows.astype(object)):
        unlearner = RetrainUnlearner(Blind()).fit(X, y)
        for row in (8, 9):  # without a value, and with one
            unlearner.unlearn(form(X.iloc[[row]]))
        plain = [tuple(map(str, row)) for row in X.to_numpy(dtype=object).tolist()]
        alike = [row in (plain[8], plain[9]) for row in plain]
        assert np.array_equal(~unlearner._record.retained, alike)
        kept = np.flatnonzero(unlearner._record.retained)
        unlearner.detach().attach(X.iloc[kept[::-1]], y[kept[::-1]])
        unlearner.unlearn(indices=kept[:2])
