"""KLoM and the challenge's score: formulas, traps, nulls."""

import numpy as np
import pytest
from scipy.stats import entropy

from skunlearn.metrics import challenge_score, klom


def normal(models, rows, seed, shift=0.0):
    return np.random.default_rng(seed).normal(shift, 1, size=(models, rows))


def test_klom_is_the_divergence_of_numpys_histograms():
    """numpy's last bin is closed: a version by digitize loses the largest value of each row."""
    a, b = normal(30, 50, 0, shift=0.5), normal(40, 50, 1)
    found = klom(a, b, n_bins=8, null=b)
    for i in range(50):
        span = min(a[:, i].min(), b[:, i].min()), max(a[:, i].max(), b[:, i].max())
        p, q = (np.histogram(side[:, i], bins=8, range=span)[0] / len(side) for side in (a, b))
        assert p.sum() == pytest.approx(1)
        assert q.sum() == pytest.approx(1)
        expected = entropy(*(np.maximum(side, 1e-5) for side in (p, q)))
        assert found.rows[i] == pytest.approx(expected, rel=1e-6)


def test_klom_has_a_direction():
    """Of the unlearned distribution from the retrained one; the reverse is another figure."""
    a, b = normal(200, 20, 0) * 0.3, normal(200, 20, 1)
    assert klom(a, b).mean != pytest.approx(klom(b, a).mean, rel=0.05)


def test_the_null_of_a_hundred_models():
    """Histograms of 100 models differ by 0.35 nats with nothing to find; KLoM alone misleads."""
    found = klom(normal(100, 2000, 0), normal(100, 2000, 1), null=normal(100, 2000, 2))
    assert 0.3 < found.mean < 0.4
    assert found.null == pytest.approx(found.mean, abs=0.03)
    assert "retrained against retrained" in str(found)
    halves = klom(normal(100, 200, 0), normal(100, 200, 1))
    assert halves.null_models == (50, 50)
    assert halves.null > 2 * found.null  # of fewer models: not to be held against the mean
    assert halves.on_equal_terms == pytest.approx(halves.null, rel=0.1)
    assert found.on_equal_terms == found.mean


def test_klom_grows_with_the_shift_and_is_bounded():
    base = normal(100, 300, 0)
    values = [klom(normal(100, 300, 1, shift), base).mean for shift in (0, 1, 2, 50)]
    assert values == sorted(values)
    assert values[-1] <= np.log(1e5) + 0.01
    assert klom(normal(8, 3, 0) * 0, normal(8, 3, 0) * 0).mean == 0  # all margins equal


def test_chunks_change_nothing(monkeypatch):
    a, b = normal(10, 101, 0), normal(10, 101, 1)
    whole = klom(a, b).rows, challenge_score(a, b).epsilons
    monkeypatch.setattr("skunlearn.metrics._attacks.klom._CHUNK", 100)
    monkeypatch.setattr("skunlearn.metrics._attacks.challenge._CHUNK", 100)
    assert np.array_equal(klom(a, b).rows, whole[0])
    assert np.array_equal(challenge_score(a, b).epsilons, whole[1])


def epsilon_by_hand(u, r, delta):
    """Over every threshold between two different values, both directions, in plain loops."""
    best = 0.0
    values = np.unique(np.concatenate([u, r]))
    for t in (values[1:] + values[:-1]) / 2:
        for fpr, fnr in (
            (np.mean(r > t), np.mean(u <= t)),
            (np.mean(r <= t), np.mean(u > t)),
        ):
            if fpr == 0 and fnr == 0:
                return np.inf
            if fpr == 0 or fnr == 0:
                continue
            for x, y in ((fpr, fnr), (fnr, fpr)):
                if 1 - delta - x > 0:
                    best = max(best, np.log((1 - delta - x) / y))
    return best


@pytest.mark.parametrize("decimals", [1, 8])
def test_epsilons_are_those_of_all_thresholds(decimals):
    u, r = normal(20, 60, 0, 0.7).round(decimals), normal(30, 60, 1).round(decimals)
    u[:, 0] += 50
    found = challenge_score(u, r, delta=0.01)
    expected = [epsilon_by_hand(u[:, i], r[:, i], 0.01) for i in range(60)]
    assert found.epsilons == pytest.approx(expected, abs=1e-9)
    assert found.epsilons[0] == np.inf
    points = [0.0 if np.isinf(e) else 2.0 ** -np.floor(2 * e) for e in expected]
    assert found.forgetting == pytest.approx(np.mean(points))


def test_the_score_is_biased_and_says_so():
    """Retrained against retrained gets a fifth of the points with 512 models."""
    found = challenge_score(normal(512, 300, 0), normal(512, 300, 1), null=normal(512, 300, 2))
    assert 0.17 < found.score < 0.26
    assert found.null == pytest.approx(found.score, abs=0.03)
    assert found.on_equal_terms == found.forgetting
    assert "retrained against retrained" in str(found)


def test_utility():
    u, r = normal(16, 40, 0), normal(16, 40, 1)
    plain = challenge_score(u, r)
    worse = challenge_score(u, r, retained_accuracy=(0.8, 0.9), test_accuracy=(0.7, 0.8))
    assert worse.utility == pytest.approx(8 / 9 * 7 / 8)
    assert worse.score == pytest.approx(plain.forgetting * worse.utility)
    for pair in ((0.9, 0), (1.5, 0.9), (90, 91)):
        with pytest.raises(ValueError, match="pair of accuracies"):
            challenge_score(u, r, test_accuracy=pair)


@pytest.mark.parametrize("function", [klom, challenge_score])
@pytest.mark.parametrize(
    ("u", "r", "message"),
    [
        (np.zeros((3, 5)), np.zeros((9, 5)), "unlearned holds 3 models"),
        (np.zeros((9, 5)), np.zeros((9, 4)), "retrained has 4 rows"),
        (np.zeros(9), np.zeros((9, 5)), "must have shape"),
        (np.full((9, 5), np.nan), np.zeros((9, 5)), "NaN or infinity: model 0, row 0"),
        (np.zeros((9, 0)), np.zeros((9, 0)), "must have shape"),
    ],
)
def test_bad_ensembles(function, u, r, message):
    with pytest.raises(ValueError, match=message):
        function(u, r)


def test_margins_of_several_labels_are_told_where_to_go():
    a = np.random.default_rng(0).normal(size=(8, 5, 3))
    with pytest.raises(ValueError, match=r"reshape\(n_models, n \* n_labels\)"):
        klom(a, a)
    flat = klom(a.reshape(8, -1), a.reshape(8, -1) + 1).rows.reshape(5, 3)
    assert flat[:, 1] == pytest.approx(klom(a[..., 1], a[..., 1] + 1).rows)


def test_bad_settings():
    a = np.zeros((8, 2))
    with pytest.raises(ValueError, match="n_bins"):
        klom(a, a, n_bins=1)
    with pytest.raises(ValueError, match="delta"):
        challenge_score(a, a, delta=1)
    with pytest.raises(ValueError, match="null has 3 rows"):
        klom(a, a, null=np.zeros((8, 3)))
