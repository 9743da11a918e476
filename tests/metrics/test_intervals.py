"""AUC and its confidence intervals, against scikit-learn, DeLong's formula and simulation."""

import time

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from skunlearn.metrics import (
    Interval,
    auc,
    auc_interval,
    bootstrap_interval,
    delong_covariance,
    delong_interval,
    match_weights,
)


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


def matched_rows(m, n, shift=0.0, seed=0):
    """Scores of four classes that differ, matched by weights; with their labels."""
    rng = np.random.default_rng(seed)
    y_members = np.append(np.arange(4), rng.choice(4, m - 4, p=[0.1, 0.2, 0.3, 0.4]))
    y_others = np.append(np.arange(4), rng.choice(4, n - 4, p=[0.4, 0.3, 0.2, 0.1]))
    members = 0.5 * y_members + rng.normal(shift, 1, m)
    others = 0.5 * y_others + rng.normal(size=n)
    weights = match_weights(y_members, y_others)
    return members, others, {"weights": weights, "strata": y_others, "member_strata": y_members}


def naive_spread(members, others, weights, strata, member_strata):
    """Standard error from all pairs, stratum by stratum."""
    difference = members[:, None] - others[None, :]
    psi = (difference > 0) + 0.5 * (difference == 0)
    share = weights / weights.sum()
    estimate = (psi @ share).mean()
    total = 0.0
    for parts, labels in (
        ((psi @ share - estimate) / len(members), member_strata),
        ((psi.mean(axis=0) - estimate) * share, strata),
    ):
        for label in np.unique(labels):
            part = parts[labels == label]
            total += len(part) / (len(part) - 1) * ((part - part.mean()) ** 2).sum()
    return estimate, np.sqrt(total)


@pytest.mark.parametrize("decimals", [12, 0])
def test_weighted_delong_agrees_with_all_pairs(decimals):
    members, others, sides = matched_rows(61, 90, 0.5)
    members, others = np.round(members, decimals), np.round(others, decimals)
    interval = delong_interval(members, others, **sides)
    estimate, se = naive_spread(members, others, **sides)
    assert interval.estimate == pytest.approx(estimate, abs=1e-12)
    assert interval.se == pytest.approx(se, abs=1e-12)
    assert interval.method == "DeLong"
    plain = delong_interval(members, others)
    ones = {"weights": np.ones(90), "strata": np.zeros(90, int), "member_strata": np.zeros(61, int)}
    assert delong_interval(members, others, **ones) == plain


@pytest.mark.parametrize("shift", [-1.0, 0.0, 0.7, 1.5])
def test_weighted_delong_is_the_limit_of_the_bootstrap(shift):
    members, others, sides = matched_rows(300, 500, shift)
    quick = delong_interval(members, others, **sides)
    slow = bootstrap_interval(members, others, n_resamples=10_000, random_state=0, **sides)
    assert quick.estimate == pytest.approx(slow.estimate)
    assert (quick.low, quick.high) == pytest.approx((slow.low, slow.high), abs=0.001)


def test_strata_narrow_the_interval_to_what_matching_fixes():
    # Classes far apart: the class of a row tells nearly all of its rank.
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(10), 6)
    hits, widths = 0, []
    for _ in range(300):
        sides = [3.0 * y + rng.normal(size=60) for _ in range(2)]
        interval = delong_interval(*sides, strata=y, member_strata=y)
        hits += 0.5 in interval
        widths.append(interval.high - interval.low)
    assert 0.91 <= hits / 300 <= 0.985
    plain = delong_interval(*sides)
    assert np.mean(widths) < 0.5 * (plain.high - plain.low)


def test_scores_of_the_same_rows_vary_together():
    # Against how AUCs of three scores, two of them nearly one, vary over draws of the rows.
    rng = np.random.default_rng(0)

    def draw():
        sides = []
        for n, shift in ((80, 0.7), (160, 0.0)):
            first = rng.normal(shift, 1, n)
            sides.append(
                np.stack([first, first + 0.3 * rng.normal(size=n), rng.normal(shift, 1, n)])
            )
        return sides

    estimates, covariances = zip(*(delong_covariance(*draw()) for _ in range(1500)))
    found, true = np.mean(covariances, axis=0), np.cov(np.transpose(estimates))
    assert found == pytest.approx(true, rel=0.12, abs=1e-4)
    assert found[0, 1] > 0.9 * found[0, 0]
    assert abs(found[0, 2]) < 0.1 * found[0, 0]


def test_the_diagonal_of_the_covariance_is_the_interval():
    members, others, sides = matched_rows(70, 90, 0.5)
    rng = np.random.default_rng(1)
    scores = [np.stack([side, side + rng.normal(size=len(side))]) for side in (members, others)]
    estimates, covariance = delong_covariance(*scores, **sides)
    for k in range(2):
        one = delong_interval(scores[0][k], scores[1][k], **sides)
        assert estimates[k] == pytest.approx(one.estimate, abs=1e-12)
        assert covariance[k, k] == pytest.approx(one.se**2, rel=1e-9)
    # Rows of weight 0 do not count.
    half = sides | {"weights": np.where(np.arange(90) < 45, sides["weights"], 0.0)}
    less = {k: v[:45] if k != "member_strata" else v for k, v in sides.items()}
    short = [scores[0], scores[1][:, :45]]
    for a, b in zip(delong_covariance(*scores, **half), delong_covariance(*short, **less)):
        np.testing.assert_allclose(a, b, rtol=1e-12)


@pytest.mark.parametrize(
    ("members", "others", "kwargs", "message"),
    [
        ([[1.0, 2.0]], [[1.0, 2.0], [3.0, 4.0]], {}, "members have 1 scores and non_members 2"),
        ([], [], {}, "at least one"),
        ([[1.0, 2.0], [1.0]], [[1.0, 2.0], [1.0, 2.0]], {}, "same rows"),
        ([[1.0]], [[1.0, 2.0]], {}, "two of each"),
        ([[1.0, np.nan]], [[1.0, 2.0]], {}, "NaN"),
        ([[1.0, 2.0]], [[1.0, 2.0]], {"weights": [1.0]}, r"shape \(2,\)"),
        ([[1.0, 2.0]], [[1.0, 2.0]], {"member_strata": [1]}, "member_strata must"),
    ],
)
def test_bad_scores_are_named(members, others, kwargs, message):
    with pytest.raises(ValueError, match=message):
        delong_covariance(members, others, **kwargs)


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
    assert method(a, b, weights=unequal, method="DeLong") == "DeLong"
    # Unequal weights take more rows, and an extreme AUC as many as make the interval short.
    a, b = rng.normal(size=300), rng.normal(size=500)
    unequal = np.where(np.arange(500) < 250, 1.0, 2.0)
    assert method(a, b, weights=unequal) == "DeLong"
    assert method(a[:299], b, weights=unequal) == "bootstrap"
    assert method(a + 3, b) == "bootstrap"
    a, b = rng.normal(size=3000), rng.normal(size=3000)
    assert method(a + 3, b) == method(a - 3, b) == "DeLong"
    assert method(a + 5, b) == "bootstrap"
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
