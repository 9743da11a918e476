"""The displays draw what the functions under them compute."""

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_curve
from sklearn.model_selection import GridSearchCV

from skunlearn import RetrainUnlearner
from skunlearn.evaluation import audit_logits
from skunlearn.metrics import MIAScorer, match_weights, membership_inference, membership_scores
from skunlearn.model_selection import ForgetSplit
from skunlearn.plotting import (
    PALETTE,
    LossHistogramDisplay,
    MIACurveDisplay,
    TradeoffDisplay,
    UnlearningReportDisplay,
)


@pytest.fixture(autouse=True)
def no_screen():
    import matplotlib.pyplot as plt

    before = matplotlib.get_backend()
    plt.close("all")  # what other tests have drawn
    plt.switch_backend("Agg")
    yield
    plt.close("all")
    plt.switch_backend(before)


@pytest.fixture(scope="module")
def task():
    rng = np.random.default_rng(0)
    labels = {name: rng.integers(3, size=n) for name, n in (("forget", 150), ("unseen", 400))}
    outputs = {
        name: {k: np.eye(3)[y] * (3 if k == "forget" else 1) * weight + rng.normal(size=(len(y), 3))
               for k, y in labels.items()}
        for name, weight in (("before", 1.0), ("retrained", 0.3))
    }  # fmt: skip
    return outputs, labels


@pytest.fixture(scope="module")
def unlearner():
    X, y = make_classification(900, 8, n_informative=5, n_classes=3, flip_y=0.3, random_state=0)
    fitted = RetrainUnlearner(LogisticRegression(), random_state=0).fit(X[:300], y[:300])
    return fitted.unlearn(indices=range(60)), X[300:], y[300:]


def test_curve_is_the_weighted_roc_of_scikit_learn(task):
    outputs, labels = task
    before = outputs["before"]
    sides = (before["forget"], labels["forget"], before["unseen"], labels["unseen"])
    display = MIACurveDisplay.from_predictions(*sides, name="before")
    scores = [membership_scores(before[k], labels[k]) for k in ("forget", "unseen")]
    weights = np.concatenate([np.ones(150), match_weights(labels["forget"], labels["unseen"])])
    fpr, tpr, _ = roc_curve(
        np.repeat([1, 0], [150, 400]),
        np.concatenate(scores),
        sample_weight=weights,
        drop_intermediate=False,
    )
    assert np.allclose(display.fpr, fpr)
    assert np.allclose(display.tpr, tpr)
    area = np.trapezoid(display.tpr, display.fpr)
    assert area == pytest.approx(membership_inference(*sides).auc)
    assert f"{area:.3f}" in display.line_.get_label()
    assert display.ax_.get_xscale() == display.ax_.get_yscale() == "log"


def test_curves_share_axes(task):
    outputs, labels = task
    ax = Figure().subplots()
    for name, sets in outputs.items():
        display = MIACurveDisplay.from_predictions(
            sets["forget"], labels["forget"], sets["unseen"], labels["unseen"], name=name, ax=ax
        )
        assert display.ax_ is ax
    texts = [text.get_text().split(":")[0] for text in ax.get_legend().get_texts()]
    assert texts == ["chance", "chance, 95 %", "before", "retrained"]
    colours = [line.get_color() for line in ax.lines[1:]]
    assert colours == [PALETTE["original"], PALETTE["retrained"]]
    assert ax.get_xlim()[0] == pytest.approx(1 / display.n_unseen)  # weighted rows
    assert ax.get_ylim()[0] == pytest.approx(1 / 150)


def test_curve_of_an_estimator_has_the_scorers_auc(unlearner):
    display = MIACurveDisplay.from_estimator(*unlearner)
    auc = MIAScorer("margin").measure(*unlearner).auc
    assert np.trapezoid(display.tpr, display.fpr) == pytest.approx(auc)
    assert display.line_.get_label().startswith(f"RetrainUnlearner: AUC {auc:.3f}")


def test_histograms_hold_every_row(task, unlearner):
    outputs, labels = task
    display = LossHistogramDisplay.from_predictions(outputs, labels)
    assert [ax.get_title(loc="left") for ax in display.axes_] == ["before", "retrained"]
    for ax in display.axes_:
        heights = [patch.get_data().values for patch in ax.patches]
        assert len(heights) == 2
        assert np.allclose([h.sum() for h in heights], 1)
    with pytest.raises(ValueError, match="2 models need as many axes"):
        LossHistogramDisplay.from_predictions(outputs, labels, ax=[Figure().subplots()])
    model = unlearner[0].estimator_
    display = LossHistogramDisplay.from_estimator(*unlearner, models={"before": model})
    assert list(display.losses) == ["before", "after"]
    assert list(display.losses["after"]) == ["forget", "unseen", "retain"]
    assert len(display.losses["after"]["retain"]) == 240
    for name, values in display.losses["before"].items():
        assert np.allclose(values, display.losses["after"][name])


def test_a_loss_of_zero_is_drawn():
    labels = {"forget": np.zeros(3, int)}
    display = LossHistogramDisplay.from_predictions(
        {"sure": {"forget": np.array([[1e4, 0.0], [3.0, 0.0], [0.0, 1.0]])}}, labels
    )
    assert display.axes_[0].patches[0].get_data().values.sum() == pytest.approx(1)


def test_tradeoff_marks_the_refitted_candidate():
    X, y = make_classification(300, 6, random_state=0)
    forget = np.arange(300) < 40
    search = GridSearchCV(
        RetrainUnlearner(LogisticRegression(), random_state=0),
        {"estimator__C": [0.001, 1.0]},
        cv=ForgetSplit(2, forget=forget, random_state=0),
        scoring={"accuracy": "accuracy", "forgetting": MIAScorer()},
        refit="accuracy",
    ).fit(X, y, forget=forget)
    display = TradeoffDisplay.from_estimator(search)
    assert display.chosen == search.best_index_
    assert display.labels == ["C=0.001", "C=1"]
    assert np.array_equal(display.accuracy, search.cv_results_["mean_test_accuracy"])
    (marked,) = [line for line in display.ax_.lines if line.get_marker() == "s"]
    assert marked.get_ydata() == display.accuracy[search.best_index_]
    with pytest.raises(ValueError, match=r"no scorer 'utility', only \['accuracy', 'forgetting'\]"):
        TradeoffDisplay.from_estimator(search, accuracy="utility")
    with pytest.raises(ValueError, match="one score per candidate"):
        TradeoffDisplay.from_predictions([1.0, 2.0], [1.0])


def test_report_display(task, unlearner, tmp_path):
    outputs, labels = task
    report = audit_logits(outputs, labels, original="before")
    display = UnlearningReportDisplay.from_report(report, figure=Figure(), title="A title")
    attacks = ["AUC", "AUC entropy", "AUC modified entropy"]
    assert list(display.axes_) == ["verdict", "forget train", "retained test", *attacks]
    names = [text.get_text() for text in display.axes_["verdict"].get_yticklabels()]
    assert names == ["before"]  # the retrained model is the line at 0
    display.figure_.savefig(tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 10_000
    same = UnlearningReportDisplay.from_predictions(outputs, labels, original="before")
    assert same.report.wide.equals(report.wide)
    display = UnlearningReportDisplay.from_estimator(*unlearner)
    assert "of retraining" not in display.axes_  # nobody took the time of the retrained model
    assert "seconds" in display.axes_
