"""Rows whose cells are arrays, tensors, frames or objects: each is told from those like it."""

import dataclasses
import pickle
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skunlearn import RetrainUnlearner, UnlearningPipeline
from skunlearn._rows.cells import write_cell
from skunlearn._rows.containers import row_digests
from skunlearn.exceptions import DataChangedError

N = 40


@dataclasses.dataclass
class Signal:
    values: np.ndarray
    rate: float = 1.0


class Point(NamedTuple):
    x: int
    y: float = 0.5


@dataclasses.dataclass
class Remembering:
    """What it has computed once is no part of what it is."""

    x: int
    seen: list = dataclasses.field(default_factory=list, repr=False, compare=False)


class Loud(np.ndarray):
    def __repr__(self):
        return "loud"


def waves():
    """Long signals that begin and end with silence, as padded ones do."""
    rng = np.random.default_rng(0)
    signals = np.zeros((N, 1500))
    signals[:, 500:600] = rng.normal(size=(N, 100))
    return signals


KINDS = {
    "array": lambda wave: wave,
    "tensor": torch.from_numpy,
    "sparse": lambda wave: sparse.csr_matrix(wave),
    "series": pd.Series,
    "frame": lambda wave: pd.DataFrame({"t": np.arange(1500), "x": wave}),
    "arrays in a list": lambda wave: [wave, 1],
    "arrays in a dict": lambda wave: {"wave": wave},
    "arrays in a tuple": lambda wave: (wave,),
    "a dataclass": Signal,
    "a subclass": lambda wave: wave.view(Loud),
    "digits far behind": lambda wave: 1.0 + 1e-12 * wave[500:503],
    "digits of a tensor": lambda wave: torch.from_numpy(1.0 + 1e-6 * wave[500:503]),
}


def column(values):
    """An array of objects, however long they are."""
    cells = np.empty(len(values), dtype=object)
    for i, value in enumerate(values):
        cells[i] = value
    return cells


@pytest.mark.parametrize("kind", KINDS)
def test_rows_that_look_alike_have_digests_of_their_own(kind):
    rows = column([KINDS[kind](wave) for wave in waves()])
    for X in (rows, rows[:, None], pd.DataFrame({"wave": rows, "age": np.arange(N) % 2})):
        digests = row_digests(X)
        assert len(np.unique(digests, axis=0)) == N
        assert np.array_equal(row_digests(pickle.loads(pickle.dumps(X))), digests)


def mean_of(X):
    waves = [np.asarray(wave) for wave in X["wave"]]
    return np.stack([[np.abs(wave).mean(), wave.max()] for wave in waves])


@pytest.mark.parametrize("kind", ["array", "tensor", "series"])
def test_a_request_forgets_the_row_that_it_names(kind):
    X = pd.DataFrame({"wave": column([KINDS[kind](wave) for wave in waves()])})
    y = np.arange(N) % 2
    steps = [("mean", FunctionTransformer(mean_of)), ("m", RetrainUnlearner(LogisticRegression()))]
    pipeline = UnlearningPipeline(steps).fit(X, y)
    pipeline.unlearn(X.iloc[[3]].copy())
    assert pipeline.deletions_[0]["rows"] == 1
    assert np.array_equal(np.flatnonzero(~pipeline._record.retained), [3])
    assert "equal_rows_left" not in pipeline.deletions_[0]


def test_a_cell_that_was_changed_in_place_is_noticed():
    X = pd.DataFrame({"wave": column(list(waves()))})
    steps = [("mean", FunctionTransformer(mean_of)), ("m", RetrainUnlearner(LogisticRegression()))]
    pipeline = UnlearningPipeline(steps).fit(X, np.arange(N) % 2)
    X["wave"][7][550] += 1.0
    with pytest.raises(DataChangedError):
        pipeline.unlearn(indices=[7])


def test_zeros_of_either_sign_are_equal_in_frames_of_mixed_columns():
    X = pd.DataFrame({"a": [0.0, -0.0, 1.0, 2.0], "b": ["x", "x", "x", "y"]})
    assert np.array_equal(*row_digests(X)[:2])
    y = [0, 0, 0, 1]
    steps = [("a", FunctionTransformer(_take_a)), ("m", RetrainUnlearner(LogisticRegression()))]
    pipeline = UnlearningPipeline(steps).fit(X, y)
    pipeline.unlearn(X.iloc[[0]])  # all that equal it go
    assert pipeline.deletions_[0]["rows"] == 2


def _take_a(X):
    return X[["a"]]


@pytest.mark.parametrize(
    "value",
    [
        1, 1.5, -2.0, "text", "it's", b"bytes", None, True, float("nan"), float("inf"),
        ["a", 1, None], ("a",), ("a", 1.0), (), {"a": [1, (2,)], 3: {}}, [[1], [2, [3]]],
        pd.Timestamp("2020-01-01", tz="UTC"), np.int64(3), np.float64(3),
        Point(1), Signal(2.0), Remembering(3, [4]), {5}, set(), frozenset({6}), frozenset(),
    ],
    ids=repr,
)  # fmt: skip
def test_digests_of_plain_values_are_those_of_earlier_files(value):
    assert write_cell(value) == repr(value)
    assert write_cell([value, "x"]) == repr([value, "x"])


def test_equal_values_have_equal_texts():
    assert write_cell(Remembering(1)) == write_cell(Remembering(1, [2]))
    assert write_cell({"b", "a"}) == write_cell({"a", "b"})
    assert write_cell([-0.0, "x"]) == write_cell([0.0, "x"])
    assert write_cell(["x", -0.0]) == write_cell(["x", 0.0]) == "['x', 0.0]"
    assert write_cell([-0.04, "-0.0, -0.0]"]) == repr([-0.04, "-0.0, -0.0]"])
    assert write_cell(np.array([-0.0, np.nan])) == write_cell(np.array([0.0, -np.nan]))
    assert write_cell(np.array(["a", [1]], dtype=object)) != write_cell(np.array(["a", 1], object))
    assert write_cell(np.zeros((2, 3))) != write_cell(np.zeros((3, 2)))


def wide(*values):
    return sparse.csr_matrix((list(values), ([0] * len(values), range(len(values)))), (1, 10**9))


FORMS = {
    "masked": lambda x: np.ma.masked_array([1.0, 2.0], [x, 0]),
    "conjugate": lambda x: torch.tensor([1j * x]).conj(),
    "negative": lambda x: torch.tensor([1j * x]).conj().imag,
    "eight bits": lambda x: torch.tensor([float(x)]).to(torch.float8_e4m3fn),
    "quantised": lambda x: torch.quantize_per_tensor(torch.tensor([float(x)]), 0.1, 0, torch.qint8),
    "nested": lambda x: torch.nested.nested_tensor([torch.tensor([1.0]), torch.tensor([1.0, x])]),
    "jagged": lambda x: torch.nested.nested_tensor(
        [torch.tensor([1.0]), torch.tensor([1.0, x])], layout=torch.jagged
    ),
    "wide": lambda x: wide(1.0, 2.0, float(x)),
    "sparse tensor": lambda x: torch.tensor([[1.0, x]]).to_sparse(),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", FORMS)
def test_cells_that_numpy_does_not_take_as_they_are(form):
    make = FORMS[form]
    assert write_cell(make(1)) == write_cell(make(1)) != write_cell(make(0))


def test_sparse_cells_of_equal_values_have_equal_texts():
    twice = sparse.coo_matrix(([1.0, 0.5, 1.5, 0.0], ([0, 0, 0, 0], [0, 1, 1, 3])), (1, 10**9))
    assert write_cell(twice) == write_cell(wide(1.0, 2.0)) == write_cell(wide(1.0, 2.0).todok())


@pytest.mark.parametrize("value", [np.str_("a text"), np.bytes_(b"bytes")])
def test_texts_of_numpy_are_those_that_they_equal(value):
    """What is taken out of an array, and asked for in a list, is the row that `fit` was given."""
    plain = value.item()
    assert write_cell(value) == write_cell(plain)
    assert write_cell([value, {"key": (value,)}]) == write_cell([plain, {"key": (plain,)}])


@pytest.mark.parametrize("form", [list, np.array, lambda texts: np.array(texts, dtype=object)])
def test_a_text_is_found_in_whatever_it_comes(form):
    texts = [f"patient {i} has a cough" for i in range(12)]
    fitted = form(texts)
    model = make_pipeline(TfidfVectorizer(), LogisticRegression())
    unlearner = RetrainUnlearner(model).fit(fitted, np.arange(12) % 2)
    array = np.array(texts)
    unlearner.unlearn([array[3]]).unlearn([texts[4]]).unlearn(array[5:6]).unlearn(texts[6:7])
    assert np.flatnonzero(~unlearner._record.retained).tolist() == [3, 4, 5, 6]
    with pytest.raises(ValueError, match=r"A single row goes into a list: \[row\]"):
        unlearner.unlearn(texts[7])
