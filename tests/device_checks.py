"""What is asked of a net on any device, beside training it."""

import numpy as np

from skunlearn.evaluation import audit
from skunlearn.influence import influence
from skunlearn.metrics import MIAScorer
from skunlearn.shadow import ShadowModels


def check_attacks(unlearner, net, X, y, n):
    """Attacks, an audit, shadow models and influence; the first `n` rows are trained on."""
    unlearner.fit(X[:n], y[:n])
    scores = influence(unlearner, X[:n], y[:n], X[n : n + 3], y[n : n + 3])
    unlearner.unlearn(indices=np.arange(6))
    found = MIAScorer(reference="retrain").measure(unlearner, X[n:], y[n:])
    report = audit(unlearner, X[n:], y[n:])
    shadows = ShadowModels(net, n_models=4, random_state=0).fit(X, y)
    attacked = shadows.attack(unlearner.estimator_, forget=range(6), unseen=range(n, len(y)))
    assert 0 <= found.auc <= 1
    assert 0 <= attacked.auc <= 1
    assert "retrained" in str(report)
    assert np.isfinite(scores).all()
