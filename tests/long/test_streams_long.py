"""A thousand requests, one by one, with restarts."""

import pickle

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.tree import DecisionTreeClassifier

from skunlearn import (
    CertifiedRemovalUnlearner,
    DescentToDeleteUnlearner,
    FineTuneUnlearner,
    LangevinUnlearner,
    RetrainUnlearner,
    RidgeUnlearner,
    ShardedUnlearner,
)
from skunlearn.evaluation import deletion_stream
from tests.instances import make_net

pytestmark = [
    pytest.mark.long,
    pytest.mark.filterwarnings("ignore::skunlearn.exceptions.PrivacyBudgetWarning"),
    pytest.mark.filterwarnings("ignore::skunlearn.exceptions.NotForgottenWarning"),
]
ROWS, REQUESTS = 4000, 1000


def task(regression=False):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(ROWS + 1000, 6)).astype(np.float32)
    signal = X @ np.array([1, -1, 0.5, 0, 0, 0], dtype=np.float32)
    noise = rng.normal(size=len(X)).astype(np.float32)
    y = signal + noise if regression else (signal + noise > 0).astype(int)
    return X[:ROWS], y[:ROWS], X[ROWS:], y[ROWS:]


def followed(unlearner, X, y, X_test, y_test, requests):
    """The unlearner after all requests, restarted from a pickle after every quarter."""
    unlearner.fit(X, y)
    audits = []
    quarter = len(requests) // 4
    for k in range(1, 5):
        part = requests[: k * quarter]
        stream = deletion_stream(unlearner, part, X_test, y_test, every=100, reference=k == 4)
        audits += list(stream)
        unlearner = pickle.loads(pickle.dumps(unlearner))
    return unlearner, audits


@pytest.mark.parametrize(
    "unlearner",
    [
        RidgeUnlearner(Ridge(), random_state=0),
        ShardedUnlearner(DecisionTreeClassifier(max_depth=4), n_shards=20, random_state=0),
        CertifiedRemovalUnlearner(LogisticRegression(C=0.1), random_state=0),
        DescentToDeleteUnlearner(LogisticRegression(C=0.1), random_state=0),
        LangevinUnlearner(LogisticRegression(C=0.1), random_state=0),
    ],
    ids=lambda unlearner: type(unlearner).__name__,
)
def test_thousand_requests_one_by_one(unlearner):
    X, y, X_test, y_test = task(regression=isinstance(unlearner, RidgeUnlearner))
    gone = np.random.default_rng(1).permutation(ROWS)[:REQUESTS]
    kept = np.setdiff1d(np.arange(ROWS), gone)
    exact = unlearner._make_promises().exact
    unlearner, audits = followed(unlearner, X, y, X_test, y_test, list(gone))
    assert len(unlearner.deletions_) == REQUESTS
    assert np.array_equal(np.flatnonzero(~unlearner._record.retained), np.sort(gone))
    assert audits[-1]["requests"] == REQUESTS
    if exact:
        again = type(unlearner)(**unlearner.get_params(deep=False)).fit(X[kept], y[kept])
        assert np.allclose(unlearner.predict(X), again.predict(X), rtol=1e-4, atol=1e-4)
    else:
        spent = [entry["proved"]["epsilon"] for entry in unlearner.deletions_]
        assert max(spent) <= unlearner.epsilon
        assert abs(audits[-1]["score"] - audits[-1]["score retrained"]) < 0.05
    distances = [abs(a["AUC"] - a["AUC retrained"]) for a in audits if "AUC retrained" in a]
    assert max(distances) < 0.06


def test_thousand_rows_in_batches_from_a_net():
    X, y, X_test, y_test = task()
    net = make_net(module__n_out=2, max_epochs=5)
    gone = np.random.default_rng(1).permutation(ROWS)[:REQUESTS]
    _, audits = followed(
        FineTuneUnlearner(net, max_epochs=1, random_state=0),
        X, y, X_test, y_test, np.array_split(gone, 20),
    )  # fmt: skip
    assert audits[-1]["rows"] == REQUESTS
    retrained = RetrainUnlearner(net, random_state=0).fit(np.delete(X, gone, 0), np.delete(y, gone))
    assert abs(audits[-1]["score"] - retrained.score(X_test, y_test)) < 0.03
