"""How a report is printed, and its page."""

import re
from functools import partial
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from skunlearn.evaluation import audit_logits
from skunlearn.evaluation._showing.explained import explain
from skunlearn.evaluation._showing.key_figures import key_figures
from skunlearn.evaluation._showing.palette import sign_of
from skunlearn.evaluation._showing.short_names import estimate_width, shorten
from skunlearn.evaluation._showing.strips import _find_ticks, _write_number
from skunlearn.evaluation.verdicts import Verdict, warn_if_unmoved
from skunlearn.metrics._attacks.result import format_signed
from skunlearn.metrics._statistics.interval_forms import Interval

LABELS = {"forget": np.arange(60) % 3, "unseen": np.arange(150) % 3, "retain": np.arange(90) % 3}
CLASS = LABELS | {"retain": np.arange(90) % 2}  # of class 2 nothing stays


def report_of(n_models, labels=LABELS, *, name="method {}", retrained=True):
    def logits(boost, seed):
        rng = np.random.default_rng(seed)
        return {k: rng.normal(size=(len(y), 3)) + np.eye(3)[y] * (1 + boost * (k == "forget"))
                for k, y in labels.items()}  # fmt: skip

    outputs = {"original": logits(3, 1)}
    outputs |= {name.format(i): logits(3 * (i % 2), 2 + i) for i in range(n_models)}
    given = {"retrained": None}
    if retrained:
        outputs["retrained"] = logits(0, 99)
        seconds = {model: 1.0 for model in outputs if model != "original"}
        given = {"seconds": seconds}
    return audit_logits(outputs, labels, **given)


@pytest.mark.parametrize("name", ["method {}", "a method with a name that goes on and on, no. {}"])
@pytest.mark.parametrize("n_models", [1, 10])
def test_printed_report(monkeypatch, n_models, name):
    monkeypatch.setenv("COLUMNS", "100")
    report = report_of(n_models, name=name)
    lines = str(report).splitlines()
    assert max(map(len, lines)) <= 100
    first = next(iter(report.verdicts))
    # The verdict first; of sixty rows no tick, as they leave a difference open.
    assert lines[0].startswith(f"≈ {first}: indistinguishable from retrained at this sample")
    (start,) = [k for k, line in enumerate(lines) if line.startswith("original ")]
    table = lines[start : start + n_models + 2]
    assert lines[start + len(table)] == ""
    assert table[-1].startswith("retrai")
    assert len({line.partition("  ")[0] for line in table}) == len(table)  # names stay apart
    frame = report.frame.set_index(["model", "metric"])
    assert f"{100 * frame.loc['original', 'forget train']['value']:.1f}" in table[0]
    d = frame.loc[first, "AUC difference"]
    assert f"{d['value']:.3f} [{d['low']:.3f}, {d['high']:.3f}]" in table[1]
    assert "report.table()" in lines[-1]


def test_a_narrow_terminal_gets_a_narrow_report(monkeypatch):
    report = report_of(3, name="a method with a long name, {}")
    widths = {}
    for columns in (40, 80, 200):
        monkeypatch.setenv("COLUMNS", str(columns))
        widths[columns] = max(map(len, str(report).splitlines()))
    assert widths[40] <= 76 < widths[80] <= 80 < widths[200] <= 100
    monkeypatch.setenv("COLUMNS", "80")
    assert "\na metho…name, 0  " in str(report)  # the interval makes room


def test_a_tick_is_for_what_was_shown():
    signs = {
        ("indistinguishable", True): "✓",
        ("indistinguishable", False): "≈",
        ("not forgotten", False): "✗",
        ("over-forgotten", False): "✗",
        ("no reference", False): "?",
    }
    found = {key: sign_of(Verdict(key[0], "", within_margin=key[1])) for key in signs}
    assert found == signs


def test_columns_stay_in_line_below_broad_letters():
    report = report_of(2, name="方法 {}")
    (start,) = [k for k, line in enumerate(str(report).splitlines()) if line.startswith("original")]
    table = str(report).splitlines()[start - 1 : start + 4]
    assert [line[:4] for line in table[2:4]] == ["方法 0", "方法 1"]
    ends = {sum(2 if letter in "方法" else 1 for letter in line) for line in table}
    assert len(ends) == 1


@pytest.mark.parametrize(
    ("name", "room", "short"),
    [
        ("SCRUB", 5, "SCRUB"),
        ("a method, no. 3", 9, "a me…o. 3"),
        ("方法方法", 5, "方…法"),
    ],
)
def test_names_are_cut_in_the_middle(name, room, short):
    assert shorten(name, room) == short


def test_names_in_strips_fit():
    """By the widths of a font that is among the wide."""
    names = [
        "<b>méthode</b> & Größe",
        "WWWWWWWWWWWW",
        "proximal with a penalty of 0.5",
        "щшщшщшщшщшщ",
    ]
    font = FontProperties(family="DejaVu Sans", size=12)
    for name in names:
        short = shorten(name, 110 / 12, estimate_width)
        assert text_to_path.get_text_width_height_descent(short, font, False)[0] <= 110
        assert short[:2] == name[:2]
        assert short[-2:] == name[-2:]


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (-9.6, 104, [0, 50, 100]),
        (-0.55, 0.11, [-0.4, -0.2, 0]),
        (0, 1.05, [0, 0.5, 1]),
        (-7300, 120, [-6000, -4000, -2000, 0]),
        (0.93, 0.94, [0.93, 0.935, 0.94]),
    ],
)
def test_axes_have_round_numbers(low, high, ticks):
    assert _find_ticks(low, high) == pytest.approx(ticks)
    assert not any("e" in _write_number(tick) for tick in _find_ticks(low, high))


def test_ends_near_0_say_on_which_side_they_lie():
    interval = partial(Interval, confidence=0.95, method="by hand", se=0.1)
    assert format_signed(interval(-0.04, -0.07, -0.001)) == "−0.04 [−0.07, −0.001]"
    assert format_signed(interval(0.001, -0.13, 0.02)) == "+0.00 [−0.13, +0.02]"


def test_six_key_figures():
    assert key_figures(report_of(1)) == [
        "forget train", "retained test", "AUC", "AUC difference", "forget agreement",
        "of retraining",
    ]  # fmt: skip
    assert key_figures(report_of(1, retrained=False))[:3] == [
        "forget train",
        "retained test",
        "AUC",
    ]


def test_ceiling_is_said_where_a_class_is_gone():
    assert "can exceed" not in str(report_of(1))
    report = report_of(1, CLASS)
    assert f"can exceed {100 * report.ceiling:.1f} %." in str(report)
    assert f"can exceed {100 * report.ceiling:.1f} %." in report.to_html()


class _Page(HTMLParser):
    """Nesting, texts and attributes of a page."""

    def __init__(self, page):
        super().__init__()
        self.open, self.tips, self.texts, self.folded = [], {}, [], []
        self.tags = []
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "rect", "line", "circle"):
            self.open.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag not in ("rect", "line", "circle"):
            assert self.open.pop()[0] == tag

    def handle_data(self, data):
        inside = [tag for tag, _ in self.open]
        (self.folded if "details" in inside else self.texts).append(data)
        if inside[-1:] == ["abbr"]:
            self.tips[data] = self.open[-1][1]["title"]


@pytest.mark.parametrize("n_models", [2, 10])
def test_page(tmp_path, n_models):
    report = report_of(n_models)
    assert report.to_html(tmp_path / "r.html") == report.to_html() == report._repr_html_()
    text = (tmp_path / "r.html").read_text()
    page = _Page(text)
    shown = " ".join(page.texts)
    assert (
        "meta",
        {"name": "viewport", "content": "width=device-width, initial-scale=1"},
    ) in page.tags
    assert "Unlearning report" in page.texts
    assert f"{report.made:%d %B %Y}" in shown
    assert "60 forgotten, 90 retained, 150 unseen" in shown
    assert "</b>: not forgotten" not in report.to_html()  # the chip says it
    chips = [text for text in page.texts if text[:2] in ("≈ ", "✗ ")]
    assert [chip[2:] for chip in chips] == [v.kind for v in report.verdicts.values()]
    assert set(report.warnings) <= {text.removeprefix("⚠ ") for text in page.texts}
    # Key figures are shown, all others folded, each with its words.
    names = list(report.frame["metric"].unique())
    found = {tip.split(":")[0] for tip in page.tips.values()}
    assert found == {explain(name).name for name in names}
    assert len(page.tips) == len(names)
    keys = {name.removesuffix(", %") for name in page.tips if name in page.texts}
    assert keys == set(key_figures(report))
    # The picture is inside, as narrow as a phone.
    pictures = [attrs for tag, attrs in page.tags if tag == "svg"]
    assert len(pictures) == 6
    assert all(int(attrs["width"]) <= 390 - 32 for attrs in pictures)
    assert sum(tag == "circle" for tag, _ in page.tags) == 6 * (n_models + 1) - 1  # no time
    assert not re.search(r"https?://|<script|<img", text)  # it needs nothing from elsewhere


def test_page_explains_every_figure_without_a_pointer():
    page = _Page(report_of(2).to_html())
    folded = " ".join(page.folded)
    names = report_of(2).frame["metric"].unique()
    assert all(explain(name).text in folded for name in names)


def test_page_stays_legible_in_dark_notebooks():
    """JupyterLab colours rows of tables by a rule of (0, 2, 2), and letters of all cells."""
    style = report_of(1).to_html().split("</style>")[0].replace("\n  ", "")
    (rule,) = [line for line in style.splitlines() if line.startswith(".skunlearn-report tr,")]
    assert "color:#222!important" in rule
    assert "background:#fff!important" in rule


def test_marks_lie_where_the_figures_are():
    report = report_of(2)
    svg = re.search(r"<svg[^>]*aria-label='forget accuracy.*?</svg>", report.to_html()).group()
    places = [float(x) for x in re.findall(r"<circle cx='([\d.]+)'", svg)]
    zero = float(re.search(r"<line x1='([\d.]+)'", svg).group(1))
    rows = report.frame.query("metric == 'forget train' and model != 'retrained'")
    d = rows["difference"].to_numpy()
    scale = (places[0] - zero) / d[0]
    assert places == pytest.approx(zero + scale * d, abs=0.2)
    assert svg.count("#7f7f7f") == 2  # the original's dot and its interval


def test_a_figure_that_is_not_there_is_said_not_to_be():
    (time,) = re.findall(r"<svg(?:(?!<svg).)*time, ×.*?</svg>", report_of(1).to_html())
    assert time.count(">no value<") == 1  # the original's
    assert time.count("<circle") == 1


def test_page_without_a_retrained_model():
    page = _Page(report_of(1, retrained=False).to_html())
    assert "There is no retrained model to compare with." in page.texts
    assert "? no reference" in page.texts


@pytest.mark.parametrize(
    ("now", "said"), [(1.0, "nothing"), (1.06, "hardly anything"), (0.9, "nothing"), (2.0, None)]
)
def test_a_tenth_of_the_way_is_not_nothing(now, said):
    rng = np.random.default_rng(0)
    losses = [level + 0.01 * rng.random(80) for level in (1.0, now, 2.0)]
    warned = warn_if_unmoved("mine", losses, 0.95)
    assert len(warned) == (said is not None)
    assert all(text.startswith(f"mine: {said} was unlearned.") for text in warned)
    assert not any("-0 %" in text for text in warned)
