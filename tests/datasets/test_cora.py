"""Cora: where it is found, that it is Cora, and that its pickles are never trusted."""

import hashlib
import os
import pickle
import sys
import tarfile
from collections import defaultdict

import numpy as np
import pytest
from scipy import sparse

from skunlearn.datasets import _planetoid, cora, load_cora
from skunlearn.datasets._planetoid import PARTS, read_planetoid

DATA = os.environ.get("SKUNLEARN_DATA")
LABELLED, KNOWN, N, WIDTH, CLASSES = 4, 9, 14, 5, 3
TEST = np.array([12, 9, 13, 10, 11])


@pytest.fixture(autouse=True)
def nothing_outside(tmp_path, monkeypatch):
    """No test reads or writes the user's folders, or the network."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.delenv("SKUNLEARN_DATA", raising=False)
    monkeypatch.setattr(cora, "URL", "file:///nowhere/")


@pytest.fixture
def small(monkeypatch):
    """Graphs of the tests' size count as Cora."""
    pytest.importorskip("torch_geometric", reason="needs torch_geometric (the extra graph)")
    monkeypatch.setattr(cora, "SHAPE", (N, WIDTH))
    monkeypatch.setattr(cora, "N_CLASSES", CLASSES)
    digests = {part: hashlib.sha256(made).hexdigest() for part, made in make_files().items()}
    monkeypatch.setattr(cora, "SHA256", digests)


def truth():
    """Features, one-hot labels and neighbours by node."""
    rng = np.random.default_rng(0)
    x = (rng.random((N, WIDTH)) < 0.4).astype(np.float32)
    neighbours = defaultdict(list)
    for u, v in rng.integers(0, N, (30, 2)).tolist() + [[3, 3], [1, 2], [1, 2]]:
        neighbours[u].append(v)
    return x, np.eye(CLASSES, dtype=np.int32)[np.arange(N) % CLASSES], neighbours


def make_files(protocol=3):
    """The files of a small graph, as numpy and scipy pickle them."""
    x, y, neighbours = truth()
    values = {
        "x": sparse.csr_matrix(x[:LABELLED]),
        "y": y[:LABELLED],
        "allx": sparse.csr_matrix(x[:KNOWN]),
        "ally": y[:KNOWN],
        "tx": sparse.csr_matrix(x[TEST]),
        "ty": y[TEST],
        "graph": neighbours,
    }
    files = {name: pickle.dumps(value, protocol) for name, value in values.items()}
    return files | {"test.index": "".join(f"{i}\n" for i in TEST).encode()}


def write(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / f"ind.cora.{name}").write_bytes(content)
    return folder


def test_the_graph_is_read():
    x, edges, y, split = read_planetoid(make_files())
    expected, hot, neighbours = truth()
    np.testing.assert_array_equal(x.toarray(), expected)
    assert x.dtype == np.float32
    np.testing.assert_array_equal(y, hot.argmax(axis=1))
    pairs = {(u, v) for u, row in neighbours.items() for v in row if u != v}
    assert sorted(map(tuple, edges.T.tolist())) == sorted(pairs | {(v, u) for u, v in pairs})
    assert split["train"].tolist() == [0, 1, 2, 3]
    assert split["val"].tolist() == [4, 5, 6, 7, 8]
    assert split["test"].tolist() == [9, 10, 11, 12, 13]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_it_is_what_torch_geometric_reads(small, tmp_path, monkeypatch):
    from torch_geometric.io import read_planetoid_data

    module = sys.modules[__name__]
    monkeypatch.setattr(module, "KNOWN", 509)  # it wants 500 nodes for validation
    monkeypatch.setattr(module, "N", 514)
    monkeypatch.setattr(module, "TEST", TEST + 500)
    monkeypatch.setattr(cora, "SHAPE", (514, WIDTH))
    home = write(tmp_path / "Cora" / "raw", make_files()).parent.parent
    oracle = read_planetoid_data(str(home / "Cora" / "raw"), "cora")  # of 2.8.1
    data = load_cora(home, download=False)
    for name in ("x", "y", "train_mask", "val_mask", "test_mask"):
        assert (oracle[name] == data[name]).all(), name
    pairs = {(u, v) for u, v in oracle.edge_index.T.tolist() if u != v}
    pairs |= {(v, u) for u, v in pairs}  # which Planetoid's own files hold already
    assert {tuple(pair) for pair in data.edge_index.T.tolist()} == pairs
    assert data.is_undirected()
    assert data.validate()


@pytest.mark.parametrize("place", ["raw", "plain", "archive"])
@pytest.mark.parametrize("by", ["argument", "environment"])
def test_places(small, tmp_path, monkeypatch, place, by):
    files = make_files()
    del files["y"]  # it says nothing that ally does not
    home = tmp_path / "home"
    if place == "archive":
        source = write(tmp_path / "source", files)
        home.mkdir()
        with tarfile.open(home / "cora-planetoid.tar.xz", "w:xz") as archive:
            for path in source.iterdir():
                archive.add(path, f"some/folder/{path.name}")
    else:
        write(home / "Cora" / "raw" if place == "raw" else home, files)
    before = {path.name for path in home.rglob("*")}
    if by == "environment":
        monkeypatch.setenv("SKUNLEARN_DATA", str(home))
    data = load_cora(home if by == "argument" else None, download=False)
    np.testing.assert_array_equal(data.x.numpy(), truth()[0])
    assert {path.name for path in home.rglob("*")} == before


def test_it_is_downloaded_once(small, tmp_path, monkeypatch):
    source = write(tmp_path / "source", make_files())
    monkeypatch.setattr(cora, "URL", source.as_uri() + "/")
    first = load_cora(tmp_path / "home")
    monkeypatch.setattr(cora, "URL", "file:///nowhere/")
    assert (load_cora(tmp_path / "home").x == first.x).all()
    written = {path.name for path in (tmp_path / "home" / "Cora" / "raw").iterdir()}
    assert written == {f"ind.cora.{part}" for part in PARTS}


def test_another_file_than_the_official_one_is_not_kept(small, tmp_path, monkeypatch):
    source = write(tmp_path / "source", make_files() | {"graph": make_files(4)["graph"]})
    monkeypatch.setattr(cora, "URL", source.as_uri() + "/")
    with pytest.raises(ValueError, match=r"ind\.cora\.graph answers is not Cora's file"):
        load_cora(tmp_path / "home")
    assert not list((tmp_path / "home").rglob("ind.cora.*"))


def test_what_is_not_there_is_said(small, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"Looked in .*home.* Pass data_home="):
        load_cora(tmp_path / "home", download=False)
    with pytest.raises(FileNotFoundError, match=r"Downloading it into .* failed"):
        load_cora(tmp_path / "home")
    assert not (tmp_path / "home").exists()


def test_another_graph_is_not_cora(small, tmp_path, monkeypatch):
    write(tmp_path, make_files())
    monkeypatch.setattr(cora, "SHAPE", (2708, 1433))
    with pytest.raises(ValueError, match="is not Cora: 14 nodes with 5 features"):
        load_cora(tmp_path)


# ------------------------------------------------------------------ pickles from elsewhere


class Evil:
    """Runs a command when it is unpickled in the usual way."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def payloads(path):
    """Values that would run something, by themselves or inside of what belongs there."""
    matrix = sparse.csr_matrix(np.eye(3, dtype=np.float32))
    matrix.data = Evil(path)
    return {
        "bare": Evil(path),
        "in a list": defaultdict(list, {0: [Evil(path)]}),
        "in a matrix": matrix,
        "in an array": np.array([Evil(path)], dtype=object),
    }


@pytest.mark.parametrize("part", ["x", "ally", "graph"])
@pytest.mark.parametrize("kind", ["bare", "in a list", "in a matrix", "in an array"])
def test_no_code_is_run(tmp_path, part, kind):
    path = tmp_path / "trace"
    content = pickle.dumps(payloads(path)[kind], 2)
    pickle.loads(content)
    assert path.exists()  # it would
    path.unlink()
    with pytest.raises(ValueError, match=f"The file {part} cannot be read"):
        read_planetoid(make_files() | {part: content})
    assert not path.exists()


@pytest.mark.parametrize(
    "code",
    [
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"cskunlearn.datasets._planetoid\n_NOTES\n.",
        b"cnumpy\nndarray\n}S'__new__'\nNsb.",  # BUILD on a class
        b"ccollections\ndefaultdict\n(cbuiltins\nlist\ntR}S'get'\nNsb.",
        b"cbuiltins\nlist\n(NtR.",
        b"I1\n",
    ],
)
def test_opcodes_by_hand(code):
    notes = dict(_planetoid._NOTES)
    new = [vars(note).get("__new__") for note in set(notes.values())]
    for part in ("x", "ty", "graph"):
        with pytest.raises(ValueError, match=f"The file {part} cannot be read"):
            read_planetoid(make_files() | {part: code})
    assert notes == _planetoid._NOTES
    assert [vars(note).get("__new__") for note in set(notes.values())] == new


def test_numbers_that_point_outside_are_refused():
    """scipy would read and write memory that is not its own."""
    matrix = sparse.csr_matrix(np.eye(KNOWN, WIDTH, dtype=np.float32))
    for name, at, value in (("indices", 2, 10**6), ("indices", 0, -5), ("indptr", -1, 10**6)):
        bad = matrix.copy()
        getattr(bad, name)[at] = value
        with pytest.raises(ValueError, match="The file allx cannot be read"):
            read_planetoid(make_files() | {"allx": pickle.dumps(bad, 3)})
    matrix._shape = (2**40, WIDTH)
    with pytest.raises(ValueError, match="too large for its file"):
        read_planetoid(make_files() | {"allx": pickle.dumps(matrix, 3)})


def test_broken_files_are_named():
    files = make_files()
    for part in PARTS:
        with pytest.raises(ValueError, match=f"The file {part} is empty"):
            read_planetoid(files | {part: b""})
        cut = b"a\n" if part == "test.index" else files[part][: len(files[part]) // 2]
        with pytest.raises(ValueError, match=f"The file {part} cannot be read"):
            read_planetoid(files | {part: cut})
    for part, value, match in (
        ("ty", np.zeros((5, 3), np.int32), "no one-hot matrix"),
        ("ty", np.eye(3, dtype=np.int32), "tx and ty, are not of one graph"),
        ("x", sparse.csr_matrix(np.ones((4, 5), np.float32)), "not the first ones of allx"),
        ("graph", defaultdict(list, {0: [14]}), "outside 0 to 13"),
        ("graph", defaultdict(list, {0: ["1"]}), "no dict of lists"),
        ("graph", [1], "no dict of lists"),
        ("tx", np.eye(3), "no sparse matrix"),
    ):
        with pytest.raises(ValueError, match=match):
            read_planetoid(files | {part: pickle.dumps(value, 3)})
    with pytest.raises(ValueError, match="does not number the nodes 9 to 13"):
        read_planetoid(files | {"test.index": b"9\n9\n10\n11\n12\n"})


# ------------------------------------------------------------------ the real one


@pytest.fixture
def real():
    pytest.importorskip("torch_geometric", reason="needs torch_geometric (the extra graph)")
    try:
        return load_cora(DATA or "nowhere", download=False)
    except FileNotFoundError:
        pytest.skip("SKUNLEARN_DATA names no folder with Cora")


def test_cora(real):
    """Figures of torch_geometric's table of data sets (2.8): nodes, edges, features, classes."""
    assert (real.num_nodes, real.num_edges, real.num_features) == (2708, 10556, 1433)
    assert real.y.unique().tolist() == list(range(7))
    masks = [real.train_mask, real.val_mask, real.test_mask]
    assert [int(mask.sum()) for mask in masks] == [140, 500, 1000]
    assert int(sum(mask.int() for mask in masks).max()) == 1
    assert real.y[real.train_mask].bincount().tolist() == [20] * 7  # Yang et al., section 5
    assert set(real.x.unique().tolist()) == {0.0, 1.0}
    assert real.is_undirected()


def test_a_paper_is_forgotten_in_cora(real):
    import torch
    from skorch import NeuralNetClassifier
    from torch_geometric.nn import GCN

    from skunlearn.graph import GraphEraser, shard_cap

    net = NeuralNetClassifier(
        GCN, module__in_channels=1433, module__hidden_channels=16, module__num_layers=2,
        module__out_channels=7, criterion=torch.nn.CrossEntropyLoss, optimizer=torch.optim.Adam,
        lr=0.01, max_epochs=40, batch_size=-1, train_split=None,
    )  # fmt: skip
    real.train_mask = ~real.test_mask
    eraser = GraphEraser(net, n_shards=5, partition="blpa", random_state=0).fit(real)
    sizes = np.bincount(eraser.shards_)
    assert sizes.max() <= shard_cap(2708, 5)
    u, v = real.edge_index.numpy()
    assert np.mean(eraser.shards_[u] != eraser.shards_[v]) < 0.5  # 0.8 by chance
    assert eraser.score(real, mask=real.test_mask) > 0.7
    eraser.unlearn(nodes=[42])
    assert eraser.score(real, mask=real.test_mask) > 0.7
    assert not np.array_equal(sizes, np.bincount(eraser.shards_ + 1)[1:])
