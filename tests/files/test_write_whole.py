"""Files appear whole and synced, or not at all, whoever writes them."""

import os
import stat
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

import skunlearn
from skunlearn._files import tensor_files
from skunlearn._files.write_whole import write_whole, written_whole
from skunlearn._rows.record import TrainingRecord
from skunlearn.shadow._margin_store import Store


@pytest.fixture
def steps(monkeypatch):
    """What is done to files, in order: "sync file", "appear", "sync folder"."""
    done, sync, replace = [], os.fsync, os.replace

    def fsync(handle):
        folder = stat.S_ISDIR(os.fstat(handle).st_mode)
        done.append(("sync folder" if folder else "sync file", os.fstat(handle).st_size))
        sync(handle)

    def appear(part, path):
        done.append(("appear", Path(part).stat().st_size))
        replace(part, path)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", appear)
    return done


@pytest.mark.skipif(sys.platform == "win32", reason="folders cannot be synced")
@pytest.mark.parametrize("kind", ["bytes", "tensors", "margins"])
def test_a_file_is_on_disk_before_it_has_its_name(tmp_path, steps, kind):
    if kind == "bytes":
        write_whole(tmp_path / "file", b"x" * 100)
    elif kind == "tensors":
        tensor_files.write(tmp_path / "file", {}, {"a": 1})
    else:
        rows = TrainingRecord(np.eye(5), np.arange(5))
        Store(tmp_path, "key", rows).put(0, np.ones(5))
    *_, synced, appeared, folder = steps
    assert (synced[0], appeared[0], folder[0]) == ("sync file", "appear", "sync folder")
    assert synced[1] == appeared[1] > 0


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "file"
    write_whole(path, b"old")

    @contextmanager
    def refuse():
        raise KeyboardInterrupt
        yield

    with pytest.raises(KeyboardInterrupt):
        write_whole(path, b"new", refuse())

    def stop(part):
        Path(part).write_bytes(b"half")
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"), written_whole(path) as part:
        stop(part)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_nobody_else_renames_files():
    """A cache of images is a folder, which is renamed as a whole."""
    root = Path(skunlearn.__file__).parent
    found = {
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        if "os.replace(" in path.read_text() or "mkstemp(" in path.read_text()
    }
    assert found == {"_files/write_whole.py", "datasets/_cache.py"}


def test_a_folder_that_is_missing_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no such folder.*missing'$"):
        write_whole(tmp_path / "missing" / "file", b"x")
