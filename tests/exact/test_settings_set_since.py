"""Parameters of the recipe that are set between `fit` and a request: the sums must be theirs."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, RidgeClassifier
from sklearn.naive_bayes import (
    BernoulliNB,
    CategoricalNB,
    ComplementNB,
    GaussianNB,
    MultinomialNB,
)
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from skunlearn import (
    ForestUnlearner,
    RetrainUnlearner,
    RidgeUnlearner,
    ShardedUnlearner,
    SufficientStatisticsUnlearner,
    UnlearningPipeline,
)
from skunlearn.exact import SteadyKMeans
from skunlearn.exceptions import UnlearningError
from tests.fuzz_exact import outputs

GONE = [3, 9, 20]


@pytest.fixture
def task():
    rng = np.random.default_rng(0)
    X = rng.poisson(2, (60, 4)).astype(float)
    return X, np.arange(60) % 3, X @ [1, 2, 3, 4] + rng.normal(size=60)


REGRESSIONS = {
    "penalty": (Ridge(), Ridge(alpha=50.0)),
    "no intercept": (Ridge(), Ridge(fit_intercept=False)),
    "an intercept": (Ridge(fit_intercept=False), Ridge()),
    "least squares, no intercept": (LinearRegression(), LinearRegression(fit_intercept=False)),
    "least squares": (Ridge(), LinearRegression()),
    "another, no intercept": (Ridge(), LinearRegression(fit_intercept=False)),
}
CLASSIFIERS = {
    "ridge, no intercept": (RidgeClassifier(), RidgeClassifier(fit_intercept=False)),
    "smoothing": (GaussianNB(), GaussianNB(var_smoothing=0.5)),
    "threshold": (BernoulliNB(), BernoulliNB(binarize=2.0)),
    "no threshold": (BernoulliNB(binarize=3.0), BernoulliNB(binarize=0.0)),
    "alpha": (BernoulliNB(), BernoulliNB(alpha=7.0)),
    "categories": (CategoricalNB(min_categories=20), CategoricalNB(min_categories=30)),
    "counts as complements": (MultinomialNB(), ComplementNB()),
    "counts as bits": (MultinomialNB(), BernoulliNB(binarize=2.0)),
    "bits as counts": (BernoulliNB(binarize=2.0), MultinomialNB()),
    "counts as a density": (MultinomialNB(), GaussianNB()),
    "a density as counts": (GaussianNB(), MultinomialNB()),
    "a density as a discriminant": (GaussianNB(), LinearDiscriminantAnalysis()),
    "a discriminant as a density": (LinearDiscriminantAnalysis(), GaussianNB()),
    "a density as neighbours": (GaussianNB(), KNeighborsClassifier(3)),
    "neighbours as a density": (KNeighborsClassifier(3), GaussianNB()),
    "solver": (LinearDiscriminantAnalysis(), LinearDiscriminantAnalysis(solver="lsqr")),
}


def wrap(recipe):
    ridge = isinstance(recipe, Ridge | LinearRegression | RidgeClassifier)
    return (RidgeUnlearner if ridge else SufficientStatisticsUnlearner)(clone(recipe))


@pytest.mark.parametrize("requests", [[GONE], [GONE[:2], GONE[2:]]], ids=["one", "two"])
@pytest.mark.parametrize("name", [*REGRESSIONS, *CLASSIFIERS])
def test_the_model_is_that_of_the_recipe_as_it_is_now(task, name, requests):
    X, labels, targets = task
    before, now = REGRESSIONS.get(name) or CLASSIFIERS[name]
    y = targets if name in REGRESSIONS else labels
    unlearner = wrap(before).fit(X, y).set_params(estimator=clone(now))
    for rows in requests:
        unlearner.unlearn(indices=rows)
    again = clone(now).fit(np.delete(X, GONE, axis=0), np.delete(y, GONE))
    np.testing.assert_allclose(outputs(unlearner, X), outputs(again, X), rtol=1e-7)


def test_sums_of_other_settings_need_all_rows(task):
    X, labels, targets = task
    few = {"X_retain": X[30:], "indices": [3]}
    ridge = RidgeUnlearner(Ridge()).fit(X, targets).set_params(estimator__fit_intercept=False)
    with pytest.raises(UnlearningError, match="must bring all 59 retained rows"):
        ridge.unlearn(**few, y_retain=targets[30:])
    bits = SufficientStatisticsUnlearner(BernoulliNB()).fit(X, labels)
    with pytest.raises(UnlearningError, match="must bring all 59 retained rows"):
        bits.set_params(estimator__binarize=2.0).unlearn(**few, y_retain=labels[30:])
    bits.set_params(estimator__binarize=0.0).unlearn(**few, y_retain=labels[30:])


STEPS = {
    "scale": (StandardScaler(), {"with_std": False}),
    "components": (PCA(2), {"n_components": 3}),
    "whitened": (PCA(2), {"whiten": True}),
    "clusters": (SteadyKMeans(3, random_state=0), {"n_clusters": 4}),
    "another start": (SteadyKMeans(3, random_state=0), {"random_state": 5}),
}


@pytest.mark.parametrize("name", STEPS)
def test_the_first_step_is_that_of_its_settings_as_they_are_now(task, name):
    X, y, _ = task
    step, changed = STEPS[name]
    end = ("model", RetrainUnlearner(LogisticRegression(max_iter=500)))
    pipeline = UnlearningPipeline([("step", step), end]).fit(X, y)
    pipeline.set_params(**{f"step__{key}": value for key, value in changed.items()})
    # Whether the fitted step answers with new settings is scikit-learn's affair.
    pipeline.unlearn(indices=GONE)
    again = clone(step).set_params(**changed).fit(np.delete(X, GONE, axis=0))
    np.testing.assert_allclose(
        np.abs(pipeline["step"].transform(X)), np.abs(again.transform(X)), rtol=1e-7, atol=1e-9
    )
    assert "subtracted" not in pipeline.deletions_[0]["transformers"]
    pipeline.unlearn(indices=[5])  # from the sums of the new settings


def member_depths(unlearner):
    members = getattr(unlearner.estimator_, "estimators_", None) or unlearner.estimator_.members
    return [member.get_depth() for member in members]


@pytest.mark.parametrize("verb", ["unlearn", "correct"])
@pytest.mark.parametrize(
    "unlearner",
    [
        ForestUnlearner(RandomForestClassifier(6, max_samples=6), random_state=0),
        ShardedUnlearner(DecisionTreeClassifier(), n_shards=4, random_state=0),
    ],
    ids=["forest", "shards"],
)
def test_no_member_stays_that_another_recipe_has_trained(task, unlearner, verb):
    """They would be the model of neither, and the guarantee that of no training."""
    X, y, _ = task
    unlearner = clone(unlearner).fit(X, y)
    unlearner.set_params(estimator__max_depth=1, estimator__random_state=0)

    def ask(row):
        if verb == "unlearn":
            return unlearner.unlearn(indices=[row])
        return unlearner.correct(indices=[row], X_new=X[[row]] + 100)

    told = r"estimator__max_depth, estimator__random_state\).* trains all of them again"
    with pytest.warns(UserWarning, match=told):
        ask(0)
    assert max(member_depths(unlearner)) == 1
    entry = unlearner.deletions_[0]
    assert entry.get("share_regrown", entry.get("share_retrained")) > 0.9
    before = list(map(id, getattr(unlearner.estimator_, "estimators_", ())))
    ask(1)  # by the same recipe, which nothing is said of
    entry = unlearner.deletions_[1]
    assert entry.get("share_regrown", entry.get("share_retrained")) < 0.9
    assert not before or set(before) & set(map(id, unlearner.estimator_.estimators_))


def test_more_members_and_larger_draws_are_those_of_the_recipe(task):
    X, y, _ = task
    forest = ForestUnlearner(RandomForestClassifier(4, max_samples=5), random_state=0).fit(X, y)
    forest.set_params(estimator__n_estimators=7, estimator__max_samples=20)
    with pytest.warns(UserWarning, match="estimator__max_samples, estimator__n_estimators"):
        forest.unlearn(indices=[0])
    assert len(forest.estimator_.estimators_) == 7
    assert {tree.tree_.n_node_samples[0] > 5 for tree in forest.estimator_.estimators_} == {True}


@pytest.mark.parametrize("cls", [ForestUnlearner, ShardedUnlearner])
def test_another_class_of_the_same_parameters_is_another_recipe(task, cls):
    X, y, _ = task
    settings = {"n_estimators": 4, "max_samples": 6, "bootstrap": True}
    unlearner = cls(RandomForestClassifier(**settings), random_state=0).fit(X, y)
    unlearner.set_params(estimator=ExtraTreesClassifier(**settings))
    with pytest.warns(UserWarning, match=r"\(estimator\)"):
        unlearner.unlearn(indices=[0])
    models = getattr(unlearner.estimator_, "members", [unlearner.estimator_])
    assert {type(model) for model in models} == {ExtraTreesClassifier}


def test_what_shapes_no_member_may_be_set(task):
    X, y, _ = task
    forest = ForestUnlearner(RandomForestClassifier(4), random_state=0).fit(X, y)
    forest.set_params(estimator__n_jobs=1, estimator__verbose=0, verbose=0).unlearn(indices=[0])
    shards = ShardedUnlearner(DecisionTreeClassifier(), n_shards=3, random_state=0).fit(X, y)
    shards.set_params(aggregate="vote", n_jobs=1).unlearn(indices=[0])
    assert set(np.unique(shards.predict_proba(X) * 3).round(6)) <= {0, 1, 2, 3}


def test_rows_stay_in_the_shards_of_fit(task):
    X, y, _ = task
    shards = ShardedUnlearner(DecisionTreeClassifier(), n_shards=3, random_state=0).fit(X, y)
    with pytest.raises(UnlearningError, match=r"in 3 shards of 1 slices.*n_shards=5"):
        shards.set_params(n_shards=5).unlearn(indices=[0])
    shards.set_params(n_shards=3).unlearn(indices=[0])
