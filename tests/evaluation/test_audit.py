"""`audit`, `audit_logits`, verdicts, warnings and the report's exports."""

import json
import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from skunlearn import RetrainUnlearner
from skunlearn.evaluation import audit, audit_logits
from skunlearn.metrics import MIAScorer, blind_attack, membership_inference

CLASSES = 4


def rows(n, seed):
    return np.random.default_rng(seed).integers(CLASSES, size=n)


def model(labels, seed, *, boost=0.0, accuracy=1.0):
    """Logits of a noisy model which knows its forget set better by `boost`."""
    rng = np.random.default_rng(seed)
    outputs = {}
    for name, y in labels.items():
        z = rng.normal(size=(len(y), CLASSES))
        z[np.arange(len(y)), y] += 2.0 * accuracy + (boost if name == "forget" else 0.0)
        outputs[name] = z
    return outputs


def three_sides():
    return {"forget": rows(400, 0), "unseen": rows(800, 1), "retain": rows(1000, 2)}


labels = pytest.fixture(name="labels")(three_sides)


def test_a_retrained_like_model_is_indistinguishable(labels):
    outputs = {"mine": model(labels, 3), "retrained": model(labels, 4)}
    report = audit_logits(outputs, labels, attacks="margin")
    verdict = report.verdicts["mine"]
    assert verdict.kind == "indistinguishable"
    auc = report.wide.loc["mine", "AUC"]
    assert f"AUC {auc:.3f}" in str(verdict)
    assert f"retrained {report.wide.loc['retrained', 'AUC']:.3f}" in str(verdict)
    assert report.warnings == []


@pytest.mark.parametrize(
    ("boost", "kind"),
    [(3.0, "not forgotten"), (-3.0, "over-forgotten"), (0.0, "indistinguishable")],
)
def test_both_sides_are_seen(labels, boost, kind):
    report = audit_logits(
        {"mine": model(labels, 3, boost=boost), "retrained": model(labels, 4)}, labels
    )
    assert report.verdicts["mine"].kind == kind


def test_what_retrained_models_differ_by_is_no_failure(labels):
    """The verdict's tolerance grows with the spread of the references."""
    outputs = {"mine": model(labels, 3, boost=-0.7), "retrained": model(labels, 4)}
    assert audit_logits(outputs, labels).verdicts["mine"].kind == "over-forgotten"
    # Forgotten rows beside themselves, so that the attack sees nothing.
    twins = {"forget": labels["forget"], "unseen": labels["forget"]}
    alike = {k: {"forget": v["forget"], "unseen": v["forget"]} for k, v in outputs.items()}
    assert audit_logits(alike, twins).verdicts["mine"].kind == "over-forgotten"
    alike["second"] = {k: model(labels, 6, boost=-1.0)["forget"] for k in twins}
    both = audit_logits(alike, twins, retrained=["retrained", "second"])
    assert both.verdicts["mine"].kind == "indistinguishable"


def test_a_few_rows_are_not_a_finding():
    """Four rows of twenty that only one model knows: exact McNemar gives p = 0.125."""
    labels = {"forget": np.zeros(20, int), "unseen": np.zeros(20, int)}
    never = {k: np.tile([1.0, 0.0], (20, 1)) for k in labels}
    mine = {k: z.copy() for k, z in never.items()}
    never = {k: np.where(np.arange(20)[:, None] < 4, [0.0, 1.0], z) for k, z in never.items()}
    for z in (*mine.values(), *never.values()):
        z += np.random.default_rng(0).normal(scale=0.01, size=z.shape)
    report = audit_logits({"mine": mine, "retrained": never}, labels)
    assert report.wide.loc["mine", "forget train"] - report.wide.loc[
        "retrained", "forget train"
    ] == pytest.approx(0.2)
    assert report.verdicts["mine"].kind == "indistinguishable"


def test_the_reference_and_not_chance_is_the_target(labels):
    """Mislabelled forget rows: a retrained model lies far from 0.5, and 0.5 would be a leak."""
    retrained = model(labels, 4, boost=-4.0)
    report = audit_logits({"mine": model(labels, 3, boost=-4.0), "retrained": retrained}, labels)
    assert report.wide.loc["mine", "AUC"] < 0.2
    assert report.verdicts["mine"].kind == "indistinguishable"
    # No class is gone: nothing bounds the accuracy.
    assert report.ceiling == 1
    assert "can exceed" not in str(report)
    report = audit_logits({"mine": model(labels, 3), "retrained": retrained}, labels)
    assert report.verdicts["mine"].kind == "not forgotten"


def test_a_kept_class_is_not_taken_for_forgotten():
    """Seen and unseen rows of the class are known alike: the attack is blind to it."""
    labels = {"forget": np.zeros(200, int), "unseen": rows(800, 1), "retain": rows(900, 2) % 3 + 1}
    gone = model(labels, 4)
    for name in ("forget", "unseen"):
        gone[name][labels[name] == 0, 0] = -9
    report = audit_logits({"kept": model(labels, 3), "retrained": gone}, labels)
    frame = report.frame.query("metric == 'AUC' and model == 'kept'").iloc[0]
    assert frame["inside"]
    assert report.verdicts["kept"].kind == "not forgotten"
    assert report.ceiling == np.mean(labels["unseen"] != 0)
    assert f"can exceed {100 * report.ceiling:.1f} %." in str(report)
    wide = report.wide
    assert wide.loc["kept", "test"] > wide.loc["retrained", "test"] + 0.1
    assert wide.loc["retrained", "unmatched AUC"] < 0.2  # the trap of unmatched attacks


def test_figures_agree_with_the_functions_under_them(labels):
    outputs = {"mine": model(labels, 3, boost=0.5), "retrained": model(labels, 4)}
    report = audit_logits(outputs, labels, random_state=7)
    sides = (outputs["mine"]["forget"], labels["forget"])
    sides += (outputs["mine"]["unseen"], labels["unseen"])
    row = report.frame.query("metric == 'AUC' and model == 'mine'").iloc[0]
    expected = membership_inference(*sides, random_state=7).interval
    assert (row["value"], row["low"], row["high"]) == (
        expected.estimate,
        expected.low,
        expected.high,
    )
    row = report.frame.query("metric == 'AUC modified entropy' and model == 'mine'").iloc[0]
    assert row["value"] == membership_inference(*sides, attack="modified_entropy").auc
    right = outputs["mine"]["forget"].argmax(axis=1) == labels["forget"]
    assert report.wide.loc["mine", "forget train"] == right.mean()
    assert report.wide.loc["retrained", "over-fit"] == pytest.approx(
        report.wide.loc["retrained", "retained train"]
        - report.wide.loc["retrained", "retained test"]
    )


def test_warnings(labels):
    original, retrained = model(labels, 5, boost=4.0), model(labels, 4)
    outputs = {
        "original": original,
        "same": {k: z + 0.01 for k, z in original.items()},
        "dull": model(labels, 6, accuracy=0.3),
        "good": model(labels, 3),
        "retrained": retrained,
    }
    report = audit_logits(outputs, labels)
    assert len(report.warnings) == 2
    assert report.warnings[0].startswith("same: nothing was unlearned")
    assert report.warnings[1].startswith("dull: utility lost")
    idle = audit_logits({"original": retrained, "mine": retrained, "retrained": retrained}, labels)
    assert any(text.startswith("Nothing to see") for text in idle.warnings)


def test_few_rows_and_shift_are_said(labels):
    few = {"forget": labels["forget"][:30], "unseen": labels["unseen"][:60]}
    outputs = {"mine": model(few, 3), "retrained": model(few, 4)}
    rng = np.random.default_rng(0)
    blind = blind_attack(
        rng.normal(1, 1, (100, 3)), rng.normal(0, 1, (100, 3)), match=None, random_state=0
    )
    report = audit_logits(outputs, few, blind=blind)
    assert any(text.startswith("Too few rows: 30 forgotten against") for text in report.warnings)
    assert any(text.startswith("Distribution shift") for text in report.warnings)


def test_without_a_reference_nothing_is_claimed(labels):
    report = audit_logits({"mine": model(labels, 3)}, labels, retrained=None)
    assert report.verdicts["mine"].kind == "no reference"
    assert "chance is not the target" in str(report.verdicts["mine"])
    row = report.frame.query("metric == 'AUC'").iloc[0]
    assert row["reference"] == 0.5
    assert pd.isna(row["inside"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda o, y: o.update(mine={"forget": o["mine"]["forget"]}), "'mine' has logits for"),
        (lambda o, y: o["mine"].update(forget=o["mine"]["forget"] * np.nan), "holds NaN"),
        (
            lambda o, y: o["mine"].update(forget=np.tile(o["mine"]["forget"], 2)),
            "one column per class",
        ),
        (lambda o, y: y.update(forget=y["forget"] + 9), r"must lie in \[0, 4\)"),
        (lambda o, y: y.update(other=y["forget"]), "must have the keys"),
        (lambda o, y: y.pop("unseen"), "must have the keys"),
        (lambda o, y: o.pop("retrained"), "no model named 'retrained'"),
        (lambda o, y: y.update(forget=y["forget"][:0]), "expected shape"),
    ],
)
def test_bad_input(labels, change, message):
    outputs = {"mine": model(labels, 3), "retrained": model(labels, 4)}
    change(outputs, labels)
    with pytest.raises(ValueError, match=message):
        audit_logits(outputs, labels)


@pytest.fixture(scope="module")
def report():
    labels = three_sides()
    outputs = {"a & b_1 <i>": model(labels, 3, boost=3.0), "retrained": model(labels, 4)}
    return audit_logits(outputs, labels, seconds={"a & b_1 <i>": 1.0, "retrained": 4.0})


def test_tidy_frame(report):
    frame = report.frame
    assert not frame.duplicated(["model", "metric"]).any()
    assert set(frame["direction"]) <= {"higher", "higher*", "lower", "retrained", "see note"}
    assert report.wide.loc["a & b_1 <i>", "of retraining"] == 0.25
    within = frame.dropna(subset=["low"])
    assert ((within["low"] <= within["value"]) & (within["value"] <= within["high"])).all()
    assert frame.query("model == 'retrained'")["inside"].isna().all()


def test_exports_hold_the_same_figures(report, tmp_path):
    for kind in ("html", "json", "csv", "latex"):
        path = tmp_path / f"report.{kind}"
        getattr(report, f"to_{kind}")(path)
        assert path.stat().st_size > 500
    read = pd.read_csv(tmp_path / "report.csv")
    assert np.allclose(read["value"], report.frame["value"])
    held = json.loads((tmp_path / "report.json").read_text())
    assert len(held["figures"]) == len(report.frame)
    assert held["verdicts"]["a & b_1 <i>"]["kind"] == "not forgotten"
    latex = report.to_latex()
    assert r"a \& b\_1 <i>" in latex
    assert latex.count(r"\\") == len(report.frame["metric"].unique()) + 1
    page = (tmp_path / "report.html").read_text()
    assert page.startswith("<!doctype html>")
    assert "<i>" not in page
    assert report._repr_html_() in page
    assert "not forgotten" in str(report)
    assert "a & b_1 <i>: not forgotten" in repr(report)


def test_reports_pickle(report):
    again = pickle.loads(pickle.dumps(report))
    pd.testing.assert_frame_equal(again.frame, report.frame)


# ------------------------------------------------------------------ unlearners


@pytest.fixture(scope="module")
def data():
    X, y = make_classification(900, 8, n_informative=5, n_classes=3, flip_y=0.3, random_state=0)
    return X[:300], X[300:], y[:300], y[300:]


def test_audit_of_an_unlearner(data):
    X, X_test, y, y_test = data
    original = LogisticRegression().fit(X, y)
    unlearner = RetrainUnlearner(LogisticRegression(), random_state=0).fit(X, y)
    unlearner.unlearn(indices=range(100))
    report = audit(unlearner, X_test, y_test, original=original)
    assert list(report.wide.index) == ["original", "RetrainUnlearner", "retrained"]
    assert report.verdicts["RetrainUnlearner"].kind == "indistinguishable"
    retrained = LogisticRegression().fit(X[100:], y[100:])
    assert report.wide.loc["retrained", "test"] == retrained.score(X_test, y_test)
    assert report.wide.loc["original", "forget train"] == original.score(X[:100], y[:100])


def test_an_audit_says_that_it_is_about_the_last_request(data):
    X, X_test, y, y_test = data
    unlearner = RetrainUnlearner(LogisticRegression(), random_state=0).fit(X, y)
    for rows in (range(60), range(60, 100)):
        report = audit(unlearner.unlearn(indices=rows), X_test, y_test)
        said = [text for text in report.warnings if text.startswith("Judged is the last")]
        assert len(said) == rows.start // 60
    assert "the last of 2 requests, 40 of the 100 rows" in said[0]


def test_audit_finds_what_was_kept(data):
    """A nearest-neighbour model holds its rows: a frozen copy passed as retrained still does."""
    X, X_test, y, y_test = data
    unlearner = RetrainUnlearner(KNeighborsClassifier(1), random_state=0).fit(X, y)
    unlearner.unlearn(indices=range(100))
    never_saw = KNeighborsClassifier(1).fit(X[100:], y[100:])
    assert (
        audit(unlearner, X_test, y_test, retrained=never_saw).verdicts["RetrainUnlearner"].kind
        == "indistinguishable"
    )
    unlearner._change(model=KNeighborsClassifier(1).fit(X, y))
    assert (
        audit(unlearner, X_test, y_test, retrained=never_saw).verdicts["RetrainUnlearner"].kind
        == "not forgotten"
    )


def test_ensembles_are_models_themselves(data):
    """Their ``estimator_`` is the unfitted recipe of their members."""
    X, X_test, y, y_test = data
    recipe = RandomForestClassifier(10, random_state=0)
    unlearner = RetrainUnlearner(recipe, random_state=0).fit(X, y).unlearn(indices=range(100))
    original, retrained = (clone(recipe).fit(X[i:], y[i:]) for i in (0, 100))
    report = audit(unlearner, X_test, y_test, original=original, retrained=retrained)
    assert report.wide.loc["original", "test"] == original.score(X_test, y_test)
    assert report.wide.loc["retrained", "test"] == retrained.score(X_test, y_test)
    measured = MIAScorer(reference=retrained).measure(unlearner, X_test, y_test)
    assert measured.reference_auc == pytest.approx(report.wide.loc["retrained", "AUC"])


def test_audit_refuses(data):
    X, X_test, y, y_test = data
    unlearner = RetrainUnlearner(LogisticRegression()).fit(X, y)
    with pytest.raises(ValueError, match=r"has not forgotten anything yet\. Call unlearn"):
        audit(unlearner, X_test, y_test)
    unlearner.unlearn(indices=range(100))
    with pytest.raises(ValueError, match="These rows are training rows"):
        audit(unlearner, X, y)
    with pytest.raises(ValueError, match="retrained must be 'train'"):
        audit(unlearner, X_test, y_test, retrained="retrain")
    with pytest.raises(ValueError, match="n_seeds == 0"):
        audit(unlearner, X_test, y_test, n_seeds=0)
    with pytest.raises(ValueError, match="no longer at hand"):
        audit(pickle.loads(pickle.dumps(unlearner)), X_test, y_test)


# ------------------------------------------------------------------ what a reader can check


def test_verdicts_show_the_difference_with_its_interval(labels):
    outputs = {"mine": model(labels, 3, boost=3.0), "retrained": model(labels, 4)}
    report = audit_logits(outputs, labels)
    row = report.frame.query("model == 'mine' and metric == 'AUC difference'").iloc[0]
    assert row["reference"] == 0
    figures = (f"{row[name]:+.2f}".replace("-", "−") for name in ("value", "low", "high"))
    assert "difference {} [{}, {}]".format(*figures) in report.verdicts["mine"].text
    assert "retrained" not in report.frame.query("metric == 'AUC difference'")["model"].tolist()
    alone = audit_logits({"mine": outputs["mine"]}, labels, retrained=None)
    row = alone.frame.query("metric == 'AUC difference'").iloc[0]
    assert (row["reference"], row["value"] > 0.1) == (0, True)  # to one half


def test_differences_within_the_margin_are_no_failure():
    """A forgotten class of which both name nothing, AUC 0.02 against 0.000."""
    rng = np.random.default_rng(0)
    y = {"forget": np.full(500, 0), "unseen": np.full(500, 0)}
    retrained = {
        "forget": np.column_stack([rng.normal(-30, 1, 500), *rng.normal(0, 0.1, (3, 500))]),
        "unseen": np.column_stack([rng.normal(-10, 1, 500), *rng.normal(0, 0.1, (3, 500))]),
    }
    mine = {k: z.copy() for k, z in retrained.items()}
    mine["forget"][:15, 0] = -10
    attack = {"attacks": "margin"}
    outputs = {"mine": mine, "retrained": retrained}
    report = audit_logits(outputs, y, **attack)
    row = report.frame.query("model == 'mine' and metric == 'AUC difference'").iloc[0]
    assert 0 < row["low"] < row["value"] < 0.03
    verdict = report.verdicts["mine"]
    assert verdict.kind == "indistinguishable"
    assert "within the margin of 0.03" in verdict.text
    assert verdict.within_margin
    # A difference that is surely there, and may be larger than the margin, is not within it.
    narrow = (row["value"] + row["high"]) / 2
    verdict = audit_logits(outputs, y, tolerance=narrow, **attack).verdicts["mine"]
    assert verdict.kind == "indistinguishable"
    assert "within" not in verdict.text
    assert f"up to {row['high']:.2f} as far as these rows can tell" in verdict.text
    assert not verdict.within_margin
    strict = audit_logits(outputs, y, tolerance=0.001, **attack).verdicts["mine"]
    assert strict.kind == "not forgotten"


def test_few_rows_are_not_said_to_be_equal():
    few = {"forget": rows(80, 0), "unseen": rows(160, 1)}
    outputs = {"mine": model(few, 3), "retrained": model(few, 4)}
    for seed in range(20):  # the first whose point estimate lies beyond the margin
        outputs["mine"] = model(few, seed)
        report = audit_logits(outputs, few)
        row = report.frame.query("model == 'mine' and metric == 'AUC difference'").iloc[0]
        if report.verdicts["mine"].kind == "indistinguishable" and abs(row["value"]) > 0.04:
            break
    verdict = report.verdicts["mine"]
    assert "not shown to be equal" in verdict.text
    assert not verdict.within_margin


def test_means_of_a_few_losses_do_not_say_that_nothing_was_unlearned(labels):
    """Accuracy fell from 100 to a few per cent; the retrained model's mean loss is far larger."""
    original = model(labels, 5, boost=6.0)
    retrained = model(labels, 4, boost=-60.0)
    mine = model(labels, 3, boost=-4.5)
    report = audit_logits({"original": original, "mine": mine, "retrained": retrained}, labels)
    table = report.wide["forget loss"]
    way = (table["mine"] - table["original"]) / (table["retrained"] - table["original"])
    assert way < 0.1  # by means
    assert report.wide.loc["mine", "forget train"] < 0.2
    assert not any("was unlearned" in text for text in report.warnings)
    still = {"original": original, "mine": original, "retrained": retrained}
    assert any(
        "mine: nothing was unlearned" in text for text in audit_logits(still, labels).warnings
    )


def test_lost_utility_is_told_beside_the_originals(labels):
    outputs = {
        "original": model(labels, 5, boost=4.0),
        "dull": model(labels, 6, accuracy=0.3),
        "retrained": model(labels, 4),
    }
    (text,) = (t for t in audit_logits(outputs, labels).warnings if "utility lost" in t)
    right = (outputs["original"]["unseen"].argmax(axis=1) == labels["unseen"]).mean()
    assert text.endswith(f", the original on {100 * right:.1f} %.")
    del outputs["original"]
    (text,) = (t for t in audit_logits(outputs, labels).warnings if "utility lost" in t)
    assert "original" not in text


def test_a_retrained_model_of_other_labels_is_told(labels):
    shifted = {key: np.roll(z, 1, axis=1) for key, z in model(labels, 4).items()}
    outputs = {"mine": model(labels, 3), "retrained": shifted}
    (text,) = (t for t in audit_logits(outputs, labels).warnings if "no reference" in t)
    assert text.startswith("mine: the retrained model is no reference for it")
    for fine in (model(labels, 4), model(labels, 5, accuracy=0.6)):
        warnings = audit_logits(outputs | {"retrained": fine}, labels).warnings
        assert not any("no reference" in t for t in warnings)


def test_attacks_may_be_one_name_or_several(labels):
    outputs = {"mine": model(labels, 3), "retrained": model(labels, 4)}
    by_all = audit_logits(outputs, labels).wide
    assert {"AUC", "AUC entropy", "AUC modified entropy", "AUC difference"} <= set(by_all)
    one = audit_logits(outputs, labels, attacks="entropy").wide
    assert one["AUC"].tolist() == by_all["AUC entropy"].tolist()
    assert "AUC entropy" not in one
    learned = audit_logits(outputs, labels, attacks=("strongest", "learned")).wide
    assert "AUC learned" in learned
    with pytest.raises(ValueError, match="attack must be one of"):
        audit_logits(outputs, labels, attacks=("margin", "sharpest"))


def test_a_better_net_is_not_one_that_remembers(labels):
    """Nets of other seeds differ in accuracy, on unseen rows as on forgotten ones."""
    better, worse = model(labels, 3, accuracy=1.4), model(labels, 4)
    gap = [(z["forget"].argmax(axis=1) == labels["forget"]).mean() for z in (better, worse)]
    assert gap[0] - gap[1] > 0.08
    for mine, other in ((better, worse), (worse, better)):
        verdict = audit_logits({"mine": mine, "retrained": other}, labels).verdicts["mine"]
        assert verdict.kind == "indistinguishable"
    # It remembers where unseen rows are known as before.
    known = worse | {"forget": better["forget"]}
    verdict = audit_logits({"mine": known, "retrained": worse}, labels).verdicts["mine"]
    assert verdict.kind == "not forgotten"


def test_a_class_that_lost_most_rows_must_not_be_known_as_before(labels):
    """Seen and unseen rows alike: a retrained model hardly knows the class any more."""
    most = {"forget": np.zeros(300, int), "unseen": rows(800, 1)}
    most["retain"] = np.concatenate([np.zeros(40, int), rows(900, 2) % 3 + 1])
    retrained, kept = model(most, 4), model(most, 3)
    for name, y in most.items():
        retrained[name][y == 0, 0] -= 2
    verdict = audit_logits({"mine": kept, "retrained": retrained}, most).verdicts["mine"]
    assert verdict.kind == "not forgotten"
    assert "right on" in verdict.text.split("(")[0]  # by accuracy, of which the attack sees nothing
