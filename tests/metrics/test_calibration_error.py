"""The expected calibration error."""

import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from skunlearn.metrics import expected_calibration_error


@pytest.mark.parametrize("n_bins", [1, 5, 15])
def test_bin_by_bin(n_bins):
    rng = np.random.default_rng(0)
    logits, y = 2 * rng.normal(size=(400, 4)), rng.integers(4, size=400)
    p = softmax(logits, axis=1)
    expected = 0.0
    for low, high in zip(np.linspace(0, 1, n_bins + 1)[:-1], np.linspace(0, 1, n_bins + 1)[1:]):
        rows = (p.max(axis=1) >= low) & (p.max(axis=1) < high)
        if rows.any():
            gap = p.max(axis=1)[rows].mean() - (p.argmax(axis=1) == y)[rows].mean()
            expected += rows.mean() * abs(gap)
    assert expected_calibration_error(logits, y, n_bins=n_bins) == pytest.approx(expected)
    shifted = log_softmax(logits, axis=1) + 7
    assert expected_calibration_error(shifted, y, n_bins=n_bins) == pytest.approx(expected)


def test_sure_and_right_or_wrong():
    sure = np.array([[100.0, 0.0]] * 10)
    assert expected_calibration_error(sure, np.zeros(10, int)) == 0
    assert expected_calibration_error(sure, np.ones(10, int)) == 1


def test_labels_drawn_from_the_probabilities_are_calibrated():
    rng = np.random.default_rng(0)
    logits = 2 * rng.normal(size=(40_000, 3))
    y = (softmax(logits, axis=1).cumsum(axis=1) < rng.random((40_000, 1))).sum(axis=1)
    assert expected_calibration_error(logits, y) < 0.01
    assert expected_calibration_error(3 * logits, y) > 0.1


def test_bad_input():
    with pytest.raises(ValueError, match="n_bins"):
        expected_calibration_error(np.eye(2), [0, 1], n_bins=0)
    with pytest.raises(ValueError, match="one entry per row"):
        expected_calibration_error(np.eye(2), [0])
