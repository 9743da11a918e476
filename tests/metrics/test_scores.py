"""Entropy scores, distances and gaps against independent formulas, and published slips."""

import warnings

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon
from scipy.special import softmax
from scipy.stats import entropy

from skunlearn._torch import row_blocks
from skunlearn.evaluation import audit_logits
from skunlearn.metrics import (
    activation_distance,
    agreement,
    average_gap,
    js_divergence,
    kl_divergence,
    membership_inference,
    membership_scores,
    tug_of_war,
    zero_retrain_forgetting,
)
from skunlearn.metrics._attacks.scores import ALL_SCORES

RNG = np.random.default_rng(0)
Z, Y = RNG.normal(scale=2, size=(200, 5)), RNG.integers(5, size=200)
Z2 = Z + RNG.normal(size=Z.shape)
P, P2 = softmax(Z, axis=1), softmax(Z2, axis=1)
LABELS = {"forget": Y[:50], "unseen": Y[50:]}


def test_entropy_is_scipys():
    assert membership_scores(Z, Y, "entropy") == pytest.approx(-entropy(P, axis=1))


def test_modified_entropy_is_the_papers():
    """Song and Mittal (2021), equation 5."""
    rows = np.arange(200)
    own = P[rows, Y]
    others = P * np.log(1 - P)
    others[rows, Y] = 0
    expected = -(1 - own) * np.log(own) - others.sum(axis=1)
    found = -membership_scores(Z, Y, "modified_entropy")
    assert found == pytest.approx(expected, rel=1e-10)
    # Two slips of released code: the sum taken over all classes, and the weights exchanged.
    assert found != pytest.approx(-(1 - own) * np.log(own) - (P * np.log(1 - P)).sum(axis=1))
    exchanged = (1 - P) * np.log(P)
    exchanged[rows, Y] = 0
    assert found != pytest.approx(-own * np.log(1 - own) - exchanged.sum(axis=1))


def test_tied_largest_logits():
    """The complement of a class is its own, also where two are the likeliest."""
    z = np.array([[2.0, 2.0, 0.0], [0.0, 2.0, 2.0], [0.0, 0.0, 0.0], [1.0, 2.0, 2.0]])
    p = softmax(z, axis=1)
    for y in range(3):
        others = np.delete(p * np.log(1 - p), y, axis=1).sum(axis=1)
        expected = (1 - p[:, y]) * np.log(p[:, y]) + others
        found = membership_scores(z, np.full(4, y), "modified_entropy")
        assert found == pytest.approx(expected)


def test_modified_entropy_knows_confident_errors_and_entropy_does_not():
    right, wrong = [[9.0, 0.0]], [[0.0, 9.0]]
    plain = [membership_scores(z, [0], "entropy")[0] for z in (right, wrong)]
    assert plain[0] == pytest.approx(plain[1])
    modified = [membership_scores(z, [0], "modified_entropy")[0] for z in (right, wrong)]
    assert modified[0] > -0.01
    assert modified[1] < -8


@pytest.mark.parametrize("attack", ["entropy", "modified_entropy"])
def test_extreme_logits_stay_finite_and_in_order(attack):
    z = np.array([[a, 0.0, -a] for a in (10, 50, 100, 150, 300)])
    scores = membership_scores(z, [0] * 5, attack)
    assert np.isfinite(scores).all()
    assert (np.diff(scores) > 0).all()
    if attack == "modified_entropy":
        wrong = membership_scores(z, [2] * 5, attack)
        assert np.isfinite(wrong).all()
        assert (np.diff(wrong) < 0).all()


# ------------------------------------------------------------------ distances


def test_kl_is_the_mean_over_rows_of_the_sum_over_classes():
    """Torch's reduction="mean" divides by the number of classes as well."""
    found = kl_divergence(Z, Z2)
    assert found == pytest.approx(entropy(P2, P, axis=1))
    log_p, log_q = (torch.log_softmax(torch.as_tensor(z), dim=1) for z in (Z2, Z))
    args = {"input": log_q, "target": log_p, "log_target": True}
    assert found.mean() == pytest.approx(
        float(torch.nn.functional.kl_div(**args, reduction="batchmean"))
    )
    sliced = torch.nn.functional.kl_div(**args, reduction="none").mean()  # what "mean" is
    assert found.mean() == pytest.approx(5 * float(sliced))


def test_js_is_scipys_squared():
    assert js_divergence(Z, Z2) == pytest.approx(jensenshannon(P, P2, axis=1) ** 2)
    assert js_divergence(Z, Z2) == pytest.approx(js_divergence(Z2, Z))
    assert js_divergence(Z, Z) == pytest.approx(0, abs=1e-12)
    assert js_divergence([[900.0, 0.0]], [[0.0, 900.0]]) == pytest.approx(np.log(2))
    # Rows that hardly differ, of which SciPy 1.13 to 1.17 returns NaN.
    close = np.random.default_rng(0).normal(size=(500, 3)) * 5
    assert js_divergence(close, close + 1e-9 * np.sin(close)).max() < 1e-12


def test_zrf_is_its_formula():
    """1 − mean JS(model, untrained net), in bits; per row, not per class."""
    middle = (P + P2) / 2
    apart = (entropy(P, middle, base=2, axis=1) + entropy(P2, middle, base=2, axis=1)) / 2
    assert zero_retrain_forgetting(Z, Z2) == pytest.approx(1 - apart.mean())
    assert zero_retrain_forgetting(Z, Z + 3) == pytest.approx(1)
    assert zero_retrain_forgetting([[900.0, 0.0]], [[0.0, 900.0]]) == pytest.approx(0, abs=1e-12)
    with pytest.raises(ValueError, match="same rows and classes"):
        zero_retrain_forgetting(Z, Z2[:5])


def test_activation_distance_is_of_probabilities():
    assert activation_distance(Z, Z2) == pytest.approx(np.linalg.norm(P - P2, axis=1))
    assert activation_distance(Z, Z + 7) == pytest.approx(0, abs=1e-12)


def test_agreement_counts_equal_predictions():
    found = agreement(Z, Z2)
    assert found.estimate == np.mean(Z.argmax(axis=1) == Z2.argmax(axis=1))
    assert found.low < found.estimate < found.high


@pytest.mark.parametrize("distance", [kl_divergence, js_divergence, activation_distance, agreement])
def test_bad_pairs(distance):
    for a, b in ((Z, Z2[:5]), (Z, Z2[:, :3]), (Z * np.nan, Z2), (Z[:0], Z2[:0]), (Z[0], Z2[0])):
        with pytest.raises(ValueError, match=r"shape|NaN|row"):
            distance(a, b)


# ------------------------------------------------------------------ gaps


def test_average_gap_is_that_of_published_tables():
    """CoUn (NeurIPS 2025), CIFAR-10 and ResNet-18, random 10 %: fine-tuning against Retrain."""
    retrained = {"UA": 0.0481, "RA": 1.0, "TA": 0.9467, "MIA": 0.1102}
    tuned = {"UA": 0.0376, "RA": 0.9999, "TA": 0.9470, "MIA": 0.0951}
    assert average_gap(tuned, retrained) == pytest.approx(0.0065, abs=5e-4)
    assert average_gap(retrained, tuned) == average_gap(tuned, retrained)
    assert average_gap(retrained, retrained) == 0
    with pytest.raises(ValueError, match="not in per cent"):
        average_gap({"UA": 4.81}, {"UA": 3.76})
    with pytest.raises(ValueError, match="same keys"):
        average_gap({"UA": 0.1}, {"RA": 0.1})


def test_tug_of_war():
    assert tug_of_war([0.1, 0.9, 0.8], [0.0, 1.0, 0.9]) == pytest.approx(0.9**3)
    assert tug_of_war([0.5, 0.5, 0.5], [0.5, 0.5, 0.5]) == 1
    assert tug_of_war([1.0, 1.0, 1.0], [0.0, 1.0, 1.0]) == 0
    with pytest.raises(ValueError, match="not in per cent"):
        tug_of_war([95.0], [94.0])


def test_confident_rows_keep_their_digits():
    """Neither the largest probability nor its complement is rounded to 1 or to 0."""
    z = np.array([[40.0, 0.0], [45.0, 0.0], [900.0, 0.0], [0.0, 2000.0]])
    found = {name: membership_scores(z, [0, 0, 0, 0], name) for name in ("margin", "entropy")}
    assert found["margin"] == pytest.approx([40.0, 45.0, 900.0, -2000.0])
    exact = [-(d + 1) * np.exp(-d) for d in (40.0, 45.0)]
    assert found["entropy"][:2] == pytest.approx(exact, rel=1e-12, abs=0)
    modified = membership_scores(z, [0, 0, 0, 0], "modified_entropy")
    assert modified[:2] == pytest.approx(
        [-2 * np.exp(-2 * d) for d in (40.0, 45.0)], rel=1e-9, abs=0
    )
    assert modified[3] == pytest.approx(-2000.0 - 2000.0)
    assert np.isfinite(modified).all()


def test_scores_of_many_rows_are_made_in_blocks(monkeypatch):
    whole = [membership_scores(Z, Y, name) for name in ALL_SCORES]
    monkeypatch.setattr(row_blocks, "_ENTRIES", 35)  # seven rows
    for name, expected in zip(ALL_SCORES, whole, strict=True):
        assert membership_scores(Z, Y, name) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    "ask",
    [
        lambda z: membership_scores(z, Y),
        lambda z: membership_inference(z[:50], Y[:50], z[50:], Y[50:], attack="strongest"),
        lambda z: agreement(Z2, z),
        lambda z: audit_logits(
            {"mine": {"forget": z[:50], "unseen": z[50:]}}, LABELS, retrained=None
        ),
    ],
    ids=["scores", "attack", "distance", "audit"],
)
def test_probabilities_in_place_of_logits_are_told(ask):
    """They would be taken for logits: nobody is ever sure of anything then."""
    with pytest.warns(UserWarning, match=r"look like probabilities.*numpy\.log"):
        ask(P)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for fine in (Z, np.log(P), np.eye(5)[RNG.integers(5, size=200)], P * 1.1):
            ask(fine)
