"""What a net has put out, as it comes: with a gradient, in sixteen bits, or in single floats."""

import numpy as np
import pytest
import torch

from skunlearn.evaluation import audit_logits
from skunlearn.metrics import (
    activation_distance,
    agreement,
    auc,
    compare_scores,
    delong_covariance,
    epsilon_lower_bound,
    expected_calibration_error,
    js_divergence,
    lira,
    margin,
    membership_inference,
    membership_scores,
    rmia,
)

RNG = np.random.default_rng(0)
# Eighths, which sixteen bits hold.
Z, OTHERS = (np.round(8 * RNG.normal(size=(n, 3))) / 8 for n in (40, 60))
Y, Y_OTHERS = np.arange(40) % 3, np.arange(60) % 3
SHADOW = np.round(8 * RNG.normal(size=(16, 40))) / 8
MEMBERS = RNG.random((16, 40)) < 0.5
FORMS = {
    "gradient": lambda z: torch.tensor(z, requires_grad=True),
    "bfloat16": lambda z: torch.tensor(z, dtype=torch.bfloat16),
    "float16, gradient": lambda z: torch.tensor(z, dtype=torch.float16, requires_grad=True),
}


def attack(z, others, y, y_others):
    return membership_inference(z, y, others, y_others, attack="strongest", random_state=0).auc


def report(z, others, y, y_others):
    outputs = {"forget": z, "unseen": others}
    found = audit_logits({"mine": outputs}, {"forget": y, "unseen": y_others}, retrained=None)
    return found.frame["value"].to_numpy(dtype=float)


ASKED = {
    "margin": lambda z, others, y, y_others: margin(z, y),
    "entropy": lambda z, others, y, y_others: membership_scores(z, y, "entropy"),
    "attack": attack,
    "report": report,
    "divergence": lambda z, others, y, y_others: js_divergence(z, z[:, [1, 0, 2]]),
    "distance": lambda z, others, y, y_others: activation_distance(z, z[:, [1, 0, 2]]),
    "agreement": lambda z, others, y, y_others: agreement(z, z[:, [1, 0, 2]]).estimate,
    "calibration": lambda z, others, y, y_others: expected_calibration_error(z, y),
    "auc": lambda z, others, y, y_others: auc(z[:, 0], others[:, 0]),
    "scores": lambda z, others, y, y_others: compare_scores(z[:, 0], others[:, 0], match=None).auc,
    "covariance": lambda z, others, y, y_others: delong_covariance(
        [z[:, 0], z[:, 1]], [others[:, 0], others[:, 1]]
    )[1],
    "labels": lambda z, others, y, y_others: epsilon_lower_bound(
        z[:, 0], others[:, 0], y_forget=y, y_unseen=y_others,
        random_state=0,
    ).hits,
    "lira": lambda z, others, y, y_others: lira(z[:, 0], torch_like(z, SHADOW), MEMBERS),
    "rmia": lambda z, others, y, y_others: rmia(
        -abs(z[:, 0]), -abs(torch_like(z, SHADOW)), MEMBERS, -abs(others[:40, 0]),
        -abs(torch_like(z, SHADOW)),
    ),
}  # fmt: skip


def torch_like(z, values):
    return torch.tensor(values, dtype=z.dtype) if isinstance(z, torch.Tensor) else values


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ASKED)
def test_tensors_are_read_as_arrays(name, form):
    ask, cast = ASKED[name], FORMS[form]
    found = ask(cast(Z), cast(OTHERS), torch.tensor(Y), torch.tensor(Y_OTHERS))
    assert np.allclose(found, ask(Z, OTHERS, Y, Y_OTHERS), equal_nan=True)


def test_a_column_of_classes_is_told_from_indicators():
    for ask in (attack, report):
        with pytest.raises(ValueError, match=r"of one class per row pass .*\[:, 0\]"):
            ask(Z, OTHERS, Y[:, None], Y_OTHERS[:, None])
