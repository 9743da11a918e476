"""LEACE: no covariance is left, nothing is moved further than needed, and pipelines forget it."""

import pickle
from importlib.util import find_spec

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.utils.estimator_checks import parametrize_with_checks

from skunlearn import LEACE, RetrainUnlearner, UnlearningPipeline

installed = pytest.mark.skipif(find_spec("concept_erasure") is None, reason="the extra erasure")
pytestmark = installed


def task(n=400, d=12):
    """Features that tell a class z, and another y besides."""
    rng = np.random.default_rng(0)
    z, y = rng.integers(0, 3, n), rng.integers(0, 2, n)
    X = rng.normal(size=(n, d)) @ rng.normal(size=(d, d))
    X += 2 * rng.normal(size=(3, d))[z] + 3 * np.outer(2 * y - 1, rng.normal(size=d))
    return X, z, y


def covariance(X, z):
    Z = np.eye(z.max() + 1)[z] if z.dtype.kind == "i" else z.reshape(len(z), -1)
    return (X - X.mean(0)).T @ (Z - Z.mean(0)) / len(X)


def independent(X, z):
    """The least-squares solution under Cov(r(x), z) = 0, by Lagrange's multipliers.

    Row i of A in r(x) = x − A(x − μ) minimises aᵀΣa where aᵀΣ_xz is row i of Σ_xz.
    """
    S, C = np.cov(X.T, bias=True), covariance(X, z)
    middle = np.linalg.pinv(C.T @ np.linalg.pinv(S) @ C, rcond=1e-10)
    A = C @ middle @ C.T @ np.linalg.pinv(S)
    return X - (X - X.mean(0)) @ A.T


def test_it_is_the_solution_of_the_constrained_least_squares():
    X, z, _ = task()
    eraser = LEACE().fit(X, z)
    assert eraser.transform(X) == pytest.approx(independent(X, z), abs=1e-9)
    assert eraser.left_.shape == (12, 2)  # of three classes
    numbers = X[:, 0] ** 2 + X[:, 1]
    assert LEACE().fit_transform(X, numbers) == pytest.approx(independent(X, numbers), abs=1e-9)
    # In a space of fewer dimensions than columns, too.
    flat = np.column_stack([X, X[:, :3] @ np.ones(3)])
    erased = LEACE().fit_transform(flat, z)
    assert np.abs(covariance(erased, z)).max() < 1e-9
    assert erased[:, 12] == pytest.approx(erased[:, :3].sum(1), abs=1e-8)


def test_a_linear_probe_is_at_chance_and_what_else_is_told_stays():
    X, z, y = task()
    erased = LEACE().fit_transform(X, z)
    assert np.abs(covariance(X, z)).max() > 0.1
    assert np.abs(covariance(erased, z)).max() < 1e-12
    probe = LogisticRegression(C=1e6, max_iter=5000, tol=1e-9)
    assert probe.fit(X, z).score(X, z) > 0.7
    assert probe.fit(erased, z).score(erased, z) == np.bincount(z).max() / len(z)
    assert np.ptp(probe.predict_proba(erased), axis=0).max() < 1e-3  # nothing but its intercept
    assert LinearRegression().fit(erased, np.eye(3)[z]).score(erased, np.eye(3)[z]) < 1e-10
    plain, without = (cross_val_score(probe, rows, y).mean() for rows in (X, erased))
    assert without > plain - 0.02
    # No other way that leaves no covariance moves the rows less; this one projects at right angles.
    U = np.linalg.svd(covariance(X, z), full_matrices=False)[0][:, :2]
    other = X - (X - X.mean(0)) @ U @ U.T
    assert np.abs(covariance(other, z)).max() < 1e-9
    assert ((erased - X) ** 2).sum() < 0.9 * ((other - X) ** 2).sum()


def test_digits_without_the_digit_keep_their_brightness():
    X, y = load_digits(return_X_y=True)
    bright = (X.sum(1) > np.median(X.sum(1))).astype(int)
    erased = LEACE().fit_transform(X, y)
    probe = LogisticRegression(max_iter=300)
    assert probe.fit(X / 16, y).score(X / 16, y) > 0.9
    # By its penalty it is a hair apart from a constant.
    assert probe.fit(erased / 16, y).score(erased / 16, y) < 0.11
    assert probe.fit(erased / 16, bright).score(erased / 16, bright) > 0.9


def test_columns_of_x_are_the_attribute_and_are_left_out():
    X, z, y = task()
    names = [f"f{i}" for i in range(12)]
    frame = pd.DataFrame(X, columns=names)
    frame.insert(3, "origin", np.array(["a", "b", "c"])[z])
    eraser = LEACE(columns=["origin"]).fit(frame, y)
    assert list(eraser.get_feature_names_out()) == names
    assert eraser.transform(frame) == pytest.approx(LEACE().fit_transform(X, z), abs=1e-9)
    assert list(eraser.set_output(transform="pandas").transform(frame).columns) == names
    again = pickle.loads(pickle.dumps(eraser))
    assert np.array_equal(again.transform(frame), eraser.transform(frame))
    numbered = np.column_stack([z, X])
    found = LEACE(columns=[0]).fit(numbered).transform(numbered.astype(np.float32))
    assert found.dtype == np.float32
    assert found == pytest.approx(eraser.transform(frame).to_numpy(), abs=1e-3)


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        (["nobody"], "'nobody', which is no column of X: it has 2: a, b"),
        ([7], "7, which is no column"),
        (["a", "b"], "names every column"),
        ([], "is empty"),
    ],
)
def test_columns_that_are_none(columns, says):
    frame = pd.DataFrame({"a": [0.0, 1.0, 2.0], "b": [1.0, 0.0, 1.0]})
    with pytest.raises(ValueError, match=says):
        LEACE(columns=columns).fit(frame)
    with pytest.raises(ValueError, match="no names of columns"):
        LEACE(columns=["a"]).fit(frame.to_numpy())


def test_as_a_step_it_forgets_rows_with_the_pipeline():
    X, z, y = task(120)
    rows = np.column_stack([z, X])

    def make():
        model = RetrainUnlearner(LogisticRegression(), random_state=0)
        return UnlearningPipeline([("erase", LEACE(columns=[0])), ("model", model)])

    pipeline = make().fit(rows, y).unlearn(indices=[3, 50])
    kept = np.delete(np.arange(120), [3, 50])
    expected = make().fit(rows[kept], y[kept])
    assert pipeline.deletions_[0]["transformers"]["refitted"] == ["erase (LEACE)"]
    assert pipeline.predict_proba(rows) == pytest.approx(expected.predict_proba(rows), abs=1e-9)
    shown = pipeline.named_steps["erase"].transform(rows[kept])
    assert np.abs(covariance(shown, z[kept])).max() < 1e-12


@parametrize_with_checks([LEACE()])
def test_sklearn_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("offset", [0.0, 1e6])
@pytest.mark.parametrize("sizes", [[1e5, 1, 1, 1, 1e-3], [1e8, 1, 0, 1, 1e-8]], ids=str)
def test_columns_of_very_different_size(sizes, offset):
    """An income beside a share: the share is not rounding."""
    rng = np.random.default_rng(0)
    z = np.arange(400) % 2
    X = (rng.normal(size=(400, 5)) + z[:, None]) * sizes + offset * np.array(sizes)
    erased = LEACE().fit(X, z).transform(X)
    varied = erased[:, np.array(sizes) > 0]
    told = [np.corrcoef(column, z)[0, 1] for column in varied.T]
    assert np.abs(told).max() < 1e-8
    # It is the solution of the columns in units of their own, in the units that they have.
    scaled = LEACE().fit_transform(X[:, np.array(sizes) > 0] / [s for s in sizes if s], z)
    assert varied / [s for s in sizes if s] == pytest.approx(scaled, rel=1e-7)
