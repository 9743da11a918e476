"""The matched attack over many seeds: fair to retrained nets, and not blind to memory."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from skunlearn import RetrainUnlearner
from skunlearn.metrics import MIAScorer
from tests.instances import make_net

SEEDS = 30


@pytest.fixture(scope="module")
def results():
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32)
    net = make_net(module__hidden=256, lr=0.3, max_epochs=40)
    outcome = []
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        rows = rng.permutation(len(y))
        train, test = rows[:1000], rows[1000:]
        labels = y.copy()
        # A fifth of all labels is wrong, in training and test rows alike: unseen rows are as
        # surprising as forgotten ones, and only memory can tell them apart.
        wrong = rng.random(len(y)) < 0.2
        labels[wrong] = (y[wrong] + rng.integers(1, 10, wrong.sum())) % 10
        forget = np.arange(1000) < 200
        unlearner = RetrainUnlearner(net, random_state=seed).fit(X[train], labels[train])
        original = unlearner.estimator_
        unlearner.unlearn(indices=np.flatnonzero(forget))
        scorer = MIAScorer()
        retrained = scorer.measure(unlearner, X[test], labels[test])
        with_original = MIAScorer(reference=original).measure(unlearner, X[test], labels[test])
        outcome.append((retrained, with_original.reference_auc))
    return outcome


def test_the_interval_of_a_retrained_net_covers_one_half(results):
    covered = sum(
        retrained.interval.low <= 0.5 <= retrained.interval.high for retrained, _ in results
    )
    # 95 % intervals: 24 or fewer of 30 has a chance of 0.003 (binomial).
    assert covered > 24


def test_the_original_is_told_from_it(results):
    assert min(original for _, original in results) > 0.55
    assert np.mean([original - retrained.auc for retrained, original in results]) > 0.1
