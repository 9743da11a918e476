"""The exact estimators that `tests.fuzz_exact` asks, each with its oracle and what is promised."""

from dataclasses import dataclass

import numpy as np
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import BaggingClassifier, ExtraTreesRegressor, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, RidgeClassifier
from sklearn.naive_bayes import BernoulliNB, CategoricalNB, ComplementNB, GaussianNB, MultinomialNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor, RadiusNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Binarizer, MinMaxScaler, Normalizer, StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from skunlearn import (
    ForestUnlearner,
    RetrainUnlearner,
    RidgeUnlearner,
    ShardedUnlearner,
    SufficientStatisticsUnlearner,
    UnlearningPipeline,
)
from tests.fuzz_exact import WIDTH, Trial, fresh_again, fresh_of
from tests.fuzz_exact_forests import ForestTrial
from tests.instances import make_net


def classes(rng, n):
    y = np.arange(n) % 3
    return rng.normal(size=(n, WIDTH)) * [1, 10, 0.1, 100, 1] + y[:, None], y


def words(rng, n):
    X, y = classes(rng, n)
    return np.array(X), np.array(["ant", "bee", "wasp"])[y]


def floats(rng, n):
    X, y = classes(rng, n)
    return X.astype(np.float32), y.astype(np.int64)


def rough(rng, n):
    """Columns of very different size, one of them constant, and rows larger than all others."""
    X, y = classes(rng, n)
    X[:, 2] = 7.0
    X *= 10.0 ** rng.choice([0, 0, 0, 0, 6], n)[:, None]
    return X, y


def rough_targets(rng, n):
    X = rough(rng, n)[0]
    return X, X[:, 0] - X[:, 1] + rng.normal(size=n)


def counts(rng, n):
    y = np.arange(n) % 3
    return rng.poisson(1.0 + (np.arange(WIDTH) == y[:, None]), (n, WIDTH)).astype(float), y


def categories(rng, n):
    return rng.integers(0, 4, (n, WIDTH)), np.arange(n) % 3


def targets(rng, n):
    X = rng.normal(size=(n, WIDTH)) * [1, 10, 0.1, 100, 1] + 5
    return X, X @ np.arange(WIDTH) + rng.normal(size=n)


def several(rng, n):
    X, y = targets(rng, n)
    return X, np.column_stack([y, rng.normal(size=n), 1e4 * X[:, 0]])


@dataclass
class Case:
    """An unlearner's maker, its rows, its oracle, and the difference that is promised.

    `plain` makes the estimator whose fresh fit is the oracle; None takes the unlearner itself.
    """

    make: object
    draw: object
    plain: object = None
    promised: float = 0.0
    weighted: bool = False
    fewest: int = 6
    slow: bool = False
    trial_of: type = Trial
    wrap: object = None
    trained: bool = False

    def trial(self, seed, n=90):
        fresh = fresh_again(self.make) if self.plain is None else fresh_of(self.plain)
        return self.trial_of(
            self.make,
            self.draw,
            fresh,
            seed,
            n=n,
            fewest=self.fewest,
            weighted=self.weighted,
            wrap=self.wrap,
            trained=self.plain if self.trained else None,
        )


def ridge(recipe, draw, promised=1e-9, **kwargs):
    return Case(lambda: RidgeUnlearner(recipe()), draw, recipe, promised, **kwargs)


def statistics(recipe, draw, **kwargs):
    return Case(lambda: SufficientStatisticsUnlearner(recipe()), draw, recipe, 1e-9, **kwargs)


def pipeline(*steps, end):
    """A pipeline and scikit-learn's own; `end` wraps the last step."""
    *front, last = steps
    names = [f"step{i}" for i in range(len(front))]
    return (
        lambda: UnlearningPipeline([*zip(names, [s() for s in front]), ("model", end(last()))]),
        lambda: make_pipeline(*[step() for step in front], last()),
    )


def piped(*steps, end, draw, promised=1e-9, **kwargs):
    make, plain = pipeline(*steps, end=end)
    return Case(make, draw, plain, promised, **kwargs)


def net(**kwargs):
    return make_net(module__n_out=3, module__hidden=6, max_epochs=2, lr=0.05, **kwargs)


def sharded(estimator, **kwargs):
    return lambda: ShardedUnlearner(estimator(), random_state=0, **kwargs)


def with_seed(cls, **kwargs):
    return lambda: cls(**kwargs, random_state=0)


def forests(cls, n, draw, **kwargs):
    def make():
        return ForestUnlearner(cls(n_estimators=n, **kwargs), random_state=0)

    # More than a tree draws, without which nothing is left to draw.
    return Case(make, draw, promised=1.0, slow=True, trial_of=ForestTrial, fewest=20)


def retrained(estimator):
    return RetrainUnlearner(estimator, random_state=0)


tree, regression_tree = with_seed(DecisionTreeClassifier), with_seed(DecisionTreeRegressor)
forest = with_seed(RandomForestClassifier, n_estimators=5)

CASES = {
    "ridge": ridge(Ridge, targets),
    "ridge, several targets": ridge(Ridge, several),
    "ridge, weights": ridge(Ridge, targets, weighted=True),
    "least squares": ridge(LinearRegression, targets),
    "least squares, several targets, weights": ridge(LinearRegression, several, weighted=True),
    "ridge classifier": ridge(RidgeClassifier, classes),
    "ridge classifier, words, weights": ridge(RidgeClassifier, words, weighted=True),
    "Gaussian": statistics(GaussianNB, words),
    # 1e-10 of the coefficients is promised; rows of 1e8 whose outputs are of about one multiply it.
    "ridge, rough": ridge(Ridge, rough_targets, 1e-6),
    "least squares, rough": ridge(LinearRegression, rough_targets, 1e-6),
    "Gaussian, rough": statistics(GaussianNB, rough),
    "Gaussian, weights": statistics(GaussianNB, classes, weighted=True),
    "multinomial": statistics(MultinomialNB, counts),
    "complement": statistics(ComplementNB, counts),
    "Bernoulli": statistics(BernoulliNB, classes),
    "categorical": statistics(lambda: CategoricalNB(min_categories=4), categories),
    "discriminant": statistics(LinearDiscriminantAnalysis, classes),
    "discriminant, lsqr": statistics(
        lambda: LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.2), classes
    ),
    # Of six rows in five columns nobody's discriminant is determined, scikit-learn's neither.
    "discriminant, rough": statistics(LinearDiscriminantAnalysis, rough, fewest=20),
    "neighbours": statistics(lambda: KNeighborsClassifier(1), classes),
    "neighbours, regression": statistics(
        lambda: KNeighborsRegressor(20, weights="distance"), targets
    ),
    "radius": statistics(lambda: RadiusNeighborsRegressor(1e3), several),
    "retrained": Case(lambda: retrained(tree()), classes, tree),
    "retrained, weights": Case(
        lambda: retrained(LogisticRegression(max_iter=20)),
        words,
        lambda: LogisticRegression(max_iter=20),
        weighted=True,
    ),
    "retrained net": Case(lambda: retrained(net()), floats, slow=True),
    "shards of trees": Case(sharded(tree, n_shards=4), words),
    "shards of trees, weights": Case(sharded(tree, n_shards=3), classes, weighted=True),
    "shards, regression": Case(sharded(regression_tree, n_shards=3), several),
    "shards, vote": Case(sharded(tree, n_shards=5, aggregate="vote"), classes),
    "shards of nets": Case(sharded(net, n_shards=3), floats, slow=True),
    "slices of nets": Case(sharded(net, n_shards=2, n_slices=3), floats, slow=True),
    "forest": forests(RandomForestClassifier, 60, floats, max_samples=12),
    "forest, all drawn": forests(ExtraTreesRegressor, 30, targets, bootstrap=True),
    "pasting": forests(BaggingClassifier, 60, floats, max_samples=12, bootstrap=False),
    "pipeline, scaled": piped(StandardScaler, GaussianNB, end=retrained, draw=classes),
    "pipeline, rough": piped(StandardScaler, GaussianNB, end=retrained, draw=rough),
    "pipeline, net": Case(
        lambda: UnlearningPipeline([("scale", StandardScaler()), ("model", retrained(net()))]),
        floats,
        slow=True,
    ),
    "pipeline, components": piped(
        StandardScaler, with_seed(PCA, n_components=3), Ridge, end=retrained, draw=several
    ),
    "pipeline, ridge": piped(Normalizer, Ridge, end=RidgeUnlearner, draw=several),
    "pipeline, sums": piped(Normalizer, GaussianNB, end=SufficientStatisticsUnlearner, draw=words),
    "pipeline, filled": piped(SimpleImputer, Binarizer, BernoulliNB, end=retrained, draw=classes),
    "pipeline, shrunk": piped(MinMaxScaler, forest, end=retrained, draw=words, promised=0.0),
}
