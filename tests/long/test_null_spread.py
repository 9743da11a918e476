"""Nets that never saw a class are told from others that did not no more often than they may."""

import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

from skunlearn.metrics import class_spread_attack

AUDITS, CLASSES, GONE = 200, 5, 0


def subsampled(X, y, rng):
    rows = rng.choice(len(y), int(0.9 * len(y)), replace=False)
    return LogisticRegression().fit(X[rows], y[rows])


def net(X, y, rng):
    return MLPClassifier(
        (16,), max_iter=15, learning_rate_init=0.01, random_state=rng.integers(10**6)
    ).fit(X, y)


def answers(model, X):
    z = np.full((len(X), CLASSES), -60.0)
    z[:, model.classes_] = np.log(model.predict_proba(X) + 1e-300)
    return z


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    ("train", "references"), [(subsampled, 2), (subsampled, 3), (subsampled, 5), (net, 3)]
)
def test_null_audits_raise_few_alarms(train, references):
    n = 450
    X, y = make_classification(
        AUDITS * n, 12, n_informative=8, n_classes=CLASSES, n_clusters_per_class=1, flip_y=0.1,
        random_state=references,
    )  # fmt: skip
    rng = np.random.default_rng(0)
    alarms = []
    for rows in rng.permutation(len(y)).reshape(AUDITS, n):
        train_rows, unseen = rows[:250], rows[250:]
        forget, kept = (train_rows[(y[train_rows] == GONE) == gone] for gone in (True, False))
        mine, *others = (
            [answers(model, X[part]) for part in (forget, unseen)]
            for model in (train(X[kept], y[kept], rng) for _ in range(references + 1))
        )
        found = class_spread_attack(mine[0], y[forget], mine[1], y[unseen], others)
        alarms.append(found.distinguishable)
    assert np.mean(alarms) <= 0.06
