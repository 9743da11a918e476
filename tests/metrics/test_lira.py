"""LiRA, U-LiRA and RMIA against their formulas, and the traps of copied implementations."""

import time

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm
from sklearn.metrics import roc_auc_score

from skunlearn.metrics import auc, lira, membership_inference, rmia, u_lira

N, MODELS = 300, 24


@pytest.fixture
def task():
    rng = np.random.default_rng(0)
    hardness = rng.normal(scale=4, size=N)
    membership = rng.random((MODELS, N)) < 0.5
    shadow = hardness + 2 * membership + rng.normal(size=(MODELS, N))
    members = rng.random(N) < 0.5
    target = hardness + 2 * members + rng.normal(size=N)
    return target, shadow, membership, members


def by_hand(target, shadow, membership, *, fixed, offline):
    """Row by row, in plain loops."""
    inside = [shadow[membership[:, i], i] for i in range(len(target))]
    outside = [shadow[~membership[:, i], i] for i in range(len(target))]

    def spread(groups):
        centred = np.concatenate([g - g.mean() for g in groups])
        return np.sqrt((centred**2).mean())

    scores = []
    for phi, a, b in zip(target, inside, outside, strict=True):
        sd_out = spread(outside) if fixed else b.std()
        if offline:
            scores.append(norm.logcdf((phi - b.mean()) / sd_out))
            continue
        sd_in = spread(inside) if fixed else a.std()
        scores.append(norm.logpdf(phi, a.mean(), sd_in) - norm.logpdf(phi, b.mean(), sd_out))
    return np.array(scores)


@pytest.mark.parametrize("variance", ["fixed", "per_row"])
@pytest.mark.parametrize("mode", ["online", "offline"])
def test_lira_is_its_formula(task, mode, variance):
    """With all shadow models of each row, though rows have different numbers of them."""
    target, shadow, membership, _ = task
    counts = membership.sum(axis=0)
    assert counts.min() < counts.max()
    found = lira(target, shadow, membership, mode=mode, variance=variance)
    expected = by_hand(
        target, shadow, membership, fixed=variance == "fixed", offline=mode == "offline"
    )
    assert found == pytest.approx(expected, rel=1e-9)


# ------------------------------------------------------------------ several labels per row


def several(n_labels=3, seed=0):
    """Margins of several labels; who saw a row is the same for all of them."""
    rng = np.random.default_rng(seed)
    hardness = rng.normal(scale=4, size=(N, n_labels))
    membership = np.arange(MODELS)[:, None] % 2 == np.arange(N) % 2
    lift = np.linspace(1.5, 0.1, n_labels)
    shadow = hardness + lift * membership[..., None] + rng.normal(size=(MODELS, N, n_labels))
    members = rng.random(N) < 0.5
    target = hardness + lift * members[:, None] + rng.normal(size=(N, n_labels))
    return target, shadow, membership, members


@pytest.mark.parametrize("variance", ["fixed", "per_row"])
def test_labels_together_are_one_normal_distribution_of_all(variance):
    """The ratio of two multivariate normal densities with diagonal covariances, row by row."""
    target, shadow, membership, _ = several()
    found = lira(target, shadow, membership, variance=variance)
    for other in (u_lira(target, shadow, membership, ~membership, variance=variance),):
        assert np.array_equal(found, other)
    centred = [np.where(m[..., None], shadow, np.nan) for m in (membership, ~membership)]
    means = [np.nanmean(side, axis=0) for side in centred]
    squares = [np.nanmean((s - m) ** 2, axis=0) for s, m in zip(centred, means, strict=True)]
    for row in range(0, N, 25):
        logs = []
        for mean, square in zip(means, squares, strict=True):
            cov = np.diag(square[row] if variance == "per_row" else square.mean(axis=0))
            logs.append(multivariate_normal(mean[row], cov).logpdf(target[row]))
        assert found[row] == pytest.approx(logs[0] - logs[1], rel=1e-6)
    # Of one label it is what it is without a last axis.
    alone = target[:, 0], shadow[..., 0], membership
    for mode in ("online", "offline"):
        one = lira(target[:, :1], shadow[..., :1], membership, mode=mode, variance=variance)
        assert np.allclose(one, lira(*alone, mode=mode, variance=variance))


def test_labels_together_offline_are_stouffers():
    target, shadow, membership, members = several()
    found = lira(target, shadow, membership, mode="offline", variance="per_row")
    out = np.where(membership[..., None], np.nan, shadow)
    z = (target - np.nanmean(out, axis=0)) / np.nanstd(out, axis=0)
    assert found == pytest.approx(norm.logcdf(z.sum(axis=1) / np.sqrt(3)), rel=1e-9)
    # Together they tell more than the best of them does.
    for mode in ("online", "offline"):
        together = lira(target, shadow, membership, mode=mode)
        alone = [lira(target[:, i], shadow[..., i], membership, mode=mode) for i in range(3)]
        best = max(auc(scores[members], scores[~members]) for scores in alone)
        assert auc(together[members], together[~members]) > best - 0.02


def test_rmia_of_labels_is_that_of_their_joint_probability():
    log_p = [-np.logaddexp(0, -part) for part in several()[:2]]
    membership, others = several()[2], [-np.logaddexp(0, -part) for part in several(seed=1)[:2]]
    for mode in ("online", "offline"):
        joint = [part.sum(axis=-1) for part in (*log_p, *others)]
        expected = rmia(*joint[:2], membership, *joint[2:], mode=mode)
        assert np.array_equal(rmia(*log_p, membership, *others, mode=mode), expected)
    with pytest.raises(ValueError, match=r"\(n, n_labels\)"):
        rmia(log_p[0], log_p[1][..., 0], membership, *others)
    with pytest.raises(ValueError, match=r"\(n, n_labels\)"):
        lira(several()[0][:, :2], several()[1], membership)


def test_lira_is_tensorflow_privacys():
    """``advanced_mia.compute_score_lira`` of TensorFlow Privacy 0.8.12, with means, sign turned."""
    target = [1.2, -0.4, 3.3, 0.1]
    shadow = [
        [3.15, -2.82, 1.04, -0.24], [-0.09, 0.22, -2.13, 0.2], [-0.62, 4.82, 0.79, 0.04],
        [0.13, -0.37, -0.87, -0.01], [1.13, 0.19, 1.75, 0.24], [0.53, 2.51, 1.21, -0.16],
        [0.26, 1.2, 3.02, 0.15],
    ]  # fmt: skip
    membership = [
        [1, 0, 1, 0], [0, 1, 1, 1], [1, 1, 0, 0], [0, 0, 1, 1], [1, 0, 0, 0], [0, 1, 1, 1],
        [1, 0, 1, 0],
    ]  # fmt: skip
    oracle = {
        "fixed": [0.1148893669, -2.4231340038, 0.4705307185, -0.5691831413],
        "per_row": [6.0366755172, -1.4440014295, 6.3583982763, 0.0572561535],
    }
    for variance, expected in oracle.items():
        found = lira(target, shadow, np.array(membership, bool), variance=variance)
        assert found == pytest.approx(expected, abs=1e-9)


def test_lira_sees_what_the_population_attack_misses(task):
    target, shadow, membership, members = task
    assert auc(target[members], target[~members]) < 0.7
    for mode, least in (("online", 0.85), ("offline", 0.8)):
        scores = lira(target, shadow, membership, mode=mode)
        assert roc_auc_score(members, scores) > least


def test_offline_is_one_sided(task):
    """Known less than by models without the row is no sign of membership; a density says it is."""
    target, shadow, membership, members = task
    low = np.arange(N) < 50
    target = np.where(low & ~members, target - 6, target)
    scores = lira(target, shadow, membership, mode="offline")
    out = np.where(membership, np.nan, shadow)
    two_sided = np.abs((target - np.nanmean(out, axis=0)) / np.nanstd(out, axis=0))
    assert scores[low & ~members].max() < np.median(scores[members])
    assert roc_auc_score(members, scores) > roc_auc_score(members, two_sided) + 0.05


def test_each_side_has_its_own_variance():
    """Members vary less than non-members; one pooled variance would rank them otherwise."""
    rng = np.random.default_rng(0)
    membership = np.arange(40)[:, None] % 2 == np.zeros(N)
    shadow = np.where(membership, 0.1, 3.0) * rng.normal(size=(40, N))
    target = np.where(np.arange(N) < N // 2, 0.1, 3.0) * rng.normal(size=N)
    scores = lira(target, shadow, membership, variance="fixed")
    assert auc(scores[: N // 2], scores[N // 2 :]) > 0.95
    inside = membership & np.ones_like(shadow, bool)
    pooled_sd = np.where(inside, shadow, 0).std()
    means = [np.where(m, shadow, 0).sum(0) / m.sum(0) for m in (membership, ~membership)]
    pooled = norm.logpdf(target, means[0], pooled_sd) - norm.logpdf(target, means[1], pooled_sd)
    assert auc(pooled[: N // 2], pooled[N // 2 :]) < 0.7


def test_auto_variance(task):
    target, shadow, membership, _ = task
    auto = lira(target, shadow, membership)
    assert np.array_equal(auto, lira(target, shadow, membership, variance="fixed"))
    many = np.tile(shadow, (3, 1)) + np.random.default_rng(0).normal(size=(3 * MODELS, N))
    membership = np.tile(membership, (3, 1))
    auto = lira(target, many, membership)
    assert np.array_equal(auto, lira(target, many, membership, variance="per_row"))


def test_u_lira_finds_a_planted_leak_that_the_population_attack_misses():
    """Unlearning leaves each row's margin a little too high; rows differ far more."""
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=2 * N)
    hardness = rng.normal(scale=20, size=2 * N)
    forgotten = np.arange(2 * N) < N
    target = hardness + 1.5 * forgotten + 0.5 * rng.normal(size=2 * N)
    unlearned = np.arange(32)[:, None] % 2 == rng.integers(2, size=2 * N)
    shadow = hardness + 1.5 * unlearned + 0.5 * rng.normal(size=(32, 2 * N))
    logits = np.stack([np.zeros(2 * N), np.zeros(2 * N)], axis=1)
    logits[np.arange(2 * N), y] = target
    population = membership_inference(
        logits[forgotten], y[forgotten], logits[~forgotten], y[~forgotten], random_state=0
    )
    assert not population.distinguishable
    scores = u_lira(target, shadow, unlearned, ~unlearned)
    assert auc(scores[forgotten], scores[~forgotten]) > 0.9


def test_u_lira_leaves_retained_entries_out(task):
    """Where a model retains the row, its margin counts for neither side."""
    target, shadow, membership, _ = task
    retained = np.zeros_like(membership)
    retained[:4] = True
    wild = np.where(retained, 1e6, shadow)
    args = membership & ~retained, ~membership & ~retained
    assert np.array_equal(u_lira(target, wild, *args), u_lira(target, shadow, *args))
    assert u_lira(target, shadow, *args) == pytest.approx(
        lira(target, shadow[4:], membership[4:]), rel=1e-9
    )
    with pytest.raises(ValueError, match="by the same model"):
        u_lira(target, shadow, membership, membership)


# ------------------------------------------------------------------ RMIA


@pytest.fixture
def probabilities(task):
    _, _, membership, members = task
    rng = np.random.default_rng(1)
    hardness = rng.exponential(2, size=N + 200)
    known = np.pad(membership, ((0, 0), (0, 200)))
    shadow = -hardness * rng.uniform(0.5, 1.5, size=known.shape) * (1 - 0.6 * known)
    seen = np.pad(members, (0, 200))
    target = -hardness * rng.uniform(0.5, 1.5, size=N + 200) * (1 - 0.6 * seen)
    return target[:N], shadow[:, :N], membership, target[N:], shadow[:, N:]


@pytest.mark.parametrize("mode", ["online", "offline"])
@pytest.mark.parametrize("gamma", [1.0, 2.0])
def test_rmia_is_the_matrix_of_all_pairs(probabilities, mode, gamma):
    target, shadow, membership, z_target, z_shadow = probabilities
    expected = np.empty(N)
    p_z = np.exp(z_shadow).mean(axis=0)
    for i in range(N):
        p_out = np.exp(shadow[~membership[:, i], i]).mean()
        p_in = np.exp(shadow[membership[:, i], i]).mean()
        if mode == "online":
            p, q = (p_in + p_out) / 2, p_z
        else:
            p, q = (1.3 * p_out + 0.7) / 2, (1.3 * p_z + 0.7) / 2
        ratio = np.exp(target[i]) / p / (np.exp(z_target) / q)
        expected[i] = np.mean(ratio >= gamma)
    found = rmia(target, shadow, membership, z_target, z_shadow, mode=mode, gamma=gamma)
    assert found == pytest.approx(expected, abs=1 / 200 + 1e-12)
    assert np.mean(np.abs(found - expected) > 1e-12) < 0.01  # rounding at equal ratios


def test_rmia_finds_members(task, probabilities):
    members = task[3]
    scores = rmia(*probabilities)
    assert roc_auc_score(members, scores) > 0.75


def test_a_row_without_references_is_refused(probabilities):
    """An average over no model would be 0, its ratio infinite, and the row a sure member."""
    target, shadow, membership, z_target, z_shadow = probabilities
    membership = membership.copy()
    membership[:, 7] = True
    with pytest.raises(ValueError, match="row 7 has no shadow model without it"):
        rmia(target, shadow, membership, z_target, z_shadow, mode="offline")
    with pytest.raises(ValueError, match="row 7 has 0 shadow models without"):
        lira(target, shadow, membership)
    lone = membership.copy()
    lone[0, 7] = False
    with pytest.raises(ValueError, match="row 7 has 1 shadow models without"):
        lira(target, shadow, lone)


def test_bad_input(task, probabilities):
    target, shadow, membership, _ = task
    for args, message in (
        ((target[:-1], shadow, membership), "must have shape"),
        ((target, shadow * np.nan, membership), "shadow holds NaN"),
        ((target, shadow, membership.astype(int)), "bool array"),
        ((target, shadow, membership[:, :5]), "bool array"),
    ):
        with pytest.raises(ValueError, match=message):
            lira(*args)
    with pytest.raises(ValueError, match="mode must be"):
        lira(target, shadow, membership, mode="both")
    with pytest.raises(ValueError, match="variance must be"):
        lira(target, shadow, membership, variance="global")
    t, s, m, zt, zs = probabilities
    for args, message in (
        ((t + 1, s, m, zt, zs), "above 0"),
        ((t, s, m, zt, zs[:5]), "same ones"),
        ((t, s, m[:3], zt, zs), "bool array"),
        ((t, s, m, zt[:0], zs[:, :0]), "must have shape"),
    ):
        with pytest.raises(ValueError, match=message):
            rmia(*args)
    for kwargs in ({"gamma": 0.5}, {"mode": "x"}, {"offline_a": 2}):
        with pytest.raises(ValueError, match="must"):
            rmia(t, s, m, zt, zs, **kwargs)


def test_ten_thousand_rows_need_no_matrix_of_pairs():
    """800 MB for the pairs alone; memory is followed, not time."""
    import tracemalloc

    rng = np.random.default_rng(0)
    shadow = -rng.exponential(size=(8, 10_000))
    membership = rng.random((8, 10_000)) < 0.5
    membership[0], membership[1] = True, False
    tracemalloc.start()
    started = time.perf_counter()
    rmia(shadow[0], shadow, membership, shadow[1], shadow)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 50e6, time.perf_counter() - started
