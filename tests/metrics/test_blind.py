"""The blind baseline: it must see the data differ, and nothing else."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

from skunlearn.metrics import blind_attack
from skunlearn.metrics._attacks.blind import _draw


def clusters(rng, y, n_features=12):
    """Rows of classes that lie far apart, seen and unseen alike."""
    centres = np.random.default_rng(99).normal(0, 3, (10, n_features))
    return centres[y] + rng.normal(size=(len(y), n_features))


def test_a_class_against_all_classes_is_seen_only_unmatched():
    rng = np.random.default_rng(0)
    y_forget, y_unseen = np.full(200, 8), rng.integers(10, size=2000)
    X_forget, X_unseen = clusters(rng, y_forget), clusters(rng, y_unseen)
    unmatched = blind_attack(X_forget, X_unseen, match=None, random_state=0)
    assert unmatched.auc > 0.9
    assert unmatched.distinguishable
    matched = blind_attack(X_forget, X_unseen, y_forget=y_forget, y_unseen=y_unseen, random_state=0)
    assert not matched.distinguishable
    assert matched.n_unseen == np.sum(y_unseen == 8)


def test_other_proportions_of_the_same_classes_are_matched():
    rng = np.random.default_rng(0)
    y_forget = rng.choice(2, 300, p=[0.8, 0.2])
    y_unseen = rng.choice(2, 300, p=[0.2, 0.8])
    X_forget, X_unseen = clusters(rng, y_forget), clusters(rng, y_unseen)
    assert blind_attack(X_forget, X_unseen, match=None, random_state=0).auc > 0.7
    matched = blind_attack(X_forget, X_unseen, y_forget=y_forget, y_unseen=y_unseen, random_state=0)
    assert not matched.distinguishable


def test_a_shift_within_a_class_is_seen():
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=300)
    result = blind_attack(
        clusters(rng, y) + 0.5, clusters(rng, y), y_forget=y, y_unseen=y, random_state=0
    )
    assert result.auc > 0.75
    assert result.distinguishable
    text = str(result)
    assert text.startswith("matched blind attack: AUC 0.")
    assert "differ in distribution" in text


def test_training_is_matched_too():
    # One feature: forgotten rows are higher within each class, but more often of the lower class.
    rng = np.random.default_rng(0)
    y_forget = rng.choice(2, 300, p=[0.8, 0.2])
    y_unseen = rng.choice(2, 300, p=[0.2, 0.8])
    result = blind_attack(
        4.0 * y_forget[:, None] + rng.normal(1.0, 1, (300, 1)),
        4.0 * y_unseen[:, None] + rng.normal(0.0, 1, (300, 1)),
        y_forget=y_forget,
        y_unseen=y_unseen,
        random_state=0,
    )
    assert result.interval.low > 0.5  # an attack trained on the bare rows scores below it


def test_rows_are_scored_out_of_fold():
    # 40 rows of 200 random features: in the sample a linear rule separates them perfectly.
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 200))
    result = blind_attack(X[:40], X[40:], match=None, random_state=0)
    assert not result.distinguishable


def test_sets_that_agree_are_seldom_told_apart():
    # Without the factor √2 about 16% would be.
    rng = np.random.default_rng(4)
    told = sum(
        blind_attack(
            rng.normal(size=(60, 5)), rng.normal(size=(60, 5)), match=None, random_state=seed
        ).distinguishable
        for seed in range(150)
    )
    assert told / 150 < 0.1


def test_one_unseen_row_a_class_does_not_break_the_folds():
    rng = np.random.default_rng(0)
    y_forget, y_unseen = np.repeat(np.arange(10), 4), np.arange(10)
    result = blind_attack(
        clusters(rng, y_forget),
        clusters(rng, y_unseen),
        y_forget=y_forget,
        y_unseen=y_unseen,
        random_state=0,
    )
    assert (result.n_forget, result.n_unseen) == (40, 10)


def test_max_rows_keeps_every_class_and_the_proportions():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [1, 900, 2099])
    drawn = _draw(labels, 300, rng)
    assert len(np.unique(drawn)) == 300
    assert np.bincount(labels[drawn]) == pytest.approx([1, 90, 209], abs=1)
    X = clusters(rng, labels)
    result = blind_attack(
        X, X[::-1], y_forget=labels, y_unseen=labels[::-1], max_rows=300, random_state=0
    )
    assert (result.n_forget, result.n_unseen) == (300, 300)


def test_seed_repeats():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 80))
    first, again, other = (
        blind_attack(X[:100], X[100:], match=None, random_state=seed) for seed in (0, 0, 1)
    )
    assert first == again
    assert first.auc != other.auc


def test_containers_agree():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 2, 3, 4)).astype(np.float32)
    flat = X.reshape(120, 24)
    expected = blind_attack(flat[:60], flat[60:], match=None, random_state=0)
    for values in (X, torch.from_numpy(X), pd.DataFrame(flat), sparse.csc_array(flat)):
        if sparse.issparse(values):
            values = values.tocsr()
        assert blind_attack(values[:60], values[60:], match=None, random_state=0) == expected


def test_constant_features_give_chance():
    result = blind_attack(np.ones((60, 3)), np.ones((70, 3)), match=None, random_state=0)
    assert 0.5 in result.interval
    assert result.interval.high > result.interval.low


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y_forget": None}, "y_forget is missing"),
        ({"y_unseen": np.zeros(9)}, "y_unseen has 9 labels for the 10 rows"),
        ({"y_forget": np.arange(10), "y_unseen": np.zeros(10, int)}, "no unseen row"),
        ({"X_unseen": np.zeros((10, 2))}, "3 features a row and X_unseen 2"),
        ({"X_forget": np.full((10, 3), np.nan)}, "X_forget holds NaN or infinity, first in row 0"),
        ({"X_forget": np.empty((0, 3))}, "X_forget has no rows"),
        ({"cv": 11}, "too few for 11 folds"),
        ({"cv": 1}, "cv must be"),
        ({"n_components": 0}, "n_components must be"),
        ({"max_rows": 0}, "max_rows must be"),
        ({"match": "y"}, "match must be"),
    ],
)
def test_bad_input_is_named(change, message):
    arguments = {
        "X_forget": np.arange(30.0).reshape(10, 3),
        "X_unseen": np.arange(30.0).reshape(10, 3),
        "y_forget": np.zeros(10, int),
        "y_unseen": np.zeros(10, int),
        **change,
    }
    with pytest.raises(ValueError, match=message):
        blind_attack(**arguments)
