"""Distance to retrained models, in units of their distance to each other."""

from itertools import combinations

import numpy as np
import pytest
from scipy.special import log_softmax, softmax
from sklearn.datasets import load_diabetes
from sklearn.tree import DecisionTreeRegressor

from skunlearn import RetrainUnlearner
from skunlearn.evaluation import audit, audit_logits
from skunlearn.metrics import _null, distance_over_null, hellinger_distance, row_distances

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


def test_worst_rows_stand_beside_the_null():
    """One row of three hundred gives itself away; means hide it, and one more model has none."""
    alike, _ = models()
    honest, retrained = alike[0], alike[1:]
    leaky = honest.copy()
    leaky[17] = -20 * leaky[17]
    found, plain = (row_distances(z, retrained) for z in (leaky, honest))
    assert found.mean == pytest.approx(plain.mean, rel=0.05)
    assert plain.worst == pytest.approx(plain.null_worst, rel=0.2)
    assert found.worst_row == 17
    assert found.worst > 1.5 * found.null_worst_range[1]
    pairs = [hellinger_distance(a, b) for a, b in combinations(retrained, 2)]
    assert found.null_worst == pytest.approx(np.mean([d.max() for d in pairs]))
    assert found.null_high == pytest.approx(np.mean([np.quantile(d, 0.95) for d in pairs]))
    own = [hellinger_distance(leaky, z) for z in retrained]
    assert found.worst == pytest.approx(np.mean([d.max() for d in own]))
    assert found.high == pytest.approx(np.mean([np.quantile(d, 0.95) for d in own]))
    assert found.distances == pytest.approx(np.mean(own, axis=0))
    with pytest.raises(ValueError, match="row_distances needs two or more"):
        row_distances(leaky, retrained[:1])
    with pytest.raises(ValueError, match="share must lie"):
        row_distances(leaky, retrained, share=1.0)


def test_reports_set_worst_rows_beside_the_null():
    labels = {k: np.zeros(300, dtype=int) for k in ("forget", "retain", "unseen")}
    sets = {name: models(300, seed)[0] for seed, name in enumerate(labels)}
    outputs = {f"retrained ({i})": {k: a[i] for k, a in sets.items()} for i in range(3)}
    names = list(outputs)
    outputs["mine"] = {k: a[3].copy() for k, a in sets.items()}
    outputs["mine"]["forget"][17] *= -20
    report = audit_logits(outputs, labels, retrained=names)
    found = row_distances(outputs["mine"]["forget"], [outputs[name]["forget"] for name in names])
    for metric, value, null in (
        ("forget worst row", found.worst, found.null_worst),
        ("forget 95% row", found.high, found.null_high),
    ):
        frame = report.frame[report.frame["metric"] == metric].set_index("model")
        assert frame.loc["mine", "value"] == pytest.approx(value)
        assert frame["reference"].to_numpy() == pytest.approx(np.full(4, null))
        assert frame.loc[names, "value"].mean() == pytest.approx(null)
    worst = report.frame.query("metric == 'forget worst row' and model == 'mine'").iloc[0]
    assert (worst["reference low"], worst["reference high"]) == found.null_worst_range
    assert not worst["inside"]
    for text in (str(report.table()), report.to_html()):
        assert "worst row" in text
    # Two retrained models are one pair, without a range; of one alone there is no null to print.
    pair = audit_logits(outputs, labels, retrained=names[:2]).frame
    assert pair.query("metric == 'unseen worst row'")["reference low"].isna().all()
    assert "forget worst row" not in audit_logits(outputs, labels, retrained=names[:1]).wide


def test_worst_rows_of_regressions_and_of_several_labels():
    X, y = load_diabetes(return_X_y=True)
    tree = DecisionTreeRegressor(max_features=3, max_depth=4)
    unlearner = RetrainUnlearner(tree, random_state=0).fit(X[::2], y[::2])
    report = audit(unlearner.unlearn(indices=range(0, 220, 4)), X[1::2], y[1::2], n_seeds=3)
    frame = report.frame.query("metric == 'forget worst row'").set_index("model")
    retrained = frame.drop("RetrainUnlearner")["value"].to_numpy()
    assert frame["reference"].to_numpy() == pytest.approx(np.full(4, retrained.mean()))
    assert "forget over null" not in report.wide

    labels = {k: np.random.default_rng(0).integers(2, size=(50, 3)) for k in ("forget", "unseen")}
    sets = {k: np.random.default_rng(1).normal(size=(3, 50, 3)) for k in labels}
    outputs = {f"retrained ({i})": {k: z[i] for k, z in sets.items()} for i in range(3)}
    wide = audit_logits(outputs, labels, retrained=list(outputs)).wide
    binary = [np.column_stack([np.zeros(150), z.ravel()]) for z in sets["forget"]]
    apart = [hellinger_distance(binary[0], z).reshape(50, 3).mean(axis=1) for z in binary[1:]]
    expected = np.mean([d.max() for d in apart])
    assert wide.loc["retrained (0)", "forget worst row"] == pytest.approx(expected)
