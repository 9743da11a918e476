"""What is wrong with a question is said before anything is trained to answer it."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_validate

from skunlearn import FineTuneUnlearner, RetrainUnlearner, UnlearningPipeline
from skunlearn.evaluation import audit, audit_logits, compare
from skunlearn.metrics import MIAScorer, RetainedScorer
from tests.instances import make_net
from tests.small import quiet

pytestmark = quiet
TRAIN = np.arange(150) % 3 > 0


class Counting(LogisticRegression):
    trained = 0

    def fit(self, X, y):
        type(self).trained += 1
        return super().fit(X, y)


@pytest.fixture
def rows():
    Counting.trained = 0
    return load_iris(return_X_y=True)


def ask_compare(rows, X_test, y_test, **settings):
    (X, y), unlearner = rows, RetrainUnlearner(Counting(max_iter=200), random_state=0)
    test = {"X_test": X_test, "y_test": y_test}
    return compare([unlearner], X[TRAIN], y[TRAIN], forget=np.arange(100) < 40, **test, **settings)


def ask_audit(rows, X_test, y_test, **settings):
    X, y = rows
    unlearner = RetrainUnlearner(Counting(max_iter=200), random_state=0).fit(X[TRAIN], y[TRAIN])
    unlearner.unlearn(indices=range(40))
    return audit(unlearner, X_test, y_test, **settings)


def ask_of_logits(rows, X_test, y_test, **settings):
    labels = {"forget": [0, 1, 1, 0], "unseen": [0, 1, 0, 1]}
    outputs = {key: np.eye(2)[y] for key, y in labels.items()}
    return audit_logits({"mine": outputs, "retrained": outputs}, labels, **settings)


@pytest.mark.parametrize("ask", [ask_compare, ask_audit, ask_of_logits])
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"attacks": "bogus"}, "attack must be one of"),
        ({"attacks": ["margin", "bogus"]}, "attack must be one of"),
        ({"attacks": []}, "attacks is empty"),
        ({"tolerance": -0.01}, "tolerance"),
        ({"tolerance": np.nan}, "tolerance"),
        ({"confidence": 95}, "confidence must lie between 0 and 1"),
    ],
    ids=str,
)
def test_settings(rows, ask, settings, message):
    X, y = rows
    with pytest.raises(ValueError, match=message):
        ask(rows, X[~TRAIN], y[~TRAIN], **settings)
    assert Counting.trained == (2 if ask is ask_audit else 0)


@pytest.mark.parametrize("ask", [ask_compare, ask_audit])
def test_a_class_of_the_forget_rows_that_no_test_row_has(rows, ask):
    X, y = rows
    test = ~TRAIN & (y != 1)
    with pytest.raises(ValueError, match=r"no unseen row of \[1\].*among X_test"):
        ask(rows, X[test], y[test])
    assert Counting.trained == (2 if ask is ask_audit else 1)


@pytest.mark.parametrize("ask", [ask_compare, ask_audit])
def test_a_label_that_no_training_row_has_is_one_of_the_test_rows(rows, ask):
    X, y = rows
    with pytest.raises(ValueError, match=r"y_test holds labels that are not among .*\[7\]"):
        ask(rows, X[~TRAIN], np.where(np.arange(50) == 3, 7, y[~TRAIN]))


@pytest.mark.parametrize("as_given", [np.asarray, np.ndarray.tolist], ids=["arrays", "lists"])
def test_a_class_that_the_training_part_of_a_fold_lacks(rows, as_given):
    """Its rows are compared with nothing, so that the attack is that without them."""
    X, y = rows
    rare = np.where(np.arange(150) == 100, 7, y)
    unlearner = RetrainUnlearner(LogisticRegression(max_iter=200), random_state=0)
    unlearner.fit(X[TRAIN], y[TRAIN]).unlearn(indices=range(0, 100, 3))
    test = np.append(np.flatnonzero(~TRAIN), 100)
    for reference in (None, "retrain"):
        scorer = MIAScorer(reference=reference)
        found = scorer(unlearner, as_given(X[test] + 0.01), as_given(rare[test]))
        known = rare[test] != 7
        assert found == scorer(unlearner, X[test][known] + 0.01, rare[test][known])
    with pytest.raises(ValueError, match=r"not among the classes.*\[7\]"):
        MIAScorer(match=None)(unlearner, X[test] + 0.01, rare[test])


def test_cross_validation_with_a_class_of_one_row(rows):
    X, y = rows
    forget = np.arange(150) % 5 == 1
    others = np.flatnonzero(~forget)
    found = cross_validate(
        RetrainUnlearner(LogisticRegression(max_iter=200), random_state=0),
        X,
        np.where(np.arange(150) == 100, 7, y),
        cv=[(np.setdiff1d(np.arange(150), held), held) for held in (others[::2], others[1::2])],
        params={"forget": forget},
        scoring={"forgetting": MIAScorer(), "accuracy": RetainedScorer()},
        error_score="raise",
    )
    assert np.isfinite(found["test_forgetting"]).all()


@pytest.mark.parametrize("piped", [False, True])
def test_compare_of_several_estimators(rows, piped):
    """The weights of the first would be taken for those of the others."""
    X, y = rows[0].astype(np.float32), rows[1]
    test = {"X_test": X[~TRAIN], "y_test": y[~TRAIN]}

    def make(cls=FineTuneUnlearner, **params):
        unlearner = cls(make_net(module__n_out=3, max_epochs=1).set_params(**params))
        return UnlearningPipeline([("model", unlearner)]) if piped else unlearner

    def ask(unlearners):
        return compare(unlearners, X[TRAIN], y[TRAIN], forget=np.arange(100) < 20, **test)

    for params, message in (
        ({"module__n_out": 4}, "its module__n_out"),
        ({"lr": 0.3, "batch_size": 7, "verbose": 1}, "its batch_size, lr"),
        ({"optimizer": torch.optim.Adam}, "its optimizer"),
    ):
        with pytest.raises(ValueError, match=f"the estimator of 'b' is another: {message}"):
            ask({"a": make(), "b": make(**params)})
    # A training anew is that of its own estimator.
    for one in ({"a": make(), "b": make(), "c": make(RetrainUnlearner, lr=0.3)}, make()):
        names = list(one) if isinstance(one, dict) else ["FineTuneUnlearner"]
        assert list(ask(one).verdicts) == names
