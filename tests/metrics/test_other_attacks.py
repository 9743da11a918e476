"""Attacks of published tables: logistic, SVC, quantile regression, gap."""

import numpy as np
import pytest
from scipy.special import log_softmax, softmax
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedShuffleSplit
from sklearn.svm import SVC

from skunlearn.metrics import (
    auc,
    gap_attack,
    logistic_attack,
    quantile_attack,
    quantile_scores,
    svc_efficacy,
)
from skunlearn.metrics._statistics.balancing import balance_rows


def rows(n, seed, boost=0.0, classes=3):
    rng = np.random.default_rng(seed)
    y = rng.integers(classes, size=n)
    return rng.normal(size=(n, classes)) + boost * np.eye(classes)[y], y


def test_logistic_attack_finds_a_leak_and_no_more():
    null = logistic_attack(*rows(500, 0), *rows(900, 1), random_state=0)
    assert null.low <= 0.5 <= null.high
    assert null.n_rows == 500
    assert len(null.accuracies) == 10
    leak = logistic_attack(*rows(500, 0, boost=3), *rows(900, 1), random_state=0)
    assert leak.low > 0.7
    assert "chance 0.500" in str(leak)


def test_the_logistic_attack_is_that_of_the_kit():
    """A logistic regression of the loss alone, on ten splits of as many rows of both sides."""
    (z, y), (z_u, y_u) = rows(40, 0, boost=1.0), rows(60, 1)
    found = logistic_attack(z, y, z_u, y_u, match=None, random_state=7)
    rng = np.random.RandomState(7)
    ours, theirs = balance_rows(y, y_u, rng, match=False)
    assert sorted(ours) == list(range(40))
    assert len(set(theirs)) == 40
    own = [-log_softmax(a, axis=1)[np.arange(len(b)), b] for a, b in ((z, y), (z_u, y_u))]
    losses, side = np.r_[own[0][ours], own[1][theirs]][:, None], np.repeat([1, 0], 40)
    splits = StratifiedShuffleSplit(n_splits=10, random_state=rng).split(losses, side)
    expected = [
        LogisticRegression().fit(losses[a], side[a]).score(losses[b], side[b]) for a, b in splits
    ]
    assert found.accuracies == pytest.approx(expected)
    assert found.accuracy == pytest.approx(np.mean(expected))


def test_unmatched_the_logistic_attack_sees_classes():
    """One class is harder than the others, seen or not: the trap of the challenge's attack."""
    z, y = rows(3000, 0)
    z[y == 0, 0] -= 4
    forget = np.flatnonzero(y == 0)[:300]
    unseen = np.setdiff1d(np.arange(3000), forget)
    sides = z[forget], y[forget], z[unseen], y[unseen]
    assert logistic_attack(*sides, match=None, random_state=0).low > 0.6
    matched = logistic_attack(*sides, random_state=0)
    assert matched.low <= 0.5 <= matched.high


def test_both_sides_shrink_where_unseen_rows_are_scarce():
    z, y = rows(400, 0, classes=2)
    keep = np.r_[np.flatnonzero(y == 0)[:20], np.flatnonzero(y == 1)]
    result = logistic_attack(z, y, z[keep], y[keep], random_state=0)
    share = 20 / np.sum(y == 0)
    assert result.n_rows == 20 + int(share * np.sum(y == 1) + 1e-9)
    with pytest.raises(ValueError, match="rows a side are left"):
        logistic_attack(z, y, z[:4], y[:4], random_state=0)


def test_logistic_attack_repeats():
    sides = *rows(100, 0), *rows(300, 1)
    one, two = (logistic_attack(*sides, random_state=3) for _ in range(2))
    assert np.array_equal(one.accuracies, two.accuracies)
    assert not np.array_equal(one.accuracies, logistic_attack(*sides, random_state=4).accuracies)


def test_efficacy_counts_forgotten_rows_called_unseen():
    known, unknown = rows(300, 0, boost=5), rows(300, 1)
    assert svc_efficacy(*rows(200, 2), *known, *unknown).efficacy.estimate > 0.9
    assert svc_efficacy(*rows(200, 2, boost=5), *known, *unknown).efficacy.estimate < 0.1
    result = svc_efficacy(*rows(200, 2), *known, *unknown, max_rows=50, random_state=0)
    assert result.capped
    assert result.n_train == 50
    assert "capped" in str(result)
    with pytest.raises(ValueError, match="max_rows"):
        svc_efficacy(*rows(200, 2), *known, *unknown, max_rows=0)
    with pytest.raises(ValueError, match="retain_logits"):
        svc_efficacy(*rows(20, 2), known[0] * np.nan, known[1], *unknown)


def test_efficacy_is_that_of_the_papers_machine():
    """An RBF machine of C = 3 on p(y|x), retained against unseen rows, as many of each."""
    sides = rows(60, 2, boost=1.0), rows(90, 0, boost=2.0), rows(80, 1)
    found = svc_efficacy(*sides[0], *sides[1], *sides[2], random_state=5)
    own = [softmax(z, axis=1)[np.arange(len(y)), y] for z, y in sides]
    rng = np.random.RandomState(5)
    retain, unseen = (own[k][rng.permutation(len(own[k]))[:80]] for k in (1, 2))
    machine = SVC(C=3, gamma=1.0, kernel="rbf")  # of one feature "auto" is one
    machine.fit(np.r_[retain, unseen][:, None], np.repeat(["member", "not"], 80))
    called = np.mean(machine.predict(own[0][:, None]) == "not")
    assert found.efficacy.estimate == pytest.approx(called)
    assert 0.1 < called < 0.9


def test_the_quantile_attack_is_cross_fitted():
    """A regression that follows its rows closely finds a leak where there is none.

    Judged by regressions that were fitted on them, unseen rows lie near their prediction.
    """
    from sklearn.tree import DecisionTreeRegressor

    rng = np.random.default_rng(0)
    X, noise = rng.normal(size=(1200, 3)), rng.normal(size=1200)
    scores = 5 * X[:, 0] + noise
    args = scores[:400], X[:400], scores[400:], X[400:]
    tree = DecisionTreeRegressor(random_state=0)
    forget, unseen = quantile_scores(*args, regressor=tree, random_state=0)
    assert abs(auc(np.abs(forget), np.abs(unseen)) - 0.5) < 0.1
    wrong = tree.fit(X[400:], scores[400:])
    naive = [
        np.abs(scores[part] - wrong.predict(X[part])) for part in (slice(400), slice(400, None))
    ]
    assert auc(*naive) > 0.9


def test_the_quantile_attack_sees_what_the_threshold_attack_misses():
    rng = np.random.default_rng(0)
    hardness = 10 * rng.normal(size=(800, 1))
    scores = hardness[:, 0] + rng.normal(size=800)
    scores[:300] += 2
    result = quantile_attack(
        scores[:300], hardness[:300], scores[300:], hardness[300:],
        match=None, regressor=LinearRegression(), random_state=0,
    )  # fmt: skip
    assert auc(scores[:300], scores[300:]) < 0.6
    assert result.auc > 0.85
    assert result.attack == "quantile"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.__setitem__(1, a[1][:5]), "forget_features must have shape"),
        (lambda a: a.__setitem__(3, a[3] * np.nan), "unseen_features holds NaN"),
        (lambda a: a.__setitem__(3, a[3][:, :1]), "give both sides the same"),
        (lambda a: a.__setitem__(0, a[0] * np.inf), "forget_scores holds NaN"),
        (
            lambda a: a.__setitem__(slice(2, 4), [a[2][:10], a[3][:10]]),
            "10 unseen rows are too few",
        ),
    ],
)
def test_bad_input_to_the_quantile_attack(change, message):
    rng = np.random.default_rng(0)
    args = [rng.normal(size=30) + 1, rng.normal(size=(30, 2))]
    args += [rng.normal(size=40), rng.normal(size=(40, 2))]
    change(args)
    with pytest.raises(ValueError, match=message):
        quantile_scores(*args)


def test_gap_attack_is_the_balanced_accuracy():
    """Of calling members whatever is predicted rightly."""
    rng = np.random.default_rng(0)
    y_f, y_u = rng.integers(3, size=200), rng.integers(3, size=500)
    p_f = np.where(rng.random(200) < 0.9, y_f, (y_f + 1) % 3)
    p_u = np.where(rng.random(500) < 0.6, y_u, (y_u + 1) % 3)
    result = gap_attack(p_f, y_f, p_u, y_u, match=None)
    expected = balanced_accuracy_score(
        np.repeat([1, 0], [200, 500]), np.concatenate([p_f == y_f, p_u == y_u])
    )
    assert result.auc == pytest.approx(expected)
    assert result.interval.low < expected < result.interval.high
    names = np.array(["a", "b", "c"])
    same = gap_attack(names[p_f], names[y_f], names[p_u], names[y_u], match=None)
    assert same.auc == result.auc


@pytest.mark.parametrize("text", ["predictions", "labels"])
def test_gap_attack_compares_no_text_with_numbers(text):
    """All rows were wrong on both sides, so that the attack found nothing: AUC 0.5."""
    p, y = np.array([0, 1, 0, 1]), np.array([0, 1, 1, 0])
    p, y = (p.astype(str), y) if text == "predictions" else (p, y.astype(str))
    with pytest.raises(TypeError, match="Labels of different types equal none"):
        gap_attack(p, y, p, y)


def test_gap_attack_is_matched():
    """A class that is always right, seen or not, is no leak."""
    y_f, y_u = np.zeros(50, int), np.repeat([0, 1], [50, 50])
    p_u = np.repeat([0, 0], [50, 50])
    assert gap_attack(y_f, y_f, p_u, y_u).auc == 0.5
    assert gap_attack(y_f, y_f, p_u, y_u, match=None).auc == 0.75
    with pytest.raises(ValueError, match="one label per row"):
        gap_attack([0], [0, 1], [0], [0])
