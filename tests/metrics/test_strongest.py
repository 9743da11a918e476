"""Attacks by all scores at once: the largest distance to the reference, and its interval."""

import numpy as np
import pytest
from scipy.stats import norm

from skunlearn._torch import row_blocks
from skunlearn._torch.row_blocks import RowBlock
from skunlearn.evaluation import audit_logits
from skunlearn.metrics import (
    Interval,
    auc,
    compare_scores,
    delong_covariance,
    match_weights,
    membership_inference,
    membership_scores,
)
from skunlearn.metrics._attacks.differences import difference_interval, shared_level
from skunlearn.metrics._attacks.membership import compare_attacks
from skunlearn.metrics._statistics import estimates
from skunlearn.metrics._statistics.ranking import rank

CLASSES = 5
SCORES = ["margin", "loss", "confidence", "entropy", "modified_entropy"]


def outputs(n, seed, scale=1.0, boost=2.0):
    """Logits and labels of rows of which a model is more or less sure, not more or less right."""
    rng = np.random.default_rng(seed)
    y = rng.integers(CLASSES, size=n)
    z = rng.normal(size=(n, CLASSES))
    z[np.arange(n), y] += boost
    return scale * z, y


def taught_to_be_unsure(n, seed):
    """Rows with their margins as unseen rows have them, their other mass spread evenly.

    Those that are named wrongly name another class.
    """
    z, y = outputs(n, seed)
    own = np.arange(n), y
    margins = membership_scores(z, y)
    right = z.argmax(axis=1) == y
    z[right] = 0.0
    z[own] = np.where(right, margins + np.log(CLASSES - 1), z[own])
    return z, y


@pytest.fixture(scope="module")
def sides():
    return *outputs(400, 0), *outputs(800, 1)


def test_every_score_is_in_the_table_and_the_farthest_is_named(sides):
    result = membership_inference(*sides, attack="strongest")
    assert list(result.scores) == SCORES
    for name in SCORES:
        alone = membership_inference(*sides, attack=name)
        assert result.scores[name].interval.estimate == alone.auc
    table = result.table()
    assert table.index[0] == result.strongest
    assert result.score == -table["difference"].abs().max()
    assert set(table.columns) >= {"AUC", "reference", "difference", "low", "high"}
    assert f"strongest attack ({result.strongest}" in str(result)


def test_what_margins_hide_entropy_shows():
    """Forgotten rows that were taught to be unsure: their margins are those of unseen rows."""
    hidden, unseen = taught_to_be_unsure(400, 0), outputs(800, 1)
    retrained = outputs(400, 0)[0], unseen[0]
    by_margin = membership_inference(*hidden, *unseen)
    assert not by_margin.distinguishable
    strongest = membership_inference(*hidden, *unseen, attack="strongest")
    assert strongest.distinguishable
    assert strongest.strongest == "entropy"
    assert strongest.auc < 0.45
    labels = {"forget": hidden[1], "unseen": unseen[1]}
    models = {
        "mine": {"forget": hidden[0], "unseen": unseen[0]},
        "retrained": {"forget": retrained[0], "unseen": retrained[1]},
    }
    verdict = audit_logits(models, labels).verdicts["mine"]
    assert verdict.kind == "over-forgotten"
    assert "by entropy" in verdict.text
    assert audit_logits(models, labels, attacks="margin").verdicts["mine"].kind == (
        "indistinguishable"
    )


def test_each_score_has_its_own_reference(sides):
    chance = membership_inference(*sides, attack="strongest")
    again = membership_inference(*sides, attack="strongest", reference=chance)
    assert again.score == 0
    assert not again.distinguishable
    values = {name: found.interval.estimate for name, found in chance.scores.items()}
    given = membership_inference(*sides, attack="strongest", reference=values | {"entropy": 0.9})
    assert given.strongest == "entropy"
    assert given.reference_auc == 0.9
    with pytest.raises(ValueError, match="each score against its own reference"):
        membership_inference(*sides, attack="strongest", reference=0.5)
    del values["modified_entropy"]
    with pytest.raises(ValueError, match=r"lacks the scores \['modified_entropy'\]"):
        membership_inference(*sides, attack="strongest", reference=values)


def test_intervals_are_wider_by_what_several_scores_take(sides):
    """As wide as the largest of that many correlated estimates needs, and no Bonferroni."""
    result = membership_inference(*sides, attack="strongest")
    weights = match_weights(sides[1], sides[3])
    for name in SCORES:
        alone = membership_inference(*sides, attack=name).interval
        shared = result.scores[name].interval
        ratio = (shared.high - shared.low) / (alone.high - alone.low)
        assert 1.02 < ratio < norm.ppf(1 - 0.025 / 3) / norm.ppf(0.975)
        assert shared.confidence == 0.95
    # Alike scores cost nothing, independent ones what Šidák's correction takes.
    assert shared_level(np.ones((4, 4)), 0.95, 10_000) == pytest.approx(0.95, abs=0.003)
    assert shared_level(np.eye(4), 0.95, 10_000) == pytest.approx(0.95**0.25, abs=0.001)
    assert weights.mean() == pytest.approx(1)


def test_differences_of_models_on_the_same_rows_are_paired():
    """A model and its slightly changed copy err alike: half-widths in squares say far too much."""
    (members, y), (others, y_unseen) = outputs(400, 0), outputs(800, 1)
    rng = np.random.default_rng(2)
    models = {
        name: {
            "forget": members + scale * rng.normal(size=members.shape),
            "unseen": others + scale * rng.normal(size=others.shape),
        }
        for name, scale in (("mine", 0.3), ("retrained", 0.0))
    }
    labels = {"forget": y, "unseen": y_unseen}
    report = audit_logits(models, labels, attacks="margin")
    row = report.frame.query("model == 'mine' and metric == 'AUC difference'").iloc[0]
    scores = [[membership_scores(models[name][k], labels[k]) for name in models] for k in labels]
    weights = match_weights(y, y_unseen)
    aucs, covariance = delong_covariance(*scores, weights=weights, member_strata=y, strata=y_unseen)
    se = np.sqrt([1, -1] @ covariance @ [1, -1])
    assert row["value"] == pytest.approx(aucs[0] - aucs[1])
    assert (row["high"] - row["low"]) / (2 * 1.96 * se) == pytest.approx(1, abs=0.02)
    assert row["high"] - row["low"] < 0.04 < 2 * 1.96 * np.sqrt(np.trace(covariance))


def test_interval_of_a_difference():
    ours, theirs = (Interval(v, v - 0.03, v + 0.05, 0.95, "DeLong", 0.02) for v in (0.6, 0.5))
    apart = difference_interval(ours, theirs)
    assert apart.low == pytest.approx(0.1 - np.hypot(0.03, 0.05))
    together = difference_interval(ours, theirs, 1.0)
    assert (together.low, together.high) == pytest.approx((0.08, 0.12))
    same = compare_scores([0.1, 0.9, 0.4], [0.2, 0.6], match=None, reference=ours)
    assert same.difference.estimate == pytest.approx(same.auc - 0.6)


def test_few_rows_and_one_row_have_an_interval():
    few = *outputs(4, 0), *outputs(40, 1)
    result = membership_inference(*few, attack="strongest", match=None, random_state=0)
    assert 0.5 in result.interval
    assert not result.distinguishable
    one = membership_inference(few[0][:1], few[1][:1], *few[2:], attack="strongest", match=None)
    assert one.interval.high - one.interval.low > 0.9


def test_the_learned_attack_sees_what_one_threshold_cannot():
    """Forgotten rows in the middle of the margins: an AUC of one half by every score alone."""
    rng = np.random.default_rng(0)
    y = np.zeros(900, int)
    margins = np.concatenate([rng.normal(0, 0.3, 300), rng.normal(0, 3, 600)])
    z = np.column_stack([margins, np.zeros((900, 1))])
    sides = z[:300], y[:300], z[300:], y[300:]
    assert abs(membership_inference(*sides).auc - 0.5) < 0.05
    learned = membership_inference(*sides, attack="learned")
    assert learned.auc > 0.8
    assert learned.interval.method == "bootstrap × √2"
    assert learned.auc == membership_inference(*sides, attack="learned").auc
    with pytest.raises(ValueError, match="too few"):
        membership_inference(z[:3], y[:3], *sides[2:], attack="learned")


def test_the_learned_attack_finds_nothing_where_there_is_nothing():
    found = [
        membership_inference(*outputs(100, k), *outputs(200, 1000 + k), attack="learned")
        for k in range(30)
    ]
    assert np.mean([r.distinguishable for r in found]) <= 0.15
    assert np.mean([r.auc for r in found]) == pytest.approx(0.5, abs=0.02)


def test_scores_have_names_and_rows_one_each():
    z, y = outputs(10, 0)
    for attack in ("strongest", "learned"):
        with pytest.raises(ValueError, match="attack must be one of"):
            membership_scores(z, y, attack)
    with pytest.raises(ValueError, match="'strongest'"):
        membership_inference(z, y, z, y, attack="max")


def test_saturated_confidence_ties_and_does_no_harm():
    z, y = outputs(200, 0, scale=40.0)
    w, v = outputs(400, 1, scale=40.0)
    result = membership_inference(z, y, w, v, attack="strongest", random_state=0)
    assert result.scores["loss"].interval == result.scores["margin"].interval
    confidence = auc(
        membership_scores(z, y, "confidence"),
        membership_scores(w, v, "confidence"),
        weights=match_weights(y, v),
    )
    assert result.scores["confidence"].interval.estimate == pytest.approx(confidence)


def test_rows_with_several_labels_are_seen_by_every_score():
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=(900, 4))
    z = rng.normal(size=(900, 4)) + 2.0 * (2 * y - 1)
    z[:300] *= 0.3  # taught to be unsure
    sides = z[:300], y[:300], z[300:], y[300:]
    result = membership_inference(*sides, attack="strongest", per_class=True, random_state=0)
    assert list(result.scores) == SCORES
    for name in SCORES:
        alone = membership_inference(*sides, attack=name, random_state=0)
        assert result.scores[name].interval.estimate == alone.auc
    assert result.distinguishable
    assert result.matched
    assert set(result.per_class) == {0, 1, 2, 3}
    assert membership_inference(*sides, attack="learned", random_state=0).auc > 0.6
    labels = {"forget": y[:300], "unseen": y[300:]}
    outputs = {"mine": {"forget": z[:300], "unseen": z[300:]}}
    for k, seed in enumerate((1, 2)):
        noise = np.random.default_rng(seed)
        outputs[f"retrained {k}"] = {
            name: noise.normal(size=v.shape) + 2.0 * (2 * v - 1) for name, v in labels.items()
        }
    names = [name for name in outputs if name != "mine"]
    report = audit_logits(outputs, labels, retrained=names)
    assert report.verdicts["mine"].kind == "over-forgotten"
    assert report.wide.loc["mine", "forget over null"] > 1


def test_scores_are_made_and_ranked_once(monkeypatch, sides):
    """One softmax of each side and one sort of each score that orders rows in a way of its own."""
    counts = {"blocks": 0, "sorts": 0}

    class Counted(RowBlock):
        def __init__(self, *given):
            counts["blocks"] += 1
            super().__init__(*given)

    def counted(*given):
        counts["sorts"] += 1
        return rank(*given)

    monkeypatch.setattr(row_blocks, "RowBlock", Counted)
    monkeypatch.setattr(estimates, "rank", counted)
    result = membership_inference(*sides, attack="strongest")
    assert {i.interval.method for i in result.scores.values()} == {"DeLong"}
    assert counts == {"blocks": 2, "sorts": 3}
    # Beside a reference model twice as many, and no more.
    compare_attacks(
        sides[:2], sides[2:], "strongest", reference_outputs=(2 * sides[0], 2 * sides[2])
    )
    assert counts == {"blocks": 6, "sorts": 9}
