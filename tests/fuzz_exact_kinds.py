"""As `tests.fuzz_exact_cases`, in other containers, with other labels, and in compositions."""

import numpy as np
import pandas as pd
import polars as pl
import torch
from scipy import sparse
from sklearn.cluster import KMeans
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import (
    ExtraTreesClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
)
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, RidgeClassifier
from sklearn.naive_bayes import BernoulliNB, CategoricalNB, ComplementNB, GaussianNB, MultinomialNB
from sklearn.neighbors import KNeighborsClassifier, RadiusNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    MaxAbsScaler,
    Normalizer,
    OneHotEncoder,
    QuantileTransformer,
    StandardScaler,
)

from skunlearn import (
    PublicBackbone,
    RidgeUnlearner,
    ShardedUnlearner,
    SufficientStatisticsUnlearner,
    UnlearningPipeline,
)
from tests.fuzz_exact_cases import (
    WIDTH,
    Case,
    classes,
    counts,
    forests,
    piped,
    retrained,
    ridge,
    sharded,
    statistics,
    targets,
    tree,
    with_seed,
    words,
)

# ---------------------------------------------------------------------------- rows and labels


def rare(rng, n):
    """Two classes of three have few rows, and are soon gone."""
    i = np.arange(n)
    y = np.where(i % 15 == 1, 1, np.where(i % 30 == 2, 2, 0))
    return rng.normal(size=(n, WIDTH)) + y[:, None], y


def rare_counts(rng, n):
    y = rare(rng, n)[1]
    return rng.poisson(1.0 + (np.arange(WIDTH) == y[:, None]), (n, WIDTH)).astype(float), y


def labelled(labels, draw=classes):
    """`draw` with other labels."""

    def other(rng, n):
        X, y = draw(rng, n)
        return X, np.asarray(labels)[y]

    return other


DIGITS = labelled(["10", "9", "-1"])
OBJECTS = labelled(np.array(["10", "9", "-1"], dtype=object))
BOOLEANS = labelled([True, False, True])
SHORT = labelled(np.array([-3, 7, 100], dtype=np.int8))
UNSIGNED = labelled(np.array([0, 200, 255], dtype=np.uint8), rare)
WHOLE_FLOATS = labelled([1.0, -2.0, 5.0])


def twins(rng, n):
    """Each row about four times, now and then with another label, as in tables of customers."""
    X, y = classes(rng, n // 4 + 1)
    which = rng.integers(0, len(X), n)
    y = y[which]
    return X[which], np.where(rng.random(n) < 0.1, (y + 1) % 3, y)


def twin_targets(rng, n):
    X, y = targets(rng, n // 4 + 1)
    which = rng.integers(0, len(X), n)
    return X[which], y[which] + rng.integers(0, 2, n)


def single(draw):
    """`draw` in single precision."""

    def other(rng, n):
        X, y = draw(rng, n)
        return X.astype(np.float32), y

    return other


def holes(rng, n):
    """One value in ten is missing."""
    X, y = classes(rng, n)
    X[rng.random(X.shape) < 0.1] = np.nan
    return X, y


def holed_targets(rng, n):
    X, y = targets(rng, n)
    X[rng.random(X.shape) < 0.1] = np.nan
    return X, y


def frame(X):
    return pd.DataFrame(X, columns=list("abcde"))


def polars(X):
    return pl.DataFrame(np.array(X), schema=list("abcde"))


def towns(X):
    """A frame, the last column of which is a town."""
    names = np.array(["Oslo", "Rome", "Lima", None], dtype=object)
    last = np.nan_to_num(X[:, -1], nan=3.0)
    codes = np.where(np.isnan(X[:, -1]), 3, np.abs(np.rint(last)).astype(int) % 3)
    return frame(X).assign(e=names[codes], f=X[:, -1])


def kinds_of_towns(X):
    kinds = pd.CategoricalDtype(["Oslo", "Rome", "Lima"])
    return towns(X).assign(e=lambda rows: rows["e"].astype(kinds))


def tensor(X):
    return torch.tensor(np.array(X))


def columns():
    return make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), list("abcdf")),
        (OneHotEncoder(handle_unknown="ignore"), ["e"]),
    )


# ---------------------------------------------------------------------------- compositions


def elsewhere(transformer):
    """A transformer that was fitted on other rows."""
    rows = np.random.default_rng(7).normal(size=(40, WIDTH)) * 30
    return FrozenEstimator(transformer.fit(rows))


def backbone():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = torch.nn.Sequential(torch.nn.Linear(WIDTH, 6), torch.nn.Tanh()).double()
    return PublicBackbone(module, trained_on="nothing", declared_by="this test")


def boosted(cls=HistGradientBoostingClassifier, **kwargs):
    settings = {"max_iter": 3, "min_samples_leaf": 3, "random_state": 0, "early_stopping": False}
    return lambda: cls(**(settings | kwargs))


def shards_behind(step, estimator, n):
    """A pipeline that ends in shards; its oracle is itself."""

    def make():
        end = ShardedUnlearner(estimator(), n_shards=n, random_state=0)
        return UnlearningPipeline([("step0", step()), ("model", end)])

    return make


def logistic():
    return LogisticRegression(max_iter=20)


def trained(cls, recipe, draw, **kwargs):
    return Case(cls, draw, recipe, 1e-9, trained=True, **kwargs)


class DenseRidge(Ridge):
    """Ridge without the iterative solvers that sparse rows take, which stop early."""

    def fit(self, X, y):
        return super().fit(X.toarray(), y)


class DoubleRidge(Ridge):
    """Ridge that solves in double precision, whatever that of the rows."""

    def fit(self, X, y):
        return super().fit(X.astype(float), y)


class DoubleGaussian(GaussianNB):
    """GaussianNB with moments in double precision."""

    def fit(self, X, y, **kwargs):
        return super().fit(X.astype(float), y, **kwargs)


def pipe(*steps):
    return lambda: make_pipeline(*[step() for step in steps])


CASES = {
    # sparse
    "multinomial, sparse": statistics(MultinomialNB, counts, wrap=sparse.csr_matrix),
    "complement, sparse": statistics(ComplementNB, counts, wrap=sparse.csc_array),
    "multinomial, sparse, rare": statistics(MultinomialNB, rare_counts, wrap=sparse.csr_array),
    "Bernoulli, sparse": statistics(BernoulliNB, counts, wrap=sparse.coo_matrix),
    "neighbours, sparse": statistics(
        lambda: KNeighborsClassifier(3), classes, wrap=sparse.csr_matrix
    ),
    "ridge, sparse": Case(
        lambda: RidgeUnlearner(Ridge()), targets, DenseRidge, 1e-9, wrap=sparse.csr_matrix
    ),
    "shards of trees, sparse": Case(sharded(tree, n_shards=3), counts, wrap=sparse.csr_matrix),
    "retrained, sparse": Case(
        lambda: retrained(logistic()), counts, logistic, wrap=sparse.csr_matrix
    ),
    # weights
    "multinomial, weights": statistics(MultinomialNB, counts, weighted=True),
    "complement, sparse, weights": statistics(
        ComplementNB, counts, weighted=True, wrap=sparse.csr_matrix
    ),
    "Bernoulli, weights": statistics(BernoulliNB, classes, weighted=True),
    "Gaussian, rare": statistics(GaussianNB, rare),
    # labels
    "Gaussian, digits": statistics(GaussianNB, DIGITS),
    "Gaussian, objects": statistics(GaussianNB, OBJECTS, wrap=frame),
    "Gaussian, booleans": statistics(GaussianNB, BOOLEANS),
    "Gaussian, whole floats": statistics(GaussianNB, WHOLE_FLOATS, wrap=polars),
    "Gaussian, short": statistics(GaussianNB, SHORT, wrap=tensor),
    "multinomial, rare": statistics(MultinomialNB, rare_counts),
    "categorical, rare": statistics(lambda: CategoricalNB(min_categories=40), rare_counts),
    "discriminant, rare": statistics(LinearDiscriminantAnalysis, rare),
    "discriminant, eigen, booleans": statistics(
        lambda: LinearDiscriminantAnalysis(solver="eigen", shrinkage=0.1), BOOLEANS
    ),
    "neighbours, rare": statistics(lambda: KNeighborsClassifier(3), UNSIGNED, wrap=frame),
    "radius, rare": statistics(lambda: RadiusNeighborsClassifier(2.0, outlier_label=0), rare),
    "ridge classifier, rare": ridge(RidgeClassifier, UNSIGNED),
    "ridge classifier, booleans": ridge(RidgeClassifier, BOOLEANS, wrap=frame),
    "retrained, rare": Case(lambda: retrained(logistic()), rare, logistic),
    "retrained trees, objects": Case(lambda: retrained(tree()), OBJECTS, tree),
    "shards of trees, rare": Case(sharded(tree, n_shards=4), UNSIGNED),
    "shards of trees, digits, vote": Case(sharded(tree, n_shards=4, aggregate="vote"), DIGITS),
    "shards of logistic models, rare": Case(sharded(logistic, n_shards=3), rare),
    # equal rows
    "ridge, twins": ridge(Ridge, twin_targets),
    "Gaussian, twins": statistics(GaussianNB, twins),
    "discriminant, twins": statistics(LinearDiscriminantAnalysis, twins),
    "neighbours, twins": statistics(lambda: KNeighborsClassifier(1), twins),
    "shards of trees, twins, frame": Case(sharded(tree, n_shards=3), twins, wrap=frame),
    "retrained, twins, weights": Case(
        lambda: retrained(logistic()), twins, logistic, weighted=True
    ),
    "forest, twins": forests(RandomForestClassifier, 60, single(twins), max_samples=12),
    # single precision
    "ridge, single": Case(lambda: RidgeUnlearner(Ridge()), single(targets), DoubleRidge, 1e-9),
    "Gaussian, single": Case(
        lambda: SufficientStatisticsUnlearner(GaussianNB()), single(classes), DoubleGaussian, 1e-5
    ),
    "neighbours, single": statistics(lambda: KNeighborsClassifier(3), single(classes)),
    "multinomial, single, sparse, weights": Case(
        lambda: SufficientStatisticsUnlearner(MultinomialNB()),
        single(counts),
        MultinomialNB,
        1e-5,
        weighted=True,
        wrap=sparse.csr_matrix,
    ),
    "shards of boosted, single, weights": Case(
        sharded(boosted(), n_shards=3), single(holes), weighted=True
    ),
    "scaler, single": piped(
        StandardScaler, tree, end=retrained, draw=single(classes), promised=1e-5
    ),
    # frames, and missing values
    "least squares, frame": ridge(LinearRegression, targets, wrap=frame),
    "boosted, holes": Case(lambda: retrained(boosted()()), holes, boosted(), wrap=frame),
    "boosted, towns": Case(
        lambda: retrained(boosted(categorical_features="from_dtype")()),
        holes,
        boosted(categorical_features="from_dtype"),
        wrap=kinds_of_towns,
    ),
    "boosted regression, holes, weights": Case(
        lambda: retrained(boosted(HistGradientBoostingRegressor)()),
        holed_targets,
        boosted(HistGradientBoostingRegressor),
        weighted=True,
    ),
    "shards of boosted, holes": Case(sharded(boosted(), n_shards=3), holes, wrap=frame),
    "shards of boosted, polars": Case(sharded(boosted(), n_shards=3), holes, wrap=polars),
    "trees, holes, tensors": Case(lambda: retrained(tree()), classes, tree, wrap=tensor),
    # compositions
    "columns": piped(columns, logistic, end=retrained, draw=holes, wrap=towns),
    "columns inside": Case(
        lambda: retrained(pipe(columns, logistic)()), holes, pipe(columns, logistic), wrap=towns
    ),
    "columns inside shards": Case(sharded(pipe(columns, tree), n_shards=3), holes, wrap=towns),
    "scaler with holes": piped(StandardScaler, boosted(), end=retrained, draw=holes, wrap=frame),
    "scaler of sparse rows": piped(
        lambda: StandardScaler(with_mean=False),
        RidgeClassifier,
        end=retrained,
        draw=classes,
        wrap=sparse.csr_matrix,
    ),
    "words weighed": piped(
        TfidfTransformer, MultinomialNB, end=retrained, draw=counts, wrap=sparse.csr_matrix
    ),
    "largest, components of sparse rows": piped(
        MaxAbsScaler,
        with_seed(TruncatedSVD, n_components=3),
        GaussianNB,
        end=retrained,
        draw=counts,
        wrap=sparse.csr_array,
        promised=1e-7,
    ),
    "quantiles, kernel": piped(
        with_seed(QuantileTransformer, n_quantiles=10),
        with_seed(Nystroem, n_components=4),
        Ridge,
        end=retrained,
        draw=targets,
        promised=1e-7,
    ),
    "clusters": piped(
        with_seed(KMeans, n_clusters=3, n_init=2), GaussianNB, end=retrained, draw=classes
    ),
    "weights behind a scaler": Case(
        lambda: UnlearningPipeline([("step0", Normalizer()), ("model", RidgeUnlearner(Ridge()))]),
        targets,
        weighted=True,
        promised=1e-9,
    ),
    "frozen components, ridge": piped(
        lambda: elsewhere(PCA(3)), Ridge, end=RidgeUnlearner, draw=targets
    ),
    "frozen scaler, sums": piped(
        lambda: elsewhere(StandardScaler()),
        GaussianNB,
        end=SufficientStatisticsUnlearner,
        draw=rare,
    ),
    "frozen components, shards": Case(
        shards_behind(lambda: elsewhere(PCA(3)), logistic, 3), classes, slow=True
    ),
    "backbone, ridge": piped(backbone, Ridge, end=RidgeUnlearner, draw=targets),
    "backbone, scaler, ridge": piped(backbone, StandardScaler, Ridge, end=retrained, draw=targets),
    "backbone, scaler, discriminant": piped(
        backbone, StandardScaler, LinearDiscriminantAnalysis, end=retrained, draw=words
    ),
    "pipelines inside shards": Case(sharded(pipe(StandardScaler, logistic), n_shards=3), words),
    # models that were trained before
    "trained Gaussian": trained(SufficientStatisticsUnlearner, GaussianNB, DIGITS),
    "trained multinomial, sparse": trained(
        SufficientStatisticsUnlearner, MultinomialNB, counts, wrap=sparse.csr_matrix
    ),
    "trained discriminant": trained(
        SufficientStatisticsUnlearner, LinearDiscriminantAnalysis, words
    ),
    "trained neighbours": trained(SufficientStatisticsUnlearner, KNeighborsClassifier, classes),
    "trained ridge": trained(RidgeUnlearner, Ridge, targets),
    "trained ridge classifier": trained(RidgeUnlearner, RidgeClassifier, words, weighted=True),
    # forests
    "forest, rare": forests(RandomForestClassifier, 60, rare, max_samples=12),
    "extra trees, digits": forests(
        ExtraTreesClassifier, 60, DIGITS, max_samples=12, bootstrap=True
    ),
}
