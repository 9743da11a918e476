"""retention_curve: accuracy of each class after each request, and what is made of it."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.naive_bayes import GaussianNB

from skunlearn import RetrainUnlearner
from skunlearn.evaluation import RetentionCurve, retention_curve
from skunlearn.plotting import RetentionCurveDisplay


@pytest.fixture
def blobs():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 400)
    X = rng.normal(size=(400, 2)) + 1.5 * np.eye(3, 2)[y]
    return X[:200], np.array(["a", "b", "c"])[y[:200]], X[200:], np.array(["a", "b", "c"])[y[200:]]


def test_the_figures_by_hand():
    accuracy = pd.DataFrame(
        [[0.9, 0.8, 1.0], [1.0, 0.7, 0.5], [0.6, 0.9, 0.0]], index=[0, 1, 2], columns=list("abc")
    )
    retrained = pd.DataFrame(
        [[0.9, 0.8, 1.0], [0.9, 0.8, 0.9], [0.8, 0.8, 0.0]], index=[0, 1, 2], columns=list("abc")
    )
    curve = RetentionCurve(accuracy, np.array([True, True, False]), retrained)
    assert curve.backward_transfer() == pytest.approx(((0.6 - 0.9) + (0.9 - 0.8)) / 2)
    assert curve.backward_transfer(against="retrained") == pytest.approx((-0.2 + 0.1) / 2)
    # Chaudhry et al.: the best of the audits before the last, so that a gain counts as negative.
    assert curve.forgetting() == pytest.approx(((1.0 - 0.6) + (0.8 - 0.9)) / 2)
    assert curve.mean.tolist() == pytest.approx([0.85, 0.85, 0.75])
    assert curve.worst.tolist() == pytest.approx([0.8, 0.7, 0.6])
    assert curve.by_class().index.tolist() == ["a", "b"]
    with pytest.raises(ValueError, match="against"):
        curve.backward_transfer(against="chance")
    with pytest.raises(ValueError, match="reference=True"):
        RetentionCurve(accuracy, curve.kept).backward_transfer(against="retrained")


@pytest.mark.filterwarnings("ignore::skunlearn.exceptions.ClassForgottenWarning")
def test_against_scores_taken_by_hand(blobs):
    X, y, X_test, y_test = blobs
    requests = [[0, 1], np.flatnonzero(y == "c")[5:], [2]]
    requests.append(np.setdiff1d(np.flatnonzero(y == "c"), np.concatenate(requests)))
    curve = retention_curve(
        RetrainUnlearner(GaussianNB(), random_state=0).fit(X, y),
        requests,
        X_test,
        y_test,
        reference=True,
    )
    gone = np.zeros(len(y), bool)
    for row, request in enumerate([[], *requests]):
        gone[request] = True
        model = GaussianNB().fit(X[~gone], y[~gone])
        expected = [model.score(X_test[y_test == c], y_test[y_test == c]) for c in "abc"]
        assert curve.accuracy.iloc[row].tolist() == expected
    assert curve.accuracy.columns.tolist() == ["a", "b", "c"]
    assert curve.accuracy.index.tolist() == [0, 1, 2, 3, 4]
    assert curve.kept.tolist() == [True, True, False]
    assert curve.accuracy["c"].iloc[-1] == 0
    # Its own retraining is the reference.
    assert curve.retrained.equals(curve.accuracy)
    assert curve.backward_transfer(against="retrained") == 0
    assert [audit["requests"] for audit in curve.audits] == [1, 2, 3, 4]


def test_audits_now_and_then_and_after_a_break(blobs):
    X, y, X_test, y_test = blobs
    unlearner = RetrainUnlearner(GaussianNB(), random_state=0).fit(X, y)
    first = retention_curve(unlearner, range(3), X_test, y_test, every=2)
    assert first.accuracy.index.tolist() == [0, 2, 3]
    second = retention_curve(unlearner, range(5), X_test, y_test)
    assert second.accuracy.index.tolist() == [3, 4, 5]
    assert second.accuracy.loc[3].equals(first.accuracy.loc[3])
    assert second.retrained is None
    with pytest.raises(ValueError, match="No request is left"):
        retention_curve(unlearner, range(5), X_test, y_test)


def test_classes_without_unseen_rows_are_left_out(blobs):
    X, y, X_test, y_test = blobs
    unlearner = RetrainUnlearner(GaussianNB(), random_state=0).fit(X, y)
    curve = retention_curve(unlearner, [0], X_test[y_test != "b"], y_test[y_test != "b"])
    assert curve.accuracy.columns.tolist() == ["a", "c"]
    assert len(curve.kept) == 2


def test_regressors_are_refused(blobs):
    X, _, X_test, _ = blobs
    unlearner = RetrainUnlearner(LinearRegression(), random_state=0).fit(X, X[:, 0])
    with pytest.raises(TypeError, match="classifier"):
        retention_curve(unlearner, [0], X_test, X_test[:, 0])
    assert unlearner.deletions_ == []


def test_the_display(blobs):
    plt = pytest.importorskip("matplotlib.pyplot", reason="needs matplotlib")
    X, y, X_test, y_test = blobs
    unlearner = RetrainUnlearner(GaussianNB(), random_state=0).fit(X, y)
    curve = retention_curve(unlearner, range(4), X_test, y_test, reference=True)
    display = RetentionCurveDisplay.from_curves({"a": curve, "b": curve})
    assert list(display.lines_) == ["a", "b", "retrained"]
    x, values = display.lines_["a"].get_data()
    assert x.tolist() == [0, 1, 2, 3, 4]
    assert values == pytest.approx(100 * curve.mean)
    assert len(display.ax_.lines) == 5  # a mean and a worst class each, and the retrained one
    shown = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert shown[0] == f"a: BWT {100 * curve.backward_transfer():+.1f}"
    _, ax = plt.subplots()
    alone = RetentionCurveDisplay.from_curves(curve, ax=ax, worst=False, color="red")
    assert alone.ax_ is ax
    assert len(ax.lines) == 2
    assert alone.lines_["unlearned"].get_color() == "red"
    plt.close("all")
