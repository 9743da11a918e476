"""SteadyKMeans: rows go out of k-means, and what is left is a training on the others."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.cluster import KMeans
from sklearn.datasets import make_blobs
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from skunlearn import RetrainUnlearner, UnlearningPipeline
from skunlearn.exact import SteadyKMeans
from skunlearn.exact._lloyd import draw_start, find_nearest, run_lloyd
from skunlearn.exact.steady_kmeans import ClusterStatistic, _find_gone

N = 600


@pytest.fixture(scope="module")
def blobs():
    return make_blobs(N, 5, centers=7, cluster_std=1.5, random_state=0)


def piped(X, y, **kwargs):
    step = SteadyKMeans(7, random_state=0, **kwargs)
    steps = [("double", FunctionTransformer(lambda X: 2 * X)), ("k", step)]
    return UnlearningPipeline([*steps, ("m", RetrainUnlearner(Ridge()))]).fit(X, y)


def check_same(step, X):
    """Compare a step with scikit-learn's own k-means from the same start."""
    again = SteadyKMeans(7, random_state=0, tol=step.tol, max_iter=step.max_iter).fit(X)
    theirs = KMeans(7, init=again.start_, n_init=1, tol=step.tol, max_iter=step.max_iter).fit(X)
    np.testing.assert_allclose(step.cluster_centers_, theirs.cluster_centers_, rtol=1e-11)
    np.testing.assert_array_equal(step.labels_, theirs.labels_)
    assert step.n_iter_ == theirs.n_iter_
    assert step.inertia_ == pytest.approx(theirs.inertia_, rel=1e-11)


def is_subtracted(pipeline):
    return "subtracted" in pipeline.deletions_[-1]["transformers"]


@pytest.mark.parametrize("kwargs", [{}, {"tol": 0.0}, {"max_iter": 4}])
def test_rows_go_request_by_request(blobs, kwargs):
    X, y = blobs
    pipeline, left = piped(X, y, **kwargs), np.arange(N)
    start = pipeline["k"].start_ / 2
    free = np.flatnonzero(~(X[:, None] == start).all(axis=2).any(axis=1))
    for gone in (free[:1], free[5:15], free[40:41]):
        pipeline.unlearn(indices=gone)
        left = np.setdiff1d(left, gone)
        check_same(pipeline["k"], 2 * X[left])
        assert is_subtracted(pipeline)
        assert 0 < pipeline["k"].compared_ < 0.3


def test_a_row_of_the_start_is_trained_without(blobs):
    X, y = blobs
    pipeline = piped(X, y)
    gone = np.flatnonzero((pipeline["k"].start_[3] == 2 * X).all(axis=1))
    pipeline.unlearn(indices=gone)
    assert not is_subtracted(pipeline)
    assert not hasattr(pipeline["k"], "compared_")
    check_same(pipeline["k"], 2 * np.delete(X, gone, axis=0))
    pipeline.unlearn(indices=[0 if gone[0] else 1])
    assert is_subtracted(pipeline)  # the new iterations are kept


def test_equal_rows_go_one_by_one(blobs):
    X, y = blobs[0].copy(), blobs[1]
    X[100], X[200] = X[50], X[50]
    pipeline = piped(X, y)
    for gone in ([100], [50]):
        pipeline.unlearn(indices=gone)
        assert is_subtracted(pipeline)
    check_same(pipeline["k"], 2 * np.delete(X, [50, 100], axis=0))


def test_a_row_of_the_start_may_go_while_an_equal_one_stays(blobs):
    X, y = blobs[0].copy(), blobs[1]
    first = np.flatnonzero((piped(X, y)["k"].start_[3] == 2 * X).all(axis=1))[0]
    other = 0 if first else 1
    X[other] = X[first]
    for gone in (first, other):
        pipeline = piped(X, y).unlearn(indices=[gone])
        assert is_subtracted(pipeline)
        check_same(pipeline["k"], 2 * np.delete(X, gone, axis=0))


def test_places_of_rows_that_go():
    rng = np.random.default_rng(0)
    for n in (5, 40, 9000):
        table = rng.integers(0, n // 2, n).astype(np.uint64)
        gone = rng.permutation(n)[: n // 3]
        found = _find_gone(table, np.delete(table, gone), table[gone])
        np.testing.assert_array_equal(table[found], table[gone])
        np.testing.assert_array_equal(np.delete(table, found), np.delete(table, gone))
        assert len(np.unique(found)) == len(gone)
    table = np.arange(5, dtype=np.uint64)
    for left, gone in (([1, 0, 2], [3, 4]), ([0, 1], [2, 3]), ([0, 1, 2, 3], [5]), ([9], [0] * 4)):
        left, gone = np.array(left, np.uint64), np.array(gone, np.uint64)
        assert _find_gone(table, left, gone) is None


def test_where_the_iterations_lose_their_way_it_is_trained():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(N, 8)), rng.normal(size=N)  # no clusters: borders are everywhere
    pipeline, subtracted = piped(X, y, tol=0.0), []
    for i in range(0, 100, 10):
        pipeline.unlearn(indices=np.arange(i, i + 10))
        check_same(pipeline["k"], 2 * X[i + 10 :])
        subtracted.append(is_subtracted(pipeline))
    assert not all(subtracted)


@pytest.mark.parametrize("columns, values", [(2, 4), (4, 6), (12, 9), (64, 17)])
def test_a_row_as_near_to_two_centres_is_of_the_first(columns, values):
    """Rounding would say whose it is, and of another order of sums something else."""
    rng, served = np.random.default_rng(values), 0
    X = rng.integers(0, values, (400, columns)) + 8.0 * rng.integers(0, 3, (400, 1))
    for seed in range(4):
        step = SteadyKMeans(3, random_state=seed, tol=0.0).fit(X)
        statistic = ClusterStatistic.of(step, X)
        np.testing.assert_array_equal(step.predict(X), step.labels_)
        for gone in range(6):
            kept = np.delete(X, gone, axis=0)
            again = SteadyKMeans(3, random_state=seed, tol=0.0).fit(kept)
            found = statistic.without(step, X[[gone]], kept)
            if found is not None:
                served += 1
                np.testing.assert_array_equal(found[1].cluster_centers_, again.cluster_centers_)
                np.testing.assert_array_equal(found[1].labels_, again.labels_)
            mixed = rng.permutation(len(kept))  # another order of sums
            other = SteadyKMeans(3, random_state=seed, tol=0.0).fit(kept[mixed])
            np.testing.assert_array_equal(other.cluster_centers_, again.cluster_centers_)
            np.testing.assert_array_equal(other.labels_, again.labels_[mixed])
    assert served >= 12


def test_the_first_of_two_centres():
    X = np.array([[1.0], [0.0], [2.0], [2.5], [-0.5], [2.25]] * 20)
    centres = np.array([[0.0], [2.0]])  # the first row is halfway between them
    labels, margins, sure = find_nearest(X, centres)
    np.testing.assert_array_equal(labels[:6], [0, 0, 1, 1, 0, 1])
    np.testing.assert_array_equal(find_nearest(X, centres[::-1])[0][:6], [0, 1, 0, 0, 1, 0])
    assert sure
    np.testing.assert_array_equal(margins > 0, np.arange(len(X)) % 6 > 0)
    run = run_lloyd(X, centres, max_iter=9, tol=0.0)
    again = run_lloyd(X, centres, max_iter=9, tol=0.0, before=run.iterations)
    np.testing.assert_array_equal(again.labels, run.labels)
    # Far from all others, rounding is coarser than what counts as equal.
    X, far = np.vstack([X, [[1e7]]]), np.array([[0.0], [2.0], [1e7]])
    assert not find_nearest(X, far)[2]
    run = run_lloyd(X, far, max_iter=9, tol=0.0)
    assert run_lloyd(X, far, max_iter=9, tol=0.0, before=run.iterations) is None


def test_sparse_rows_are_trained_on(blobs):
    X, y = sparse.csr_matrix(np.maximum(blobs[0], 0)), blobs[1]
    steps = [("k", SteadyKMeans(3, random_state=0)), ("m", RetrainUnlearner(Ridge()))]
    pipeline = UnlearningPipeline(steps).fit(X, y).unlearn(indices=[1])
    again = SteadyKMeans(3, random_state=0).fit(X[np.delete(np.arange(N), 1)])
    np.testing.assert_allclose(pipeline["k"].cluster_centers_, again.cluster_centers_)
    assert not is_subtracted(pipeline)


def test_the_start_hangs_on_its_own_rows_alone(blobs):
    X, _ = blobs
    order = np.random.default_rng(0).permutation(N)
    start = X[draw_start(X, 7, 3)]
    np.testing.assert_array_equal(X[order][draw_start(X[order], 7, 3)], start)
    others = X[~(X[:, None] == start).all(axis=2).any(axis=1)]
    some = np.vstack([others[::3], start])
    np.testing.assert_array_equal(some[draw_start(some, 7, 3)], start)
    assert not np.array_equal(X[draw_start(X, 7, 4)], start)


def test_the_start_is_drawn_by_squared_distance():
    X = np.array([[0.0], [1.0], [3.0]])
    pairs = np.array([draw_start(X, 2, 1000 * seed) for seed in range(6000)])
    counts = np.zeros((3, 3))
    np.add.at(counts, tuple(pairs.T), 1)
    expected = np.array([[0, 1 / 10, 9 / 10], [1 / 5, 0, 4 / 5], [9 / 13, 4 / 13, 0]]) / 3
    chi2 = ((counts / 6000 - expected) ** 2)[expected > 0] / expected[expected > 0]
    assert 6000 * chi2.sum() < 20.5  # 0.999 of chi-squared with 5 degrees of freedom


def test_a_centre_that_loses_all_rows_is_none_of_ours():
    X = np.arange(20.0).reshape(-1, 1)
    assert run_lloyd(X, np.array([[0.0], [10.0], [1e6]]), max_iter=9, tol=0.0) is None


@parametrize_with_checks([SteadyKMeans(2, random_state=0)])
def test_scikit_learns_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("before", [StandardScaler(), PCA(3), MinMaxScaler()])
@pytest.mark.parametrize("cached", [False, True])
def test_behind_a_scaler_it_starts_from_the_same_rows(blobs, before, cached, tmp_path):
    """All rows have other values without one of them, and are still the same rows."""
    X, y = blobs[0] * [1, 10, 0.1, 5, 1], blobs[1]

    def fit(rows):
        steps = [("s", before), ("k", SteadyKMeans(7, random_state=0))]
        steps = [*steps, ("m", RetrainUnlearner(Ridge()))]
        pipeline = UnlearningPipeline(steps, memory=str(tmp_path) if cached else None)
        return pipeline.fit(X[rows], y[rows])

    def start(pipeline, rows):
        shown = pipeline["s"].transform(X[rows])
        far = ((shown[:, None] - pipeline["k"].start_) ** 2).sum(axis=2)
        np.testing.assert_allclose(far.min(axis=0), 0, atol=1e-20)
        return rows[far.argmin(axis=0)]

    pipeline, left = fit(np.arange(N)), np.arange(N)
    first = start(pipeline, left)
    for gone in np.setdiff1d(left, first)[[0, 200, 400]]:
        pipeline.unlearn(indices=[gone])
        left = np.setdiff1d(left, gone)
        np.testing.assert_array_equal(start(pipeline, left), first)
        again = fit(left)
        centres = again["k"].cluster_centers_
        np.testing.assert_allclose(pipeline["k"].cluster_centers_, centres, rtol=1e-9, atol=1e-11)
        np.testing.assert_array_equal(pipeline["k"].labels_, again["k"].labels_)
    pipeline.unlearn(indices=first[:1])  # which the start cannot do without
    left = np.setdiff1d(left, first[0])
    np.testing.assert_array_equal(start(pipeline, left), start(fit(left), left))
    np.testing.assert_array_equal(pipeline["k"].labels_, fit(left)["k"].labels_)
