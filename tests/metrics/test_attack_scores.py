"""What attacks look at: a score of each row, by what a model says of it."""

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, softmax

from skunlearn.metrics import (
    cross_entropy,
    margin,
    membership_inference,
    membership_scores,
    squared_error,
    true_class_confidence,
)

# Logits (float32), labels and each row's loss by adversarial-robustness-toolbox 1.20.1,
# PyTorchClassifier(Identity(), CrossEntropyLoss()).compute_loss(reduction="none").
LOGITS = [
    [0.0, 1.19, -1.1, -3.56],
    [-1.82, -3.97, 0.24, 5.36],
    [-1.97, -2.48, 1.96, 1.43],
    [0.42, -3.72, -0.12, 2.78],
    [-5.38, -1.83, -7.6, -5.16],
    [-7.37, -0.94, -5.07, 1.09],
]
LABELS = np.array([0, 3, 2, 1, 1, 0])
ART_LOSS = [
    1.536521315574646,
    0.006803206168115139,
    0.48245367407798767,
    6.640584945678711,
    0.06544820964336395,
    8.585451126098633,
]


def test_loss_agrees_with_art():
    assert cross_entropy(LOGITS, LABELS) == pytest.approx(ART_LOSS, rel=1e-5)


def test_scores_agree_with_torch():
    rng = np.random.default_rng(0)
    z, y = rng.normal(0, 5, (200, 7)), rng.integers(7, size=200)
    log_p = -torch.nn.functional.cross_entropy(
        torch.tensor(z), torch.tensor(y), reduction="none"
    ).numpy()
    assert cross_entropy(z, y) == pytest.approx(-log_p, rel=1e-9)
    assert true_class_confidence(z, y) == pytest.approx(np.exp(log_p), rel=1e-9)
    p = softmax(z, axis=1)
    p_y = p[np.arange(200), y]
    rest = p.sum(axis=1) - p_y
    clear = rest > 1e-6
    assert margin(z, y)[clear] == pytest.approx(np.log(p_y[clear] / rest[clear]), rel=1e-6)


def test_log_probabilities_give_the_same_margin():
    z = np.array([[100.0, 0.0, -3.0], [1.0, 2.0, 3.0], [-300.0, 0.0, 50.0]])
    y = np.array([0, 1, 2])
    assert margin(log_softmax(z, axis=1), y) == pytest.approx(margin(z, y), rel=1e-12)


def test_margin_of_two_classes_is_their_difference():
    assert np.array_equal(margin([[60.0, -60.0], [-1.0, 2.5]], [0, 0]), [120.0, -3.5])


def test_saturated_probabilities_keep_their_order():
    z = np.array([[30.0, 0.0, 0.0], [60.0, 0.0, 0.0], [2000.0, 0.0, 0.0], [0.0, 900.0, 0.0]])
    y = np.zeros(4, dtype=int)
    p = softmax(z.astype(np.float32), axis=1)[:, 0]
    with np.errstate(divide="ignore"):
        assert np.isinf(np.log(p) - np.log(1 - p)).sum() == 4  # the trap
    phi = margin(z.astype(np.float32), y)
    assert phi == pytest.approx([30 - np.log(2), 60 - np.log(2), 2000 - np.log(2), -900])
    loss = cross_entropy(z[:2], y[:2])
    assert loss == pytest.approx(2 * np.exp([-30.0, -60.0]), rel=1e-9, abs=0)
    # Members that stand out only beyond the rounding are seen.
    rng = np.random.default_rng(0)
    member, other = rng.normal(50, 2, (300, 1)) * [1, 0], rng.normal(46, 2, (300, 1)) * [1, 0]
    result = membership_inference(member, np.zeros(300, int), other, np.zeros(300, int))
    assert result.auc > 0.85


def test_rounded_probabilities_are_refused():
    p = softmax(np.array([[1.0, 0.0], [200.0, 0.0]], dtype=np.float32), axis=1)
    with np.errstate(divide="ignore"):
        log_p = np.log(p)
    with pytest.raises(ValueError, match=r"first in row 1\. Logarithms of probabilities"):
        margin(log_p, [0, 0])


def test_attacks_rank_alike():
    scores = [membership_scores(LOGITS, LABELS, a) for a in ("margin", "loss", "confidence")]
    order = np.argsort(ART_LOSS)[::-1]
    for score in scores:
        assert np.array_equal(np.argsort(score), order)  # higher is more member-like
    assert scores[1] == pytest.approx(np.negative(ART_LOSS), rel=1e-5)
    assert scores[2] == pytest.approx(np.exp(np.negative(ART_LOSS)), rel=1e-5)


@pytest.mark.parametrize(
    ("logits", "y", "error", "message"),
    [
        ([[0.0, 1.0], [np.nan, 0.0]], [0, 1], ValueError, "first in row 1"),
        ([[0.0, 1.0], [0.0, 0.0]], [0, 2], ValueError, "row 1 holds 2"),
        ([[0.0, 1.0], [0.0, 0.0]], [-1, 1], ValueError, "row 0 holds -1"),
        ([[0.0, 1.0]], [0, 1], ValueError, r"expected shape \(1,\)"),
        ([[0.0, 1.0]], [0.0], TypeError, "integers"),
        ([[0.0, 1.0]], ["a"], TypeError, "Encode labels"),
        ([0.0, 1.0], [0, 1], ValueError, "column_stack"),
        ([[0.0], [1.0]], [0, 0], ValueError, "at least two"),
        (np.empty((0, 2)), np.empty(0, int), ValueError, "no rows"),
        (np.zeros((2, 2, 2)), [0, 1], ValueError, "must have shape"),
    ],
)
def test_bad_logits_are_named(logits, y, error, message):
    for function in (margin, cross_entropy, true_class_confidence, membership_scores):
        with pytest.raises(error, match=message):
            function(logits, y)


def test_logits_are_left_alone():
    z = np.array(LOGITS)
    margin(z, LABELS)
    assert np.array_equal(z, LOGITS)


def test_squared_error():
    prediction, y = np.array([[1.0], [2.0], [4.0]]), np.array([1.0, 0.0, 1.0])
    assert np.array_equal(squared_error(prediction, y), [0.0, 4.0, 9.0])  # and not (3, 3)
    assert np.array_equal(squared_error([[1.0, 2.0]], [[0.0, 4.0]]), [2.5])
    with pytest.raises(ValueError, match="must both have shape"):
        squared_error([1.0, 2.0], [1.0])
