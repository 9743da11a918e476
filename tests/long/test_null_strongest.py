"""Retrained against retrained, by every score at once: alarms no more often than they may."""

import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

from skunlearn.evaluation import audit_logits
from skunlearn.metrics import membership_inference

AUDITS = 200


def subsampled(X, y, rng):
    rows = rng.choice(len(y), int(0.9 * len(y)), replace=False)
    return LogisticRegression().fit(X[rows], y[rows])


def net(X, y, rng):
    """A net that does not learn its rows by heart; another seed, another net."""
    return MLPClassifier(
        (16,), max_iter=15, learning_rate_init=0.01, random_state=rng.integers(1000)
    ).fit(X, y)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    ("train", "n_forget", "n_unseen"),
    [(subsampled, 40, 40), (subsampled, 100, 200), (subsampled, 400, 400), (net, 100, 200)],
)
def test_null_audits_raise_few_alarms(train, n_forget, n_unseen):
    sizes = 160, n_forget, n_unseen
    X, y = make_classification(
        AUDITS * sum(sizes), 10, n_informative=6, n_classes=3, weights=[0.5, 0.3], flip_y=0.2,
        random_state=n_forget,
    )  # fmt: skip
    rng = np.random.default_rng(0)
    alarms = {"verdict": 0, "referenced": 0, "chance": 0}
    for rows in rng.permutation(len(y)).reshape(AUDITS, sum(sizes)):
        parts = np.split(rows, np.cumsum(sizes)[:-1])
        sets = dict(zip(("retain", "forget", "unseen"), parts, strict=True))
        outputs = {}
        for name in ("mine", "retrained"):
            model = train(X[parts[0]], y[parts[0]], rng)
            outputs[name] = {k: model.predict_log_proba(X[r]) for k, r in sets.items()}
        labels = {k: y[r] for k, r in sets.items()}
        report = audit_logits(outputs, labels)
        difference = report.frame.query("metric == 'AUC difference'").iloc[0]
        alarms["referenced"] += not difference["low"] <= 0 <= difference["high"]
        alarms["verdict"] += report.verdicts["mine"].kind != "indistinguishable"
        alone = membership_inference(
            *(part for k in ("forget", "unseen") for part in (outputs["mine"][k], labels[k])),
            attack="strongest",
            random_state=0,
        )
        alarms["chance"] += alone.distinguishable
    assert {name: n / AUDITS for name, n in alarms.items() if n / AUDITS > 0.06} == {}
