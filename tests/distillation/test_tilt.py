"""DELETE with a target that is tilted towards classes like the forgotten one."""

import numpy as np
import pytest
from scipy.special import softmax
from skorch import NeuralNetBinaryClassifier
from torch import nn

from skunlearn import DELETEUnlearner
from skunlearn.exceptions import UnlearningError
from tests.method_nets import linear, weight
from tests.small import quiet

pytestmark = quiet


@pytest.fixture
def five():
    """Rows of five classes; 3 is like 2."""
    rng = np.random.default_rng(0)
    centres = np.array([[3, 0, 0, 0], [0, 3, 0, 0], [0, 0, 3, 0], [0, 0, 3, 1], [0, 0, 0, -3]])
    y = np.repeat(np.arange(5), 30)
    return (centres[y] + rng.normal(size=(150, 4))).astype(np.float32), y


def five_classes(**params):
    return linear(module__out_features=5, max_epochs=60, **params)


def tilted(tilt, **params):
    return DELETEUnlearner(
        five_classes(), tilt=tilt, bound=1e9, max_norm=1e9, random_state=0, **params
    )


def similarities(W, c, kept):
    V = W - W.mean(axis=0)
    V /= np.linalg.norm(V, axis=1, keepdims=True)
    others = [k for k in kept if k != c]
    found = np.zeros(len(W))
    found[others] = softmax(10 * (V @ V[c])[others])
    return found


@pytest.mark.parametrize("gone", [[2], [2, 4]])
def test_a_step_is_that_of_the_formula(five, gone):
    X, y = five
    rows = np.flatnonzero(np.isin(y, gone))
    kept = np.setdiff1d(y, gone)
    unlearner = tilted(4.0, lr=0.5, max_epochs=1, schedule="constant").fit(X, y)
    W = weight(unlearner)
    p = softmax(X[rows] @ W.T, axis=1)
    target = p * np.exp(4.0 * np.array([similarities(W, c, kept) for c in y[rows]]))
    target[np.arange(len(rows)), y[rows]] = 0
    target /= target.sum(axis=1, keepdims=True)
    step = (p - target).T @ X[rows] / len(rows)
    assert weight(unlearner.unlearn(indices=rows)) == pytest.approx(W - 0.5 * step, abs=1e-5)


def test_no_tilt_spreads_the_probability_in_proportion(five):
    """p_k + p_c · p_k / (1 − p_c) is what is left with the class taken out."""
    X, y = five
    rows = np.flatnonzero(y == 2)
    unlearner = tilted(0.0, lr=0.5, max_epochs=1, schedule="constant").fit(X, y)
    W = weight(unlearner)
    p = softmax(X[rows] @ W.T, axis=1)
    target = p + p[:, [2]] * p / (1 - p[:, [2]])
    target[:, 2] = 0
    step = (p - target).T @ X[rows] / len(rows)
    assert weight(unlearner.unlearn(indices=rows)) == pytest.approx(W - 0.5 * step, abs=1e-5)


def test_rows_go_to_the_likest_class(five):
    X, y = five
    rows = np.flatnonzero(y == 2)
    found = {}
    for tilt in (0.0, 3.0, 10.0):
        unlearner = tilted(tilt, lr=0.3, max_epochs=40).fit(X, y).unlearn(indices=rows)
        found[tilt] = unlearner.predict_proba(X[rows])[:, 3].mean()
    assert found[0.0] < found[3.0] < found[10.0]


def test_nets_without_a_row_of_weights_for_each_class_are_refused(five):
    X, y = five
    rows = y < 2
    net = NeuralNetBinaryClassifier(nn.Linear, module__in_features=4, module__out_features=1,
                                    max_epochs=5, train_split=None, verbose=0)  # fmt: skip
    unlearner = DELETEUnlearner(net, tilt=1.0, random_state=0).fit(X[rows], y[rows])
    with pytest.raises(UnlearningError, match="Leave tilt= at 0"):
        unlearner.unlearn(indices=np.flatnonzero(y[rows] == 1))
    assert unlearner.deletions_ == []
    with pytest.raises(ValueError, match="tilt"):
        tilted(-1.0).fit(X, y)
