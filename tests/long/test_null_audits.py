"""Audits of models that truly never saw the forget set: no false alarms beyond the level."""

import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression

from skunlearn.evaluation import audit_logits

AUDITS = 1000
ATTACKS = ("margin", "entropy", "modified_entropy")


@pytest.fixture(scope="module")
def reports():
    X, y = make_classification(
        200_000, 10, n_informative=6, n_classes=3, weights=[0.5, 0.3], flip_y=0.2, random_state=0
    )
    found = []
    rng = np.random.default_rng(0)
    for rows in rng.permutation(len(y))[: AUDITS * 200].reshape(AUDITS, 200):
        parts = np.split(rows, [80, 120])
        names = ("retain", "forget", "unseen")
        # One recipe, two seeds: the candidate is a retraining too.
        models = {
            name: LogisticRegression(C=0.1).fit(X[train], y[train])
            for name in ("mine", "retrained")
            if len(train := rng.choice(parts[0], 72, replace=False))
        }
        outputs = {
            model: {k: fitted.predict_log_proba(X[r]) for k, r in zip(names, parts, strict=True)}
            for model, fitted in models.items()
        }
        for sets in outputs.values():
            sets.pop("retain")
        labels = {k: y[r] for k, r in zip(names, parts, strict=True) if k != "retain"}
        found.append(audit_logits(outputs, labels, attacks=ATTACKS, random_state=0))
    return found


@pytest.mark.parametrize("label", ["AUC", "AUC entropy", "AUC modified entropy"])
def test_intervals_cover_one_half(reports, label):
    figures = [r.frame.query(f"metric == '{label}' and model == 'mine'").iloc[0] for r in reports]
    covered = np.mean([row["low"] <= 0.5 <= row["high"] for row in figures])
    assert 0.93 <= covered <= 0.97


def test_verdicts_raise_few_alarms(reports):
    """An attack and an accuracy, each at the 5 % level or, being cautious, below."""
    alarms = np.mean([r.verdicts["mine"].kind != "indistinguishable" for r in reports])
    assert alarms <= 0.06


def test_epsilon_bounds_are_rarely_above_zero(reports):
    figures = [
        r.frame.query("metric == 'epsilon at least' and model == 'mine'")["value"].item()
        for r in reports
    ]
    assert np.mean(np.array(figures) > 0) <= 0.05
