"""AUC and its confidence intervals, against scikit-learn, DeLong's formula and simulation."""

import time

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from skunlearn.metrics import Interval, auc, auc_interval, bootstrap_interval, delong_interval


def sklearn_auc(members, non_members, weights=None):
    weights = np.ones(len(non_members)) if weights is None else weights
    return roc_auc_score(
        np.repeat([1, 0], [len(members), len(non_members)]),
        np.concatenate([members, non_members]),
        sample_weight=np.concatenate([np.ones(len(members)), weights]),
    )


def naive_delong(members, non_members):
    """Structural components from all pairs; O(n m)."""
    difference = members[:, None] - non_members[None, :]
    psi = (difference > 0) + 0.5 * (difference == 0)
    v10, v01 = psi.mean(axis=1), psi.mean(axis=0)
    s10 = ((v10 - psi.mean()) ** 2).sum() / (len(v10) - 1)
    s01 = ((v01 - psi.mean()) ** 2).sum() / (len(v01) - 1)
    return psi.mean(), np.sqrt(s10 / len(v10) + s01 / len(v01))


@pytest.mark.parametrize("decimals", [12, 0])  # without ties, with many
@pytest.mark.parametrize("weighted", [False, True])
def test_auc_agrees_with_sklearn(decimals, weighted):
    for seed in range(5):
        rng = np.random.default_rng(seed)
        members = np.round(rng.normal(0.3, 1, 83), decimals)
        non_members = np.round(rng.normal(size=171), decimals)
        weights = rng.uniform(0.1, 5, 171) * (rng.random(171) > 0.2) if weighted else None
        expected = sklearn_auc(members, non_members, weights)
        assert auc(members, non_members, weights=weights) == pytest.approx(expected, abs=1e-12)


def test_auc_is_not_quadratic():
    rng = np.random.default_rng(0)
    start = time.process_time()
    auc(rng.normal(size=200_000), rng.normal(size=200_000))  # all pairs would be 320 GB
    assert time.process_time() - start < 5


@pytest.mark.parametrize("decimals", [12, 0])
def test_delong_agrees_with_structural_components(decimals):
    rng = np.random.default_rng(3)
    members = np.round(rng.normal(0.5, 1, 61), decimals)
    non_members = np.round(rng.normal(size=90), decimals)
    estimate, se = naive_delong(members, non_members)
    interval = delong_interval(members, non_members, confidence=0.9)
    assert interval.estimate == pytest.approx(estimate, abs=1e-12)
    assert interval.se == pytest.approx(se, abs=1e-12)
    arm = 1.6448536269514722 * se  # the normal quantile of a 90% interval
    assert (interval.low, interval.high) == pytest.approx((estimate - arm, estimate + arm))
    assert interval.method == "DeLong"


@pytest.mark.parametrize("true", [0.5, 0.8])
def test_delong_covers(true):
    rng = np.random.default_rng(11)
    shift = np.sqrt(2) * norm.ppf(true)
    hits = sum(
        true in delong_interval(rng.normal(shift, 1, 100), rng.normal(size=200)) for _ in range(400)
    )
    assert 0.92 <= hits / 400 <= 0.98


def test_bootstrap_covers_close_to_one():
    # A percentile interval covers about 0.87 here.
    rng = np.random.default_rng(12)
    shift = np.sqrt(2) * norm.ppf(0.98)
    hits = 0
    for _ in range(400):
        members, non_members = rng.normal(shift, 1, 40), rng.normal(size=200)
        interval = bootstrap_interval(
            members, non_members, n_resamples=200, random_state=rng.integers(2**31)
        )
        hits += 0.98 in interval
    assert 0.91 <= hits / 400 <= 0.985


def test_stratified_bootstrap_has_the_right_width():
    # Three rows a stratum: drawing three of three would give 0.82 of the true standard error, and
    # resampling across strata, whose means differ by much, far more than it.
    rng = np.random.default_rng(5)
    strata = np.repeat(np.arange(12), 3)
    means = rng.normal(0, 3, 12)
    weights = rng.uniform(0.5, 2, 12)[strata]
    estimates, squares = [], []
    for _ in range(300):
        interval = bootstrap_interval(
            means[strata] + rng.normal(size=36),
            means[strata] + rng.normal(size=36),
            weights=weights,
            strata=strata,
            member_strata=strata,
            n_resamples=200,
            random_state=rng.integers(2**31),
        )
        estimates.append(interval.estimate)
        squares.append(interval.se**2)
    assert 0.9 <= np.sqrt(np.mean(squares)) / np.std(estimates) <= 1.1


def test_bootstrap_agrees_with_delong_on_large_samples():
    rng = np.random.default_rng(0)
    members, non_members = rng.normal(0.4, 1, 500), rng.normal(size=1000)
    fast, exact = (
        bootstrap_interval(members, non_members, random_state=0),
        delong_interval(members, non_members),
    )
    assert fast.estimate == pytest.approx(exact.estimate)
    assert fast.se == pytest.approx(exact.se, rel=0.08)
    assert (fast.low, fast.high) == pytest.approx((exact.low, exact.high), abs=0.005)


def test_bootstrap_is_seeded():
    rng = np.random.default_rng(0)
    members, non_members = rng.normal(size=30), rng.normal(size=60)
    first, again, other = (
        bootstrap_interval(members, non_members, random_state=seed) for seed in (1, 1, 2)
    )
    assert first == again
    assert first.se != other.se


def test_bootstrap_is_fast():
    rng = np.random.default_rng(0)
    strata = rng.integers(10, size=1000)
    start = time.process_time()
    bootstrap_interval(
        rng.normal(size=500),
        rng.normal(size=1000),
        weights=rng.uniform(0.5, 2, 10)[strata],
        strata=strata,
        random_state=0,
    )
    assert time.process_time() - start < 1


def test_singleton_strata_are_pooled():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=40)
    pooled = bootstrap_interval(scores, scores[::-1], strata=np.arange(40), random_state=0)
    plain = bootstrap_interval(scores, scores[::-1], random_state=0)
    assert pooled == plain
    lone = np.repeat([0, 1], [39, 1])
    assert bootstrap_interval(scores, scores, strata=lone, random_state=0) == bootstrap_interval(
        scores, scores, random_state=0
    )


def test_auto_chooses_the_method():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=60), rng.normal(size=100)
    unequal = np.where(np.arange(100) < 50, 1.0, 2.0)

    def method(*args, **kwargs):
        return auc_interval(*args, random_state=0, **kwargs).method

    assert method(a, b) == "DeLong"
    assert method(a[:49], b) == "bootstrap"
    assert method(a, b[:49]) == "bootstrap"
    assert method(a + 3, b) == "bootstrap"
    assert method(a - 3, b) == "bootstrap"
    assert method(a, b, weights=unequal) == "bootstrap"
    assert method(a, b, weights=np.full(100, 0.3)) == "DeLong"
    # Rows of weight 0 do not count, neither as unequal nor as rows.
    assert method(a, b, weights=np.where(np.arange(100) < 60, 3.0, 0.0)) == "DeLong"
    assert method(a, b, weights=np.where(np.arange(100) < 40, 3.0, 0.0)) == "bootstrap"
    assert method(a, b, method="bootstrap") == "bootstrap"
    dropped = auc_interval(a, b, weights=np.where(np.arange(100) < 60, 3.0, 0.0))
    assert dropped == auc_interval(a, b[:60])
    with pytest.raises(ValueError, match="equal weight"):
        auc_interval(a, b, weights=unequal, method="DeLong")
    with pytest.raises(ValueError, match="method must be"):
        auc_interval(a, b, method="delong")


@pytest.mark.parametrize("method", ["auto", "DeLong", "bootstrap"])
def test_no_interval_has_width_zero(method):
    low, high = np.arange(60.0), np.arange(100.0, 180.0)
    bound = 0.025 ** (1 / 60)  # Clopper–Pearson: 60 of 60
    above = auc_interval(high, low, method=method)
    assert (above.estimate, above.high, above.method) == (1.0, 1.0, "exact")
    assert above.low == pytest.approx(bound)
    below = auc_interval(low, high, method=method)
    assert (below.estimate, below.low, below.method) == (0.0, 0.0, "exact")
    assert below.high == pytest.approx(1 - bound)
    tied = auc_interval(np.ones(60), np.ones(80), method=method)
    assert tied.estimate == 0.5
    assert (tied.low, tied.high) == pytest.approx((bound / 2, 1 - bound / 2))
    for interval in (above, below, tied):
        assert interval.se > 0
        assert interval.estimate in interval


def test_exact_interval_counts_weighted_rows_as_kish_does():
    weights = np.array([9.0, 1.0, 1.0, 1.0])  # 12² / 84 = 1.7 rows
    interval = auc_interval(np.arange(10.0, 20.0), np.arange(4.0), weights=weights)
    assert interval.low == pytest.approx(0.025)


def test_variation_between_strata_alone_gives_no_zero_width():
    strata = np.repeat([0, 1], 30)
    interval = auc_interval(
        strata.astype(float),
        strata.astype(float),
        strata=strata,
        member_strata=strata,
        method="bootstrap",
    )
    assert interval.method == "exact"
    assert interval.high - interval.low > 0.1


def test_one_row_says_nothing():
    interval = auc_interval([0.5], np.arange(100) / 100)
    assert (interval.low, interval.high) == (0.0, 1.0)


def test_interval_contains_and_prints():
    interval = Interval(0.25, 0.1, 0.4, 0.9, "bootstrap", 0.09)
    assert 0.1 in interval
    assert 0.41 not in interval
    assert str(interval) == "0.250 (90% interval 0.100–0.400, bootstrap)"
    with pytest.raises(AttributeError):
        interval.low = 0.0


@pytest.mark.parametrize(
    ("members", "non_members", "kwargs", "message"),
    [
        ([], [1.0], {}, "members has no rows"),
        ([1.0], [], {}, "non_members has no rows"),
        ([1.0, np.nan], [1.0], {}, "first in row 1"),
        ([1.0], [0.0, 1.0, np.inf], {}, "first in row 2"),
        ([[1.0]], [1.0], {}, "one score per row"),
        ([1.0], [1.0], {"weights": [-1.0]}, "not negative"),
        ([1.0], [1.0], {"weights": [0.0]}, "nothing is left"),
        ([1.0], [1.0], {"weights": [1.0, 1.0]}, r"shape \(1,\)"),
        ([1.0], [1.0], {"strata": [1, 2]}, "strata must have shape"),
        ([1.0, 2.0], [1.0], {"member_strata": [1], "method": "bootstrap"}, "member_strata must"),
        ([1.0, 2.0], [1.0, 2.0], {"confidence": 95}, "confidence must lie"),
    ],
)
def test_bad_input_is_named(members, non_members, kwargs, message):
    with pytest.raises(ValueError, match=message):
        auc_interval(members, non_members, **kwargs)
