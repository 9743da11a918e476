"""True positives at few false ones, and the lower bound on ε."""

import numpy as np
import pytest
from scipy.stats import beta, binomtest
from sklearn.metrics import roc_curve

from skunlearn.metrics import (
    compare_scores,
    epsilon_from_counts,
    epsilon_lower_bound,
    match_weights,
    tpr_at_fpr,
)
from skunlearn.metrics._statistics import epsilon


@pytest.mark.parametrize("fpr", [0.01, 0.05, 0.5])
@pytest.mark.parametrize("decimals", [1, 6])
def test_tpr_is_that_of_the_roc_curve(fpr, decimals):
    """Also where scores tie: the curve's points are those of whole thresholds."""
    rng = np.random.default_rng(0)
    members, others = rng.normal(1, 1, 400).round(decimals), rng.normal(size=700).round(decimals)
    weights = rng.random(700)
    for w in (None, weights):
        found = tpr_at_fpr(members, others, fpr=fpr, weights=w)
        sample = np.concatenate([np.ones(400), np.ones(700) if w is None else w])
        curve_fpr, curve_tpr, _ = roc_curve(
            np.repeat([1, 0], [400, 700]),
            np.concatenate([members, others]),
            sample_weight=sample,
            drop_intermediate=False,
        )
        allowed = curve_fpr <= fpr * (1 + 1e-9)
        assert found.tpr.estimate == pytest.approx(curve_tpr[allowed].max())
        assert found.fpr <= fpr
        assert found.tpr.estimate == np.mean(members >= found.threshold)
        assert found.fpr == pytest.approx(
            np.average(others >= found.threshold, weights=w), abs=1e-12
        )


def test_ties_are_never_split():
    """Ten of a thousand rows share the top score: at 0.5 % none of them may pass."""
    others = np.zeros(1000)
    others[:10] = 1.0
    found = tpr_at_fpr(np.ones(50), others, fpr=0.005)
    assert (found.tpr.estimate, found.false_positives) == (0.0, 0)
    assert tpr_at_fpr(np.full(50, 1.5), others, fpr=0.005).tpr.estimate == 1.0
    assert tpr_at_fpr(np.ones(50), others, fpr=0.01).tpr.estimate == 1.0


def test_the_interval_is_clopper_pearsons():
    members, others = np.arange(100.0), np.full(100, 89.5)
    found = tpr_at_fpr(members, others, fpr=0.5)
    oracle = binomtest(10, 100).proportion_ci(0.95, "exact")
    assert (found.tpr.low, found.tpr.high) == (oracle.low, oracle.high)
    assert "at FPR ≤ 0.5" in str(found)


def test_too_few_unseen_rows_are_refused():
    with pytest.raises(ValueError, match="it takes at least 1000"):
        tpr_at_fpr(np.ones(50), np.zeros(999), fpr=0.001)
    tpr_at_fpr(np.ones(50), np.zeros(1000), fpr=0.001)
    for bad in (0, 1, np.nan):
        with pytest.raises(ValueError, match="fpr must lie"):
            tpr_at_fpr([1.0], [0.0], fpr=bad)
    with pytest.raises(ValueError, match="unseen_scores holds NaN"):
        tpr_at_fpr([1.0], [np.nan], fpr=0.5)
    with pytest.raises(ValueError, match="at least one row"):
        tpr_at_fpr([], [0.0], fpr=0.5)


def test_every_attack_reports_it_when_it_can():
    rng = np.random.default_rng(0)
    y_forget, y_unseen = rng.integers(3, size=200), rng.integers(3, size=400)
    members, others = rng.normal(1, 1, 200), rng.normal(size=400)
    result = compare_scores(members, others, y_forget=y_forget, y_unseen=y_unseen)
    direct = tpr_at_fpr(members, others, weights=match_weights(y_forget, y_unseen))
    assert result.tpr_at_1pct == direct
    assert compare_scores(members[:50], others[:99], match=None).tpr_at_1pct is None


# ------------------------------------------------------------------ epsilon


def test_counts_against_scipy():
    low = binomtest(90, 100).proportion_ci(0.95, "exact").low
    high = binomtest(10, 100).proportion_ci(0.95, "exact").high
    assert epsilon_from_counts(90, 100, 10, 100) == pytest.approx(np.log(low / high))
    assert epsilon_from_counts(90, 100, 10, 100, delta=0.1) == pytest.approx(
        np.log((low - 0.1) / high)
    )
    assert epsilon_from_counts(10, 100, 90, 100) == 0.0
    assert epsilon_from_counts(0, 100, 0, 100) == 0.0
    assert epsilon_from_counts(100, 100, 100, 100) == 0.0


def test_counts_against_tensorflow_privacy():
    """``EpsilonLowerBound(..., alpha=0.05)`` of TensorFlow Privacy 0.8.12, Clopper–Pearson."""
    assert epsilon_from_counts(28, 40, 4, 40) == pytest.approx(0.81514637, abs=1e-8)
    assert epsilon_from_counts(36, 40, 12, 40) == pytest.approx(0.49501579, abs=1e-8)


def test_null_bounds_are_rarely_above_zero():
    """At most 5 % by construction; the threshold that flatters itself finds far more."""
    rng = np.random.default_rng(0)
    n, runs, trapped = 2000, 100, 25
    honest = same = 0
    for run in range(runs):
        members, others = rng.normal(size=n), rng.normal(size=n)
        honest += epsilon_lower_bound(members, others, random_state=rng.integers(2**31)).epsilon > 0
        if run >= trapped:
            continue
        thresholds = np.concatenate([members, others])
        hits, alarms = (
            n - np.searchsorted(np.sort(side), thresholds) for side in (members, others)
        )
        for right, wrong in ((hits, alarms), (n - alarms, n - hits)):
            low = beta.ppf(0.025, np.maximum(right, 1), n - right + 1) * (right > 0)
            high = beta.ppf(0.975, wrong + 1, np.maximum(n - wrong, 1))
            found = (low > high) & (wrong < n)
            same_side = found.any()
            if same_side:
                break
        same += same_side
    assert honest <= 0.05 * runs
    assert same > 0.05 * trapped  # the trap


def test_both_sides_are_found():
    rng = np.random.default_rng(1)
    for sign, side in ((1, "members"), (-1, "non-members")):
        # Half of one side is beyond everything else.
        tail = np.where(rng.random(600) < 0.5, sign * 10, 0) + rng.normal(size=600)
        others = rng.normal(size=600)
        pair = (tail, others) if sign == 1 else (others, tail)
        found = epsilon_lower_bound(*pair, random_state=0)
        assert found.side == side
        assert found.epsilon > 2
        assert "lower is better" in str(found)


def test_seeds_and_matching():
    rng = np.random.default_rng(2)
    y_forget, y_unseen = np.zeros(100, int), np.repeat([0, 1], [200, 800])
    # Class 1 looks nothing like class 0: unmatched, that would pass for a leak.
    members = rng.normal(size=100)
    others = np.where(y_unseen == 0, rng.normal(size=1000), -10)
    assert epsilon_lower_bound(members, others, random_state=0).epsilon > 1
    matched = epsilon_lower_bound(
        members, others, y_forget=y_forget, y_unseen=y_unseen, random_state=0
    )
    assert matched.epsilon == 0
    assert matched.n_wrong + matched.n_right <= 150
    again = epsilon_lower_bound(
        members, others, y_forget=y_forget, y_unseen=y_unseen, random_state=0
    )
    assert again == matched


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        (([0.0] * 3, [0.0] * 9), {}, "3 forgotten rows are too few"),
        (([0.0] * 9, [0.0, np.inf] * 9), {}, "unseen_scores holds NaN"),
        (([0.0] * 9, [0.0] * 9), {"delta": 1.0}, "delta must lie"),
        (([0.0] * 9, [0.0] * 9), {"confidence": 0}, "confidence must lie"),
        (([0.0] * 9, [0.0] * 9), {"y_forget": [0] * 9}, "go together"),
        (([0.0] * 9, [0.0] * 9), {"y_forget": [0] * 9, "y_unseen": [0]}, "one label per score"),
        (([0.0] * 9, [0.0] * 9), {"y_forget": [0] * 9, "y_unseen": [1] * 9}, "no unseen row"),
    ],
)
def test_bad_input(args, kwargs, message):
    with pytest.raises(ValueError, match=message):
        epsilon_lower_bound(*args, **kwargs)


def test_many_thresholds_are_thinned_where_rows_hardly_count(monkeypatch):
    counts = []
    plain = epsilon._bounds

    def counted(hits, *args):
        counts.append(len(hits))
        return plain(hits, *args)

    monkeypatch.setattr(epsilon, "_bounds", counted)
    rng = np.random.default_rng(0)
    members, others = rng.normal(0.5, 1, 10_000), rng.normal(size=10_000)
    quick = epsilon_lower_bound(members, others, random_state=0)
    few = epsilon_lower_bound(members[:1000], others[:1000], random_state=0)
    assert counts[0] < 4200 < 10_000
    assert counts[2] == 1000  # all of the half that chooses
    monkeypatch.setattr(epsilon, "_MOST_THRESHOLDS", 10**9)
    slow = epsilon_lower_bound(members, others, random_state=0)
    assert counts[4] == 10_000
    assert quick.epsilon == pytest.approx(slow.epsilon, abs=0.02)
    assert few == epsilon_lower_bound(members[:1000], others[:1000], random_state=0)


@pytest.mark.parametrize(
    "counts",
    [(11, 10, 1, 10), (5, 10, 11, 10), (-1, 10, 1, 10), (0, 0, 0, 10), (5, 10, np.nan, 10)],
)
def test_impossible_counts_are_no_bound_of_zero(counts):
    """0 says that nothing was found; of hits in the place of rows it said so too."""
    with pytest.raises(ValueError, match="hits and alarms count some of"):
        epsilon_from_counts(*counts)


@pytest.mark.parametrize("how", [{"confidence": 95}, {"confidence": 1.0}, {"delta": -0.1}])
def test_a_confidence_in_per_cent_is_no_bound_of_zero(how):
    with pytest.raises(ValueError, match="must lie in"):
        epsilon_from_counts(90, 100, 10, 100, **how)
