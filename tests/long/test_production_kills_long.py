"""Fifty kills at random points, by line of code and by time."""

import signal
import sys
import time

import numpy as np
import pytest

from tests import production_task as task

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
KILLS = 50


@pytest.mark.parametrize("kind", ["net", "refit", "pipeline"])
def test_fifty_kills(kind, tmp_path):
    rng = np.random.default_rng(0)
    began = time.perf_counter()
    expected = task.live(tmp_path / "whole", kind).unlearner
    seconds = time.perf_counter() - began
    lines = task.count_lines(tmp_path / "counted", kind)
    killed = 0
    for run in range(KILLS // 2):
        folder = tmp_path / f"line {run}"
        code = task.end_of(task.live_until, folder, kind, int(rng.integers(1, lines)))
        assert code == -signal.SIGKILL
        task.live(folder, kind)
        task.check_folder(folder, kind, expected)
    folder, run = None, -1
    while killed < KILLS // 2:
        run += 1
        if run % 5 == 0:  # five lives to one folder, each cut short
            if folder is not None:
                task.live(folder, kind)
                task.check_folder(folder, kind, expected)
            folder = tmp_path / f"time {run}"
        after = float(rng.uniform(0, 1.5 * seconds))
        killed += task.end_of(task.live, folder, kind, after=after) == -signal.SIGKILL
    task.live(folder, kind)
    task.check_folder(folder, kind, expected)
