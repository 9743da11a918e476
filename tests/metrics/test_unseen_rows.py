"""Rows that are said to be unseen, and were in fit."""

import numpy as np
import pytest
from sklearn.naive_bayes import GaussianNB

from skunlearn import RetrainUnlearner
from skunlearn.evaluation import audit
from skunlearn.metrics import MIAScorer


def test_forgotten_rows_are_no_unseen_rows():
    """Compared with themselves they show nothing, whatever is remembered."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(300, 3)), rng.integers(2, size=300)
    unlearner = RetrainUnlearner(GaussianNB()).fit(X[:200], y[:200])
    unlearner.unlearn(indices=range(40)).unlearn(indices=range(40, 60))
    for taken in (range(40), range(60), range(50, 90)):
        with pytest.raises(ValueError, match=r"has forgotten, not unseen|are training rows"):
            MIAScorer().measure(unlearner, X[taken], y[taken])
    with pytest.raises(ValueError, match="has forgotten, not unseen"):
        audit(unlearner, X[:60], y[:60])
    half = np.r_[:30, 200:260]  # a few are there by chance
    assert np.isfinite(MIAScorer()(unlearner, X[half], y[half]))
    corrected = RetrainUnlearner(GaussianNB()).fit(X[:200], y[:200])
    corrected.correct(X_new=X[200:240], indices=range(40))
    with pytest.raises(ValueError, match="has forgotten, not unseen"):
        MIAScorer().measure(corrected, X[:40], y[:40])
