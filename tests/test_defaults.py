"""What the benchmark of all methods stores, and what it counts."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
pytestmark = pytest.mark.skipif(not BENCHMARKS.exists(), reason="a release holds no benchmarks")


def load(name):
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def kept():
    return load("_defaults_store")


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


def test_rows_that_were_judged_otherwise_are_marked_until_they_are_run_again(kept, tmp_path):
    store = kept.Store(tmp_path / "x.json")
    store.add("task", "X", 0, row(kept, older=True))
    store.add("task", "X", 1, row(kept))
    assert kept.cell(store.tasks["task"], "X").endswith("†")
    store.add("task", "X", 0, row(kept))
    assert "†" not in kept.cell(store.tasks["task"], "X")


@pytest.fixture
def bench(monkeypatch):
    """The script, and a task that takes no time."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    script = load("bench_defaults")
    torch.set_num_threads(1)

    def small(seed):
        rng = np.random.default_rng(seed)
        y = np.tile([0, 1], 60)
        X = (rng.normal(size=(120, 4)) + y[:, None]).astype(np.float32)
        net = script.TASKS["tabular-rows"](0)[0].set_params(
            module__n_in=4, module__n_out=2, module__width=4, max_epochs=3
        )
        return net, X[:60], y[:60], X[60:], y[60:], np.arange(6)

    monkeypatch.setitem(script.TASKS, "small", small)
    return script


def test_times_are_over_the_retraining_of_the_same_run(bench, monkeypatch):
    store, clock = bench.Store(None), {"now": 0.0}
    methods = ["FineTune", "NoT"]

    def run_all(pace, wanted, again=False):
        """On a machine on which whatever is timed takes `pace` seconds."""

        def tick():
            clock["now"] += pace
            return clock["now"]

        monkeypatch.setattr(bench.time, "process_time", tick)
        due = store.list_due("small", 0, wanted, again)
        if due:
            bench.run("small", 0, due, store, None)
        return due

    baselines = ["original", "retrained", "floor"]
    assert run_all(1.0, methods[:1]) == [*baselines, "FineTune"]
    # Continued on a slower one, or run again there.
    assert run_all(7.0, methods) == ["NoT"]
    assert run_all(3.0, methods) == []
    assert run_all(5.0, methods, again=True) == methods
    assert run_all(2.0, ["NoT", "floor"], again=True) == ["floor", "NoT"]
    for name in ("retrained", "floor", *methods):
        assert store.tasks["small"][name]["time"] == 1.0
    assert store.tasks["small"]["original"]["time"] == 0.0


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
        "retrained": kept.summary({"0": row(kept, 0.01), "1": row(kept, -0.03)}),
        "X": kept.summary({"0": row(kept, **made)}),
        "Sharded": kept.summary({"0": row(kept, 0.9)}),
    }
    assert len(kept.silent_faults(found, "X")) == wrong
    right, faults = kept.count({"task": found})
    assert right == {"task": f"{1 - wrong} of 1"}
    assert set(faults) == {"X"}


def test_a_quiet_run_is_compared_with_the_original_of_its_seed(kept):
    poor, good = (kept.summary({"0": row(kept, 0.2, accuracy=a)})["seeds"]["0"] for a in (-0.04, 0))
    found = {
        "original": kept.summary({"0": poor, "1": good}),
        "retrained": kept.summary({"0": row(kept)}),
        "X": kept.summary({"0": row(kept, accuracy=-0.06), "1": row(kept, warned="so it is")}),
        "Y": kept.summary({"0": row(kept, warned="so"), "1": row(kept, accuracy=-0.04)}),
    }
    assert kept.silent_faults(found, "X") == []
    assert kept.silent_faults(found, "Y") == ["accuracy -4"]


def test_what_retrained_nets_are_apart_is_no_fault(kept):
    found = {
        "original": kept.summary({"0": row(kept, 0.2, 0.2)}),
        "retrained": kept.summary({"0": row(kept, 0.16, -0.1), "1": row(kept, -0.14, 0.1)}),
        "X": kept.summary({"0": row(kept, 0.14, -0.09)}),
        "Y": kept.summary({"0": row(kept, 0.16, -0.11)}),
    }
    assert kept.silent_faults(found, "X") == []
    assert len(kept.silent_faults(found, "Y")) == 2
    assert kept.silent_faults(found, "retrained") == []


def test_no_row_is_both_the_requests_and_the_referees():
    tasks = load("_defaults_tasks")
    _, X, _, X_unseen, y_unseen, _ = tasks.TASKS["digits-class"](0)
    given, judged = tasks.share_unseen(X_unseen, y_unseen, 0)
    rows = [{row.tobytes() for row in part} for part in (X, given[0], judged[0])]
    assert not (rows[0] | rows[1]) & rows[2]
    assert len(given[0]) + len(judged[0]) == len(X_unseen)
    # As many of each class, but for the odd one; the labels stay with their rows.
    counts = [np.bincount(labels, minlength=10) for _, labels in (given, judged)]
    assert np.abs(counts[0] - counts[1]).max() <= 1
    labels = {row.tobytes(): label for row, label in zip(X_unseen, y_unseen, strict=True)}
    assert all(labels[row.tobytes()] == label for row, label in zip(*judged, strict=True))


def test_the_page_holds_the_stored_table(kept):
    text = (BENCHMARKS / "RESULTS.md").read_text()
    stored = json.loads((BENCHMARKS / "defaults.json").read_text())
    assert kept.render(text, stored) == text
