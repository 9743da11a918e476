"""Rows that are changed in place after `fit`."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from skunlearn import (
    FineTuneUnlearner,
    RetrainUnlearner,
    RidgeUnlearner,
    ShardedUnlearner,
    UnlearningPipeline,
)
from skunlearn._rows import row_table
from skunlearn._rows.row_table import _FEWEST, draw_retained
from skunlearn.evaluation import audit
from skunlearn.exceptions import DataChangedError
from skunlearn.metrics import MIAScorer
from skunlearn.production import DeletionQueue, DeletionWorker
from tests.instances import make_dict_net, make_regressor_net
from tests.rows.changes import ROUTES, N, knn, named
from tests.small import net, quiet

IN_PLACE = {
    "sorted": lambda X: X.sort(axis=0),
    "shuffled": lambda X: np.random.default_rng(1).shuffle(X),
    "scaled": lambda X: np.multiply(X, 2, out=X),
    "centred": lambda X: np.subtract(X, X.mean(axis=0), out=X),
    "turned round": lambda X: X.__setitem__(slice(None), X[::-1].copy()),
}
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


def test_many_rows_are_compared_a_part_at_a_time(rows, monkeypatch):
    """A request for a tenth of the data must not copy a tenth of it."""
    X, y = rows
    unlearner = knn().fit(X, y)
    read, taken = type(unlearner._record).read, []
    monkeypatch.setattr(row_table, "_CHUNK_BYTES", 4 * X[0].nbytes)
    monkeypatch.setattr(
        type(unlearner._record), "read", lambda self, at: taken.append(len(at)) or read(self, at)
    )
    X[N - 2] += 1
    with pytest.raises(DataChangedError, match=f"row {N - 2}, the first"):
        unlearner.unlearn(indices=range(N // 2, N))
    assert max(taken) == 4
    assert sum(taken) >= N // 2 - 1
