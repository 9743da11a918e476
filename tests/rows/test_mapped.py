"""Rows in files: what was read of them is given back, and nothing else changes."""

import mmap
import re
from pathlib import Path

import numpy as np
import pytest

from skunlearn import FineTuneUnlearner
from skunlearn._rows import mapped
from skunlearn._rows.containers import row_digests
from skunlearn._rows.mapped import Reading
from skunlearn.utils._check_tools import parameters, same_parameters
from tests.small import FORGET, net, quiet

linux = pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="reads Linux's /proc")


def on_disk(X, path, mode="r"):
    X.tofile(path)
    return np.memmap(path, X.dtype, mode, shape=X.shape)


@quiet
def test_the_same_model_as_from_memory(data, tmp_path, monkeypatch):
    X, y = data
    monkeypatch.setattr(mapped, "HELD", 1)  # after every batch
    runs = [
        FineTuneUnlearner(net(), random_state=0).fit(rows, y).unlearn(indices=FORGET)
        for rows in (X, on_disk(X, tmp_path / "X"), {"X": on_disk(X, tmp_path / "Y")}["X"])
    ]
    for run in runs[1:]:
        assert same_parameters(parameters(runs[0].estimator_), parameters(run.estimator_))


def test_values_of_files_are_checked(data, tmp_path):
    X, y = data
    X[59, 3] = np.nan
    with pytest.raises(ValueError, match="Input X contains NaN"):
        FineTuneUnlearner(net(), random_state=0).fit(on_disk(X, tmp_path / "X"), y)


@linux
def test_pages_are_given_back(tmp_path):
    X = np.memmap(tmp_path / "X", np.float32, "w+", shape=(4096, 2**14))  # 256 MB, sparse
    X.flush()
    row_digests(X[1:])
    reading = Reading(X[1:])
    assert reading
    reading.done(mapped.HELD)
    assert resident(tmp_path / "X") == 0
    assert X[:100].sum() == 0
    assert resident(tmp_path / "X") > 0


def resident(path):
    """kB of a mapped file in memory."""
    found = re.findall(rf"{re.escape(str(path))}\nSize.*?\nRss: +(\d+) kB", smaps(), re.S)
    return sum(map(int, found))


def smaps():
    return Path("/proc/self/smaps").read_text()


def test_what_was_written_to_a_private_copy_stays(data, tmp_path):
    X = on_disk(data[0], tmp_path / "X", "c")
    X[0] = 7
    reading = Reading(X)
    assert not reading
    reading.done(mapped.HELD)
    assert (X[0] == 7).all()


def test_other_arrays_are_left_alone(data):
    assert not Reading(data[0])
    assert not Reading(np.frombuffer(mmap.mmap(-1, 64), np.uint8))
