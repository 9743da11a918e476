"""Reports that are cut short go on, and measure nothing twice."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from skunlearn import FineTuneUnlearner
from skunlearn._recipe import training
from skunlearn.forget_sets import random_forget_set
from skunlearn.robustness import Corruption, Subpopulation, _measuring
from tests.interpreters import environment
from tests.robustness.reports import make_rows, net, stress
from tests.small import quiet

pytestmark = quiet


def two_sets(rows, folder=None):
    sets = {"some": random_forget_set(rows[1], 20, random_state=0), "class": rows[1] == 5}
    return stress(rows, sets, folder=folder)


@pytest.fixture(scope="module")
def whole(rows):
    """The report of a run that nothing cuts short."""
    return two_sets(rows)


def test_a_killed_run_goes_on(rows, whole, tmp_path, monkeypatch):
    put, done = _measuring.Work._record, []

    def killed(self, *args):
        if len(done) == 20:
            raise KeyboardInterrupt
        done.append(1)
        return put(self, *args)

    monkeypatch.setattr(_measuring.Work, "_record", killed)
    with pytest.raises(KeyboardInterrupt):
        two_sets(rows, tmp_path)
    (file,) = tmp_path.iterdir()
    assert len(file.read_bytes().splitlines()) == 20
    with open(file, "ab") as stream:  # in the middle of a line
        stream.write(b'{"key": "0123", "figu')
    rest = []
    monkeypatch.setattr(
        _measuring.Work, "_record", lambda self, *args: rest.append(1) or put(self, *args)
    )
    assert two_sets(rows, tmp_path).equals(whole)
    assert len(rest) == 2 * 6 * 3 - 20
    lines = [json.loads(line) for line in file.read_bytes().splitlines()]
    assert len({line["key"] for line in lines}) == 36

    def refuse(*args, **kwargs):
        raise AssertionError("nothing is left to train")

    monkeypatch.setattr(training, "train", refuse)
    assert two_sets(rows, tmp_path).equals(whole)
    # Other names for the same questions.
    renamed = stress(
        rows, {"a": rows[1] == 5}, folder=tmp_path,
        unlearners={"b": FineTuneUnlearner(net(), max_epochs=2)},
    )  # fmt: skip
    assert set(renamed["model"]) == {"original", "b", "retrained"}


def live_for(measurements, folder):
    """Run in a process of its own, which the system ends after so many measurements."""
    put, left = _measuring.Work._record, iter(range(measurements))

    def record(self, *args):
        if next(left, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)
        return put(self, *args)

    _measuring.Work._record = record
    two_sets(make_rows(), folder)


@pytest.mark.long
@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_process_killed_by_the_system_goes_on_in_another(rows, whole, tmp_path):
    code = f"from {__name__} import live_for; live_for(25, {str(tmp_path)!r})"
    root = Path(__file__).parents[2]
    # Strings hash otherwise there: keys of measurements must not depend on it.
    environ = environment(PYTHONHASHSEED="77")
    ended = subprocess.run([sys.executable, "-c", code], cwd=root, env=environ, capture_output=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    (file,) = tmp_path.iterdir()
    assert len(file.read_bytes().splitlines()) == 25
    assert two_sets(rows, tmp_path).equals(whole)
    assert len(file.read_bytes().splitlines()) == 36  # none measured twice


def test_what_is_new_is_measured(rows, tmp_path, monkeypatch):
    mask = rows[1] == 5
    stress(rows, {"class": mask}, ["gaussian_noise"], folder=tmp_path)
    counted = []
    put = _measuring.Work._record
    monkeypatch.setattr(
        _measuring.Work, "_record", lambda self, *args: counted.append(1) or put(self, *args)
    )

    def new(**changed):
        counted.clear()
        stress(rows, **({"forget_sets": {"class": mask}, "folder": tmp_path} | changed))
        return len(counted)

    assert new() == 0
    assert new(conditions=["gaussian_noise", Corruption("fog", 1)]) == 3
    other = {"tuned": FineTuneUnlearner(net(), max_epochs=3)}
    assert new(unlearners=other) == 6
    assert new(forget_sets={"class": rows[1] == 7}) == 18
    assert new(random_state=1) == 18
    assert new(value_range=(0, 2)) == 18
    assert len(list(tmp_path.iterdir())) == 3
    half = {"conditions": Subpopulation(np.arange(80) < 40, "half")}
    assert new(**half) == 3
    assert new(**half) == 0
    assert new(conditions=Subpopulation(np.arange(80) < 30, "half")) == 3


def test_files_hold_no_rows_and_damage_is_told(rows, tmp_path):
    mask = rows[1] == 5
    stress(rows, {"class": mask}, folder=tmp_path)
    (file,) = tmp_path.iterdir()
    lines = [json.loads(line) for line in file.read_bytes().splitlines()]
    assert {key for line in lines for key in line} == {"key", "figures", "right", "known"}
    with open(file, "ab") as stream:
        stream.write(b"nonsense\n")
    with pytest.raises(ValueError, match=r"line 19 of .* is no measurement of ours"):
        stress(rows, {"class": mask}, folder=tmp_path)
