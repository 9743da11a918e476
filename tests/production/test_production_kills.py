"""A worker that is killed at any moment goes on where it was; two do not get in each other's way.

Kills at fifty random points are in tests/long.
"""

import signal
import sys

import pytest

from skunlearn.production._lease import worker_lock
from tests import production_task as task

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")

# In their order in a life. Between the last two the model is on disk and not yet valid.
POINTS = [
    ("_journal.Journal.create", "after"),
    ("queue.DeletionQueue.submit", "after"),
    ("_versions.RowTable.write", "after"),
    ("_versions.Versions.write", "after"),
    ("_batches.BatchMixin._set_version", "after"),  # within the first transaction
    ("_batches.BatchMixin._open_batch", "after"),
    ("_batches.BatchMixin._finish", "before"),
    ("_batches.BatchMixin._finish", "after"),
    ("_batches.BatchMixin._finish", "before"),
]


@pytest.mark.parametrize(
    "kind", [*("net", "refit"), pytest.param("pipeline", marks=pytest.mark.long)]
)
def test_killed_between_any_two_steps(kind, tmp_path):
    expected = task.live(tmp_path / "whole", kind).unlearner
    folder = tmp_path / "killed"
    for name, when in POINTS:
        code = task.end_of(task.live_until_call, folder, kind, name, when)
        assert code == -signal.SIGKILL, (name, when)
    task.live(folder, kind)
    task.check_folder(folder, kind, expected)


def test_killed_at_some_lines(tmp_path):
    expected = task.live(tmp_path / "whole", "net").unlearner
    lines = task.count_lines(tmp_path / "counted", "net")
    folder = tmp_path / "killed"
    for part in (0.15, 0.4, 0.5):
        code = task.end_of(task.live_until, folder, "net", int(part * lines))
        assert code == -signal.SIGKILL
    task.live(folder, "net")
    task.check_folder(folder, "net", expected)


def test_two_workers_at_once(tmp_path):
    expected = task.live(tmp_path / "whole", "net").unlearner
    folder = tmp_path / "shared"
    lives = [task.CONTEXT.Process(target=task.live, args=(folder, "net")) for _ in range(2)]
    for process in lives:
        process.start()
    for process in lives:
        process.join(120)
    assert [process.exitcode for process in lives] == [0, 0]
    task.live(folder, "net")  # the one that was locked out may have left before the other
    task.check_folder(folder, "net", expected)


def test_the_lock(tmp_path):
    path = tmp_path / "lock"
    with worker_lock(path, wait=False) as first:
        assert first
        with worker_lock(path, wait=False) as second:
            assert not second
    with worker_lock(path, wait=True) as again:
        assert again
    assert task.end_of(hold, path) == -signal.SIGKILL
    with worker_lock(path, wait=False) as free:  # the system took it from the dead
        assert free


def hold(path):
    import os

    with worker_lock(path, wait=False) as taken:
        assert taken
        os.kill(os.getpid(), signal.SIGKILL)
