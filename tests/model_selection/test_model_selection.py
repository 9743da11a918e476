"""ForgetSplit and the one-standard-error rule."""

from functools import partial

import numpy as np
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    KFold,
    RandomizedSearchCV,
    StratifiedKFold,
    cross_validate,
)
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from skunlearn import RetrainUnlearner, UnlearningPipeline
from skunlearn.metrics import ForgottenScorer, MIAScorer, RetainedScorer
from skunlearn.model_selection import ForgetSplit, one_standard_error

FINAL = "retrainunlearner"  # the name of that step in make_pipeline


@pytest.fixture
def labels():
    return np.repeat([0, 1, 2], [30, 40, 50])


def folds(splitter, y, **kwargs):
    return list(splitter.split(np.zeros((len(y), 1)), y, **kwargs))


def test_forget_rows_are_in_every_training_part(labels):
    forget = np.zeros(120, dtype=bool)
    forget[::7] = True
    parts = folds(ForgetSplit(4, forget=forget, random_state=0), labels)
    assert len(parts) == 4
    tested = np.concatenate([test for _, test in parts])
    assert sorted(tested) == list(np.flatnonzero(~forget))
    for train, test in parts:
        assert np.isin(np.flatnonzero(forget), train).all()
        assert not np.intersect1d(train, test).size


def test_test_parts_are_stratified(labels):
    forget = np.zeros(120, dtype=bool)
    forget[:5] = True
    for _, test in folds(ForgetSplit(5, forget=forget, random_state=0), labels):
        assert np.bincount(labels[test]).tolist() == [5, 8, 10]


def test_a_forgotten_class_leaves_unseen_twins_in_every_fold(labels):
    forget = labels == 1
    parts = folds(ForgetSplit(4, forget=forget, random_state=0), labels)
    twins = np.concatenate([test[labels[test] == 1] for _, test in parts])
    assert sorted(twins) == list(np.flatnonzero(forget))
    for train, test in parts:
        assert (labels[test] == 1).sum() == 10
        assert (labels[train] == 1).sum() == 30


def test_a_class_and_single_rows_together(labels):
    forget = (labels == 1) | (np.arange(120) < 3)
    for train, test in folds(ForgetSplit(2, forget=forget, random_state=0), labels):
        assert np.isin([0, 1, 2], train).all()
        assert (labels[test] == 1).sum() == 20


def test_instance_kind_pins_a_whole_class_and_class_kind_insists_on_one(labels):
    forget = labels == 1
    for train, _ in folds(ForgetSplit(2, forget=forget, kind="instance"), labels):
        assert np.isin(np.flatnonzero(forget), train).all()
    forget[np.flatnonzero(forget)[0]] = False
    with pytest.raises(ValueError, match="every row of the classes"):
        folds(ForgetSplit(2, forget=forget, kind="class"), labels)


def test_regression_targets_are_not_stratified():
    y = np.linspace(0, 1, 60)
    forget = np.arange(60) < 6
    parts = folds(ForgetSplit(3, forget=forget, random_state=0), y)
    assert sorted(np.concatenate([test for _, test in parts])) == list(range(6, 60))


def test_seeds(labels):
    forget = np.arange(120) % 9 == 0

    def first(seed):
        return folds(ForgetSplit(3, forget=forget, random_state=seed), labels)[0][1].tolist()

    assert first(0) == first(0)
    assert first(0) != first(1)


@pytest.mark.parametrize(
    ("forget", "error", "match"),
    [
        (None, ValueError, "needs the mask"),
        (np.array([1, 2, 3]), TypeError, "boolean mask"),
        (np.ones(5, dtype=bool), ValueError, r"expected shape \(120,\)"),
        (np.zeros(120, dtype=bool), ValueError, "marks no row"),
        (np.ones(120, dtype=bool), ValueError, "marks every row"),
    ],
)
def test_bad_masks(labels, forget, error, match):
    with pytest.raises(error, match=match):
        folds(ForgetSplit(3, forget=forget), labels)


def test_a_class_too_small_for_twins(labels):
    labels[:2] = 7
    with pytest.raises(ValueError, match="class 7 has 2 rows"):
        folds(ForgetSplit(3, forget=labels == 7), labels)


def nested(cv, search=GridSearchCV, **options):
    """One search, to stand inside another."""
    return search(
        RetrainUnlearner(LogisticRegression(), random_state=0),
        {"estimator__C": [0.1, 1.0]},
        cv=cv,
        scoring={"accuracy": "accuracy", "forgetting": MIAScorer()},
        refit="accuracy",
        error_score="raise",
        **options,
    )


@pytest.mark.parametrize("routing", [False, True])
@pytest.mark.parametrize("own", [False, True])  # of the unlearner's Pipeline
def test_searches_nest(labels, routing, own):
    X = np.random.default_rng(0).normal(size=(120, 3))
    forget = np.arange(120) % 5 == 0
    search, name = nested(ForgetSplit(2, random_state=0)), "forget"
    if own:
        pipeline = make_pipeline(StandardScaler(), search.estimator)
        search.set_params(estimator=pipeline, param_grid={f"{FINAL}__estimator__C": [0.1, 1.0]})
        name = "forget" if routing else f"{FINAL}__forget"
    masks = {name: forget} if routing else {name: forget, "groups": forget}
    with config_context(enable_metadata_routing=routing):
        search.fit(X, labels, **masks)
        outer = StratifiedKFold(3, shuffle=True, random_state=0)
        found = cross_validate(
            search, X, labels, cv=outer, params=masks, return_estimator=True, error_score="raise"
        )
    for inner, (train, _) in zip(found["estimator"], outer.split(X, labels)):
        best = inner.best_estimator_
        best = best[-1] if own else best
        assert best.deletions_[0]["rows"] == forget[train].sum()
        assert np.isfinite(inner.cv_results_["mean_test_forgetting"]).all()


def test_three_searches_deep(labels):
    """With routing only: without it groups go to the first search that they meet."""
    X = np.random.default_rng(0).normal(size=(120, 3))
    forget = np.arange(120) % 3 == 0
    with config_context(enable_metadata_routing=True):
        middle = GridSearchCV(
            nested(ForgetSplit(2, random_state=0)), {"estimator__store_data": [True]},
            cv=ForgetSplit(2, random_state=1), error_score="raise", scoring="accuracy",
        )  # fmt: skip
        outer = cross_validate(
            middle, X, labels, params={"forget": forget}, cv=ForgetSplit(2, random_state=2),
            scoring="accuracy", error_score="raise",
        )  # fmt: skip
    assert np.isfinite(outer["test_score"]).all()


def test_a_fold_without_a_marked_row_names_the_splitter_that_keeps_them(labels):
    """Folds that are not shuffled leave the first rows out of the first training part."""
    X = np.random.default_rng(0).normal(size=(120, 3))
    forget = np.arange(120) < 12
    how = {"params": {"forget": forget, "groups": forget}, "error_score": "raise"}
    search = nested(ForgetSplit(2, random_state=0))
    with pytest.raises(ValueError, match=r"marks no row.*split by .*ForgetSplit"):
        cross_validate(search, X, labels, cv=KFold(2), **how)
    outer = ForgetSplit(2, forget=forget, random_state=0)
    assert len(cross_validate(search, X, labels, cv=outer, **how)["test_score"]) == 2


@pytest.mark.parametrize(
    "splitter",
    [ForgetSplit(2), ForgetSplit(2, forget=np.arange(120) % 5 == 0)],
    ids=["no mask", "the outer mask"],
)
def test_a_nested_search_without_its_mask_says_both_ways(labels, splitter):
    X = np.random.default_rng(0).normal(size=(120, 3))
    forget = np.arange(120) % 5 == 0
    with pytest.raises(ValueError, match="mask") as raised:
        cross_validate(
            nested(splitter), X, labels, cv=3, params={"forget": forget}, error_score="raise"
        )
    said = str(raised.value)
    assert 'params={"forget": mask, "groups": mask}' in said
    assert "enable_metadata_routing=True" in said
    assert ("the outer length" in said and "got (120,)" in said) == (splitter.forget is not None)


def test_groups_that_are_no_mask(labels):
    with pytest.raises(TypeError, match=r"groups has dtype int.*ForgetSplit\(\)"):
        list(ForgetSplit(2).split(labels, labels, groups=labels))
    mask = np.arange(120) % 5 == 0
    ours = list(ForgetSplit(2, forget=mask, random_state=0).split(labels, labels, groups=labels))
    theirs = list(ForgetSplit(2, random_state=0).split(labels, labels, groups=mask))
    for one, other in zip(ours, theirs):
        np.testing.assert_array_equal(one[0], other[0])


@pytest.mark.parametrize("search", [RandomizedSearchCV, HalvingGridSearchCV])
def test_other_searches_hand_the_mask_over(labels, search):
    X = np.random.default_rng(0).normal(size=(120, 3))
    forget = np.arange(120) % 5 == 0
    options = {"n_iter": 2} if search is RandomizedSearchCV else {"min_resources": 60}
    if search is HalvingGridSearchCV:
        options |= {"factor": 2, "return_train_score": False}
    found = nested(ForgetSplit(2, random_state=0), search, random_state=0, **options)
    if search is HalvingGridSearchCV:
        found.set_params(scoring=MIAScorer(), refit=True)
    found.fit(X, labels, forget=forget, groups=forget)
    assert found.best_estimator_.deletions_[0]["rows"] == forget.sum()


def test_mask_by_metadata_routing(labels):
    X = np.random.default_rng(0).normal(size=(120, 3))
    forget = np.arange(120) % 5 == 0
    with config_context(enable_metadata_routing=True):
        search = GridSearchCV(
            RetrainUnlearner(LogisticRegression(), random_state=0),
            {"store_data": [True]},
            cv=ForgetSplit(3, random_state=0),
            scoring={"accuracy": "accuracy", "forgetting": MIAScorer()},
            refit=one_standard_error,
            error_score="raise",
        ).fit(X, labels, forget=forget)
    assert search.best_estimator_.deletions_[0]["rows"] == forget.sum()


def results(forgetting, accuracy):
    """cv_results_ of candidates × folds."""
    forgetting, accuracy = np.array(forgetting, float), np.array(accuracy, float)
    return {
        "mean_test_forgetting": forgetting.mean(axis=1),
        "mean_test_accuracy": accuracy,
        **{f"split{k}_test_forgetting": forgetting[:, k] for k in range(forgetting.shape[1])},
    }


def test_the_most_accurate_within_one_standard_error():
    # Mean -0.02, standard error 0.01/sqrt(3) of the sample deviation 0.01: the margin is 0.0058.
    best = [-0.01, -0.02, -0.03]
    table = results([best, [-0.025] * 3, [-0.026] * 3], [0.8, 0.9, 0.99])
    assert one_standard_error(table) == 1


def test_failed_candidates_are_passed_over():
    table = results([[np.nan] * 2, [-0.1, -0.2]], [0.99, 0.5])
    assert one_standard_error(table) == 1
    with pytest.raises(ValueError, match="Every candidate failed"):
        one_standard_error(results([[np.nan] * 2], [0.5]))


def test_ties_go_to_the_more_accurate():
    assert one_standard_error(results([[-0.1, -0.1], [-0.1, -0.1]], [0.5, 0.6])) == 1


def test_names_and_folds_are_checked():
    table = results([[-0.1, -0.1]], [0.5])
    with pytest.raises(ValueError, match="no scorer 'kept'"):
        partial(one_standard_error, accuracy="kept")(table)
    with pytest.raises(ValueError, match="no scorer 'forgotten'"):
        partial(one_standard_error, forgetting="forgotten")(table)
    del table["split1_test_forgetting"]
    with pytest.raises(ValueError, match="two folds"):
        one_standard_error(table)


@pytest.mark.parametrize("theirs", [{"forgetting": "mia"}, {"accuracy": "f1"}])
def test_of_two_scorers_the_one_without_a_known_name_is_the_other(theirs):
    table = results([[-0.3, -0.3], [-0.1, -0.1], [-0.1, -0.1]], [0.9, 0.5, 0.6])
    for name, other in theirs.items():
        table = {key.replace(name, other): values for key, values in table.items()}
    assert one_standard_error(table) == 2
    # A third scorer, and nobody knows which it is.
    with pytest.raises(ValueError, match="no scorer"):
        one_standard_error(table | {"mean_test_recall": table["mean_test_" + other]})


SCORERS = {
    "the attack": MIAScorer(),
    "one of two": {"accuracy": "accuracy", "forgetting": MIAScorer("margin")},
    "of classes": {"gone": ForgottenScorer(), "others": RetainedScorer()},
}


@pytest.mark.parametrize("scoring", SCORERS.values(), ids=SCORERS)
@pytest.mark.parametrize("composed", [None, "Pipeline", "UnlearningPipeline"])
@pytest.mark.parametrize("own", [True, False], ids=["its own split", "KFold"])
def test_a_search_of_which_nothing_is_forgotten_trains_nothing(scoring, composed, own):
    X, y = make_classification(random_state=0)
    mask = np.arange(100) % 4 == 0
    trained = []

    class Counting(LogisticRegression):
        def fit(self, X, y):
            trained.append(len(y))
            return super().fit(X, y)

    unlearner, name = RetrainUnlearner(Counting(), random_state=0), "forget"
    grid = {"estimator__C": [0.1, 1.0]}
    if composed is not None:
        kind = Pipeline if composed == "Pipeline" else UnlearningPipeline
        unlearner = kind([("scale", StandardScaler()), ("model", unlearner)])
        grid = {"model__estimator__C": [0.1, 1.0]}
        name = "model__forget" if composed == "Pipeline" else "forget"
    refit = next(iter(scoring)) if isinstance(scoring, dict) else True
    cv = ForgetSplit(2, forget=mask, random_state=0) if own else 2
    search = GridSearchCV(unlearner, grid, cv=cv, scoring=scoring, refit=refit)
    with pytest.raises(ValueError, match=rf"search.fit\(X, y, {name}=mask\)"):
        search.fit(X, y)
    with pytest.raises(ValueError, match=rf'params={{"{name}": mask}}'):
        cross_validate(unlearner, X, y, cv=cv, scoring=scoring, error_score="raise")
    assert not trained


def test_searches_that_score_nothing_forgotten_need_no_mask():
    X, y = make_classification(random_state=0)
    unlearner = RetrainUnlearner(LogisticRegression(), random_state=0)
    for scoring in ("accuracy", RetainedScorer()):
        search = GridSearchCV(unlearner, {"estimator__C": [0.1]}, cv=2, scoring=scoring)
        assert search.fit(X, y).best_score_ > 0.7

    def scored(estimator, X, y):
        """It trains unlearners of its own."""
        return clone(estimator).fit(X, y).unlearn(indices=[0]).score(X, y)

    both = {"own": scored, "forgetting": MIAScorer("margin")}
    mask = np.arange(100) % 4 == 0
    cv = ForgetSplit(2, forget=mask, random_state=0)
    found = cross_validate(unlearner, X, y, cv=cv, scoring=both, params={"forget": mask})
    assert np.isfinite(found["test_own"]).all()
    assert np.isfinite(found["test_forgetting"]).all()
