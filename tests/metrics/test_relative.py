"""The three-sample test, and what it is blind to."""

import numpy as np
import pytest
from scipy.special import softmax

from skunlearn.metrics import (
    distance_over_null,
    membership_inference,
    relative_similarity_test,
)

CLASSES = 4


def said(n, rng, known=0.0):
    """Labels, and what models say of the same rows, of which one knows them by heart."""
    y = rng.integers(CLASSES, size=n)
    common = rng.normal(size=(n, CLASSES)) + np.eye(CLASSES)[y]
    models = [common + 0.3 * rng.normal(size=common.shape) for _ in range(3)]
    return y, models, common + known * np.eye(CLASSES)[y]


def test_retrained_nets_are_nearer_to_each_other_and_the_original_is_not():
    _, (mine, retrained, _), original = said(300, np.random.default_rng(0), known=3.0)
    near = relative_similarity_test(mine, retrained, original)
    assert near.z < -5
    assert near.difference == pytest.approx(near.to_retrained - near.to_original)
    assert "Nearer to the retrained model" in str(near)
    far = relative_similarity_test(0.9 * original, retrained, original)
    assert far.z > 5
    assert far.pvalue > 0.99
    assert "Nearer to the original model" in str(far)


def test_the_statistic_is_the_difference_of_two_discrepancies():
    """Against loops over pairs of rows."""
    _, (mine, retrained, _), original = said(12, np.random.default_rng(1), known=1.0)
    u, r, o = (softmax(z, axis=1) for z in (mine, retrained, original))
    apart = [(i, j) for i in range(12) for j in range(12) if i != j]
    squares = [((a[i] - b[j]) ** 2).sum() for a, b in ((r, r), (o, o), (r, o)) for i, j in apart]
    width = np.median(squares)

    def kernel(a, b):
        return np.exp(-((a - b) ** 2).sum() / width)

    for other, name in ((r, "to_retrained"), (o, "to_original")):
        expected = np.mean(
            [
                kernel(u[i], u[j]) + kernel(other[i], other[j])
                - kernel(u[i], other[j]) - kernel(u[j], other[i])
                for i, j in apart
            ]
        )  # fmt: skip
        found = relative_similarity_test(mine, retrained, original)
        assert getattr(found, name) == pytest.approx(expected)


def test_a_model_between_both_is_told_from_neither_more_often_than_it_may():
    """Three models alike: the level holds, though they answer for the same rows."""
    rng = np.random.default_rng(0)
    alarms = [relative_similarity_test(*said(60, rng)[1]).pvalue for _ in range(400)]
    assert np.mean(np.array(alarms) < 0.05) <= 0.08


def test_a_model_in_the_middle_of_two_that_differ_is_told_as_often_as_it_may():
    """Of three alike the statistic hardly varies; here it does, and its error must be right."""
    rng, found = np.random.default_rng(0), []
    for _ in range(400):
        _, models, _ = said(60, rng)
        one, other = (z + 1.2 * np.eye(CLASSES)[k] for k, z in enumerate(models[1:]))
        found.append(relative_similarity_test(models[0], one, other).pvalue)
    for level in (0.05, 0.2):
        either = np.mean(np.minimum(found, 1 - np.array(found)) < level / 2)
        assert 0.6 * level < either < 1.5 * level, (level, either)


def test_rows_that_were_pushed_away_pass_and_stand_out():
    rng = np.random.default_rng(0)
    y, (retrained, again, _), original = said(400, rng, known=3.0)
    pushed = 0.3 * retrained  # unsure of everything
    found = relative_similarity_test(pushed, retrained, original)
    assert found.z < -5
    y_unseen, (unseen, *_), _ = said(400, rng)
    attacked = membership_inference(pushed, y, unseen, y_unseen, attack="entropy")
    assert attacked.distinguishable
    assert attacked.auc < 0.4
    assert distance_over_null(pushed, [retrained, again]) > 1.5


def test_many_rows_are_drawn_and_bad_input_is_named():
    _, (mine, retrained, _), original = said(500, np.random.default_rng(0), known=2.0)
    few = relative_similarity_test(mine, retrained, original, max_rows=100)
    assert few.n_rows == 100
    assert few == relative_similarity_test(mine, retrained, original, max_rows=100)
    with pytest.raises(ValueError, match="say the same"):
        relative_similarity_test(mine, retrained, retrained)
    with pytest.raises(ValueError, match="too few"):
        relative_similarity_test(mine[:3], retrained[:3], original[:3])
    with pytest.raises(ValueError, match="max_rows"):
        relative_similarity_test(mine, retrained, original, max_rows=3)
    with pytest.raises(ValueError, match="same rows and classes"):
        relative_similarity_test(mine, retrained[:9], original)
