"""Intervals of the AUC cover the truth as often as they say."""

import numpy as np
import pytest
from scipy.stats import binom, norm

from skunlearn.metrics import auc_interval, match_weights

REPEATS = 1000


def assert_covers(hits, repeats, at_most=1.0):
    """The count is plausible for a coverage of at least 0.935, and at most `at_most`."""
    assert hits >= binom.ppf(0.001, repeats, 0.935)
    assert hits <= binom.ppf(0.999, repeats, at_most)


@pytest.mark.parametrize("true", [0.5, 0.75, 0.95, 0.99])
@pytest.mark.parametrize("m, n", [(20, 40), (60, 200), (500, 1000)])
def test_auto_interval(true, m, n):
    rng = np.random.default_rng(m)
    repeats = REPEATS // 2 if m == 500 else REPEATS
    shift = np.sqrt(2) * norm.ppf(true)
    hits = sum(
        true in auc_interval(rng.normal(shift, 1, m), rng.normal(size=n), random_state=i)
        for i in range(repeats)
    )
    assert_covers(hits, repeats, 0.965 if m == 500 else 1.0)


def test_matched_interval():
    # Classes differ in score and in proportions; within each, nothing is remembered.
    rng = np.random.default_rng(0)
    means = np.array([0.0, 2.0, 4.0, 8.0])
    hits = 0
    for i in range(REPEATS):
        y_forget = rng.choice(4, 100, p=[0.1, 0.2, 0.3, 0.4])
        y_unseen = np.concatenate([np.arange(4), rng.choice(4, 196, p=[0.4, 0.3, 0.2, 0.1])])
        hits += 0.5 in auc_interval(
            means[y_forget] + rng.normal(size=100),
            means[y_unseen] + rng.normal(size=200),
            weights=match_weights(y_forget, y_unseen),
            strata=y_unseen,
            member_strata=y_forget,
            random_state=i,
        )
    assert_covers(hits, REPEATS, 0.97)
