"""What the benchmark of all methods stores, and what it counts."""

import importlib.util
import json
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
pytestmark = pytest.mark.skipif(not BENCHMARKS.exists(), reason="a release holds no benchmarks")


@pytest.fixture(scope="module")
def kept():
    spec = importlib.util.spec_from_file_location("store", BENCHMARKS / "_defaults_store.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def row(kept, loss=0.0, entropy=0.0, accuracy=0.0, **more):
    sides = dict.fromkeys(kept.SCORES, loss) | {"entropy": entropy}
    return {"AUC": sides, "distance": 1.0, "named": 0.5, "accuracy": accuracy, "time": 1.0} | more


def test_a_run_that_was_cut_is_continued(kept, tmp_path):
    store = kept.Store(tmp_path / "x.json")
    store.add("task", "FineTune", 0, row(kept, 0.2))
    store.add("task", "CT", 0, {"refused": "no convolution"})
    again = kept.Store(tmp_path / "x.json")
    assert again.has("task", "FineTune", 0)
    assert not again.has("task", "FineTune", 1)
    again.add("task", "FineTune", 1, row(kept, -0.2, warned="it is known by heart"))
    found = json.loads((tmp_path / "x.json").read_text())["task"]
    # The largest difference does not cancel between seeds.
    assert (found["FineTune"]["AUC loss"], found["FineTune"]["worst AUC"]) == (0.0, 0.2)
    assert (found["FineTune"]["warned"], found["FineTune"]["of"]) == (1, 2)
    assert "worst AUC" not in found["CT"]
    again.add("task", "FineTune", 1, row(kept, 0.4))  # in place of the one before
    assert again.tasks["task"]["FineTune"]["AUC loss"] == pytest.approx(0.3)


@pytest.mark.parametrize(
    "made, wrong",
    [
        ({"loss": 0.09, "entropy": 0.05}, 0),
        ({"loss": 0.12}, 1),
        ({"loss": 0.12, "warned": "so it is"}, 0),
        ({"loss": 0.05, "entropy": -0.3}, 1),
        ({"accuracy": -0.05}, 0),  # the original is 4 points below the retrained nets
        ({"accuracy": -0.08}, 1),
    ],
)
def test_what_fails_in_silence(kept, made, wrong):
    found = {
        "original": kept.summary({"0": row(kept, 0.2, 0.1, accuracy=-0.04)}),
        "X": kept.summary({"0": row(kept, **made)}),
        "Sharded": kept.summary({"0": row(kept, 0.9)}),
    }
    assert len(kept.silent_faults(found, "X")) == wrong
    right, faults = kept.count({"task": found})
    assert right == {"task": f"{1 - wrong} of 1"}
    assert set(faults) == {"X"}


def test_the_page_holds_the_stored_table(kept):
    text = (BENCHMARKS / "RESULTS.md").read_text()
    stored = json.loads((BENCHMARKS / "defaults.json").read_text())
    assert kept.render(text, stored) == text
