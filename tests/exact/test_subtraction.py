"""Sums without rounding, and scalers of a pipeline that follow from them."""

import pickle
from fractions import Fraction
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, Normalizer, StandardScaler

from skunlearn import FineTuneUnlearner, RetrainUnlearner, UnlearningPipeline
from skunlearn.exact._scaling import STATISTICS
from skunlearn.exact._sums import Sums
from tests.small import net, quiet

GONE = np.arange(30, 120)
KEPT = np.delete(np.arange(400), GONE)


def rows(seed=0, n=400, p=5):
    rng = np.random.default_rng(seed)
    return rng.normal(3, 2, size=(n, p)) * 10.0 ** np.array([-3, 0, 5, 0, 1])[:p]


# ---------------------------------------------------------------------- the sums


@pytest.mark.parametrize("kind", [None, "squares", "products"])
@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix], ids=["dense", "sparse"])
def test_rows_leave_without_a_trace(form, kind):
    X, groups = rows(), np.random.default_rng(1).integers(0, 3, 400)
    X[np.abs(X) < 1] = 0
    left = Sums.of(form(X), groups, 3, kind).without(form(X[GONE]), groups[GONE])
    # The very numbers that the kept rows alone give on the same steps.
    with mock.patch("skunlearn.exact._sums._shift", return_value=left.shift):
        never = Sums.of(form(X[KEPT]), groups[KEPT], 3, kind)
    for name in ("n", "first", "second"):
        assert np.array_equal(getattr(left, name), getattr(never, name)), name


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix], ids=["dense", "sparse"])
def test_against_fractions(form):
    X, groups = rows(n=60), np.arange(60) % 2
    sums = Sums.of(form(X), groups, 2, "squares")
    products = Sums.of(form(X), groups, 2, "products").scatter()
    within = [[Fraction(0)] * 5 for _ in range(5)]
    for g in range(2):
        exact = [[Fraction(x) for x in row] for row in X[groups == g]]
        mean = [sum(column) / 30 for column in zip(*exact)]
        spread = [sum((x - m) ** 2 for x in col) for col, m in zip(zip(*exact), mean)]
        assert sums.totals()[g] == pytest.approx([float(30 * m) for m in mean], rel=1e-15)
        assert sums.means()[g] == pytest.approx([float(m) for m in mean], rel=1e-15)
        assert sums.scatter()[g] == pytest.approx([float(s) for s in spread], rel=1e-14)
        for i in range(5):
            for j in range(5):
                within[i][j] += sum((row[i] - mean[i]) * (row[j] - mean[j]) for row in exact)
    expected = np.array([[float(x) for x in row] for row in within])
    assert products == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("value", [0.1, 1e300, -1e-300, 5e-324, 2.0**52 + 1, 0.0])
def test_constant_columns_have_no_spread(value):
    X = np.full((50, 1), value)
    sums = Sums.of(X, np.zeros(50, int), 1, "squares")
    assert sums.scatter()[0, 0] == 0
    assert sums.means()[0, 0] == value
    assert not sums.rounded.any()


@pytest.mark.parametrize("kind", ["squares", "products"])
def test_constant_columns_have_no_spread_in_groups(kind):
    """Their sums over groups of other sizes leave rounding, above zero or below it."""
    rng = np.random.default_rng(0)
    for value in (-7.3, 0.1, 1e8 + 0.1, np.pi):
        for n in (18, 44, 210):
            X = np.column_stack([np.full(n, value), rng.normal(size=n)])
            groups = rng.integers(0, 3, n)
            scatter = Sums.of(X, groups, 3, kind).scatter()
            constant = scatter[:, 0] if kind == "squares" else [*scatter[0], *scatter[:, 0]]
            assert not np.any(constant), (value, n)
            assert scatter[-1, -1] > 0


def test_values_that_dwarf_the_others_call_for_new_sums():
    X = rows(p=2)
    X[0] = 1e30
    one = np.zeros(400, int)
    sums = Sums.of(X, one, 1, "squares")
    assert not sums.is_coarse()  # as long as the values are there, nothing finer is felt
    assert sums.without(X[:1], one[:1]).is_coarse()
    X = X * [1e3, 1]
    X[0] = 1e4
    mild = Sums.of(X, one, 1, "squares").without(X[:1], one[:1])
    assert not mild.is_coarse()
    assert mild.scatter()[0] == pytest.approx(X[1:].var(axis=0) * 399, rel=1e-9)
    X[0] = 1e10  # leaves steps that are felt, if far below the values
    assert Sums.of(X, one, 1, "squares").without(X[:1], one[:1]).is_coarse()
    whole = np.round(X)
    whole[0] = 2.0**50
    assert not Sums.of(whole, one, 1).without(whole[:1], one[:1]).is_coarse()  # no fraction is lost


def test_missing_values_do_not_count():
    X = rows(n=50)
    X[3, 1] = X[4, 1] = X[7, 0] = np.nan
    for given in (X, sparse.csr_matrix(X)):
        sums = Sums.of(given, np.zeros(50, int), 1, "squares")
        assert sums.n.tolist() == [[49, 48, 50, 50, 50]]
        assert sums.means()[0] == pytest.approx(np.nanmean(X, axis=0), rel=1e-14)
        left = sums.without(given[:10], np.zeros(10, int))
        assert left.n.tolist() == [[40] * 5]
        assert left.scatter()[0] == pytest.approx(X[10:].var(axis=0) * 40, rel=1e-12)


def test_too_many_rows():
    with pytest.raises(ValueError, match="33554432 rows at most"):
        Sums.of(np.broadcast_to(np.zeros((1, 1)), (2**25 + 1, 1)), None, 1)


# ---------------------------------------------------------------------- scalers and PCA


def assert_same_state(ours, theirs, rel=1e-9):
    assert vars(ours).keys() == vars(theirs).keys()
    for name, value in vars(theirs).items():
        if name.endswith("_") and value is not None and name != "feature_names_in_":
            mine = np.asarray(getattr(ours, name))
            assert mine.shape == np.shape(value), name
            scale = max(1, np.abs(np.nan_to_num(np.asarray(value, float))).max())
            assert mine == pytest.approx(value, rel=rel, abs=rel * scale, nan_ok=True), name


@pytest.mark.parametrize(
    "step",
    [
        StandardScaler(),
        StandardScaler(with_std=False),
        StandardScaler(with_mean=False),
        StandardScaler(with_mean=False, with_std=False),
        PCA(),
        PCA(2),
        PCA(0.99),
        PCA(3, whiten=True, svd_solver="full"),
        PCA(3, svd_solver="covariance_eigh"),
    ],
    ids=str,
)
@pytest.mark.parametrize("form", ["float64", "float32", "frame", "holes", "sparse"])
def test_steps_equal_those_that_never_saw_the_rows(step, form):
    X = rows() / 10.0 ** np.array([-3, 0, 5, 0, 1])
    if isinstance(step, PCA) and form in ("holes", "sparse"):
        pytest.skip("PCA takes no holes, and decomposes sparse rows in part")
    if form == "sparse" and step.with_mean:
        step = clone(step).set_params(with_mean=False)
    if form == "holes":
        X[np.random.default_rng(2).random(X.shape) < 0.1] = np.nan
        X[KEPT, 2] = np.nan  # a column of which nothing is left
    X = {
        "frame": lambda X: pd.DataFrame(X, columns=list("abcde")),
        "sparse": lambda X: sparse.csr_matrix(np.where(np.abs(X) > 3, X, 0)),
        "float32": lambda X: X.astype(np.float32),
    }.get(form, lambda X: X)(X)
    take = X.iloc if form == "frame" else X
    old = clone(step).fit(X)
    statistic = STATISTICS[type(step)].of(old, X)
    new = statistic.without(old, take[GONE])[1]
    with np.errstate(invalid="ignore"):
        expected = clone(step).fit(take[KEPT])
    assert_same_state(new, expected, 1e-4 if form == "float32" else 1e-11)
    assert new.transform(take[KEPT]) is not None


def test_constant_columns_are_not_scaled():
    X = rows()
    X[:, 1] = 0.1
    X[KEPT, 3] = 7.3  # constant once the rows are gone
    old = StandardScaler().fit(X)
    new = STATISTICS[StandardScaler].of(old, X).without(old, X[GONE])[1]
    assert new.scale_[[1, 3]].tolist() == [1, 1]
    assert_same_state(new, StandardScaler().fit(X[KEPT]))


@pytest.mark.parametrize(
    "step, n",
    [(PCA("mle"), 400), (PCA(3, svd_solver="randomized"), 400), (PCA(2), 5), (PCA(5), 400)],
    ids=["mle", "randomized", "few rows", "dependent"],
)
def test_pca_that_does_not_follow_from_sums_is_fitted_anew(step, n):
    X = rows(n=n)
    if n == 400 and step.n_components == 5:
        X[:, 4] = X[:, 3]
    y = np.arange(n) % 2
    model = RetrainUnlearner(GaussianNB(), random_state=0)
    step = clone(step).set_params(random_state=0)
    pipeline = UnlearningPipeline([("pca", step), ("model", model)])
    never = clone(pipeline).fit(X[:-1], y[:-1])
    pipeline.fit(X, y).unlearn(indices=[n - 1])
    assert "subtracted" not in pipeline.deletions_[0]["transformers"]
    assert np.array_equal(pipeline[0].components_, never[0].components_)


@pytest.mark.parametrize("kept", [1, 0.9, None])
def test_pca_of_rows_that_do_not_spread_is_not_taken_from_sums(kept):
    X = np.full((30, 1), 0.1)
    X[0] = 5.0
    old = PCA(kept, svd_solver="full").fit(X)
    # It gave a share of the variance of 0 / 0.
    assert STATISTICS[PCA].of(old, X).without(old, X[:1]) is None


def test_noise_of_a_pca_that_sums_do_not_resolve():
    X = np.random.default_rng(0).normal(size=(400, 3)) * [1e6, 1, 1]
    old = PCA(1, svd_solver="full").fit(X)
    assert STATISTICS[PCA].of(old, X).without(old, X[GONE]) is None
    X *= [1e-3, 1, 1]
    old = PCA(1, svd_solver="full").fit(X)
    new = STATISTICS[PCA].of(old, X).without(old, X[GONE])[1]
    again = clone(old).fit(X[KEPT])
    assert new.noise_variance_ == pytest.approx(again.noise_variance_, rel=1e-8)


# ---------------------------------------------------------------------- in a pipeline


def scaled(*steps, unlearner=None):
    model = unlearner or RetrainUnlearner(LogisticRegression(), random_state=0)
    steps = [(f"step{i}", step) for i, step in enumerate(steps)]
    return UnlearningPipeline([*steps, ("model", model)])


@pytest.fixture
def task(data):
    X, y = data
    return X.astype(np.float64) * 5 + 3, y


@pytest.fixture
def no_scaler_is_fitted():
    """Scalers must not be fitted any more; call it once the pipeline is."""
    patch = mock.patch.object(StandardScaler, "partial_fit", side_effect=AssertionError)
    yield patch.start
    patch.stop()


def test_the_scaler_is_not_fitted_again(task, no_scaler_is_fitted):
    X, y = task
    pipeline, never = scaled(StandardScaler()), scaled(StandardScaler()).fit(X[9:], y[9:])
    pipeline.fit(X, y)
    no_scaler_is_fitted()
    pipeline.unlearn(indices=[0, 1, 2]).unlearn(X[3:8]).unlearn(indices=[8])
    assert_same_state(pipeline[0], never[0], 1e-12)
    assert pipeline.predict_proba(X) == pytest.approx(never.predict_proba(X), rel=1e-6)
    inside = pipeline.deletions_[-1]["transformers"]
    assert inside["subtracted"] == inside["refitted"] == ["step0 (StandardScaler)"]
    assert all(entry["exact"] for entry in pipeline.deletions_)
    assert '"retrained without the rows"' in pipeline.certificate()
    assert hasattr(never[0], "partial_fit")


def test_what_comes_behind_it_is_fitted_anew(task):
    X, y = task
    steps = FunctionTransformer(np.sqrt), StandardScaler(), PCA(2), Normalizer()
    X = np.abs(X)
    pipeline = scaled(*steps).fit(X, y).unlearn(indices=np.arange(9))
    never = scaled(*steps).fit(X[9:], y[9:])
    inside = pipeline.deletions_[0]["transformers"]
    assert inside["refitted"] == ["step1 (StandardScaler)", "step2 (PCA)"]
    assert inside["subtracted"] == ["step1 (StandardScaler)"]
    for ours, theirs in zip(pipeline[1:3], never[1:3]):
        assert_same_state(ours, theirs, 1e-9)
    first = scaled(PCA(2), StandardScaler()).fit(X, y).unlearn(indices=[3])
    assert first.deletions_[0]["transformers"]["subtracted"] == ["step0 (PCA)"]
    nested = scaled(make_pipeline(StandardScaler())).fit(X, y).unlearn(indices=[3])
    assert "subtracted" not in nested.deletions_[0]["transformers"]


@quiet
def test_nets_go_on_from_it(task, no_scaler_is_fitted):
    X, y = task
    unlearner = FineTuneUnlearner(net(), max_epochs=1, random_state=0)
    pipeline = scaled(StandardScaler(), unlearner=unlearner).fit(X.astype(np.float32), y)
    no_scaler_is_fitted()
    pipeline.unlearn(indices=[1, 2])
    assert pipeline[0].mean_ == pytest.approx(np.delete(X, [1, 2], axis=0).mean(axis=0), rel=1e-6)


def test_garbage_that_dwarfs_everything(task):
    X, y = task
    X[7] = 1e30
    pipeline = scaled(StandardScaler()).fit(X, y).unlearn(indices=[7])
    assert "subtracted" not in pipeline.deletions_[0]["transformers"]
    never = StandardScaler().fit(np.delete(X, 7, axis=0))
    assert np.array_equal(pipeline[0].var_, never.var_)
    pipeline.unlearn(indices=[8])  # from the new sums
    assert pipeline.deletions_[1]["transformers"]["subtracted"] == ["step0 (StandardScaler)"]
    assert_same_state(pipeline[0], StandardScaler().fit(np.delete(X, [7, 8], axis=0)))


def test_sums_do_not_outlive_a_scaler_that_is_kept(task):
    X, y = task
    pipeline = scaled(StandardScaler()).fit(X, y).set_params(refit_transformers=False)
    pipeline.unlearn(indices=[0])
    assert pipeline._sums is None  # they would still hold the row
    pipeline.set_params(refit_transformers=True).unlearn(indices=[1])
    assert_same_state(pipeline[0], StandardScaler().fit(X[2:]))
    assert "subtracted" not in pipeline.deletions_[1]["transformers"]
    pipeline.unlearn(indices=[2])
    assert "subtracted" in pipeline.deletions_[2]["transformers"]
    assert_same_state(pipeline[0], StandardScaler().fit(X[3:]))


def test_faults_leave_sums_and_step_as_they_were(task):
    X, y = task
    pipeline = scaled(StandardScaler()).fit(X, y)
    before, sums, mean = dict(vars(pipeline)), pipeline._sums, pipeline[0].mean_.copy()
    with (
        mock.patch.object(RetrainUnlearner, "_attempt", side_effect=KeyboardInterrupt),
        pytest.raises(KeyboardInterrupt),
    ):
        pipeline.unlearn(indices=[0])
    assert vars(pipeline) == before
    assert pipeline._sums is sums
    assert np.array_equal(pipeline[0].mean_, mean)
    pipeline.unlearn(indices=[0])
    assert_same_state(pipeline[0], StandardScaler().fit(X[1:]))


def test_copies_and_attached_rows(task):
    X, y = task
    pipeline = scaled(StandardScaler()).fit(X, y).unlearn(indices=[0])
    copy = pickle.loads(pickle.dumps(pipeline)).unlearn(indices=[1])
    assert "subtracted" in copy.deletions_[1]["transformers"]
    bare = pipeline.detach().attach(X[1:], y[1:]).unlearn(indices=[1])
    for other in (copy, bare):
        assert_same_state(other[0], StandardScaler().fit(X[2:]))


def test_k_means_is_fitted_anew(task):
    """Its centres are means, but who belongs to them was decided by all rows."""
    X, y = task
    pipeline = scaled(KMeans(3, n_init=2, random_state=0), unlearner=None).fit(X, y)
    pipeline.unlearn(indices=[0, 1])
    never = KMeans(3, n_init=2, random_state=0).fit(X[2:])
    assert np.array_equal(pipeline[0].cluster_centers_, never.cluster_centers_)
    assert "subtracted" not in pipeline.deletions_[0]["transformers"]
