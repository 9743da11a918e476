"""SufficientStatisticsUnlearner: the model of the kept rows, whatever goes."""

import json
import pickle

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import (
    BernoulliNB,
    CategoricalNB,
    ComplementNB,
    GaussianNB,
    MultinomialNB,
)
from sklearn.neighbors import (
    KNeighborsClassifier,
    KNeighborsRegressor,
    RadiusNeighborsClassifier,
    RadiusNeighborsRegressor,
)
from sklearn.preprocessing import Normalizer, StandardScaler

from skunlearn import RetrainUnlearner, SufficientStatisticsUnlearner, UnlearningPipeline
from skunlearn.exceptions import UnlearningError
from skunlearn.production import DeletionQueue, DeletionWorker
from tests.turns import crossed_in_turns

GONE = np.arange(40, 130)
KEPT = np.delete(np.arange(300), GONE)
quiet = pytest.mark.filterwarnings("ignore::skunlearn.exceptions.ClassForgottenWarning")


def task(kind=None):
    rng = np.random.default_rng(0)
    y = np.array(list("abc"))[rng.integers(0, 3, 300)]
    if kind == "categories":
        return rng.integers(0, 4, size=(300, 6)), y
    X = rng.gamma(2, 2, size=(300, 6))
    X[y == "b"] += 1
    return X, y


RECIPES = [
    GaussianNB(),
    GaussianNB(priors=[0.2, 0.3, 0.5], var_smoothing=1e-3),
    MultinomialNB(),
    MultinomialNB(alpha=0.1, fit_prior=False),
    MultinomialNB(class_prior=[0.2, 0.3, 0.5], alpha=[0.1, 1, 1, 1, 1, 2]),
    ComplementNB(),
    ComplementNB(norm=True),
    BernoulliNB(binarize=3.0),
    CategoricalNB(min_categories=5),
    CategoricalNB(min_categories=[4, 4, 4, 4, 4, 7], alpha=0.0, fit_prior=False),
    LinearDiscriminantAnalysis(),
    LinearDiscriminantAnalysis(priors=[0.1, 0.2, 0.7], n_components=1),
    LinearDiscriminantAnalysis(store_covariance=True),
    LinearDiscriminantAnalysis(solver="lsqr"),
    LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.3),
    LinearDiscriminantAnalysis(solver="eigen"),
    LinearDiscriminantAnalysis(solver="eigen", shrinkage=0.1),
    KNeighborsClassifier(),
    RadiusNeighborsClassifier(30.0),
    KNeighborsRegressor(weights="distance"),
    RadiusNeighborsRegressor(30.0),
]


def assert_same(ours, theirs, rel=1e-11):
    """All that the two have learnt; a discriminant's axes have no sign."""
    assert vars(ours).keys() == vars(theirs).keys()
    for name, value in vars(theirs).items():
        if not name.endswith("_") and name not in ("_fit_X", "_y"):
            continue
        if name == "scalings_" and theirs.solver == "eigen":
            axes = len(theirs.classes_) - 1  # behind them any basis will do
            pairs = [(np.abs(getattr(ours, name)[:, :axes]), np.abs(value[:, :axes]))]
        elif name == "scalings_":
            pairs = [(np.abs(getattr(ours, name)), np.abs(value))]
        elif isinstance(value, list):
            pairs = list(zip(getattr(ours, name), value, strict=True))
        else:
            pairs = [(getattr(ours, name), value)]
        for mine, expected in pairs:
            if isinstance(expected, (str, dict)):
                assert mine == expected
                continue
            mine, expected = (
                a.toarray() if sparse.issparse(a) else np.asarray(a) for a in (mine, expected)
            )
            assert mine.shape == expected.shape, name
            if expected.dtype.kind in "fi":
                scale = float(np.abs(expected[np.isfinite(expected)]).max(initial=0))
                assert mine == pytest.approx(expected, rel=rel, abs=rel * scale), name
            else:
                assert np.array_equal(mine, expected), name


@pytest.fixture
def no_training(monkeypatch):
    """Neither is the recipe trained, nor are the kept rows read."""

    def refuse(*args, **kwargs):
        raise AssertionError("the kept rows were read")

    monkeypatch.setattr(SufficientStatisticsUnlearner, "_train", refuse)
    monkeypatch.setattr(SufficientStatisticsUnlearner, "_sum_up", refuse)


@pytest.mark.filterwarnings("ignore:divide by zero")  # scikit-learn's, of alpha=0
@pytest.mark.parametrize(
    "recipe, dtype", crossed_in_turns(RECIPES, [np.float64, np.float32], every=3)
)
def test_equals_the_recipe_on_the_kept_rows(recipe, dtype, request):
    X, y = task("categories" if isinstance(recipe, CategoricalNB) else None)
    X = X.astype(dtype)
    y = y if hasattr(recipe, "predict_proba") else X[:, 0] - X[:, 1]
    unlearner = SufficientStatisticsUnlearner(recipe).fit(X, y)
    rel = 1e-11 if dtype is np.float64 else 1e-4
    assert_same(unlearner.estimator_, clone(recipe).fit(X, y), rel)
    if unlearner._statistic is not None:
        request.getfixturevalue("no_training")
    unlearner.unlearn(indices=GONE)
    again = clone(recipe).fit(X[KEPT], y[KEPT])
    assert_same(unlearner.estimator_, again, rel)
    assert np.array_equal(unlearner.predict(X[KEPT]), again.predict(X[KEPT]))
    for row in KEPT[:10]:
        unlearner.unlearn(indices=[row])
    assert_same(unlearner.estimator_, clone(recipe).fit(X[KEPT[10:]], y[KEPT[10:]]), rel)
    assert not hasattr(recipe, "classes_")
    assert unlearner.deletions_[0]["exact"]


@pytest.mark.parametrize(
    "recipe",
    [GaussianNB(), MultinomialNB(), ComplementNB(), BernoulliNB(), CategoricalNB(min_categories=5)],
    ids=lambda r: type(r).__name__,
)
@pytest.mark.parametrize("frozen", [False, True])
def test_sample_weights(recipe, frozen):
    X, y = task("categories" if isinstance(recipe, CategoricalNB) else None)
    X = X if isinstance(recipe, GaussianNB | CategoricalNB) else np.abs(X)
    w = np.random.default_rng(0).uniform(0.1, 3, len(X))
    w[-5:] = 0
    given = FrozenEstimator(clone(recipe).fit(X, y, w)) if frozen else recipe
    unlearner = SufficientStatisticsUnlearner(given).fit(X, y, sample_weight=w)
    assert_same(unlearner.estimator_, clone(recipe).fit(X, y, w))
    unlearner.unlearn(indices=GONE).unlearn(indices=KEPT[:5])
    left = KEPT[5:]
    assert_same(unlearner.estimator_, clone(recipe).fit(X[left], y[left], w[left]))


def test_models_without_sample_weights_say_so():
    X, y = task()
    for recipe in (LinearDiscriminantAnalysis(), KNeighborsClassifier()):
        with pytest.raises(TypeError, match=f"{type(recipe).__name__}.fit takes none"):
            SufficientStatisticsUnlearner(recipe).fit(X, y, sample_weight=np.ones(len(X)))


@quiet
@pytest.mark.parametrize("recipe", RECIPES[:17], ids=lambda r: str(r)[:40])
def test_a_class_that_goes(recipe):
    if getattr(recipe, "fit_prior", True) is False and recipe.alpha == 0:
        pytest.skip("a class of probability zero says nothing that could be observed")
    given = any(getattr(recipe, name, None) is not None for name in ("priors", "class_prior"))
    X, y = task("categories" if isinstance(recipe, CategoricalNB) else None)
    unlearner = SufficientStatisticsUnlearner(recipe).fit(X, y)
    model = unlearner.estimator_
    if given and not isinstance(recipe, LinearDiscriminantAnalysis):
        with pytest.raises(ValueError, match="Number of priors must match"):
            unlearner.unlearn(indices=np.flatnonzero(y == "b"))
        assert unlearner.estimator_ is model
        return
    if given:
        return  # scikit-learn's own takes priors of other classes for these
    unlearner.unlearn(indices=np.flatnonzero(y == "b"))
    again = clone(recipe).fit(X[y != "b"], y[y != "b"])
    assert_same(unlearner.estimator_, again)
    assert unlearner.predict_proba(X).shape == (300, 3)
    assert not unlearner.predict_proba(X)[:, 1].any()
    if isinstance(recipe, LinearDiscriminantAnalysis):
        unlearner.unlearn(indices=np.flatnonzero(y == "a")[:5])
        return
    unlearner.unlearn(indices=np.flatnonzero(y == "a"))
    assert set(unlearner.predict(X)) == {"c"}


@quiet
@pytest.mark.parametrize("solver", ["lsqr", "eigen"])
def test_one_class_of_two_is_left(solver):
    X, y = task()
    X, y = X[y != "c"], y[y != "c"]
    unlearner = SufficientStatisticsUnlearner(LinearDiscriminantAnalysis(solver=solver)).fit(X, y)
    refusal = pytest.raises(UnlearningError, match=r"One class is left, a, .* cannot predict")
    with np.errstate(invalid="ignore"), refusal:  # scikit-learn's eigen divides by nothing
        unlearner.unlearn(indices=np.flatnonzero(y == "b"))
    assert np.array_equal(unlearner.classes_, ["a", "b"])
    assert not unlearner.deletions_


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("solver", ["svd", "lsqr", "eigen"])
def test_types_of_a_discriminant_of_single_floats(solver, n_classes):
    X, y = task()
    chosen = y < "abcd"[n_classes]
    X, y = X[chosen].astype(np.float32), y[chosen]
    recipe = LinearDiscriminantAnalysis(solver=solver)
    ours = SufficientStatisticsUnlearner(recipe).fit(X, y).unlearn(indices=[0, 7]).estimator_
    again = clone(recipe).fit(np.delete(X, [0, 7], axis=0), np.delete(y, [0, 7]))
    for name in ("coef_", "intercept_", "means_"):
        assert getattr(ours, name).dtype == getattr(again, name).dtype, name


def test_a_model_without_an_answer():
    X, y = np.arange(6.0)[:, None] % 3, np.array([0, 0, 0, 1, 1, 1])
    X[y == 1] = 7.0
    unlearner = SufficientStatisticsUnlearner(GaussianNB(var_smoothing=0.0))
    with np.errstate(all="ignore"), pytest.raises(UnlearningError, match="smoothing"):
        unlearner.fit(X, y).unlearn(indices=[0])


@pytest.mark.parametrize("form", ["frame", "list", "sparse"])
@pytest.mark.parametrize(
    "recipe", [GaussianNB(), MultinomialNB(), LinearDiscriminantAnalysis(), KNeighborsClassifier()]
)
def test_containers(form, recipe):
    X, y = task()
    X = np.where(X < 3, 0, X)
    given = {
        "frame": lambda X: pd.DataFrame(X, columns=list("abcdef")),
        "list": lambda X: X.tolist(),
        "sparse": sparse.csr_matrix,
    }[form](X)
    unlearner = SufficientStatisticsUnlearner(recipe)
    if form == "sparse" and isinstance(recipe, (GaussianNB, LinearDiscriminantAnalysis)):
        with pytest.raises(TypeError, match=r"[Ss]parse"):
            unlearner.fit(given, y)
        return
    unlearner.fit(given, y).unlearn(indices=GONE)
    take = {"frame": lambda: given.iloc[KEPT], "list": lambda: X[KEPT]}.get(
        form, lambda: given[KEPT]
    )()
    assert_same(unlearner.estimator_, clone(recipe).fit(take, y[KEPT]))


def test_a_word_that_only_forgotten_rows_had_is_gone():
    """Sums in plain floats keep a trace: 1e-17 of it, which no kept row can explain."""
    rng = np.random.default_rng(0)
    X, y = rng.random((300, 4)) * 0.1, np.arange(300) % 2
    X[KEPT, 2] = 0
    unlearner = SufficientStatisticsUnlearner(MultinomialNB(alpha=0.5)).fit(X, y)
    plain = X[:, 2].sum()
    for row in GONE:
        plain -= X[row, 2]
        unlearner.unlearn(indices=[row])
    assert plain != 0
    assert not unlearner.estimator_.feature_count_[:, 2].any()


@pytest.mark.parametrize("recipe", [GaussianNB(), LinearDiscriminantAnalysis()])
def test_garbage_that_dwarfs_everything(recipe):
    X, y = task()
    X[7] *= 1e25
    unlearner = SufficientStatisticsUnlearner(recipe).fit(X, y).unlearn(indices=[7])
    again = clone(recipe).fit(np.delete(X, 7, axis=0), np.delete(y, 7))
    assert_same(unlearner.estimator_, again)
    bare = SufficientStatisticsUnlearner(recipe).fit(X, y).detach()
    with pytest.raises(UnlearningError, match="all 299 retained rows, not 100"):
        bare.unlearn(X[[7]], y[[7]], X_retain=X[200:], y_retain=y[200:])
    assert bare.deletions_ == []


@pytest.mark.parametrize("n", [100, pytest.param(500, marks=pytest.mark.long)])
def test_requests_without_drift(n, no_training, monkeypatch):
    rng = np.random.default_rng(0)
    X, y = rng.normal(1e3, 1, size=(n + 20, 4)), np.arange(n + 20) % 2
    monkeypatch.undo()
    unlearner = SufficientStatisticsUnlearner(GaussianNB()).fit(X, y)
    for row in range(n):
        unlearner.unlearn(indices=[row])
    assert_same(unlearner.estimator_, GaussianNB().fit(X[n:], y[n:]), 1e-11)


def test_nearly_dependent_features_and_tiny_tolerances():
    X, y = task()
    X = np.column_stack([X, X[:, 0] + 1e-9 * X[:, 1] ** 2, np.ones(300)])
    for recipe in (LinearDiscriminantAnalysis(), LinearDiscriminantAnalysis(tol=1e-9)):
        unlearner = SufficientStatisticsUnlearner(recipe).fit(X, y).unlearn(indices=GONE)
        again = clone(recipe).fit(X[KEPT], y[KEPT])
        assert unlearner.predict_proba(X) == pytest.approx(again.predict_proba(X), abs=1e-6)


def test_rows_that_come_with_the_request():
    X, y = task()
    unlearner = SufficientStatisticsUnlearner(GaussianNB()).fit(X, y).detach()
    unlearner.unlearn(X[GONE], y[GONE], X_retain=X[250:], y_retain=y[250:])
    assert_same(unlearner.estimator_, GaussianNB().fit(X[KEPT], y[KEPT]))
    neighbours = SufficientStatisticsUnlearner(KNeighborsClassifier()).fit(X, y).detach()
    with pytest.raises(UnlearningError, match="all 210 retained rows"):
        neighbours.unlearn(X[GONE], y[GONE], X_retain=X[250:], y_retain=y[250:])


@pytest.mark.parametrize("recipe", [RECIPES[i] for i in (0, 2, 8, 10, 17, 19)], ids=str)
def test_frozen_models(recipe):
    X, y = task("categories" if isinstance(recipe, CategoricalNB) else None)
    y = y if hasattr(recipe, "predict_proba") else X[:, 0] - X[:, 1]
    model = clone(recipe).fit(X, y)
    unlearner = SufficientStatisticsUnlearner(FrozenEstimator(model)).fit(X, y)
    unlearner.unlearn(indices=GONE)
    assert_same(unlearner.estimator_, clone(recipe).fit(X[KEPT], y[KEPT]))
    with pytest.raises(ValueError, match="is not the one of these rows"):
        SufficientStatisticsUnlearner(FrozenEstimator(model)).fit(X[5:], y[5:])


@pytest.mark.parametrize(
    "recipe, error, message",
    [
        (LogisticRegression(), TypeError, "naive Bayes"),
        (
            LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"),
            ValueError,
            "shrinkage='auto'",
        ),
        (LinearDiscriminantAnalysis(solver="lsqr", priors=[0.2, 0.3, 0.5]), ValueError, "priors="),
        (KNeighborsClassifier(metric="precomputed"), ValueError, "precomputed"),
        (CategoricalNB(), ValueError, "min_categories="),
        (CategoricalNB(min_categories=3), ValueError, "one more than the largest"),
        (GaussianNB(priors=[0.5, 0.5]), ValueError, "Number of priors"),
    ],
)
def test_refused(recipe, error, message):
    X, y = task("categories")
    with pytest.raises(error, match=message):
        SufficientStatisticsUnlearner(recipe).fit(X, y)
    with pytest.raises(ValueError, match="Negative values"):
        SufficientStatisticsUnlearner(MultinomialNB()).fit(-X, y)


def test_searches_pipelines_queues_and_pickles(tmp_path):
    X, y = task()
    forget = np.arange(300) % 10 == 0
    search = GridSearchCV(
        SufficientStatisticsUnlearner(GaussianNB()), {"estimator__var_smoothing": [1e-9, 1e3]}, cv=3
    ).fit(X, y, forget=forget)
    assert search.best_params_ == {"estimator__var_smoothing": 1e-9}
    unlearner = search.best_estimator_
    copy = pickle.loads(pickle.dumps(unlearner)).unlearn(indices=[1])
    assert_same(copy.estimator_, unlearner.unlearn(indices=[1]).estimator_)
    assert json.loads(copy.certificate())["guarantee"] == copy._make_promises().guarantee
    steps = [("unit", Normalizer()), ("nb", SufficientStatisticsUnlearner(GaussianNB()))]
    pipeline = UnlearningPipeline(steps).fit(X, y).unlearn(indices=GONE)
    never = GaussianNB().fit(Normalizer().transform(X[KEPT]), y[KEPT])
    assert_same(pipeline[-1].estimator_, never)
    queue = DeletionQueue(tmp_path, batch_size=1)
    model = SufficientStatisticsUnlearner(GaussianNB(), random_state=0)
    worker = DeletionWorker(queue, model, X[250:], y[250:])
    worker.start(X[:250], y[:250], ids=range(250))
    queue.submit("ticket", ids=[17])
    assert worker.run_once()["audit"]["rows"] == 1
    expected = GaussianNB().fit(np.delete(X[:250], 17, axis=0), np.delete(y[:250], 17))
    assert_same(worker.unlearner.estimator_, expected)


@pytest.mark.parametrize("label", [None, "a"], ids=["error", "label"])
@pytest.mark.parametrize("piped", [False, True])
def test_rows_without_neighbours_can_go(label, piped):
    X, y = task()
    X[7] = 1e3
    classifier = RadiusNeighborsClassifier(30.0, outlier_label=label)
    for recipe in (classifier, RadiusNeighborsRegressor(30.0)):
        y = y if recipe is classifier else X[:, 0]
        unlearner = SufficientStatisticsUnlearner(recipe)
        if piped:
            steps = [("scale", StandardScaler(with_std=False))]
            unlearner = UnlearningPipeline([*steps, ("model", RetrainUnlearner(recipe))])
        unlearner.fit(X, y).unlearn(indices=[7])
        left = np.delete(np.arange(300), 7)
        again = clone(recipe).fit(X[left], y[left])
        assert np.array_equal(unlearner.predict(X[left]), again.predict(X[left]))
        found = unlearner.deletions_[0]["measured"]
        assert found["forget_before"]["score"] is not None or isinstance(
            recipe, RadiusNeighborsRegressor
        )
        assert found["retain_after"]["score"] is not None
        if not piped and (recipe is not classifier or label is None):
            assert found["forget_after"]["score"] is None


@quiet
def test_fewer_rows_than_neighbours_are_refused():
    X, y = task()
    unlearner = SufficientStatisticsUnlearner(KNeighborsClassifier(3)).fit(X, y)
    model = unlearner.estimator_
    with pytest.raises(UnlearningError, match=r"Only 2 rows would be left, .* takes 3 neighbours"):
        unlearner.unlearn(indices=np.arange(2, 300))
    assert unlearner.estimator_ is model
    assert not unlearner.deletions_


@pytest.mark.parametrize("solver", ["svd", "lsqr"])
def test_a_discriminant_of_constant_columns(solver):
    X, y = task()
    X[:, 0] = -7.3
    unlearner = SufficientStatisticsUnlearner(LinearDiscriminantAnalysis(solver=solver))
    unlearner.fit(X, y).unlearn(indices=GONE)
    again = LinearDiscriminantAnalysis(solver=solver).fit(X[KEPT, 1:], y[KEPT])
    expected = again.predict_proba(X[:, 1:])
    assert unlearner.predict_proba(X) == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_what_eigen_cannot_solve_is_left_to_the_recipe():
    X, y = task()
    X[:, 0] = -7.3  # scikit-learn's own sums leave rounding, which it takes for a spread
    recipe = LinearDiscriminantAnalysis(solver="eigen")
    unlearner = SufficientStatisticsUnlearner(recipe).fit(X, y).unlearn(indices=GONE)
    again = clone(recipe).fit(X[KEPT], y[KEPT])
    assert np.array_equal(unlearner.decision_function(X), again.decision_function(X))
