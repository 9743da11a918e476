"""What each metric tells apart is stored and shown; the docstrings of weak ones say so."""

import inspect
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from skunlearn import metrics

ROOT = Path(__file__).parents[2]
if not (ROOT / "docs").exists():
    pytest.skip("the sdist holds no site", allow_module_level=True)
sys.path[:0] = [str(ROOT / "docs" / "_ext"), str(ROOT / "benchmarks")]

import bench_metrics  # noqa: E402
import metric_table  # noqa: E402

# Functions that are no measure of a net's memory by themselves, and why.
NOT_MEASURES = {
    "auc": "of numbers",
    "auc_interval": "of numbers",
    "bootstrap_interval": "of numbers",
    "delong_covariance": "of numbers",
    "delong_interval": "of numbers",
    "epsilon_from_counts": "of counts",
    "compare_scores": "membership_inference with scores of any attack",
    "membership_scores": "scores of rows",
    "quantile_attack": "quantile_scores, compared",
    "squared_error": "of a regression",
    "cross_entropy": "of rows",
    "margin": "of rows",
    "true_class_confidence": "of rows",
    "match_weights": "weights",
    "blind_attack": "sees no model",
    "backdoor_success_rate": "of poisoned rows",
    "gaussian_unlearning_score": "of poisoned rows",
    "interclass_confusion": "of mislabelled rows",
    "class_spread_attack": "of a whole class",
}


def test_every_metric_is_in_the_table():
    found = {name.split(",")[0] for name in metric_table.stored()["auc"]}
    public = {name for name in metrics.__all__ if inspect.isfunction(getattr(metrics, name))}
    assert found | NOT_MEASURES.keys() == public
    assert not found & NOT_MEASURES.keys()


def test_figures_are_of_forty_nets_of_several_kinds():
    stored = metric_table.stored()
    assert stored["nets"] >= 40
    for row in stored["auc"].values():
        assert {*metric_table.KNOWING, "batch normalisation"} <= row.keys()
        assert all(0 <= value <= 1 for value in row.values())


def test_the_table_shows_the_stored_figures():
    stored = metric_table.stored()
    stored["auc"]["klom"]["ascent"] = 0.123
    text = "\n".join(metric_table.lines(stored))
    assert text.count("**0.12**") == 1
    for name in stored["auc"]:
        assert f"`~skunlearn.metrics.{name.split(',')[0]}`" in text
    assert (
        ".. include:: ../generated/metric_table.rst"
        in (ROOT / "docs/guide/evaluation.rst").read_text()
    )


def test_weak_metrics_say_so():
    for name in metric_table.weak():
        assert "bench_metrics" in (inspect.getdoc(getattr(metrics, name)) or ""), name
    stored = metric_table.stored()
    stored["auc"]["klom"]["ascent"] = 0.5
    assert "klom" in metric_table.weak(stored)


def test_the_benchmark_tells_what_it_should():
    rng = np.random.default_rng(0)
    same, apart = rng.normal(size=(2, 40))
    table = {"of": {"retrained": same, "like them": same, "apart": apart + 9}}
    assert bench_metrics.summary(table) == {"of": {"like them": 0.5, "apart": 1.0}}
    assert json.loads(bench_metrics.FILE.read_text()) == metric_table.stored()
