"""Distance to retrained models, in units of their distance to each other."""

import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from skunlearn.evaluation import audit_logits
from skunlearn.metrics import _null, distance_over_null, hellinger_distance

CLASSES = 4


def models(n=300, seed=0):
    """What rows say, four models that say so with noise, and one that is too sure."""
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(n, CLASSES))
    alike = [common + 0.5 * rng.normal(size=common.shape) for _ in range(4)]
    return alike, 4 * common


def test_hellinger_distance_is_that_of_the_textbook():
    (first, second, *_), _ = models(5)
    p, q = softmax(first, axis=1), softmax(second, axis=1)
    expected = np.linalg.norm(np.sqrt(p) - np.sqrt(q), axis=1) / np.sqrt(2)
    assert hellinger_distance(first, second) == pytest.approx(expected)
    assert hellinger_distance(first, first + 100) == pytest.approx(np.zeros(5), abs=1e-7)
    assert hellinger_distance([[1e3, 0.0]], [[0.0, 1e3]]) == pytest.approx([1.0])


def test_one_more_retrained_model_has_a_value_near_one():
    alike, sure = models()
    assert distance_over_null(alike[0], alike[1:]) == pytest.approx(1, abs=0.05)
    assert distance_over_null(sure, alike) > 1.5
    own = np.mean([hellinger_distance(sure, z).mean() for z in alike[:2]])
    null = hellinger_distance(*alike[:2]).mean()
    assert distance_over_null(sure, alike[:2]) == pytest.approx(own / null)


def test_probabilities_are_made_once_for_each_model(monkeypatch):
    made = []
    monkeypatch.setattr(
        _null, "log_softmax", lambda z, axis: made.append(z) or log_softmax(z, axis)
    )
    alike, sure = models(20)
    distance_over_null(sure, alike)
    assert len(made) == 1 + len(alike)


def test_bad_references_are_named():
    alike, sure = models(20)
    with pytest.raises(ValueError, match="two or more references, got 1"):
        distance_over_null(sure, alike[:1])
    with pytest.raises(ValueError, match="say the same"):
        distance_over_null(sure, [alike[0], alike[0]])
    with pytest.raises(ValueError, match="same rows and classes"):
        distance_over_null(sure[:10], alike)


def test_reports_of_several_retrained_models_have_it():
    rng = np.random.default_rng(0)
    labels = {"forget": rng.integers(CLASSES, size=300), "unseen": rng.integers(CLASSES, size=300)}
    sets = {name: models(300, seed) for seed, name in enumerate(labels)}
    outputs = {"mine": {k: sure for k, (_, sure) in sets.items()}}
    for i in range(3):
        outputs[f"retrained ({i})"] = {k: alike[i] for k, (alike, _) in sets.items()}
    names = [name for name in outputs if name != "mine"]
    report = audit_logits(outputs, labels, retrained=names)
    frame = report.frame.query("metric == 'forget over null'").set_index("model")
    expected = distance_over_null(
        outputs["mine"]["forget"], [outputs[name]["forget"] for name in names]
    )
    assert frame.loc["mine", "value"] == pytest.approx(expected)
    assert frame.loc["mine", "low"] < expected < frame.loc["mine", "high"]
    assert frame.loc["mine", "reference"] == 1
    assert not frame.loc["mine", "inside"]
    assert frame.loc[names, "value"].to_numpy() == pytest.approx(np.ones(3), abs=0.1)
    assert "unseen over null" in report.wide
    # One retrained model, or one besides oneself, is no null.
    alone = audit_logits(outputs, labels, retrained=names[:1])
    assert "forget over null" not in alone.wide
    pair = audit_logits(outputs, labels, retrained=names[:2]).wide["forget over null"]
    assert pair.notna().sum() == 2  # mine, and the third model, which is not said to be retrained
