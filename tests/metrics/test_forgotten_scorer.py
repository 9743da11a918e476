"""ForgottenScorer: rows of a forgotten class are asked about by probabilities too."""

import pickle

import numpy as np
import pytest
import sklearn
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (
    d2_log_loss_score,
    log_loss,
    make_scorer,
    roc_auc_score,
    top_k_accuracy_score,
)
from sklearn.naive_bayes import GaussianNB
from sklearn.utils.fixes import parse_version

from skunlearn import RetrainUnlearner
from skunlearn.exceptions import ClassForgottenWarning
from skunlearn.metrics import ForgottenScorer, RetainedScorer

pytestmark = pytest.mark.filterwarnings(
    f"ignore::{ClassForgottenWarning.__module__}.{ClassForgottenWarning.__name__}"
)


def answering_by(unlearner, model):
    """An unlearner that names classes as forgotten, and knows them as the model does."""
    for name in ("predict", "predict_proba", "decision_function"):
        setattr(unlearner, name, getattr(model, name))
    return unlearner


@pytest.mark.parametrize("names", [[0, 1, 2, 3], ["a", "b", "c", "d"]])
@pytest.mark.parametrize("n_gone", [1, 2])
def test_forgotten_classes_are_scored_by_probabilities(names, n_gone):
    rng = np.random.default_rng(0)
    codes = np.arange(400) // 2 % 4
    X = rng.normal(size=(400, 4)) + 2 * np.eye(4)[codes]
    y, gone = np.array(names)[codes], codes < n_gone

    def forgets():
        unlearner = RetrainUnlearner(LogisticRegression()).fit(X[::2], y[::2])
        return unlearner.unlearn(indices=np.flatnonzero(gone[::2]))

    knows = LogisticRegression().fit(X[::2], y[::2])
    forgot, keeps = forgets(), answering_by(forgets(), knows)
    test, labels, rest = X[1::2], y[1::2], gone[1::2]
    p = knows.predict_proba(test)

    each = -np.log(p[np.arange(len(p)), codes[1::2]])[rest]
    assert ForgottenScorer("neg_log_loss")(keeps, test, labels) == pytest.approx(each.mean())
    assert ForgottenScorer("neg_log_loss")(forgot, test, labels) > 10
    areas = [roc_auc_score(labels == names[c], p[:, c]) for c in range(n_gone)]
    for scoring in ("roc_auc_ovr", "roc_auc_ovr_weighted"):
        assert ForgottenScorer(scoring)(keeps, test, labels) == pytest.approx(-np.mean(areas))
        assert ForgottenScorer(scoring)(forgot, test, labels) == -0.5
    assert ForgottenScorer("roc_auc")(forgot, test, labels) == -0.5
    assert ForgottenScorer("roc_auc")(keeps, test, labels) < -0.9
    share = np.mean([(labels == names[c]).mean() for c in range(n_gone)])
    assert ForgottenScorer("average_precision")(forgot, test, labels) == pytest.approx(-share)
    assert ForgottenScorer("average_precision")(keeps, test, labels) < -0.7
    assert ForgottenScorer("top_k_accuracy")(forgot, test, labels) == 0  # -inf is no accident
    if parse_version(sklearn.__version__) >= parse_version("1.7"):
        loss = ((p - np.eye(4)[codes[1::2]]) ** 2).sum(axis=1)[rest].mean()
        brier = ForgottenScorer("neg_brier_score")
        assert brier(keeps, test, labels) == pytest.approx(loss)
        assert brier(forgot, test, labels) > 0.5
    named = make_scorer(top_k_accuracy_score, response_method="predict_proba", k=1)
    right = (p.argmax(axis=1) == codes[1::2])[rest].mean()
    assert ForgottenScorer(named)(keeps, test, labels) == pytest.approx(-right)


def test_of_two_classes_the_one_that_is_left_tells_nothing():
    X, y = np.arange(40.0)[:, None], np.array(["no", "yes"])[np.arange(40) // 20]
    unlearner = RetrainUnlearner(GaussianNB()).fit(X, y)
    unlearner.unlearn(indices=np.arange(20, 40))
    assert ForgottenScorer("roc_auc")(unlearner, X + 0.5, y) == -0.5
    assert ForgottenScorer("neg_log_loss")(unlearner, X + 0.5, y) > 10
    scorer = make_scorer(log_loss, response_method="predict_proba", labels=["no", "yes"])
    assert ForgottenScorer(scorer)(unlearner, X + 0.5, y) < -10


def test_scores_that_rows_of_a_forgotten_class_do_not_have_are_refused():
    X, y = np.random.default_rng(0).normal(size=(60, 2)), np.arange(60) % 3
    unlearner = RetrainUnlearner(LogisticRegression()).fit(X, y)
    unlearner.unlearn(indices=np.flatnonzero(y == 1))
    d2 = make_scorer(d2_log_loss_score, response_method="predict_proba")
    for scoring, reason in (("roc_auc_ovo", "pairs"), (d2, "how frequent")):
        with pytest.raises(ValueError, match=reason):
            ForgottenScorer(scoring)(unlearner, X + 0.5, y)
    for rows in (y == 1, y != 1):
        with pytest.raises(ValueError, match="others beside them"):
            ForgottenScorer("roc_auc")(unlearner, X[rows] + 0.5, y[rows])


@pytest.mark.parametrize("stored", [True, False], ids=["rows", "digests alone"])
def test_a_class_that_a_correction_brings_back_is_not_gone(stored):
    """Its test rows count again, and that they are recognised is no memory of what went."""
    rng = np.random.default_rng(0)
    y = np.arange(150) % 3
    X, labels = rng.normal(size=(150, 3)) + 2 * np.eye(3)[y], np.array(["ant", "bee", "wasp"])[y]
    train, test = slice(0, 90), slice(90, None)
    unlearner = RetrainUnlearner(GaussianNB(), store_data=stored)
    unlearner.fit(X[train].copy(), labels[train].copy())
    unlearner.unlearn(indices=np.flatnonzero(y[train] == 2))
    assert RetainedScorer()(unlearner, X[test], labels[test]) > 0.9  # of two classes
    assert ForgottenScorer()(unlearner, X[test], labels[test]) == 0
    moved = np.flatnonzero(y[train] == 0)[:15]
    wasps = X[train][y[train] == 2][:15] + 0.1
    unlearner.correct(indices=moved, X_new=wasps, y_new=["wasp"] * 15)
    unlearner = pickle.loads(pickle.dumps(unlearner))
    assert unlearner._record.has_data == stored
    found = RetainedScorer()(unlearner, X[test], labels[test])
    assert found == unlearner.score(X[test], labels[test]) < 0.9
    with pytest.raises(ValueError, match="No test row is left to score"):
        ForgottenScorer()(unlearner, X[test], labels[test])


def test_a_class_that_is_gone_again_after_a_correction_is_gone():
    rng = np.random.default_rng(0)
    y = np.arange(90) % 3
    X = rng.normal(size=(90, 3)) + 2 * np.eye(3)[y]
    unlearner = RetrainUnlearner(GaussianNB()).fit(X.copy(), y.copy())
    unlearner.unlearn(indices=np.flatnonzero(y == 2)).correct(indices=[0, 3], y_new=[2, 2])
    assert RetainedScorer()(unlearner, X, y) == unlearner.score(X, y)
    unlearner.unlearn(indices=[0, 3])
    there = y != 2
    assert RetainedScorer()(unlearner, X, y) == unlearner.score(X[there], y[there])
