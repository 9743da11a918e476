"""ForestUnlearner: draws have the law of those of a forest that was grown on the kept rows."""

import copy

import numpy as np
import pytest
from scipy import stats
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.ensemble import BaggingClassifier, ExtraTreesClassifier, RandomForestClassifier
from sklearn.frozen import FrozenEstimator

from skunlearn import ForestUnlearner
from skunlearn.exceptions import UnlearningError
from tests.exact.forests import LIKELY, RECENT, SIX, law, p_value, patterns, stumps
from tests.turns import crossed_in_turns


@pytest.mark.parametrize(
    "cls, frozen",
    crossed_in_turns([RandomForestClassifier, ExtraTreesClassifier], [False, True], every=3),
)
def test_draws_by_sample_weight(cls, frozen):
    """Those of rows that are left, by their weights; rows of weight zero are in no tree."""
    X, y = SIX
    # Before 1.9 a draw of rows of weight zero alone makes a tree of NaN, in scikit-learn itself.
    w = np.array([1.0, 3.0, 2.0, 0.5, 0.0 if RECENT else 0.25, 1.0])
    forest = stumps(cls, max_samples=3, bootstrap=True, random_state=0)
    if frozen:
        forest = FrozenEstimator(forest.fit(X, y, sample_weight=w))
        if RECENT:  # earlier trees keep no weights, and show those of zero only
            with pytest.raises(ValueError, match="not trained on its draw"):
                ForestUnlearner(forest).fit(X, y, sample_weight=w[::-1])
    unlearner = ForestUnlearner(forest, random_state=0).fit(X, y, sample_weight=w)
    unlearner.unlearn(indices=[2])
    assert not unlearner._draws.mark_touched([2]).any()
    kept = np.array([0, 1, 3, 4, 5])
    law_ = law(5, 3, True, w[kept] if RECENT else None)
    assert p_value(patterns(unlearner, kept), law_) > LIKELY
    used = w[kept] > 0
    for number, tree in enumerate(unlearner.estimator_.estimators_):
        drawn = kept[unlearner._draws.holds(number, kept) & used]
        assert tree.tree_.n_node_samples[0] == len(drawn)


@pytest.mark.parametrize(
    "forest, m, replace",
    [
        (stumps(max_samples=3), 3, True),
        pytest.param(stumps(), 6, True, marks=pytest.mark.long),
        pytest.param(
            stumps(ExtraTreesClassifier, bootstrap=True, max_samples=0.5),
            *(3, True),
            marks=pytest.mark.long,
        ),
        pytest.param(stumps(BaggingClassifier, max_samples=4), 4, True, marks=pytest.mark.long),
        (stumps(BaggingClassifier, max_samples=3, bootstrap=False), 3, False),
    ],
    ids=["forest", "default", "extra", "bagging", "pasting"],
)
@pytest.mark.filterwarnings("ignore:Using the fractional value")
def test_draws_after_a_request_are_draws_from_the_kept_rows(forest, m, replace):
    X, y = SIX
    unlearner = ForestUnlearner(forest, random_state=0).fit(X, y)
    unlearner.unlearn(indices=[2]).unlearn(indices=[5])
    kept = np.array([0, 1, 3, 4])
    assert not unlearner._draws.mark_touched([2, 5]).any()
    counts = patterns(unlearner, kept)
    assert p_value(counts, law(4, m, replace)) > LIKELY
    # The same law by a forest of another seed that never saw them, where there is one.
    if m <= 4:
        fresh = clone(forest).set_params(max_samples=m)
        fresh = ForestUnlearner(fresh, random_state=9).fit(X[kept], y[kept])
        both = np.array([counts, patterns(fresh, np.arange(4))])
        assert stats.chi2_contingency(both[:, both.any(axis=0)]).pvalue > LIKELY


def test_new_draws_alone_are_draws_from_the_kept_rows():
    """And those of the trees that stay: a mixture could hide two errors."""
    X, y = SIX
    unlearner = ForestUnlearner(stumps(n=600, max_samples=3), random_state=0).fit(X, y)
    before = list(unlearner.estimator_.estimators_)
    unlearner.unlearn(indices=[0])
    stayed = np.array([a is b for a, b in zip(before, unlearner.estimator_.estimators_)])
    kept = np.arange(1, 6)
    held = np.array([unlearner._draws.holds(k, kept) for k in range(600)])
    codes = held @ (1 << np.arange(5))
    for part in (stayed, ~stayed):
        counts = np.bincount(codes[part], minlength=32)
        assert p_value(counts, law(5, 3, True)) > LIKELY
    assert stayed.mean() == pytest.approx((5 / 6) ** 3, abs=0.08)


def test_a_request_chosen_after_looking_bends_the_law():
    """What the notes say does not hold: which row goes depends on the first tree's draw."""
    X, y = SIX
    holds_one = 0
    for seed in range(100):
        unlearner = ForestUnlearner(stumps(n=1, max_samples=3), random_state=seed).fit(X, y)
        others = np.array([0, 2, 3, 4, 5])
        held = unlearner._draws.holds(0, others)
        if unlearner._draws.holds(0, [1])[0] and held.any():
            gone = others[held][0]  # the tree is grown again, and may lose row 1
        else:
            gone = others[~held][0]  # it stays, without row 1
        unlearner.unlearn(indices=[gone])
        holds_one += unlearner._draws.holds(0, [1])[0]
        assert not unlearner._draws.mark_touched([gone]).any()  # which holds for any request
    expected = 1 - (4 / 5) ** 3
    assert stats.binomtest(int(holds_one), 100, expected).pvalue < LIKELY


def test_shares_become_the_numbers_that_they_were():
    X, y = make_classification(200, 6, random_state=0)
    forest = RandomForestClassifier(
        8, max_samples=0.25, min_samples_leaf=0.02, min_samples_split=0.1
    )
    unlearner = ForestUnlearner(forest, random_state=0).fit(X, y)
    unlearner.unlearn(indices=np.arange(120))
    trees = unlearner.estimator_.estimators_
    assert {t.tree_.weighted_n_node_samples[0] for t in trees} == {50}
    assert {t.min_samples_leaf for t in trees} == {4}  # 0.02 of 200, not of 80
    assert {t.min_samples_split for t in trees} == {20}
    assert min(t.tree_.n_node_samples[t.tree_.children_left == -1].min() for t in trees) >= 4
    assert unlearner.estimator_.min_samples_leaf == 0.02  # the recipe is the user's


def test_more_draws_than_rows_are_left():
    X, y = make_classification(100, 6, random_state=0)
    unlearner = ForestUnlearner(RandomForestClassifier(8), random_state=0).fit(X, y)
    unlearner.unlearn(indices=np.arange(90))
    assert {t.tree_.weighted_n_node_samples[0] for t in unlearner.estimator_.estimators_} == {100}
    assert not unlearner._draws.mark_touched(np.arange(90)).any()
    pasting = BaggingClassifier(n_estimators=3, bootstrap=False, max_samples=60)
    pasting = ForestUnlearner(pasting, random_state=0).fit(X, y)
    with pytest.raises(UnlearningError, match="draws 60 rows without replacement, and only 10"):
        pasting.unlearn(indices=np.arange(90))
    assert len(pasting.deletions_) == 0


def test_an_int_repeats_and_none_cannot_be_foreseen(data):
    X, y = data
    run = ForestUnlearner(RandomForestClassifier(30, random_state=0), random_state=1)
    a, b = (clone(run).fit(X, y).unlearn(indices=[3]) for _ in range(2))
    assert np.array_equal(a._draws.bits, b._draws.bits)
    assert a.deletions_[0]["seed"] == 1
    other = clone(run).set_params(random_state=2).fit(X, y).unlearn(indices=[3])
    assert not np.array_equal(a._draws.bits, other._draws.bits)  # fresh ones only
    fresh = clone(run).set_params(random_state=None).fit(X, y)
    twins = [copy.deepcopy(fresh).unlearn(indices=[3]) for _ in range(2)]
    assert not np.array_equal(twins[0]._draws.bits, twins[1]._draws.bits)
    assert twins[0].deletions_[0]["seed"] is None


def test_a_seed_of_the_forest_does_not_give_the_old_draws_again(data):
    """The trap: the same seeds draw the same of the same number, and something alike of fewer."""
    X, y = data
    forest = RandomForestClassifier(40, random_state=0, max_samples=30)
    unlearner = ForestUnlearner(forest, random_state=0).fit(X, y)
    old = np.array([unlearner._draws.holds(k, np.arange(60)) for k in range(40)])
    touched = unlearner._draws.mark_touched([59])
    unlearner.unlearn(indices=[59])
    new = np.array([unlearner._draws.holds(k, np.arange(60)) for k in range(40)])
    assert np.array_equal(old[~touched], new[~touched])
    alike = (old[touched][:, :59] & new[touched][:, :59]).sum(axis=1)
    assert alike.mean() < 15  # of 30 drawn; 9.3 are expected by chance
    seeds = [tree.random_state for tree in unlearner.estimator_.estimators_]
    assert len(set(seeds)) == 40
