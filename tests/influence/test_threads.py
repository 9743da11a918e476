"""Derivatives taken in several threads at a time."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from skunlearn.influence import InverseCurvature, influence
from skunlearn.influence._functional import _twice_differentiable
from tests.influence.small_nets import X, Y, cross_entropy


@pytest.mark.parametrize("solver", ["cg", "ekfac"])
def test_influence_in_threads_is_what_it_is_alone(solver):
    inverse = InverseCurvature(solver=solver)
    nets = [cross_entropy(optimizer__weight_decay=decay) for decay in (0.1, 0.2, 0.1, 0.2)]

    def ask(net):
        return influence(net, X, Y, X[:2], Y[:2], inverse=inverse)

    wanted = list(map(ask, nets))
    with ThreadPoolExecutor(4) as pool:
        for found, alone in zip(pool.map(ask, 4 * nets), 4 * wanted, strict=True):
            np.testing.assert_array_equal(found, alone)


def switches():
    cuda, kept = torch.backends.cuda, (torch.backends.mkldnn.enabled, torch.backends.cudnn.enabled)
    return (
        *kept,
        cuda.flash_sdp_enabled(),
        cuda.mem_efficient_sdp_enabled(),
        cuda.math_sdp_enabled(),
    )


def test_passes_that_overlap_leave_torchs_switches_as_they_were():
    """The second finds what the first has set, and the first is left before it."""
    before = switches()
    first, second = _twice_differentiable(True), _twice_differentiable(True)
    first.__enter__()
    inside = switches()
    second.__enter__()
    first.__exit__(None, None, None)
    assert switches() == inside != before
    second.__exit__(None, None, None)
    assert switches() == before
