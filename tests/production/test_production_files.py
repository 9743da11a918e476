"""Requests from Parquet and CSV files, and models in stores of fsspec's."""

import gzip
import os

import fsspec
import numpy as np
import pandas as pd
import pytest

from skunlearn.production import DeletionQueue, DeletionWorker
from skunlearn.production._objects import FolderObjects, RemoteObjects, open_objects
from tests.production.workers import started
from tests.production_task import IDS, make_unlearner, rows
from tests.small import quiet

pytestmark = quiet


@pytest.fixture
def queue(tmp_path):
    return DeletionQueue(tmp_path / "queue", batch_size=2)


def named(queue):
    """What is asked for, as it is in the record."""
    from skunlearn.production._names import read

    with queue._journal.transaction(reading=True) as db:
        found = db.rows("SELECT request_id, kind, names FROM requests ORDER BY number")
    return {(row["request_id"], row["kind"]): read(row["names"]) for row in found}


# ---------------------------------------------------------------------- files of identifiers


def test_csv_names_are_text(queue, tmp_path):
    path = tmp_path / "gone.csv"
    path.write_text("request,user\nt1,007\nt2,NA\nt1,9007199254740993\nt2,Zoë\nt1,007\n")
    queue.submit_file(path, column="user", request_column="request")
    expected = {("t1", "ids"): ["007", "9007199254740993"], ("t2", "ids"): ["NA", "Zoë"]}
    assert named(queue) == expected
    queue.submit_file(path, column="user", request_column="request")  # once more: nothing happens
    assert named(queue) == expected
    packed = tmp_path / "gone.csv.gz"
    packed.write_bytes(gzip.compress(b"user\n12\n13\n"))
    (status,) = queue.submit_file(
        packed, column="user", request_id="file", kind="indices", dtype="int"
    )
    assert status["kind"] == "indices"
    assert named(queue)["file", "indices"] == [12, 13]


def test_parquet_names_keep_their_types(queue, tmp_path):
    pytest.importorskip("pyarrow", reason="needs pyarrow: pip install skunlearn[parquet]")
    frame = pd.DataFrame({"id": np.arange(5), "name": list("abcde"), "ticket": [1, 1, 2, 2, 2]})
    frame.to_parquet(tmp_path / "gone.parquet")
    queue.submit_file(tmp_path / "gone.parquet", column="id", request_column="ticket")
    assert named(queue) == {("1", "ids"): [0, 1], ("2", "ids"): [2, 3, 4]}
    queue.submit_file(tmp_path / "gone.parquet", column="name", request_id="n", kind="groups")
    assert named(queue)["n", "groups"] == list("abcde")
    queue.submit_file(tmp_path / "gone.parquet", column="id", request_id="s", dtype="str")
    assert named(queue)["s", "ids"] == list("01234")
    # From wherever fsspec reads.
    with fsspec.open("memory://lake/gone.parquet", "wb") as file:
        frame.to_parquet(file)
    queue.submit_file("memory://lake/gone.parquet", column="id", request_id="far")
    assert named(queue)["far", "ids"] == [0, 1, 2, 3, 4]
    # Integers that a null has turned into floats.
    frame["id"] = [0.0, 1.0, np.nan, 3.0, 4.0]
    frame.to_parquet(tmp_path / "holes.parquet")
    with pytest.raises(ValueError, match=r"1 rows have no 'id', the first is row 2"):
        queue.submit_file(tmp_path / "holes.parquet", column="id", request_id="holes")
    frame.dropna().to_parquet(tmp_path / "floats.parquet")
    queue.submit_file(tmp_path / "floats.parquet", column="id", request_id="int", dtype="int")
    assert named(queue)["int", "ids"] == [0, 1, 3, 4]


def test_files_that_cannot_be_read_are_all_or_nothing(queue, tmp_path):
    path = tmp_path / "gone.csv"
    path.write_text("request,user\nt1,1\nt2,\nt3,x\n")
    for kwargs, error, match in (
        ({"column": "user", "request_id": "a"}, ValueError, "1 rows have no 'user'"),
        ({"column": "nobody", "request_id": "a"}, ValueError, "its columns are"),
        ({"column": "user"}, TypeError, "Say which request"),
        ({"column": "user", "request_id": "a", "request_column": "request"}, TypeError, "Say"),
        ({"column": "user", "request_id": "a", "dtype": "float"}, ValueError, "dtype"),
        ({"column": "request", "request_id": "a", "kind": "rows"}, ValueError, "kind"),
        ({"column": "request", "request_id": "a", "dtype": "int"}, ValueError, "row 0"),
    ):
        with pytest.raises(error, match=match):
            queue.submit_file(path, **kwargs)
    path.write_text("user\n")
    with pytest.raises(ValueError, match="holds no rows"):
        queue.submit_file(path, column="user", request_id="a")
    path.write_bytes(b"PAR1 and then nothing")
    bad = path.rename(tmp_path / "bad.parquet")
    with pytest.raises((ValueError, ImportError), match=r"cannot be read|pyarrow"):
        queue.submit_file(bad, column="user", request_id="a")
    with pytest.raises(ValueError, match=r"neither \.parquet nor \.csv"):
        queue.submit_file(tmp_path / "gone.xlsx", column="user", request_id="a")
    with pytest.raises(FileNotFoundError):
        queue.submit_file(tmp_path / "none.csv", column="user", request_id="a")
    assert queue.log() == []


# ---------------------------------------------------------------------- stores


@pytest.mark.parametrize("place", ["folder", "file://", "memory://"])
def test_a_store(place, tmp_path):
    url = {"folder": str(tmp_path), "file://": f"file://{tmp_path}", "memory://": "memory://s"}
    store = open_objects(url[place])
    assert isinstance(store, RemoteObjects if place == "memory://" else FolderObjects)
    assert store.names("models") == []
    with pytest.raises(FileNotFoundError):
        store.read("models/a")
    store.write("models/a", b"content")
    store.write("models/b", b"")
    assert store.read("models/a") == b"content"
    assert sorted(store.names("models")) == ["models/a", "models/b"]
    assert store.where("models/a").endswith("a")
    store.delete("models/a")
    assert store.names("models") == ["models/b"]

    class Refused:
        def __enter__(self):
            raise RuntimeError("the lease is gone")

        def __exit__(self, *args):
            return False

    with pytest.raises(RuntimeError):
        store.write("models/c", b"late", Refused())
    assert store.names("models") == ["models/b"]
    store.delete("models/b")


def test_models_of_a_queue_in_a_folder_may_lie_elsewhere(tmp_path):
    X, y, X_test, y_test = rows()
    store = f"memory://{tmp_path.name}"
    queue = DeletionQueue(tmp_path / "queue", batch_size=2, store=store)
    worker = DeletionWorker(queue, make_unlearner("net"), X_test, y_test).start(X, y, ids=IDS)
    queue.submit("a", ids=["user-0"])
    worker.run_once(flush=True)
    fs, root = fsspec.url_to_fs(store)
    assert sorted(path.rpartition("/")[2] for path in fs.find(root)) == [
        "00000001.safetensors",
        "rows.safetensors",
    ]
    assert sorted(os.listdir(queue.folder)) == ["queue.sqlite", "salt", "worker.lock"]
    again = DeletionQueue(tmp_path / "queue", batch_size=2, store=store)
    assert again.load(make_unlearner("net"))[1] == 1


@pytest.mark.parametrize("place", ["folder", "memory://"])
def test_a_start_clears_what_a_killed_one_left(place, tmp_path):
    """Digests of rows in a table that no record names would outlive the rows' corrections."""
    url = {"folder": None, "memory://": f"memory://{tmp_path.name}"}[place]
    queue = DeletionQueue(tmp_path / "queue", store=url)
    for name in ("rows-1.safetensors", ".skunlearn-half", "rows.txt", "models/.skunlearn-half"):
        queue._objects.write(name, b"digests")
    started(queue, "refit")
    names = {name.rpartition("/")[2] for name in queue._objects.names("")}
    assert names - {"queue.sqlite", "salt", "worker.lock", "models"} == {
        "rows.safetensors",
        "rows.txt",
    }
    assert queue._objects.names("models") == ["models/00000000.safetensors"]
