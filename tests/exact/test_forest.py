"""ForestUnlearner: the distribution of a forest that was grown on the kept rows."""

import copy
import itertools
import json
import math
import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
from scipy import sparse, stats
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.datasets import load_diabetes, load_digits, make_classification
from sklearn.ensemble import (
    BaggingClassifier,
    BaggingRegressor,
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, Normalizer, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.fixes import parse_version
from sklearn.utils.validation import check_is_fitted

from skunlearn import ForestUnlearner, UnlearningPipeline
from skunlearn.evaluation import audit
from skunlearn.exact import expected_regrown_share
from skunlearn.exact._frozen_forest import _is_grown_on
from skunlearn.exceptions import DataNotStoredError, UnlearningError
from skunlearn.forget_sets import costly_forget_set
from skunlearn.model_selection import ForgetSplit
from skunlearn.production import DeletionQueue, DeletionWorker

LIKELY = 1e-4  # p-values below are no chance
RECENT = parse_version(sklearn.__version__) >= parse_version("1.9")
# Six rows, of which none can be told apart by a tree of one leaf: only the draws count.
SIX = np.arange(6.0)[:, None], np.array([0, 1, 0, 1, 0, 1])


def stumps(cls=RandomForestClassifier, n=300, **params):
    base = {"estimator": DecisionTreeClassifier(max_depth=1)} if cls is BaggingClassifier else {}
    base = base or {"max_depth": 1}
    return cls(n_estimators=n, **(base | params))


def patterns(unlearner, rows):
    """How many members hold each set of rows."""
    held = np.array([unlearner._draws.holds(k, rows) for k in range(len(unlearner.estimator_))])
    codes = held @ (1 << np.arange(len(rows)))
    return np.bincount(codes, minlength=1 << len(rows))


def law(n, m, replace, weights=None):
    """Probability that a draw of m out of n rows holds exactly each set of them."""
    p, weights = np.zeros(1 << n), np.ones(n) if weights is None else np.asarray(weights)
    draws = itertools.product(range(n), repeat=m)
    draws = draws if replace else itertools.permutations(range(n), m)
    for drawn in draws:
        p[sum(1 << i for i in set(drawn))] += weights[list(drawn)].prod()
    return p / p.sum()


def p_value(counts, p):
    assert counts[p == 0].sum() == 0
    return stats.chisquare(counts[p > 0], counts.sum() * p[p > 0]).pvalue


def assert_truthful(unlearner, X, y):
    """The trees were grown on what the table of draws says."""
    rows = np.arange(len(X))
    model = unlearner.estimator_
    columns = getattr(model, "estimators_features_", [slice(None)] * len(model.estimators_))
    for number, tree in enumerate(model.estimators_):
        drawn = rows[unlearner._draws.holds(number, rows)]
        # The table does not hold repeats, which only weigh.
        tree = copy.copy(tree).set_params(criterion="absolute_error") if y.dtype == float else tree
        assert _is_grown_on(tree, X[:, columns[number]].astype(np.float32), y, drawn)


@pytest.mark.parametrize("cls", [RandomForestClassifier, ExtraTreesClassifier])
@pytest.mark.parametrize("frozen", [False, True])
def test_draws_by_sample_weight(cls, frozen):
    """Those of rows that are left, by their weights; rows of weight zero are in no tree."""
    X, y = SIX
    # Before 1.9 a draw of rows of weight zero alone makes a tree of NaN, in scikit-learn itself.
    w = np.array([1.0, 3.0, 2.0, 0.5, 0.0 if RECENT else 0.25, 1.0])
    forest = stumps(cls, 400, max_samples=3, bootstrap=True, random_state=0)
    if frozen:
        forest = FrozenEstimator(forest.fit(X, y, sample_weight=w))
        if RECENT:  # earlier trees keep no weights, and show those of zero only
            with pytest.raises(ValueError, match="not trained on its draw"):
                ForestUnlearner(forest).fit(X, y, sample_weight=w[::-1])
    unlearner = ForestUnlearner(forest, random_state=0).fit(X, y, sample_weight=w)
    unlearner.unlearn(indices=[2])
    assert not unlearner._draws.touched([2]).any()
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
        (stumps(), 6, True),
        (stumps(ExtraTreesClassifier, bootstrap=True, max_samples=0.5), 3, True),
        (stumps(BaggingClassifier, max_samples=4), 4, True),
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
    assert not unlearner._draws.touched([2, 5]).any()
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
        assert not unlearner._draws.touched([gone]).any()  # which holds for any request
    expected = 1 - (4 / 5) ** 3
    assert stats.binomtest(int(holds_one), 100, expected).pvalue < LIKELY


@pytest.mark.parametrize(
    "forest",
    [
        RandomForestClassifier(20, max_samples=0.5),
        RandomForestClassifier(20, class_weight="balanced_subsample"),
        RandomForestClassifier(20, class_weight={0: 1, 1: 5, 2: 1}, max_samples=40),
        ExtraTreesClassifier(20, bootstrap=True),
        BaggingClassifier(n_estimators=20, max_features=0.5, max_samples=20),
        BaggingClassifier(n_estimators=20, bootstrap=False, max_samples=0.4),
    ],
    ids=["forest", "subsample", "weights", "extra", "bagging", "pasting"],
)
def test_trees_are_those_of_their_draws(data, forest):
    X, y = data
    unlearner = ForestUnlearner(forest, random_state=0).fit(X, y)
    plain = clone(forest).set_params(random_state=0).fit(X, y)
    assert np.array_equal(unlearner.predict_proba(X), plain.predict_proba(X))  # scikit-learn's own
    assert_truthful(unlearner, X, y)
    before, touched = list(unlearner.estimator_.estimators_), unlearner._draws.touched([3, 17])
    said = unlearner.count_touched(indices=[3, 17])
    unlearner.unlearn(indices=[3, 17])
    assert_truthful(unlearner, X, y)
    (entry,) = unlearner.deletions_
    assert said == touched.sum() == entry["members_regrown"]
    assert entry["share_regrown"] == touched.mean()
    assert 0 < touched.sum() < 20
    for old, new, grown in zip(before, unlearner.estimator_.estimators_, touched):
        assert (old is new) == (not grown)
    assert not hasattr(forest, "estimators_")
    assert json.loads(unlearner.certificate())["guarantee"].startswith("the distribution of an")


@pytest.mark.parametrize(
    "forest",
    [
        RandomForestRegressor(20, max_samples=0.4),
        RandomForestRegressor(10, criterion="absolute_error"),
        ExtraTreesRegressor(20, bootstrap=True),
        BaggingRegressor(n_estimators=20),
    ],
    ids=["forest", "median", "extra", "bagging"],
)
@pytest.mark.parametrize("targets", [1, 2])
def test_regression(forest, targets):
    X, y = load_diabetes(return_X_y=True)
    X, y = X[:150], y[:150]
    y = np.column_stack([y, -y]) if targets == 2 else y
    unlearner = ForestUnlearner(forest, random_state=0).fit(X, y).unlearn(indices=[3, 17])
    assert_truthful(unlearner, X, y)
    assert unlearner.predict(X).shape == y.shape
    assert unlearner.score(X, y) > 0.4


def test_weights_of_classes_go_into_new_trees():
    X, y = make_classification(300, 6, random_state=0)
    forest = RandomForestClassifier(80, max_depth=1, class_weight={0: 1, 1: 9}, max_samples=50)
    unlearner = ForestUnlearner(forest, random_state=0).fit(X, y)
    again = clone(forest).set_params(random_state=1).fit(X, y)
    stay = list(unlearner.estimator_.estimators_)
    unlearner.unlearn(indices=np.arange(30))
    new = [t for t in unlearner.estimator_.estimators_ if not any(t is s for s in stay)]
    share = [np.mean([t.tree_.value[0, 0, 1] for t in trees]) for trees in (new, again.estimators_)]
    assert share[0] == pytest.approx(share[1], abs=0.03)
    assert share[0] > 0.8
    assert "_sample_weight" not in vars(unlearner.estimator_)  # one number a row, of gone ones too


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
    assert not unlearner._draws.touched(np.arange(90)).any()
    pasting = BaggingClassifier(n_estimators=3, bootstrap=False, max_samples=60)
    pasting = ForestUnlearner(pasting, random_state=0).fit(X, y)
    with pytest.raises(UnlearningError, match="draws 60 rows without replacement, and only 10"):
        pasting.unlearn(indices=np.arange(90))
    assert len(pasting.deletions_) == 0


@pytest.mark.filterwarnings("ignore::skunlearn.exceptions.ClassForgottenWarning")
@pytest.mark.parametrize("forest", [RandomForestClassifier(9), BaggingClassifier(n_estimators=9)])
def test_a_class_that_goes(data, forest):
    X, y = data
    labels = np.array(["a", "b", "c"])[y]
    unlearner = ForestUnlearner(forest, random_state=0).fit(X, labels)
    gone = np.flatnonzero(labels == "b")
    unlearner.unlearn(indices=gone)
    assert unlearner.deletions_[0]["share_regrown"] == 1
    assert unlearner.estimator_.classes_.tolist() == ["a", "c"]
    assert len(unlearner.estimator_.estimators_) == unlearner.estimator_.n_estimators == 9
    assert set(unlearner.predict(X)) == {"a", "c"}
    p = unlearner.predict_proba(X)
    assert p.shape == (60, 3)
    assert not p[:, 1].any()
    more = np.flatnonzero(labels == "c")[:1]
    unlearner.unlearn(indices=more)
    assert unlearner.deletions_[1]["share_regrown"] < 1
    kept = np.setdiff1d(np.arange(60), np.append(gone, more))
    assert unlearner.score(X[kept], labels[kept]) > 0.8
    assert not unlearner._draws.touched(np.append(gone, more)).any()


@pytest.mark.parametrize(
    "forest",
    [
        RandomForestClassifier(30, oob_score=True),
        ExtraTreesClassifier(30, oob_score=True, bootstrap=True),
        BaggingClassifier(n_estimators=30, oob_score=True, max_features=0.5),
        BaggingClassifier(KNeighborsClassifier(3), n_estimators=30, oob_score=True),
        BaggingClassifier(make_pipeline(SVC()), n_estimators=30, oob_score=True),
        RandomForestRegressor(30, oob_score=True),
        BaggingRegressor(n_estimators=30, oob_score=True),
    ],
    ids=lambda forest: f"{type(forest).__name__}-{forest.estimator}"[:40],
)
def test_out_of_bag_figures_are_those_of_the_kept_rows(data, forest):
    X, y = data
    y = y if hasattr(forest, "predict_proba") else X @ np.array([1.0, 2, 0, -1])
    unlearner = ForestUnlearner(forest, random_state=0).fit(X, y)
    model = unlearner.estimator_
    name = "oob_decision_function_" if hasattr(model, "classes_") else "oob_prediction_"
    theirs, score = getattr(model, name).copy(), model.oob_score_
    # The same figures by our own means: a request that no tree has to be grown for.
    codes = np.searchsorted(model.classes_, y) if hasattr(model, "classes_") else y
    from skunlearn.exact._out_of_bag import set_out_of_bag

    set_out_of_bag(model, unlearner._draws, np.arange(60), X, codes)
    assert getattr(model, name) == pytest.approx(theirs)
    assert model.oob_score_ == pytest.approx(score)
    unlearner.unlearn(indices=[3, 17])
    new = unlearner.estimator_
    assert len(getattr(new, name)) == 58
    kept = np.delete(np.arange(60), [3, 17])
    out = [
        member.predict(
            X[[3 + 1]] if not hasattr(new, "estimators_features_") else X[[4]][:, columns]
        )[0]
        for k, (member, columns) in enumerate(
            zip(
                new.estimators_,
                getattr(new, "estimators_features_", [None] * len(new.estimators_)),
            )
        )
        if not unlearner._draws.holds(k, [4])[0]
    ]
    if name == "oob_prediction_":
        assert new.oob_prediction_[3] == pytest.approx(np.mean(out))
    assert 0 < len(out) < 30
    assert new.oob_score_ == pytest.approx(
        np.mean(np.argmax(new.oob_decision_function_, axis=1) == y[kept])
        if name == "oob_decision_function_"
        else sklearn.metrics.r2_score(y[kept], new.oob_prediction_)
    )


def test_rows_that_every_tree_drew_have_no_out_of_bag_figures(data):
    forest = RandomForestClassifier(2, oob_score=True)
    with pytest.warns(UserWarning, match="do not have OOB scores"):
        unlearner = ForestUnlearner(forest, random_state=0).fit(*data)
    with pytest.warns(UserWarning, match="every member drew them"):
        unlearner.unlearn(indices=[0])


class Nosy(ClassifierMixin, BaseEstimator):
    """Takes weights, and looks at rows whose weight is zero all the same."""

    def fit(self, X, y, sample_weight=None):
        self.classes_, self.seen_ = np.unique(y), np.unique(X)
        return self

    def predict(self, X):
        check_is_fitted(self)
        return np.full(len(X), self.classes_[0])


def test_bases_that_look_at_rows_without_weight_are_shown_their_draws_alone():
    X = np.arange(40.0)[:, None]
    y = np.arange(40) % 2
    bagging = BaggingClassifier(Nosy(), n_estimators=12, max_samples=10)
    assert len(bagging.fit(X, y).estimators_[0].seen_) == 40  # what scikit-learn does
    unlearner = ForestUnlearner(bagging, random_state=0).fit(X, y)
    assert len(unlearner.estimator_.estimators_) == 12
    unlearner.unlearn(indices=[7])
    for number, member in enumerate(unlearner.estimator_.estimators_):
        held = np.flatnonzero(unlearner._draws.holds(number, np.arange(40)))
        assert np.array_equal(member.seen_, X[held, 0])
    assert not unlearner._draws.touched([7]).any()
    with pytest.raises(ValueError, match="train it around a Pipeline of Nosy"):
        ForestUnlearner(FrozenEstimator(bagging)).fit(X, y)


def test_what_members_bring_along_is_named_or_refused(data):
    X, y = data
    scaler = StandardScaler().fit(X)
    bagging = BaggingClassifier(make_pipeline(FrozenEstimator(scaler), LogisticRegression()))
    unlearner = ForestUnlearner(bagging, random_state=0).fit(X, y).unlearn(indices=[0])
    certificate = json.loads(unlearner.certificate())
    assert certificate["guarantee"] == "none"
    assert "FrozenEstimator of StandardScaler" in certificate["notes"][0]
    # A member that stays was trained by the recipe of before.
    unlearner.set_params(estimator=BaggingClassifier(make_pipeline(LogisticRegression())))
    assert not unlearner.unlearn(indices=[1]).deletions_[1]["exact"]
    hidden = FunctionTransformer(scaler.transform)
    with pytest.raises(TypeError, match="a fitted StandardScaler"):
        ForestUnlearner(BaggingClassifier(make_pipeline(hidden, LogisticRegression()))).fit(X, y)


# ---------------------------------------------------------------------- trained ensembles


@pytest.mark.parametrize(
    "forest",
    [
        RandomForestClassifier(15),
        RandomForestClassifier(15, max_samples=0.3, class_weight={0: 1, 1: 5, 2: 1}),
        RandomForestClassifier(15, class_weight="balanced_subsample"),
        RandomForestClassifier(15, warm_start=True),
        ExtraTreesClassifier(15, bootstrap=True, max_depth=3),
        BaggingClassifier(n_estimators=15, max_features=0.5),
        BaggingClassifier(DecisionTreeClassifier(max_depth=2), n_estimators=15, max_samples=0.3),
        RandomForestRegressor(15),
        BaggingRegressor(n_estimators=15),
    ],
    ids=lambda forest: type(forest).__name__,
)
def test_after_the_fact(data, forest):
    X, y = data
    y = y if hasattr(forest, "predict_proba") else X @ np.array([1.0, 2, 0, -1])
    forest = clone(forest).set_params(random_state=3).fit(X, y)
    before = forest.predict(X)
    unlearner = ForestUnlearner(FrozenEstimator(forest), random_state=0).fit(X, y)
    assert np.array_equal(unlearner.predict(X), before)
    unlearner.unlearn(indices=[3, 17])
    assert_truthful(unlearner, X, y)
    assert np.array_equal(forest.predict(X), before)
    for rows, targets in ((X[::-1], y[::-1]), (X, y[::-1]), (X[:-1], y[:-1]), (X + 1, y)):
        with pytest.raises(ValueError, match=r"not trained on its draw|was trained on 60 rows"):
            ForestUnlearner(FrozenEstimator(forest)).fit(rows, targets)


def test_trained_with_weights_or_in_several_calls(data):
    X, y = data
    weights = np.where(y == 0, 3.0, 1.0)
    for forest in (
        RandomForestClassifier(5, random_state=0).fit(X, y, sample_weight=weights),
        BaggingClassifier(n_estimators=5, random_state=0).fit(X, y, sample_weight=weights),
    ):
        with pytest.raises(ValueError, match="without weights"):
            ForestUnlearner(FrozenEstimator(forest)).fit(X, y)
    forest = BaggingClassifier(n_estimators=5, warm_start=True, random_state=0).fit(X, y)
    forest.set_params(n_estimators=9).fit(X, y)
    with pytest.raises(ValueError, match="several calls of fit"):
        ForestUnlearner(FrozenEstimator(forest)).fit(X, y)
    grown = RandomForestClassifier(5, warm_start=True, random_state=0).fit(X[:40], y[:40])
    grown.set_params(n_estimators=9).fit(X, y)  # the first five know fewer rows
    with pytest.raises(ValueError, match="not trained on its draw"):
        ForestUnlearner(FrozenEstimator(grown)).fit(X, y)
    done = ForestUnlearner(RandomForestClassifier(5), random_state=0).fit(X, y).unlearn(indices=[0])
    with pytest.raises(ValueError, match="has forgotten rows before"):
        ForestUnlearner(FrozenEstimator(done.estimator_)).fit(X[1:], y[1:])


# ---------------------------------------------------------------------- seeds


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
    touched = unlearner._draws.touched([59])
    unlearner.unlearn(indices=[59])
    new = np.array([unlearner._draws.holds(k, np.arange(60)) for k in range(40)])
    assert np.array_equal(old[~touched], new[~touched])
    alike = (old[touched][:, :59] & new[touched][:, :59]).sum(axis=1)
    assert alike.mean() < 15  # of 30 drawn; 9.3 are expected by chance
    seeds = [tree.random_state for tree in unlearner.estimator_.estimators_]
    assert len(set(seeds)) == 40


# ---------------------------------------------------------------------- with everything else


@pytest.mark.parametrize("form", ["sparse", "frame", "list", "float64", "holes"])
def test_containers(data, form):
    X, y = data
    given = {
        "sparse": lambda X: sparse.csr_matrix(np.where(np.abs(X) > 0.5, X, 0)),
        "frame": lambda X: pd.DataFrame(X, columns=list("abcd")),
        "list": lambda X: X.tolist(),
        "float64": lambda X: X.astype(np.float64),
        "holes": lambda X: np.where(X > 1.5, np.nan, X),
    }[form](X)
    for forest in (RandomForestClassifier(10), BaggingClassifier(n_estimators=10)):
        unlearner = ForestUnlearner(forest, random_state=0).fit(given, y)
        before = unlearner.predict_proba(given)
        unlearner.unlearn(indices=[3, 17])
        assert unlearner.predict_proba(given).shape == (60, 3)
        assert not np.array_equal(unlearner.predict_proba(given), before)
        assert not unlearner._draws.touched([3, 17]).any()


def test_copies_go_on_and_hold_no_forgotten_row(data):
    X, y = data
    X = X.astype(np.float64)
    unlearner = ForestUnlearner(RandomForestClassifier(10), random_state=0).fit(X, y)
    unlearner.unlearn(indices=[3])
    copied = pickle.loads(pickle.dumps(unlearner))
    assert X[3].tobytes() not in pickle.dumps(unlearner)
    copied.unlearn(indices=[17])
    unlearner.unlearn(indices=[17])
    assert np.array_equal(copied.predict_proba(X), unlearner.predict_proba(X))
    assert not hasattr(unlearner.estimator_, "estimators_samples_")
    assert unlearner.estimator_.feature_importances_.shape == (4,)
    bare = ForestUnlearner(RandomForestClassifier(10), random_state=0, store_data=False)
    bare = pickle.loads(pickle.dumps(bare.fit(X, y)))
    with pytest.raises(DataNotStoredError):
        bare.unlearn(indices=[3])
    with pytest.raises(UnlearningError, match="attach"):
        bare.unlearn(indices=[3], X_retain=X[4:], y_retain=y[4:])
    assert bare.attach(X, y).unlearn(indices=[3]).score(X, y) > 0.7


def test_searches_pipelines_audits_and_queues(data, tmp_path):
    X, y = load_digits(return_X_y=True)
    X, y, X_test, y_test = X[:300], y[:300], X[300:600], y[300:600]
    forget = np.arange(300) < 20
    search = GridSearchCV(
        ForestUnlearner(RandomForestClassifier(20), random_state=0),
        {"estimator__max_samples": [20, 150]},
        cv=ForgetSplit(2, forget=forget, random_state=0),
    ).fit(X, y, forget=forget)
    assert search.best_params_ == {"estimator__max_samples": 150}
    report = audit(search.best_estimator_, X_test, y_test, n_seeds=2)
    assert "retrained (2)" in set(report.frame["model"])
    forest = ForestUnlearner(RandomForestClassifier(20), random_state=0)
    pipeline = UnlearningPipeline([("unit", Normalizer()), ("forest", forest)]).fit(X, y)
    pipeline.unlearn(indices=[3])
    assert json.loads(pipeline.certificate())["guarantee"].startswith("the distribution")
    with pytest.raises(TypeError, match="tied to the rows"):
        UnlearningPipeline([("scale", StandardScaler()), ("forest", forest)]).fit(X, y)
    queue = DeletionQueue(tmp_path, batch_size=1)
    worker = DeletionWorker(queue, forest, X_test, y_test).start(X, y, ids=range(300))
    queue.submit("ticket", ids=[17])
    assert worker.run_once()["audit"]["rows"] == 1
    assert not worker.unlearner._draws.touched([17]).any()


@pytest.mark.parametrize("n, m, k", [(40, 40, 1), (40, 20, 1), (40, 4, 1), (40, 4, 10)])
@pytest.mark.parametrize("bootstrap", [True, False])
def test_expected_share(n, m, k, bootstrap):
    if m == n and not bootstrap:
        assert expected_regrown_share(n, n, k, bootstrap=False) == 1
        return
    X, y = np.arange(float(n))[:, None], np.arange(n) % 2
    base = DecisionTreeClassifier(max_depth=1)
    bagging = BaggingClassifier(base, n_estimators=300, max_samples=m, bootstrap=bootstrap)
    unlearner = ForestUnlearner(bagging, random_state=0).fit(X, y)
    share = unlearner.count_touched(indices=np.arange(k)) / 300
    expected = expected_regrown_share(n, m, k, bootstrap=bootstrap)
    assert share == pytest.approx(expected, abs=4 * math.sqrt(0.25 / 300))
    assert expected_regrown_share(n, None) == 1 - (1 - 1 / n) ** n
    assert expected_regrown_share(n, 35, 6, bootstrap=False) == 1


def test_counting_changes_nothing(data):
    X, y = data
    unlearner = ForestUnlearner(RandomForestClassifier(10), random_state=0)
    unlearner.fit(X, y, ids=range(60), groups=np.arange(60) // 6)
    one = unlearner.count_touched(indices=[7])
    assert one == unlearner.count_touched(X[[7]]) == unlearner.count_touched(ids=[7])
    assert one <= unlearner.count_touched(groups=[1]) <= 10
    assert unlearner.deletions_ == []
    for wrong in ({}, {"ids": [1], "indices": [1]}):
        with pytest.raises(TypeError, match="exactly one way"):
            unlearner.count_touched(**wrong)


def test_rows_that_cost_most(data):
    X, y = data
    unlearner = ForestUnlearner(RandomForestClassifier(30, max_samples=12), random_state=0)
    request = costly_forget_set(unlearner.fit(X, y), size=5)
    rng = np.random.default_rng(0)
    drawn = [unlearner.count_touched(indices=rng.choice(60, 5, replace=False)) for _ in range(20)]
    worst = unlearner.count_touched(indices=request.indices)
    assert worst == request.details["members"] > max(drawn)
    # The first is the row in most draws; each further one adds most to those before.
    counts = [unlearner.count_touched(indices=[row]) for row in range(60)]
    assert max(counts) == request.details["scores"].max()
    assert request.details["scores"].sum() == worst
    whole = costly_forget_set(unlearner, size=40).indices
    assert unlearner.unlearn(indices=whole).deletions_[0]["share_regrown"] == 1


def test_refusals(data):
    X, y = data
    for estimator, error, message in [
        (GradientBoostingClassifier(), TypeError, "RandomForest"),
        (LogisticRegression(), TypeError, "RetrainUnlearner"),
        (ExtraTreesClassifier(), ValueError, "bootstrap=True"),
        (RandomForestClassifier(bootstrap=False), ValueError, "shows every row"),
        (BaggingClassifier(bootstrap=False), ValueError, "max_samples below"),
        (BaggingClassifier(bootstrap=False, max_samples=60), ValueError, "shows every row"),
        (RandomForestClassifier(class_weight="balanced"), ValueError, "balanced_subsample"),
        (
            BaggingClassifier(DecisionTreeClassifier(class_weight="balanced")),
            ValueError,
            "over all rows",
        ),
    ]:
        with pytest.raises(error, match=message):
            ForestUnlearner(estimator).fit(X, y)
    with pytest.raises(TypeError, match="sample_weight for forests, not for BaggingClassifier"):
        ForestUnlearner(BaggingClassifier()).fit(X, y, sample_weight=np.ones(60))
    # A base that is shown its draw alone may balance as it likes.
    inner = make_pipeline(LogisticRegression(class_weight="balanced"))
    ForestUnlearner(BaggingClassifier(inner), random_state=0).fit(X, y).unlearn(indices=[0])
    ridge = ForestUnlearner(BaggingRegressor(Ridge()), random_state=0).fit(X, y * 1.0)
    assert ridge.unlearn(indices=[0]).predict(X).shape == (60,)
    with pytest.raises(ValueError, match="n_requests"):
        expected_regrown_share(5, 5, 6)
