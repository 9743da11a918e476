"""Intervals of the AUC cover the truth as often as they say."""

import numpy as np
import pytest
from scipy.stats import binom, norm

from skunlearn.metrics import auc_interval, delong_covariance, match_weights

REPEATS = 1000
MEANS = np.array([0.0, 2.0, 4.0, 8.0])


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


@pytest.mark.parametrize("true", [0.95, 0.99])
def test_delong_close_to_one_where_auto_takes_it(true):
    rng = np.random.default_rng(0)
    shift = np.sqrt(2) * norm.ppf(true)
    hits = 0
    for _ in range(REPEATS):
        interval = auc_interval(rng.normal(shift, 1, 6000), rng.normal(size=6000))
        assert interval.method == "DeLong"
        hits += true in interval
    assert_covers(hits, REPEATS, 0.97)


def matched_rows(rng, m, n, shift=0.0):
    """Classes that differ in score and in proportions, with members ahead by `shift` in each."""
    y_forget = rng.choice(4, m, p=[0.1, 0.2, 0.3, 0.4])
    y_unseen = np.concatenate([np.arange(4), rng.choice(4, n - 4, p=[0.4, 0.3, 0.2, 0.1])])
    members = MEANS[y_forget] + rng.normal(shift, 1, m)
    others = MEANS[y_unseen] + rng.normal(size=n)
    weights = match_weights(y_forget, y_unseen)
    return members, others, {"weights": weights, "strata": y_unseen, "member_strata": y_forget}


def matched_auc(y_members, shift):
    """The AUC that rows of `matched_rows` have on average, given their classes."""
    share = np.bincount(y_members, minlength=4) / len(y_members)
    ahead = norm.cdf((MEANS[:, None] - MEANS[None, :] + shift) / np.sqrt(2))
    return share @ ahead @ share


# (100, 200) is too few for the closed form in "auto": both methods are tried on either side.
@pytest.mark.parametrize("method", ["DeLong", "bootstrap"])
@pytest.mark.parametrize("m, n, repeats", [(100, 200, REPEATS), (400, 600, REPEATS // 2)])
@pytest.mark.parametrize("shift", [0.0, 1.5])
def test_matched_interval(method, m, n, repeats, shift):
    rng = np.random.default_rng(0)
    hits = 0
    for i in range(repeats):
        members, others, sides = matched_rows(rng, m, n, shift)
        true = matched_auc(sides["member_strata"], shift)
        hits += true in auc_interval(members, others, method=method, random_state=i, **sides)
    assert_covers(hits, repeats, 0.97)


@pytest.mark.parametrize("classes, rows", [(50, 2), (10, 10), (4, 25)])
def test_matched_interval_of_small_classes(classes, rows):
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(classes), rows)
    means = rng.normal(0, 3, classes)[y]
    hits = sum(
        0.5
        in auc_interval(
            means + rng.normal(size=len(y)),
            means + rng.normal(size=len(y)),
            strata=y,
            member_strata=y,
        )
        for _ in range(REPEATS)
    )
    assert_covers(hits, REPEATS, 0.965)


def test_interval_of_a_difference_of_attacks():
    # Two scores of the same rows, one the other with noise: 1.96 standard errors of their gap.
    rng = np.random.default_rng(0)
    true = norm.cdf(0.5 / np.sqrt(2)) - norm.cdf(0.5 / np.sqrt(2 * 1.25))
    hits = 0
    for _ in range(REPEATS):
        sides = []
        for n, shift in ((150, 0.5), (300, 0.0)):
            first = rng.normal(shift, 1, n)
            sides.append([first, first + 0.5 * rng.normal(size=n)])
        aucs, spread = delong_covariance(*sides)
        se = np.sqrt(spread[0, 0] + spread[1, 1] - 2 * spread[0, 1])
        hits += abs(aucs[0] - aucs[1] - true) <= 1.96 * se
    assert_covers(hits, REPEATS, 0.97)
