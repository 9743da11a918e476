"""What the pictures show is right, and can be read."""

from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import rgb_to_hsv, to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text
from scipy.stats import norm

from skunlearn.evaluation import RetentionCurve, audit_logits
from skunlearn.evaluation._showing.palette import SERIES, VERDICTS
from skunlearn.plotting import (
    PALETTE,
    LossHistogramDisplay,
    MIACurveDisplay,
    RetentionCurveDisplay,
    RobustnessDisplay,
    TradeoffDisplay,
    UnlearningReportDisplay,
)
from skunlearn.plotting.curve import band_of_chance

METRICS = ["retained accuracy", "forget accuracy", "residual knowledge", "backdoor success"]
LABELS = {"forget": np.arange(90) % 3, "unseen": np.arange(240) % 3}


def logits(boost, seed):
    """Of a model that knows the forget set better than unseen rows by `boost`."""
    rng = np.random.default_rng(seed)
    return {
        name: rng.normal(size=(len(y), 3)) + np.eye(3)[y] * (1 + (name == "forget") * boost)
        for name, y in LABELS.items()
    }


def report_of(n_models, *, retrained=1, seconds=True, name="method {}"):
    outputs = {"original": logits(2, 1)}
    outputs |= {name.format(i): logits(i - 1, 2 + i) for i in range(n_models)}
    references = ["retrained", "retrained (2)"][:retrained]
    outputs |= {reference: logits(0, 50 + k) for k, reference in enumerate(references)}
    took = {model: 0.1 + i for i, model in enumerate(outputs) if model != "original"}
    return audit_logits(outputs, LABELS, retrained=references, seconds=took if seconds else None)


def texts_of(figure):
    """All texts that are drawn, with their boxes: ticks beyond the axes are not."""
    drawn = {}

    def draw(text, renderer):
        if text.get_visible() and text.get_text().strip():
            drawn[text] = text.get_window_extent(renderer)

    figure.draw_without_rendering()
    with patch.object(Text, "draw", draw):
        figure.draw_without_rendering()
    return drawn


def assert_readable(figure, width=5.0):
    """Nothing is cut, no text is too small on a phone, which shows a picture 350 pixels wide."""
    assert figure.get_figwidth() <= width
    frame = figure.bbox
    for text, box in texts_of(figure).items():
        assert text.get_fontsize() / 72 * 350 / width >= 9, text.get_text()
        assert frame.x0 - 1 <= box.x0, text.get_text()
        assert box.x1 <= frame.x1 + 1, text.get_text()
        assert frame.y0 - 1 <= box.y0, text.get_text()
        assert box.y1 <= frame.y1 + 1, text.get_text()


def assert_legend_aside(*axes):
    """No legend lies on what axes show."""
    axes[0].figure.draw_without_rendering()
    legends = [ax.get_legend() for ax in axes if ax.get_legend()] + axes[0].figure.legends
    assert legends
    for legend in legends:
        assert not any(legend.get_window_extent().overlaps(ax.bbox) for ax in axes)


@pytest.mark.parametrize("colour", {*PALETTE.values(), *SERIES, *VERDICTS.values()})
def test_colours_can_be_seen_on_white(colour):
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    luminance = np.dot([0.2126, 0.7152, 0.0722], linear)
    assert 1.05 / (luminance + 0.05) >= 3  # WCAG's contrast for graphics
    hue, saturation, _ = rgb_to_hsv(to_rgb(colour))
    assert saturation < 0.2 or not 45 / 360 < hue < 75 / 360  # yellow


def test_a_colour_has_one_meaning():
    assert len(set(PALETTE.values())) == len(PALETTE)
    assert set(SERIES) & set(PALETTE.values()) == {PALETTE["unlearned"]}


# ------------------------------------------------------------------ the report


@pytest.mark.parametrize("n_models", [2, pytest.param(5, marks=pytest.mark.long), 10])
def test_report_is_readable(n_models):
    display = UnlearningReportDisplay.from_report(
        report_of(n_models), figure=Figure(), title="A title"
    )
    assert_readable(display.figure_)
    names = [t.get_text() for t in display.axes_["verdict"].get_yticklabels()]
    assert len(names) == n_models + 1
    gaps = np.diff(sorted(t.get_window_extent().y0 for t in display.axes_["verdict"].texts))
    assert (gaps > 12).all()  # pixels between two lines


def test_narrow_report_with_long_names():
    report = report_of(3, name="a method with a name that goes on, number {}")
    display = UnlearningReportDisplay.from_report(report, figure=Figure(), width=3.6)
    assert_readable(display.figure_, 3.6)
    lefts = {ax.get_subplotspec().colspan.start for ax in display.axes_.values()}
    assert lefts == {0}


def test_report_draws_paired_differences_and_the_null_band():
    report = report_of(3)
    display = UnlearningReportDisplay.from_report(report, figure=Figure())
    frame = report.frame.set_index(["model", "metric"])
    for metric, scale in (("forget train", 100), ("AUC", 1), ("AUC entropy", 1)):
        ax = display.axes_[metric]
        marks = [line for line in ax.lines if line.get_marker() == "o"]
        for mark, model in zip(marks, ["original", "method 0", "method 1", "method 2"]):
            row = frame.loc[model, metric]
            assert mark.get_xdata()[0] == pytest.approx(scale * row["difference"])
            assert row["difference"] == pytest.approx(row["value"] - row["reference"])
            assert row["difference low"] < row["difference"] < row["difference high"]
        row = frame.loc["retrained", metric]
        band = ax.patches[0].get_extents().transformed(ax.transData.inverted())
        ends = [scale * (row[side] - row["value"]) for side in ("low", "high")]
        assert [band.x0, band.x1] == pytest.approx(ends)
    assert marks[0].get_color() == PALETTE["original"]
    assert {mark.get_color() for mark in marks[1:]} == {PALETTE["unlearned"]}
    said = [text.get_text() for text in display.axes_["verdict"].texts]
    assert said == [f"{'≈' if v.kind == 'indistinguishable' else '✗'} {v.kind}"
                    for v in report.verdicts.values()]  # fmt: skip
    assert not any(v.within_margin for v in report.verdicts.values())


def test_interval_of_a_difference_of_accuracies():
    """Bonett and Price's, by hand: of 90 rows 30 are gained and 6 lost."""
    y = np.zeros(90, dtype=int)
    rows = {"forget": y, "unseen": np.zeros(40, dtype=int)}
    right, wrong = [1.0, 0.0], [0.0, 1.0]

    def model(pattern):
        return {"forget": np.array(pattern), "unseen": np.array([right] * 20 + [wrong] * 20)}

    outputs = {
        "mine": model([right] * 30 + [wrong] * 6 + [right] * 54),
        "retrained": model([wrong] * 30 + [right] * 6 + [right] * 54),
    }
    frame = audit_logits(outputs, rows, attacks="margin").frame.set_index(["model", "metric"])
    row = frame.loc["mine", "forget train"]
    up, down = 31 / 92, 7 / 92
    arm = norm.ppf(0.975) * np.sqrt((up + down - (up - down) ** 2) / 92)
    assert row["difference"] == pytest.approx(24 / 90)
    assert [row["difference low"], row["difference high"]] == pytest.approx(
        [up - down - arm, up - down + arm]
    )
    same = frame.loc["mine", "test"]
    assert same["difference"] == 0
    assert same["difference low"] < -0.01 < 0.01 < same["difference high"]  # of 40 rows


def test_report_without_reference_or_with_absent_figures():
    alone = UnlearningReportDisplay.from_report(
        report_of(2, retrained=0, seconds=False), figure=Figure()
    )
    assert_readable(alone.figure_)
    assert alone.axes_["AUC"].get_xlabel() == "AUC"
    assert alone.axes_["forget train"].get_xlabel() == "%"
    assert alone.axes_["AUC"].lines[0].get_xdata()[0] == 0.5
    assert {"seconds", "of retraining"}.isdisjoint(alone.axes_)
    report = report_of(2, retrained=2)
    timed = UnlearningReportDisplay.from_report(report, figure=Figure())
    said = [text.get_text() for text in timed.axes_["of retraining"].texts]
    assert said == ["no value"]  # of the original
    names = [t.get_text() for t in timed.axes_["verdict"].get_yticklabels()]
    assert names == ["original", "method 0", "method 1", "retrained (2)"]
    only = audit_logits({"retrained": logits(0, 3)}, LABELS)
    with pytest.raises(ValueError, match="nothing to draw"):
        UnlearningReportDisplay.from_report(only, figure=Figure())


# ------------------------------------------------------------------ curves


def test_band_of_chance_holds_curves_of_chance():
    rng = np.random.default_rng(0)
    fpr, low, high = band_of_chance(30, 80)
    inside = []
    for _ in range(300):
        scores = rng.normal(size=110)
        display = MIACurveDisplay.from_scores(scores[:30], scores[30:])
        tpr = np.array([display.tpr[display.fpr <= f + 1e-9].max() for f in fpr])
        inside.append((low <= tpr + 1e-9) & (tpr <= high + 1e-9))
    share = np.mean(inside, axis=0)
    assert share.min() > 0.93
    assert (low[0], high[-1]) == (0, 1)
    assert share.mean() < 0.995


@pytest.mark.parametrize(("shift", "scale"), [(0.0, "log"), (1.5, "log"), (-1.5, "linear")])
def test_axes_follow_the_curve(shift, scale):
    rng = np.random.default_rng(0)
    ax = Figure().subplots()
    MIACurveDisplay.from_scores(rng.normal(size=50), rng.normal(size=90)).plot(ax)
    display = MIACurveDisplay.from_scores(rng.normal(shift, size=50), rng.normal(size=90)).plot(ax)
    assert ax.get_xscale() == ax.get_yscale() == scale
    start = (1 / 90, 1 / 50) if scale == "log" else (0, 0)
    assert (ax.get_xlim()[0], ax.get_ylim()[0]) == pytest.approx(start)
    assert display.band_ is None  # the first curve has it
    assert len(ax.collections) == 1


def test_legends_lie_aside():
    figure = Figure(layout="constrained")
    ax = figure.subplots()
    rng = np.random.default_rng(0)
    for k in range(10):
        scores = MIACurveDisplay.from_scores(rng.normal(size=50), rng.normal(size=90))
        scores.plot(ax, name=f"method {k}")
    assert_legend_aside(ax)
    lines = [(line.get_color(), line.get_linestyle()) for line in ax.lines[1:]]
    assert len(set(lines)) == 10

    figure = Figure((5, 4), layout="constrained")
    frame = pd.DataFrame(np.linspace(0.9, 0.7, 8)[:, None] * [1, 0.9], columns=["a", "b"])
    curves = {f"method {k}": RetentionCurve(frame, np.ones(2, bool)) for k in range(10)}
    display = RetentionCurveDisplay(curves).plot(figure.subplots())
    assert_legend_aside(display.ax_)
    assert_readable(figure)
    assert not display.ax_.collections  # bands of ten would hide one another

    figure = Figure((5, 5), layout="constrained")
    models = {name: logits(1, 1) for name in ("retrained", "after", "before")}
    losses = LossHistogramDisplay.from_predictions(models, LABELS, ax=figure.subplots(3))
    assert_legend_aside(*losses.axes_)
    assert_readable(figure)


def test_histograms_share_axes_bins_and_order():
    models = {"retrained": logits(0, 1), "mine": logits(1, 2), "original": logits(4, 3)}
    figure = Figure(layout="constrained")
    display = LossHistogramDisplay.from_predictions(models, LABELS, ax=figure.subplots(3))
    titles = [ax.get_title(loc="left") for ax in display.axes_]
    assert titles == ["original", "mine", "retrained"]
    assert len({(ax.get_xlim(), ax.get_ylim()) for ax in display.axes_}) == 1
    steps = [patch.get_data() for ax in display.axes_ for patch in ax.patches]
    assert len({tuple(step.edges) for step in steps}) == 1
    assert len(steps[0].values) == 8  # 2 * 90 ** (1/3)
    assert max(step.values.max() for step in steps) < display.axes_[0].get_ylim()[1]
    few = {"forget": LABELS["forget"][:4], "unseen": LABELS["unseen"]}
    cut = {"m": {name: z[: len(few[name])] for name, z in models["mine"].items()}}
    display = LossHistogramDisplay.from_predictions(cut, few, ax=[Figure().subplots()])
    assert len(display.axes_[0].patches[0].get_data().values) == 5


# ------------------------------------------------------------------ searches and stress tests


def test_labels_of_a_tradeoff_hide_no_point():
    accuracy, forgetting = [0.906, 0.946, 0.975, 0.971, 0.951], [-0.01, -0.02, -0.01, -0.22, -0.7]
    display = TradeoffDisplay.from_predictions(
        accuracy, forgetting, labels=[f"shrink={k}" for k in range(5)], chosen=2
    )
    display.figure_.canvas.draw()
    points = display.ax_.transData.transform(np.column_stack([forgetting, accuracy]))
    assert len(display.ax_.texts) == 3
    for label in display.ax_.texts:
        box = label.get_bbox_patch().get_window_extent()
        assert not any(box.contains(*point) for point in points), label.get_text()


def test_tradeoff_labels_chosen_best_and_ends():
    figure = Figure((5, 3.6), layout="constrained")
    display = TradeoffDisplay.from_predictions(
        [0.85, 0.86, 0.87, 0.9, 0.91, np.nan],
        [-0.03, -0.02, -0.05, -0.2, -0.4, np.nan],
        forgetting_error=np.full(6, 0.02),
        labels=list("abcdef"),
        chosen=2,
        ax=figure.subplots(),
    )
    texts = {text.get_text() for text in display.ax_.texts}
    assert texts == {"a", "b\nbest forgetting", "c\nchosen", "e"}
    assert display.best_ == 1
    assert display.region_ == pytest.approx((-0.04, -0.02))
    display.ax_.set_title("A title of the caller's")
    region = display.ax_.patches[0].get_extents().transformed(display.ax_.transData.inverted())
    assert [region.x0, region.x1] == pytest.approx([-0.04, -0.02])
    assert_readable(figure)
    boxes = [text.get_window_extent() for text in display.ax_.texts]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    nothing = TradeoffDisplay.from_predictions(
        [np.nan] * 2, [np.nan] * 2, chosen=0, ax=Figure().subplots()
    )
    assert nothing.best_ is nothing.region_ is None
    assert not nothing.ax_.texts


@pytest.mark.parametrize("n_models", [pytest.param(2, marks=pytest.mark.long), 10])
def test_robustness_is_readable(n_models):
    models = ["original", *(f"method {k}" for k in range(n_models)), "retrained"]
    rng = np.random.default_rng(0)
    rows = [
        (kind, condition, 0, model, metric, rng.random())
        for kind in ("class", "backdoor")
        for condition in ("clean", "gaussian noise", "near forgotten")
        for model in models
        for metric in METRICS
        if metric != "backdoor success" or kind == "backdoor"
    ]  # fmt: skip
    columns = ["forget set", "condition", "severity", "model", "metric", "value"]
    frame = pd.DataFrame(rows, columns=columns)
    display = RobustnessDisplay.from_frame(frame, figure=Figure(), title="A title")
    assert_readable(display.figure_)
    assert_legend_aside(*display.axes_.values())
    assert len(display.axes_) == 7
    # A row of panels has no conditions of which none of them holds anything.
    few = frame[(frame["metric"] != "backdoor success") | (frame["condition"] == "clean")]
    alone = RobustnessDisplay.from_frame(few, figure=Figure(), width=2.8)
    told = {at: [t.get_text() for t in ax.get_yticklabels()] for at, ax in alone.axes_.items()}
    assert told["backdoor", "backdoor success"] == ["clean"]
    assert told["backdoor", "forget accuracy"] == ["clean", "gaussian noise", "near forgotten"]
    drawn = {
        line.get_label(): line.get_color()
        for line in display.axes_["class", "forget accuracy"].lines
    }
    assert drawn["original"] == PALETTE["original"]
    assert drawn["retrained"] == PALETTE["retrained"]
    assert list(drawn) == models
