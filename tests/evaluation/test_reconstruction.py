"""Two versions of a linear model give the deleted row away, and a warning says so."""

import copy
import pickle
import warnings

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, RidgeClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer

from skunlearn import (
    CertifiedRemovalUnlearner,
    DescentToDeleteUnlearner,
    LangevinUnlearner,
    RetrainUnlearner,
    RidgeUnlearner,
    UnlearningPipeline,
)
from skunlearn.evaluation import reconstruction_attack
from skunlearn.exceptions import PrivacyBudgetWarning, RowRevealedWarning
from skunlearn.production import DeletionQueue, DeletionWorker


def task(n=2000, p=12, seed=0, targets=None):
    rng = np.random.default_rng(seed)
    X = rng.normal(2, 1, size=(n, p)) @ rng.normal(size=(p, p))
    weights = rng.normal(size=(p,) if targets is None else (p, targets))
    noise = rng.normal(size=(n,) if targets is None else (n, targets))
    return X, X @ weights + 1 + noise


def rebuilt(unlearner, X, y, public, gone=(7,), **known):
    unlearner = unlearner.fit(X, y)
    before = copy.deepcopy(unlearner.estimator_)
    unlearner.unlearn(indices=list(gone))
    return reconstruction_attack(before, unlearner, public, **known)


@pytest.mark.parametrize(
    "recipe, targets",
    [
        (Ridge(alpha=5.0), None),
        (Ridge(alpha=5.0), 3),
        (Ridge(alpha=np.array([1.0, 50.0, 3.0])), 3),
        (LinearRegression(), None),
    ],
)
def test_who_knows_the_curvature_has_the_row_itself(recipe, targets):
    """With the kept rows as public ones the mathematics is exact, penalty and scale included."""
    X, y = task(300, targets=targets)
    kept = np.delete(np.arange(300), 7)
    found = rebuilt(RidgeUnlearner(recipe), X, y, X[kept])
    assert found.scaled
    assert found.row == pytest.approx(X[7], rel=1e-6)
    assert found.similarity(X)[7] == pytest.approx(1)
    assert np.argmax(found.similarity(X)) == 7
    if targets:
        assert found.share == pytest.approx(1)  # one row explains all of the change
    # The difference alone is not the row.
    old = copy.deepcopy(RidgeUnlearner(recipe).fit(X, y).estimator_)
    new = clone(recipe).fit(X[kept], y[kept])
    change = np.atleast_2d(new.coef_ - old.coef_)[0]
    wrong = abs(change @ X[7]) / np.linalg.norm(change) / np.linalg.norm(X[7])
    assert wrong < 0.9


def test_without_an_intercept_there_is_a_direction():
    X, y = task(300)
    kept = np.delete(np.arange(300), 7)
    found = rebuilt(RidgeUnlearner(Ridge(fit_intercept=False)), X, y, X[kept])
    assert not found.scaled
    assert np.linalg.norm(found.row) == pytest.approx(1)
    assert found.similarity(X[[7]]) == pytest.approx(1)
    assert found.similarity(X[8:200]).max() < 0.99


@pytest.mark.parametrize("n_classes", [2, 3])
def test_classifiers(n_classes):
    X, y = task(300)
    labels = np.digitize(y, np.quantile(y, [0.5] if n_classes == 2 else [0.3, 0.6]))
    kept = np.delete(np.arange(300), 7)
    found = rebuilt(RidgeUnlearner(RidgeClassifier(alpha=2.0)), X, labels, X[kept])
    assert found.row == pytest.approx(X[7], rel=1e-5)
    logistic = LogisticRegression(C=0.01, tol=1e-10, max_iter=10_000)
    found = rebuilt(RetrainUnlearner(logistic, random_state=0), X, labels, X[kept], n_rows=299)
    assert found.similarity(X[[7]]) > 0.999
    assert found.row == pytest.approx(X[7], rel=0.05, abs=0.05)


def test_rows_of_the_attackers_own_are_enough_and_many_at_a_time_help():
    """The figures of the threat model, by another sample."""
    X, y = task(3000, p=30)
    train, public = slice(0, 1500), X[1500:]
    unlearner = RidgeUnlearner(Ridge()).fit(X[train], y[train])
    rng, found = np.random.default_rng(0), {}
    for k in (1, 20):
        figures = []
        for _ in range(10):
            gone = rng.choice(1500, k, replace=False)
            after = copy.deepcopy(unlearner).unlearn(indices=gone)
            attack = reconstruction_attack(unlearner, after, public)
            others = rng.choice(np.setdiff1d(np.arange(1500), gone), k, replace=False)
            figures.append([attack.similarity(X[rows]).max() for rows in (gone, others)])
        found[k] = np.mean(figures, axis=0)
    assert found[1][0] > 0.95
    assert found[1][1] < 0.3
    assert found[20][0] < 0.75


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_noise_that_stays_the_same_hides_nothing():
    X, y = task(3000, p=8)
    X = Normalizer().fit_transform(X - X.mean(axis=0))
    y = (y > np.median(y)).astype(int)
    certified = CertifiedRemovalUnlearner(LogisticRegression(C=0.01), random_state=0)
    found = rebuilt(certified, X[:2500], y[:2500], X[2500:])
    assert certified.privacy_spent().epsilon < 0.1  # proved of each version alone
    assert found.similarity(X[[7]]) > 0.98
    for cls in (DescentToDeleteUnlearner, LangevinUnlearner):  # which draw it anew
        unlearner = cls(LogisticRegression(C=0.01), random_state=0)
        similar = [
            rebuilt(unlearner, X[:2500], y[:2500], X[2500:], [row]).similarity(X[[row]])[0]
            for row in range(8)
        ]
        assert np.mean(similar) < 0.7


def test_forms_and_refusals():
    X, y = task(300)
    unlearner = RidgeUnlearner(Ridge()).fit(X, y)
    after = copy.deepcopy(unlearner).unlearn(indices=[7])
    found = reconstruction_attack(unlearner, after, sparse.csr_matrix(X[100:]))
    plain = reconstruction_attack(
        unlearner.estimator_, after.estimator_, X[100:].tolist(), n_rows=299, penalty=1.0
    )
    assert plain.row == pytest.approx(found.row)
    assert pickle.loads(pickle.dumps(plain)).share == plain.share
    for models, error, message in [
        ((unlearner, unlearner), ValueError, "are the same"),
        ((unlearner, LinearRegression().fit(X, y)), ValueError, "different kind"),
        ((unlearner, Ridge().fit(X[:, 1:], y)), ValueError, "different kind or size"),
        ((unlearner, GaussianNB().fit(X, y > 0)), TypeError, "`after` is a GaussianNB"),
    ]:
        with pytest.raises(error, match=message):
            reconstruction_attack(*models, X)
    with pytest.raises(ValueError, match="X_public has 3 features, the models have 12"):
        reconstruction_attack(unlearner, after, X[:, :3])
    with pytest.raises(ValueError, match="X has 3 features"):
        found.similarity(X[:, :3])


# ---------------------------------------------------------------------- the warning


def test_a_published_model_warns_of_single_rows():
    X, y = task(300)
    unlearner = RidgeUnlearner(Ridge(), published=True).fit(X, y)
    with pytest.warns(RowRevealedWarning, match="reconstruction_attack"):
        unlearner.unlearn(indices=[7])
    unlearner.unlearn(indices=[8, 9])  # no warning, which would be an error
    RidgeUnlearner(Ridge()).fit(X, y).unlearn(indices=[7])
    X, labels = Normalizer().fit_transform(X), (y > 0).astype(int)
    recipe = LogisticRegression(C=0.01)
    certified = CertifiedRemovalUnlearner(recipe, published=True, random_state=0).fit(X, labels)
    with pytest.warns(RowRevealedWarning):
        certified.unlearn(indices=[7])
    certified.unlearn(indices=[8, 9])
    poor = CertifiedRemovalUnlearner(recipe, published=True, sigma=1e-4, random_state=0)
    with pytest.warns(PrivacyBudgetWarning) as said:
        poor.fit(X, labels).unlearn(indices=[7])  # trained anew, with a new noise
    assert {w.category for w in said} == {PrivacyBudgetWarning}


@pytest.mark.parametrize(
    "unlearner, told",
    [
        (RidgeUnlearner(RidgeClassifier(), random_state=0), True),
        (RetrainUnlearner(LogisticRegression(), random_state=0), True),
        (RetrainUnlearner(make_pipeline(Normalizer(), RidgeClassifier()), random_state=0), True),
        (
            UnlearningPipeline(
                [("unit", Normalizer()), ("head", RidgeUnlearner(RidgeClassifier()))]
            ),
            True,
        ),
        (RetrainUnlearner(GaussianNB(), random_state=0), False),
    ],
    ids=["ridge", "logistic", "pipeline", "unlearning pipeline", "naive Bayes"],
)
def test_a_service_warns_of_batches_of_one_row(tmp_path, unlearner, told):
    X, y = task(300)
    labels = (y > np.median(y)).astype(int)
    queue = DeletionQueue(tmp_path, batch_size=1)
    worker = DeletionWorker(queue, unlearner, X[200:], labels[200:])
    worker.start(X[:200], labels[:200], ids=range(200))
    queue.submit("many", ids=[3, 4])
    worker.run_once()
    queue.submit("one", ids=[7])
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        worker.run_once()
    assert [w.category for w in said] == [RowRevealedWarning] * told
    assert queue.status("one")["state"] == "applied"


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_fresh_noise_is_not_warned_of(tmp_path):
    """DescentToDelete has no file to go on from; the rule is asked for itself."""
    from skunlearn._unlearning.versions_warning import warn_of_batch

    X, y = task(300)
    X, labels = Normalizer().fit_transform(X), (y > np.median(y)).astype(int)
    for cls in (DescentToDeleteUnlearner, LangevinUnlearner):
        unlearner = cls(LogisticRegression(C=0.01), random_state=0).fit(X, labels)
        warn_of_batch(unlearner.unlearn(indices=[7]), 1)
