"""Pictures of single requests: what was looked at, where a class goes, which images."""

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skunlearn import AutoUnlearner, RetrainUnlearner
from skunlearn.forget_sets import memorisation_scores, random_forget_set
from skunlearn.plotting import (
    PALETTE,
    AutoUnlearnerDisplay,
    ForgetSetDisplay,
    ForgottenClassDisplay,
)
from tests.plotting.test_pictures import assert_legend_aside, assert_readable
from tests.small import net

X = np.random.default_rng(0).normal(size=(90, 4)).astype(np.float32)
Y = np.arange(90) % 3


@pytest.fixture(autouse=True)
def no_window():
    before = matplotlib.get_backend()
    plt.close("all")  # what other tests have drawn
    plt.switch_backend("Agg")
    yield
    plt.close("all")
    plt.switch_backend(before)


# ------------------------------------------------------------------ AutoUnlearner


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_labels_of_looks_that_are_near_each_other_do_not_meet():
    display = AutoUnlearnerDisplay(
        epochs=[0, 1, 2, 3, 10],
        distances=[-0.26, 0.03, 0.04, 0.045, 0.05],
        shares=[1, 0.25, 0.17, 0.14, 0.12],
        target=0.03,
    ).plot()
    display.figure_.canvas.draw()
    boxes = [text.get_window_extent() for text in display.ax_.texts]
    assert len(boxes) == 5
    for k, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:k])


def test_looks_of_an_auto_unlearner_are_logged_and_drawn():
    unlearner = AutoUnlearner(net(max_epochs=60), budget=0.3, target=0.001, random_state=0)
    unlearner.fit(X[:60], Y[:60])
    with pytest.raises(ValueError, match="not forgotten anything"):
        AutoUnlearnerDisplay.from_estimator(unlearner)
    unlearner.unlearn(indices=range(12), X_val=X[60:], y_val=Y[60:])
    entry = unlearner.deletions_[0]["auto"]
    assert entry["looks"]
    assert entry["looks"][0]["share"] == entry["shares"][0]
    assert all(0 < look["epochs"] < entry["epochs"] for look in entry["looks"])
    display = AutoUnlearnerDisplay.from_estimator(unlearner)
    x, y = display.line_.get_data()
    assert x.tolist() == [0, *(look["epochs"] for look in entry["looks"]), entry["epochs"]]
    assert y[0] == max(entry["before"].values(), key=abs)
    assert y[1:-1].tolist() == [look["distance"] for look in entry["looks"]]
    assert y[-1] == max(entry["after"].values(), key=abs)
    floor = display.ax_.lines[0]
    assert set(floor.get_ydata()) == {0}
    assert floor.get_color() == PALETTE["retrained"]
    assert f"{entry['reference_epochs']} epoch" in floor.get_label()
    assert display.ax_.texts[-1].get_text().startswith("taken")
    assert_readable(display.figure_)
    assert_legend_aside(display.ax_)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_requests_that_nobody_looked_at_are_refused():
    unlearner = RetrainUnlearner(LogisticRegression(), random_state=0).fit(X, Y)
    unlearner.unlearn(indices=[0])
    with pytest.raises(TypeError, match="by RetrainUnlearner"):
        AutoUnlearnerDisplay.from_estimator(unlearner)
    blind = (
        AutoUnlearner(net(max_epochs=20, batch_size=8), random_state=0)
        .fit(X, Y)
        .unlearn(indices=[0])
    )
    with pytest.raises(ValueError, match="X_val="):
        AutoUnlearnerDisplay.from_estimator(blind)


# ------------------------------------------------------------------ where a class goes


def test_where_a_class_goes():
    predicted = {"unlearned": [0, 0, 1, 2], "retrained": [0, 1, 1, 2], "original": [5, 5, 5, 0]}
    display = ForgottenClassDisplay.from_predictions(predicted, label=5)
    assert display.shares_.index.tolist()[0] == 5
    assert display.shares_["retrained"].to_dict() == {5: 0.0, 0: 0.25, 1: 0.5, 2: 0.25}
    assert np.allclose(display.shares_.sum(), 1)
    names = [text.get_text() for text in display.ax_.get_yticklabels()]
    assert names == ["5 (forgotten)", "0", "1", "2"]
    widths = {
        bars.get_label(): [bar.get_width() for bar in bars] for bars in display.ax_.containers
    }
    assert widths["unlearned"] == [0, 50, 25, 25]
    assert display.ax_.containers[1][0].get_facecolor()[:3] == pytest.approx(
        matplotlib.colors.to_rgb(PALETTE["retrained"])
    )
    assert_readable(display.figure_)
    assert_legend_aside(display.ax_)


def test_many_classes_are_put_together():
    predicted = {"unlearned": np.arange(30) % 15, "retrained": np.zeros(30, int)}
    display = ForgottenClassDisplay.from_predictions(predicted, max_classes=4)
    assert display.shares_.index.tolist()[-1] == "others"
    assert len(display.shares_) == 4
    assert np.allclose(display.shares_.sum(), 1)
    for wrong in ({}, {"a": []}, {"a": [1], "b": [1, 2]}):
        with pytest.raises(ValueError, match="the same rows"):
            ForgottenClassDisplay.from_predictions(wrong)


def test_class_of_the_last_request_is_found():
    unlearner = RetrainUnlearner(LogisticRegression(), random_state=0).fit(X, Y)
    with pytest.raises(ValueError, match="emptied no class: name the class"):
        ForgottenClassDisplay.from_estimator(unlearner, X, Y)
    with pytest.warns(match="class"):
        unlearner.unlearn(indices=np.flatnonzero(Y == 1))
    frame = pd.DataFrame(X)
    original = LogisticRegression().fit(X, Y)
    display = ForgottenClassDisplay.from_estimator(unlearner, X, Y, models={"original": original})
    assert display.label == 1
    share = (original.predict(X[Y == 1]) == 1).mean()
    assert display.shares_.loc[1].to_dict() == {"unlearned": 0.0, "original": share}
    with pytest.raises(ValueError, match="no row of class 7"):
        ForgottenClassDisplay.from_estimator(unlearner, frame, Y, label=7)


# ------------------------------------------------------------------ images


@pytest.mark.parametrize("shape", [(6, 6), (1, 6, 6), (3, 6, 6), (6, 6, 3), (6, 6, 1)])
def test_images_in_the_order_of_memorisation(shape):
    rng = np.random.default_rng(0)
    images, scores = rng.random((40, *shape)), rng.random(40)
    display = ForgetSetDisplay.from_scores(
        images, scores, labels=np.arange(40), figure=Figure(), n_images=8, n_columns=4
    )
    ranks = np.argsort(-scores)
    assert display.shown_[0] == ranks[0]
    assert display.shown_[-1] == ranks[-1]
    assert len(display.axes_) == 8
    titles = [ax.get_title().split("\n") for ax in display.axes_]
    assert titles == [[str(k), f"{scores[k]:.2f}"] for k in display.shown_]
    drawn = np.asarray(display.axes_[0].images[0].get_array())
    assert drawn.shape == ((6, 6, 3) if 3 in shape else (6, 6))
    first = images[display.shown_[0]]
    first = np.moveaxis(first, 0, -1) if shape[0] in (1, 3) else first
    expected = (first - images.min()) / (images.max() - images.min())
    assert np.allclose(drawn, expected.reshape(drawn.shape))
    assert_readable(display.figure_)


def test_images_of_a_forget_set_are_scored_by_the_model():
    images = X.reshape(90, 2, 2)
    model = make_pipeline(FunctionTransformer(lambda x: x.reshape(-1, 4)), LogisticRegression())
    model.fit(images, Y)
    forget = random_forget_set(Y, 7, random_state=0)
    display = ForgetSetDisplay.from_estimator(model, images, Y, forget, figure=Figure())
    expected = memorisation_scores(model, images[forget.mask], Y[forget.mask])
    assert np.array_equal(display.scores, expected)
    assert np.array_equal(display.labels, Y[forget.mask])
    assert len(display.axes_) == 7
    with pytest.raises(ValueError, match="as many scores"):
        ForgetSetDisplay.from_scores(images, np.zeros(3))
    with pytest.raises(ValueError, match="images must be of shape"):
        ForgetSetDisplay.from_scores(X, np.zeros(90))
