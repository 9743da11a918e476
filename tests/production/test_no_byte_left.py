"""After a deletion no file holds a forgotten row or name: every byte is searched."""

import contextlib
import os
import pickle
import sqlite3
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags

from skunlearn import FineTuneUnlearner, RetrainUnlearner, UnlearningPipeline
from skunlearn.production import DeletionQueue, DeletionWorker
from tests.instances import all_instances, make_net
from tests.small import quiet
from tests.turns import in_turns

pytestmark = quiet

N, N_TEST = 48, 24
GONE = np.array([3, 17, 30])
NAMES = [f"person-{i:04d}-of-the-record" for i in range(N)]


def marked(n, first=0):
    """Rows, each with eight bytes that stand nowhere else: two floats between 1 and 2."""
    rng = np.random.default_rng(first)
    X = rng.normal(size=(n, 6)).astype(np.float32)
    low = (np.arange(first, first + n) * 40503 + 12345) & 0x7FFFFF
    X[:, 2] = (0x3F800000 | low).astype(np.uint32).view(np.float32)
    X[:, 3] = (0x3F800000 | ((low * 69069 + 1) & 0x7FFFFF)).astype(np.uint32).view(np.float32)
    return X


def marks(X, rows):
    """The bytes by which rows are known, as floats of both sizes."""
    return [X[i, 2:4].astype(dtype).tobytes() for i in rows for dtype in (np.float32, np.float64)]


def files(folder):
    return [path for path in Path(folder).rglob("*") if path.is_file()]


def found(folder, patterns):
    """Files of a folder, and what they hold of these patterns."""
    hits = {}
    for path in files(folder):
        content = path.read_bytes()
        hits |= {str(path): p for p in patterns if p in content}
    return hits


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder that holds the temporary folder too."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    return tmp_path


def task(unlearner):
    X = marked(N)
    y = np.arange(N) % 2
    if get_tags(unlearner.estimator).estimator_type == "regressor":
        y = X[:, 0] - X[:, 1]
    return X, y


def name_of(unlearner):
    return f"{type(unlearner).__name__}-{type(unlearner.estimator).__name__}"


INSTANCES = [*all_instances(), RetrainUnlearner(KNeighborsClassifier(3), random_state=0)]


@pytest.mark.filterwarnings("ignore:.*privacy budget.*")
@pytest.mark.parametrize("unlearner", in_turns(INSTANCES, 0, every=3), ids=name_of)
def test_every_method(unlearner, folder):
    X, y = task(unlearner)
    params = unlearner.get_params(deep=False)
    unlearner = clone(unlearner)
    if "memory" in params:
        unlearner.set_params(memory=str(folder / "cache"))
    if "folder" in params:
        unlearner.set_params(folder=str(folder / "own"))
    if "max_epochs" in params and not unlearner._make_promises().exact:
        unlearner.set_params(max_epochs=2)
    if "max_epochs" in unlearner.estimator.get_params():
        unlearner.set_params(estimator__max_epochs=2)
    unlearner.fit(X, y, ids=NAMES)
    unlearner.unlearn(ids=[NAMES[i] for i in GONE])
    (folder / "model.pickle").write_bytes(pickle.dumps(unlearner))
    if type(unlearner.estimator).__module__.startswith("skorch"):
        with contextlib.suppress(TypeError):  # shards are no net
            unlearner.save(folder / "model.safetensors")
    (folder / "certificate.json").write_text(unlearner.certificate())
    gone = [*marks(X, GONE), *(NAMES[i].encode() for i in GONE)]
    assert found(folder, gone) == {}
    # The same search finds the rows that are retained: it can find.
    assert found(folder, marks(X, [0]))


@pytest.mark.parametrize("partition", ["random", "blpa", "bekm"])
def test_graphs(partition, folder):
    pytest.importorskip("torch_geometric", reason="needs torch_geometric")
    from tests.graphs import make_eraser, planted

    data = planted()
    data.x = torch.from_numpy(marked(data.num_nodes))
    names = [f"node-{i:04d}-of-the-record" for i in range(data.num_nodes)]
    eraser = make_eraser(partition=partition).fit(data, ids=names)
    edge = next(pair for pair in data.edge_index.T.tolist() if not {*pair} & {*GONE})
    eraser.unlearn(edges=[[names[v] for v in edge]]).unlearn(nodes=[names[v] for v in GONE])
    (folder / "model.pickle").write_bytes(pickle.dumps(eraser))
    (folder / "certificate.json").write_text(eraser.certificate())
    features = data.x.numpy()
    assert found(folder, [*marks(features, GONE), *(name.encode() for name in names)]) == {}
    assert found(folder, marks(features, [0]))
    loaded = pickle.loads((folder / "model.pickle").read_bytes())
    ends = np.stack([features[v] for v in edge])[:, None]
    for graph, there in ((data, True), (loaded._graph, False)):
        pairs = graph.x.numpy()[graph.edge_index.numpy()]
        assert (pairs == ends).all(axis=(0, 2)).any() == there


PEOPLE = [f"household-{i // 3:04d}-of-the-record" for i in range(N)]


@pytest.mark.parametrize("refit", [True, False])
@pytest.mark.parametrize("model", [GaussianNB(), None], ids=["bayes", "net"])
def test_pipelines_with_groups(model, refit, folder):
    """Rows as they came and as a step has shown them, ids of a person's rows, and the person."""
    X, y = marked(N), np.arange(N) % 2
    model = model or make_net(module__n_out=2, max_epochs=2)
    unlearner = RetrainUnlearner(model, random_state=0, memory=str(folder / "models"))
    pipeline = UnlearningPipeline(
        [("scale", StandardScaler()), ("centre", StandardScaler(with_std=False)), ("u", unlearner)],
        refit_transformers=refit,
        memory=str(folder / "steps"),
    )
    pipeline.fit(X, y, ids=NAMES, groups=PEOPLE)
    scaled = pipeline.named_steps["scale"].transform(X)
    gone = np.flatnonzero(np.isin(PEOPLE, [PEOPLE[3], PEOPLE[30]]))
    names = [NAMES[i].encode() for i in gone] + [PEOPLE[i].encode() for i in gone]
    patterns = [*marks(X, gone), *marks(scaled, gone), *names]
    (folder / "before.pickle").write_bytes(pickle.dumps(pipeline))
    assert found(folder, marks(X, gone[:1]))
    (folder / "before.pickle").unlink()
    pipeline.unlearn(groups=[PEOPLE[3], PEOPLE[30]])
    (folder / "model.pickle").write_bytes(pickle.dumps(pipeline))
    if not isinstance(model, GaussianNB):
        pipeline.save(folder / "model.safetensors")
    (folder / "certificate.json").write_text(pipeline.certificate())
    assert found(folder, patterns) == {}
    assert found(folder, marks(X, [0]))


@pytest.mark.parametrize("kind", ["net", "refit", "pipeline"])
def test_kinds_of_versions(kind, folder):
    """The queue, its journal, the models and the temporary folder."""
    X, X_test = marked(N), marked(N_TEST, first=1000)
    y, y_test = np.arange(N) % 2, np.arange(N_TEST) % 2
    unlearner = RetrainUnlearner(GaussianNB(), random_state=0)
    if kind != "refit":
        unlearner = FineTuneUnlearner(
            make_net(module__n_out=2, max_epochs=2), max_epochs=1, random_state=0
        )
    if kind == "pipeline":
        unlearner = UnlearningPipeline([("scale", StandardScaler()), ("model", unlearner)])
    queue = DeletionQueue(folder / "queue", batch_size=2)
    db = sqlite3.connect(queue._journal.path)
    assert db.execute("PRAGMA journal_mode = WAL").fetchone() == ("wal",)  # somebody's idea
    db.close()
    worker = DeletionWorker(queue, unlearner, X_test, y_test).start(X, y, ids=NAMES)
    queue.submit_many({"request_id": f"{k}", "ids": [NAMES[i]]} for k, i in enumerate(GONE))
    queue.submit("many", ids=[NAMES[i] for i in range(35, 40)] + ["a stranger " * 2000])
    queue.submit("withdrawn", ids=[NAMES[41]])
    queue.refuse("withdrawn", "the person withdrew it")
    still = [NAMES[i].encode() for i in (*GONE, *range(35, 40), 41)] + [b"a stranger"]
    assert found(folder, still)
    while worker.run_once(flush=True) is not None:
        pass
    queue.submit("open", ids=[NAMES[1]])
    again = DeletionQueue(folder / "queue", batch_size=2)
    DeletionWorker(again, unlearner, X_test, y_test).start(X, y, ids=NAMES)
    states = [entry["state"] for entry in again.log()]
    assert states == [*["applied"] * 3, "refused", "refused", "pending"]
    assert found(folder, [*marks(X, GONE), *still]) == {}
    assert found(folder, [NAMES[1].encode()])  # what is open has to be fulfilled
    names = {os.path.basename(name) for name in map(str, files(folder / "queue"))}
    assert not {name for name in names if name.endswith(("-wal", "-journal", "-shm"))}
