"""Membership attacks: figures against oracles, and the traps that flatter or slander a method."""

import subprocess
import sys

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

import skunlearn
from skunlearn.metrics import (
    Interval,
    auc,
    auc_interval,
    compare_scores,
    margin,
    match_weights,
    membership_inference,
    squared_error,
)
from skunlearn.utils._check_tools import generators
from tests.metrics.test_attack_scores import LABELS, LOGITS

# ------------------------------------------------------------------ matching


def test_match_weights_reproduce_proportions():
    rng = np.random.default_rng(0)
    y_forget = rng.choice(list("abc"), 60, p=[0.6, 0.3, 0.1])
    y_unseen = rng.choice(list("abcd"), 200, p=[0.1, 0.2, 0.3, 0.4])
    base = rng.uniform(0.5, 2, 200)
    for sample_weight in (None, base):
        w = match_weights(y_forget, y_unseen, sample_weight=sample_weight)
        for label in "abcd":
            share = w[y_unseen == label].sum() / w.sum()
            assert share == pytest.approx(np.mean(y_forget == label), abs=1e-12)
        assert w[w > 0].mean() == pytest.approx(1)
    ratio = (w / base)[y_unseen == "a"]
    assert ratio == pytest.approx(ratio[0])  # weights within a class keep their ratios


def test_missing_class_is_named():
    with pytest.raises(ValueError, match=r"truck \(2 forgotten, 0 unseen\)") as error:
        match_weights(["car", "truck", "truck"], ["car", "ship"])
    assert "Hold out" in str(error.value)
    with pytest.raises(ValueError, match=r"1 \(1 forgotten, 0 unseen\)"):
        match_weights([0, 1], [0, 1], sample_weight=[1.0, 0.0])
    with pytest.raises(TypeError, match="same type"):
        match_weights([0, 1], ["0", "1"])


def no_memory(rng, y, accuracy_by_class):
    """Logits of a model that treats the rows of a class alike, seen or not."""
    z = rng.normal(size=(len(y), len(accuracy_by_class)))
    z[np.arange(len(y)), y] += np.asarray(accuracy_by_class)[y]
    return z


def test_unmatched_attack_on_a_forgotten_class_is_a_trap():
    # A model trained without class 8 is wrong on all of it, on forgotten and unseen rows alike.
    rng = np.random.default_rng(0)
    skill = np.full(10, 4.0)
    skill[8] = -4.0
    y_forget, y_unseen = np.full(400, 8), rng.integers(10, size=4000)
    arguments = (
        no_memory(rng, y_forget, skill),
        y_forget,
        no_memory(rng, y_unseen, skill),
        y_unseen,
    )
    unmatched = membership_inference(*arguments, match=None)
    assert unmatched.auc < 0.1
    assert unmatched.distinguishable
    assert not unmatched.matched
    assert unmatched.attack_accuracy > 0.9
    matched = membership_inference(*arguments)
    assert matched.matched
    assert not matched.distinguishable
    assert matched.auc == pytest.approx(0.5, abs=0.05)
    assert matched.n_unseen == np.sum(y_unseen == 8)
    assert matched.interval.method == "DeLong"


def test_the_same_class_set_in_other_proportions_is_a_trap():
    rng = np.random.default_rng(1)
    skill = [4.0, 0.0, 2.0]
    y_forget = rng.choice(2, 500, p=[0.8, 0.2])
    y_unseen = rng.choice(3, 1000, p=[0.2, 0.5, 0.3])
    forget, unseen = no_memory(rng, y_forget, skill), no_memory(rng, y_unseen, skill)
    same_set = y_unseen < 2
    trap = membership_inference(forget, y_forget, unseen[same_set], y_unseen[same_set], match=None)
    assert trap.auc > 0.7
    assert trap.distinguishable
    matched = membership_inference(forget, y_forget, unseen, y_unseen, random_state=0)
    assert not matched.distinguishable
    assert matched.n_unseen == same_set.sum()
    assert matched.interval.method == "DeLong"
    # The figure is scikit-learn's on the matched weights.
    expected = roc_auc_score(
        np.repeat([1, 0], [500, 1000]),
        np.concatenate([margin(forget, y_forget), margin(unseen, y_unseen)]),
        sample_weight=np.concatenate([np.ones(500), match_weights(y_forget, y_unseen)]),
    )
    assert matched.auc == pytest.approx(expected, abs=1e-12)
    # Both sides vary within classes, of which the proportions are matched and fixed.
    assert matched.interval == auc_interval(
        margin(forget, y_forget),
        margin(unseen, y_unseen),
        weights=match_weights(y_forget, y_unseen),
        strata=y_unseen,
        member_strata=y_forget,
        random_state=0,
    )


# ------------------------------------------------------------------ comparisons


def shifted(true, m=400, n=800, seed=0):
    """Scores of which the AUC is about `true`."""
    rng = np.random.default_rng(seed)
    return rng.normal(np.sqrt(2) * norm.ppf(true), 1, m), rng.normal(size=n)


def test_both_sides_count():
    members, others = shifted(0.9)
    leak = compare_scores(members, others, match=None, random_state=0)
    streisand = compare_scores(-members, -others, match=None, random_state=0)
    assert streisand.auc == pytest.approx(1 - leak.auc)
    assert streisand.auc < 0.15
    assert streisand.score == pytest.approx(leak.score)
    assert leak.score < -0.35
    assert streisand.distinguishable
    assert streisand.attack_accuracy == pytest.approx(leak.attack_accuracy)
    assert streisand.attack_accuracy > 0.75
    none = compare_scores(*shifted(0.5), match=None)
    assert none.score > streisand.score


def test_the_retrained_model_is_the_reference():
    # Mislabelled rows: a retrained model finds them much less likely than unseen rows, so that
    # 0.5 as the reference would put the original model before the gold standard.
    original, retrained = shifted(0.088), shifted(0.001)
    gold = compare_scores(*retrained, match=None, random_state=0)
    before = compare_scores(*original, match=None, random_state=0)
    assert before.score > gold.score  # the trap
    assert gold.reference_kind == "chance"
    assert gold.reference_auc == 0.5

    for reference in (gold.auc, gold.interval, gold):
        a, b = (
            compare_scores(*scores, match=None, reference=reference, random_state=0)
            for scores in (retrained, original)
        )
        assert a.score == 0 > b.score
        assert b.score == pytest.approx(gold.auc - before.auc)
        assert not a.distinguishable
        assert b.distinguishable
        assert a.reference_kind == "retrained"
        assert a.reference_auc == gold.auc


def test_the_uncertainty_of_the_reference_counts():
    members, others = shifted(0.56)
    narrow = compare_scores(members, others, match=None, reference=0.5)
    assert narrow.distinguishable
    wide = Interval(0.5, 0.42, 0.58, 0.95, "DeLong", 0.04)
    assert not compare_scores(members, others, match=None, reference=wide).distinguishable


def test_advantage_agrees_with_art():
    # adversarial-robustness-toolbox 1.20.1, get_roc_for_fpr: (FPR, TPR) of (0, 0.6),
    # (0.2857142857142857, 0.6) and (0.42857142857142855, 1.0); the first is the widest apart.
    members, others = [0.9, 0.8, 0.8, 0.4, 0.35], [0.7, 0.6, 0.4, 0.3, 0.2, 0.1, 0.1]
    result = compare_scores(members, others, match=None, random_state=0)
    assert result.advantage == pytest.approx(0.6)
    assert result.best_threshold_accuracy == pytest.approx(0.8)
    # Three times the weight on a row is the row three times.
    heavy = compare_scores(
        members, others, match=None, sample_weight=[1, 1, 1, 1, 1, 3, 1], random_state=0
    )
    thrice = compare_scores(members, others + [0.1, 0.1], match=None, random_state=0)
    assert heavy.advantage == pytest.approx(thrice.advantage)
    assert heavy.advantage != pytest.approx(result.advantage)
    assert heavy.auc == pytest.approx(thrice.auc)
    assert heavy.n_unseen == 7


def test_an_attacker_is_judged_on_rows_that_he_has_not_tuned_on():
    """Song and Mittal: the best threshold of the judged rows themselves finds leaks in noise."""
    null, leak = ([], []), ([], [])
    for seed in range(60):
        rng = np.random.default_rng(seed)
        for figures, shift in ((null, 0.0), (leak, 1.5)):
            members, others = rng.normal(shift, size=40), rng.normal(size=100)
            result = compare_scores(members, others, match=None, random_state=seed)
            figures[0].append(result.attack_accuracy)
            figures[1].append(result.best_threshold_accuracy)
    assert np.mean(null[0]) == pytest.approx(0.5, abs=0.02)
    assert np.mean(null[1]) > 0.55
    # The best of all thresholds is right for 0.773 of such rows.
    assert 0.73 < np.mean(leak[0]) < norm.cdf(0.75) < np.mean(leak[1])


def test_the_split_of_an_attack():
    members, others = shifted(0.8)
    once, again, other = (
        compare_scores(members, others, match=None, random_state=seed).attack_accuracy
        for seed in (0, 0, 1)
    )
    assert once == again
    assert once != other
    before = generators()
    assert compare_scores(members, others, match=None).attack_accuracy == once
    assert generators() == before
    # Rows without weight are no rows, and one row cannot be halved.
    heavy = compare_scores(
        members, np.r_[others, 99], match=None, sample_weight=np.r_[np.ones(len(others)), 0]
    )
    assert heavy.attack_accuracy == pytest.approx(once, abs=0.03)
    assert compare_scores([0.5], others, match=None).attack_accuracy is None
    # Halves hold half of each class: the rows of one do not judge those of another.
    y_members, y_others = np.repeat([0, 1], 30), np.repeat([0, 1], [60, 20])
    apart = compare_scores(
        10.0 * y_members, 10.0 * y_others, y_forget=y_members, y_unseen=y_others, random_state=0
    )
    assert apart.attack_accuracy == pytest.approx(0.5)


def test_advantage_of_tied_scores_is_zero():
    assert compare_scores(np.ones(5), np.ones(6), match=None).advantage == 0


def test_per_class():
    rng = np.random.default_rng(0)
    y_forget = np.repeat([0, 1, 2, 3], [60, 60, 5, 20])
    y_unseen = np.repeat([0, 1, 2, 3, 4], [80, 80, 80, 9, 80])
    forget, unseen = no_memory(rng, y_forget, [1.0] * 5), no_memory(rng, y_unseen, [1.0] * 5)
    forget[y_forget == 1, 1] += 6  # class 1 alone is remembered
    result = membership_inference(
        forget, y_forget, unseen, y_unseen, per_class=True, random_state=0
    )
    assert set(result.per_class) == {0, 1}
    assert result.skipped_classes == (2, 3)
    assert 0.5 in result.per_class[0]
    assert result.per_class[1].low > 0.9
    one = y_forget == 1, y_unseen == 1
    assert result.per_class[1].estimate == pytest.approx(
        auc(margin(forget, y_forget)[one[0]], margin(unseen, y_unseen)[one[1]])
    )
    plain = membership_inference(forget, y_forget, unseen, y_unseen, random_state=0)
    assert plain.per_class is None
    assert plain.skipped_classes == ()


def test_seed_repeats():
    rng = np.random.default_rng(0)
    y_forget, y_unseen = rng.integers(3, size=100), rng.integers(3, size=200)
    z = rng.normal(size=(300, 3))
    first, again, other = (
        membership_inference(z[:100], y_forget, z[100:], y_unseen, random_state=seed)
        for seed in (0, 0, 1)
    )
    assert first == again
    assert first.auc == other.auc
    assert first.interval != other.interval


def test_regression_needs_no_classes():
    rng = np.random.default_rng(0)
    y = rng.normal(size=300)
    prediction = y + rng.normal(0, np.repeat([0.1, 1.0], [100, 200]))
    scores = -squared_error(prediction, y)
    result = compare_scores(scores[:100], scores[100:], match=None, attack="squared-error")
    assert result.auc > 0.8
    assert "unmatched squared-error attack" in str(result)
    with pytest.raises(ValueError, match="Regression targets have no classes"):
        compare_scores(scores[:100], scores[100:])


# ------------------------------------------------------------------ what is printed


def test_no_figure_is_printed_bare():
    text = str(compare_scores(*shifted(0.5, 500, 1000), match=None, attack="margin"))
    assert text == (
        "unmatched margin attack: AUC 0.495 (95% interval 0.464–0.526, DeLong, 500 forgotten vs "
        "1000 unseen); reference: chance 0.500; not distinguishable at this sample size. Closer to "
        "the reference is better; both sides count (AUC below 0.5 is a leak too)."
    )
    leak = str(compare_scores(*shifted(0.7), match=None))
    assert "; distinguishable: it lies above the reference. Closer" in leak
    assert "; distinguishable: it lies below the reference. Closer" in str(
        compare_scores(*shifted(0.3), match=None)
    )
    y = np.zeros(400, int), np.zeros(800, int)
    matched = str(compare_scores(*shifted(0.5), y_forget=y[0], y_unseen=y[1]))
    assert matched.startswith("matched score attack: AUC")


def test_a_retrained_reference_is_printed_as_such():
    text = str(compare_scores(*shifted(0.5), match=None, reference=0.6))
    assert "reference: retrained model 0.600; distinguishable: it lies below" in text
    assert text.endswith("both sides count (AUC below the reference is a leak too).")
    interval = Interval(0.48, 0.45, 0.51, 0.95, "DeLong", 0.015)
    text = str(compare_scores(*shifted(0.5), match=None, reference=interval))
    assert "retrained model 0.480 (95% interval 0.450–0.510, DeLong)" in text


# ------------------------------------------------------------------ errors and the import


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"match": "classes"}, ValueError, "match must be"),
        ({"reference": 1.2}, ValueError, r"in \[0, 1\]"),
        ({"reference": "retrained"}, TypeError, "reference must be"),
        ({"y_forget": [0, 1], "match": "class"}, ValueError, "y_unseen is missing"),
        ({"y_forget": [0], "y_unseen": [0, 0]}, ValueError, "one label per score"),
        ({"per_class": True}, ValueError, "y_forget is missing"),
        ({"sample_weight": [1.0]}, ValueError, r"sample_weight must have shape \(2,\)"),
    ],
)
def test_bad_comparisons_are_named(kwargs, error, message):
    with pytest.raises(error, match=message):
        compare_scores([0.0, 1.0], [0.0, 1.0], **{"match": None, **kwargs})


def test_bad_attacks_are_named():
    with pytest.raises(ValueError, match="attack must be one of"):
        membership_inference(LOGITS, LABELS, LOGITS, LABELS, attack="gradient")
    with pytest.raises(ValueError, match="unseen_logits holds NaN"):
        membership_inference(LOGITS, LABELS, np.full((6, 4), np.nan), LABELS)
    with pytest.raises(ValueError, match="same model"):
        membership_inference(LOGITS, LABELS, np.array(LOGITS)[:, :2], LABELS % 2)


def test_the_attacks_themselves_need_no_torch():
    code = (
        "import sys, types, pathlib\n"
        "root = pathlib.Path(sys.argv[1])\n"
        "for name, path in (('skunlearn', root), ('skunlearn.metrics', root / 'metrics')):\n"
        "    package = types.ModuleType(name)\n"
        "    package.__path__ = [str(path)]\n"
        "    sys.modules[name] = package\n"
        "import skunlearn.metrics._attacks.membership, skunlearn.metrics._attacks.blind\n"
        "assert 'torch' not in sys.modules\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, skunlearn.__path__[0]], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
