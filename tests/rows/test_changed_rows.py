"""Rows that are changed in place after `fit`, and frames that are given a column."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.tree import DecisionTreeClassifier
from torch.utils.data import Dataset, Subset, TensorDataset

from skunlearn import (
    FineTuneUnlearner,
    RetrainUnlearner,
    RidgeUnlearner,
    ShardedUnlearner,
    UnlearningPipeline,
)
from skunlearn._rows.row_table import _FEWEST, draw_retained
from skunlearn.evaluation import audit
from skunlearn.exceptions import DataChangedError, UnknownRowsError
from skunlearn.metrics import MIAScorer
from skunlearn.production import DeletionQueue, DeletionWorker
from skunlearn.utils._check_tools import Snapshot
from tests.instances import make_dict_net, make_regressor_net
from tests.small import net, quiet

N = 300


@pytest.fixture
def rows():
    """300 rows of 12 floats in three classes."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(N, 12)).astype(np.float32), rng.integers(0, 3, N)


IN_PLACE = {
    "sorted": lambda X: X.sort(axis=0),
    "shuffled": lambda X: np.random.default_rng(1).shuffle(X),
    "scaled": lambda X: np.multiply(X, 2, out=X),
    "centred": lambda X: np.subtract(X, X.mean(axis=0), out=X),
    "turned round": lambda X: X.__setitem__(slice(None), X[::-1].copy()),
}
ROUTES = {
    "ids": {"ids": [f"user-{i}" for i in range(10)]},
    "indices": {"indices": range(10)},
    "groups": {"groups": "leaving"},
}


def knn():
    return RetrainUnlearner(KNeighborsClassifier(1), random_state=0)


METHODS = {
    "retrained": knn,
    "fine-tuned": lambda: FineTuneUnlearner(net(max_epochs=2), random_state=0),
    "sharded": lambda: ShardedUnlearner(DecisionTreeClassifier(), random_state=0),
    "sharded nets": lambda: ShardedUnlearner(net(max_epochs=2), n_shards=2, random_state=0),
    "pipeline": lambda: UnlearningPipeline([("scale", StandardScaler()), ("model", knn())]),
    "kept steps": lambda: UnlearningPipeline(
        [("scale", StandardScaler()), ("model", METHODS["fine-tuned"]())], refit_transformers=False
    ),
    "no steps": lambda: UnlearningPipeline([("model", knn())]),
    "inner pipeline": lambda: RetrainUnlearner(
        make_pipeline(StandardScaler(), DecisionTreeClassifier())
    ),
}


def named():
    return {
        "ids": [f"user-{i}" for i in range(N)],
        "groups": np.where(np.arange(N) < 10, "leaving", "staying"),
    }


@quiet
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("change", IN_PLACE)
def test_rows_changed_in_place_are_noticed(rows, method, change):
    X, y = rows
    unlearner = METHODS[method]().fit(X, y, **named())
    old = X.copy()
    IN_PLACE[change](X)
    differs = np.flatnonzero((old != X).any(axis=1))
    before = dict(vars(unlearner))
    for request in ROUTES.values():
        with pytest.raises(DataChangedError, match="X has changed since fit: row") as caught:
            unlearner.unlearn(**request)
        # The first row that differs is among those named.
        assert f"row {differs[0]}," in str(caught.value)
        assert vars(unlearner).keys() == before.keys()
        assert all(vars(unlearner)[key] is value for key, value in before.items())
    # By content: neither the rows as they were nor as they are now.
    for content in (old[:10], X[:10]):
        with pytest.raises(DataChangedError, match="since fit"):
            unlearner.unlearn(content)
    X[:] = old
    assert unlearner.unlearn(old[:10]).deletions_[-1]["rows"] == 10


def test_forgotten_rows_would_have_stayed_inside(rows):
    """What happened: ten of ten rows still in a nearest-neighbour model, and called exact."""
    X, y = rows
    unlearner = knn().fit(X, y, ids=range(N))
    old = X.copy()
    order = np.random.default_rng(1).permutation(N)
    X[:] = X[order]
    with pytest.raises(DataChangedError):
        unlearner.unlearn(ids=range(10))
    assert not unlearner.deletions_
    # The way out that the error names, with the rows in any order.
    unlearner.detach().attach(X, y[order]).unlearn(ids=range(10))
    left = unlearner.estimator_._fit_X
    assert len(left) == N - 10
    assert not any((left == row).all(axis=1).any() for row in old[:10])


def test_the_named_rows_are_all_compared(rows):
    """A single row that was changed, and is named, is found among thousands."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(5000, 4)), rng.integers(0, 3, 5000)
    unlearner = knn().fit(X, y)
    row = next(i for i in range(4000, 5000) if i not in draw_retained(unlearner._record))
    X[row, 2] += 1
    with pytest.raises(DataChangedError, match=f"row {row},"):
        unlearner.unlearn(indices=np.arange(4000, 5000))


def test_some_of_the_retained_rows_are_compared_others_each_time(rows):
    X, y = rows
    unlearner = knn().fit(X, y)
    X[50:] *= 2
    with pytest.raises(DataChangedError, match=r"row (5\d|6\d),"):
        unlearner.unlearn(indices=[0])
    record = unlearner._record
    assert not np.array_equal(draw_retained(record), draw_retained(record.without([3])))
    few = record.without(np.arange(N - 5))
    assert set(draw_retained(few)) <= set(range(N - 5, N))


def test_few_rows_are_read_however_large_they_are():
    X = np.zeros((40, 2**17), np.float32)
    record = RetrainUnlearner(DecisionTreeClassifier(max_depth=1)).fit(X, np.arange(40) % 2)._record
    assert len(draw_retained(record)) == _FEWEST


CONTAINERS = {
    "tensor": (torch.from_numpy, lambda X: X.mul_(2)),
    "half": (lambda X: torch.from_numpy(X).bfloat16(), lambda X: X.mul_(2)),
    "float64": (lambda X: X.astype(np.float64), lambda X: X.sort(0)),
    "integers": (lambda X: (10 * X).astype(np.int64), lambda X: X.sort(0)),
    "images": (lambda X: X.reshape(-1, 3, 2, 2), lambda X: X.sort(0)),
    "strided": (lambda X: np.repeat(X, 2, axis=0)[::2], lambda X: X.sort(0)),
    "csr": (sparse.csr_array, lambda X: np.multiply(X.data, 2, out=X.data)),
    "csr matrix": (sparse.csr_matrix, lambda X: np.multiply(X.data, 2, out=X.data)),
}


@quiet
@pytest.mark.parametrize("kind", CONTAINERS)
def test_containers(rows, kind):
    make, change = CONTAINERS[kind]
    X = make(rows[0])
    unlearner = FineTuneUnlearner(net(max_epochs=1), random_state=0).fit(X, rows[1])
    change(X)
    with pytest.raises(DataChangedError, match="X has changed since fit"):
        unlearner.unlearn(indices=[3])


def test_the_array_beneath_a_frame(rows):
    X, y = rows
    frame = pd.DataFrame(X, copy=False)
    unlearner = knn().fit(frame, y)
    X.sort(axis=0)
    with pytest.raises(DataChangedError, match="X has changed since fit: row 0"):
        unlearner.unlearn(indices=range(10))


def test_an_entry_of_a_dict(rows):
    X = {"a": rows[0], "b": rows[0][:, 0].copy()}
    unlearner = FineTuneUnlearner(make_dict_net(module__n_out=3), random_state=0).fit(X, rows[1])
    X["b"].sort()
    with pytest.raises(DataChangedError, match="X has changed since fit"):
        unlearner.unlearn(indices=[3])
    # An entry that is put in another's place changes the caller's dict alone.
    X = {"a": rows[0], "b": rows[0][:, 0].copy()}
    unlearner = FineTuneUnlearner(make_dict_net(module__n_out=3), random_state=0).fit(X, rows[1])
    X["b"] = X["b"] * 2
    unlearner.unlearn(indices=[3])


def test_a_memory_mapped_file(rows, tmp_path):
    np.save(tmp_path / "X.npy", rows[0])
    X = np.load(tmp_path / "X.npy", mmap_mode="r")
    unlearner = FineTuneUnlearner(net(max_epochs=1), random_state=0).fit(X, rows[1])
    unlearner.unlearn(indices=[3])
    again = np.load(tmp_path / "X.npy", mmap_mode="r+")
    again[:] = again[::-1].copy()
    again.flush()
    with pytest.raises(DataChangedError, match="X has changed since fit"):
        unlearner.unlearn(indices=[4])


def test_lists_are_copied_and_stay_as_they_were(rows):
    X = rows[0].tolist()
    unlearner = knn().fit(X, rows[1])
    X.reverse()
    unlearner.unlearn(indices=range(10))
    assert not unlearner._record.retained[:10].any()


# ------------------------------------------------------------------ targets


@pytest.mark.parametrize("shape", [(N,), (N, 2)])
def test_regression_targets_changed_in_place(rows, shape):
    X, y = rows[0], np.random.default_rng(0).normal(size=shape)
    unlearner = RidgeUnlearner(Ridge()).fit(X, y)
    y.sort(axis=0)
    with pytest.raises(DataChangedError, match=r"y has changed since fit: the target of row \d+,"):
        unlearner.unlearn(indices=[3])


@quiet
def test_targets_of_a_net_changed_in_place(rows):
    X, y = rows[0], np.random.default_rng(0).normal(size=N).astype(np.float32)
    unlearner = RetrainUnlearner(make_regressor_net(max_epochs=1), random_state=0).fit(X, y)
    y *= 2
    with pytest.raises(DataChangedError, match="y has changed since fit"):
        unlearner.unlearn(indices=[3])


def test_labels_changed_in_place_do_not_matter(rows):
    """They were encoded in `fit`."""
    X, y = rows
    unlearner, labels = knn().fit(X, y), y.copy()
    y.sort()
    unlearner.unlearn(indices=range(10))
    assert np.array_equal(unlearner.predict(X[10:]), labels[10:])


def test_ridge_sums(rows):
    X, y = rows[0].astype(np.float64), rows[0][:, 0] * 2.0
    for model in (Ridge(), LinearRegression()):
        unlearner = RidgeUnlearner(model).fit(X, y)
        X *= 2
        with pytest.raises(DataChangedError, match=r"X has changed since fit: row \d+,"):
            unlearner.unlearn(indices=[5])
        X /= 2
        unlearner.unlearn(indices=[5])


# ------------------------------------------------------------------ data frames


def frames(X, y):
    frame = pd.DataFrame(X[:, :4], columns=list("abcd"))
    return frame.assign(kind=np.array(["x", "y", "z"])[y])


FRAME_METHODS = {
    "retrained": lambda: RetrainUnlearner(tree_of_columns(), random_state=0),
    "pipeline": lambda: UnlearningPipeline(
        [("columns", columns()), ("model", RetrainUnlearner(DecisionTreeClassifier()))]
    ),
    "pipeline of a net": lambda: UnlearningPipeline(
        [("columns", columns()), ("model", FineTuneUnlearner(net(max_epochs=1)))]
    ),
    "sharded": lambda: ShardedUnlearner(tree_of_columns(), n_shards=2, random_state=0),
}


def columns():
    from sklearn.compose import make_column_transformer
    from sklearn.preprocessing import OneHotEncoder

    return make_column_transformer((StandardScaler(), ["a", "c"]), (OneHotEncoder(), ["kind"]))


def tree_of_columns():
    return make_pipeline(columns(), DecisionTreeClassifier())


@quiet
@pytest.mark.parametrize("method", FRAME_METHODS)
def test_a_frame_that_is_given_a_column(rows, method):
    X, y = rows
    frame = frames(X, y)
    unlearner = FRAME_METHODS[method]().fit(frame, y, **named())
    frame["pred"] = unlearner.predict(frame)
    for request in ROUTES.values():
        row = next(iter(request.values()))
        unlearner.unlearn(**{key: row if key == "groups" else [row[0]] for key in request})
        unlearner = FRAME_METHODS[method]().fit(frame[list("abcd") + ["kind"]], y, **named())
    unlearner.unlearn(frame.iloc[:3])  # by content too
    assert unlearner.deletions_[-1]["rows"] == 3
    unlearner.unlearn(frame.iloc[[5]], y[[5]])
    again = pickle.loads(pickle.dumps(unlearner))
    again.unlearn(indices=[8])
    again.detach().attach(frame.drop(index=[0, 1, 2, 5, 8]), y[np.r_[3, 4, 6, 7, 9:N]])
    again.unlearn(indices=[9])


@quiet
@pytest.mark.parametrize("method", FRAME_METHODS)
@pytest.mark.parametrize(
    "change",
    [
        lambda frame: frame.pop("b"),
        lambda frame: frame.insert(0, "new", 1.0),
        lambda frame: frame.drop(index=range(100, 200), inplace=True),
        lambda frame: frame.__setitem__("a", frame["a"] * 2),
        lambda frame: setattr(frame, "columns", list("vwxyz")),
    ],
    ids=["popped", "inserted", "rows dropped", "column replaced", "renamed"],
)
@pytest.mark.filterwarnings("ignore:The inplace keyword")
def test_what_happens_to_a_frame_does_not_happen_to_the_record(rows, method, change):
    X, y = rows
    frame = frames(X, y)
    whole = frame.copy()
    unlearner = FRAME_METHODS[method]().fit(frame, y)
    other = FRAME_METHODS[method]().fit(whole, y)
    if hasattr(unlearner, "random_state"):
        assert unlearner.random_state == other.random_state
    change(frame)
    unlearner.unlearn(indices=range(10))
    assert not unlearner._record.retained[:10].any()
    assert unlearner.predict(whole).shape == (N,)


def test_a_step_that_gives_its_frame_a_column(rows):
    """FunctionTransformer hands a function the caller's own frame."""

    def add(frame):
        frame["sum"] = frame["a"] + frame["b"]
        return frame

    frame = frames(*rows).drop(columns="kind")
    tree = RetrainUnlearner(DecisionTreeClassifier())
    steps = [("add", FunctionTransformer(add)), ("model", tree)]
    pipeline = UnlearningPipeline(steps).fit(frame, rows[1])
    assert pipeline.unlearn(frame.iloc[[3]]).deletions_[-1]["rows"] == 1
    assert pipeline.unlearn(indices=[4]).deletions_[-1]["rows"] == 1


@pytest.mark.parametrize("refit", [True, False])
def test_steps_that_write_to_the_rows_are_refused(rows, refit):
    X, y = rows
    steps = [("scale", StandardScaler(copy=False)), ("model", knn())]
    pipeline = UnlearningPipeline(steps, refit_transformers=refit)
    with pytest.raises(ValueError, match="changes the rows that it is given in place"):
        pipeline.fit(X.copy(), y)
    steps[0] = ("scale", StandardScaler())
    UnlearningPipeline(steps, refit_transformers=refit).fit(X, y).unlearn(X[:3])


# ------------------------------------------------------------------ Datasets


class Items(Dataset):
    """Items of odd kinds, read from a list that somebody may change."""

    def __init__(self, X, y):
        self.items = [(torch.from_numpy(x.copy()), int(label)) for x, label in zip(X, y)]
        self.scale = 1.0

    def __len__(self):
        return len(self.items)

    def __getitem__(self, i):
        x, label = self.items[i]
        return x * self.scale, label


DATASET_CHANGES = {
    "another transform": lambda d: setattr(d, "scale", 2.0),
    "turned round": lambda d: d.items.reverse(),
    "cut": lambda d: d.items.pop(),
}


@quiet
@pytest.mark.parametrize("change", DATASET_CHANGES)
@pytest.mark.parametrize("part", [False, True])
def test_datasets(rows, change, part):
    X, y = rows
    whole = Items(X, y)
    given = Subset(whole, list(range(100, 200))) if part and change != "cut" else whole
    unlearner = FineTuneUnlearner(net(max_epochs=1), random_state=0).fit(given)
    unlearner.unlearn(indices=[0])
    state = Snapshot(unlearner, X)
    DATASET_CHANGES[change](whole)
    with pytest.raises(DataChangedError, match="X has changed since fit"):
        unlearner.unlearn(indices=[1])
    state.check("a changed Dataset")


@quiet
def test_tensors_of_a_dataset(rows):
    X, y = map(torch.from_numpy, rows)
    data = TensorDataset(X, y)
    unlearner = RetrainUnlearner(net(max_epochs=1), random_state=0).fit(data)
    X.copy_(X.flip(0))
    with pytest.raises(DataChangedError, match="item 0 of the Dataset"):
        unlearner.unlearn(indices=[1])
    with pytest.raises(DataChangedError):
        unlearner.unlearn(Subset(data, [1]))
    X.copy_(X.flip(0))
    y.copy_(y.flip(0))
    with pytest.raises(DataChangedError):
        unlearner.unlearn(indices=[1])


@quiet
def test_forgotten_items_are_not_read_again(rows):
    data = Items(*rows)
    unlearner = RetrainUnlearner(net(max_epochs=1), random_state=0).fit(data)
    unlearner.unlearn(indices=[0, N - 1])
    data.items[0] = data.items[N - 1] = None  # deleted by their owner
    unlearner.unlearn(indices=[7])
    unlearner.detach().attach(data, rows[1])
    unlearner.unlearn(indices=[8])


@quiet
def test_another_dataset_is_not_attached(rows, tmp_path):
    X, y = rows
    unlearner = FineTuneUnlearner(net(max_epochs=1), random_state=0).fit(Items(X, y))
    unlearner.save(tmp_path / "model")
    for again in (
        pickle.loads(pickle.dumps(unlearner)),
        FineTuneUnlearner(net(max_epochs=1), random_state=0).load(tmp_path / "model"),
    ):
        with pytest.raises(UnknownRowsError, match="Item 0 of X"):
            again.attach(Items(X[::-1], y), y)
        again.attach(Items(X, y)).unlearn(indices=[4])


class Holder:
    """Of a kind that has no digest."""

    def __init__(self, x):
        self.x = x


class Unknown(Items):
    def __getitem__(self, i):
        x, label = super().__getitem__(i)
        return {"x": x, "extra": [np.float32(1.5), "text", None, b"x", np.arange(2)]}, label


def test_items_of_every_kind(rows):
    from skunlearn._rows.items import ItemSample

    data = Unknown(*rows)
    sample = ItemSample.of(data, np.arange(N))
    assert sample.inputs is not None
    assert not sample.is_random
    assert sample.differs(data, np.ones(N, bool)) is None
    data.items[N - 1] = (data.items[N - 1][0] + 1, data.items[N - 1][1])
    assert sample.differs(data, np.ones(N, bool)) == N - 1
    assert sample.differs(data, np.arange(N) < N - 1) is None
    data.items = [(Holder(x), label) for x, label in data.items]
    data.__class__ = Items
    data.scale = 1.0
    Holder.__mul__ = lambda self, scale: self
    odd = ItemSample.of(data, np.arange(N))
    assert odd.inputs is None
    assert odd.rest is not None
    assert not odd.is_random
    data.items.reverse()
    assert odd.differs(data, np.ones(N, bool)) is not None


# ------------------------------------------------------------------ what else reads rows


@quiet
def test_audits_and_references_read_the_rows_of_fit(rows):
    X, y = rows
    unlearner = FineTuneUnlearner(net(max_epochs=1), random_state=0)
    unlearner.fit(X[:200], y[:200]).unlearn(indices=range(20))
    MIAScorer(reference="retrain")(unlearner, X[200:], y[200:])
    X[:200] *= 3
    for ask in (
        lambda: audit(unlearner, X[200:], y[200:]),
        lambda: MIAScorer(reference="retrain")(unlearner, X[200:], y[200:]),
    ):
        with pytest.raises(DataChangedError):
            ask()


def test_a_queue_stops_before_it_forgets_other_rows(rows, tmp_path):
    X, y = rows
    queue = DeletionQueue(tmp_path, batch_size=1)
    worker = DeletionWorker(queue, knn(), X[250:].copy(), y[250:])
    worker.start(X[:250], y[:250], ids=range(250))
    old = X.copy()
    X[:250] = X[:250][::-1].copy()
    queue.submit("a", ids=[3])
    with pytest.raises(DataChangedError, match="X has changed since fit"):
        worker.run_once()
    assert queue.status("a")["state"] in ("pending", "running")
    assert queue.status("a")["tries"] == 0  # no fault of the request
    X[:] = old
    worker.run_once()
    assert queue.status("a")["state"] == "applied"
    assert not worker.unlearner._record.retained[3]


def test_a_pickle_holds_rows_that_nobody_else_changes(rows):
    X, y = rows
    again = pickle.loads(pickle.dumps(knn().fit(X, y, ids=range(N)).unlearn(ids=[0])))
    X *= 2
    again.unlearn(ids=[1])
    assert not again._record.retained[:2].any()
