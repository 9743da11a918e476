"""The table that `make bench` prints."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
pytestmark = pytest.mark.skipif(not BENCHMARKS.exists(), reason="a release holds no benchmarks")


def test_ratios_and_goals_make_a_table_and_json(tmp_path):
    for name, goals in {
        "bench_a.py": "goal('one', 1.0, at_most=1.1); goal('two', 0.9, at_least=0.95)",
        "bench_b.py": "goal('three', 2.0, at_most=2.0); raise SystemExit(3)",
    }.items():
        head = f"import sys; sys.path.insert(0, {str(BENCHMARKS)!r}); from _goals import goal; "
        (tmp_path / name).write_text(head + goals)
    files = [str(tmp_path / name) for name in ("bench_a.py", "bench_b.py")]
    command = [sys.executable, str(BENCHMARKS / "run.py"), *files, "--json", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert "failed: bench_b.py" in done.stderr
    assert "2 of 3 goals met" in done.stdout
    found = json.loads((tmp_path / "out").read_text())
    assert [(g["file"], g["name"], g["met"]) for g in found["goals"]] == [
        ("bench_a.py", "one", True),
        ("bench_a.py", "two", False),
        ("bench_b.py", "three", True),
    ]
    assert found["failed"] == ["bench_b.py"]
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- goals: begin -->\nold\n<!-- goals: end -->\nafter\n")
    command = [*command[:2], "--json", str(tmp_path / "out"), "--page", str(page)]
    subprocess.run(command, check=True)
    told = page.read_text()
    assert told.startswith("before\n")
    assert told.endswith("<!-- goals: end -->\nafter\n")
    assert "old" not in told
    assert "2 of 3 goals are met." in told
    rows = [line for line in told.splitlines() if line.startswith("| ")][1:]
    assert rows[0] == "| two | 0.900 | ≥ 0.95 | SHORT |"
    assert rows[1:] == ["| one | 1.000 | ≤ 1.1 | pass |", "| three | 2.000 | ≤ 2 | pass |"]


def test_one_seed_has_no_spread(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from _timing import plus_minus

    assert plus_minus(1.234, 0.1) == "1.23 ± 0.10"
    assert plus_minus(1.234, 0.1, "+8.1f") == "    +1.2 ± 0.1"
    assert plus_minus(1.234, None) == plus_minus(1.234, float("nan")) == "1.23"
    assert plus_minus(float("nan"), float("nan")) == ""
