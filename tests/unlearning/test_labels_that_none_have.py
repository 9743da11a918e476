"""A module may have more outputs than there are labels, and be sure of one that no row has."""

import numpy as np
import pytest
from torch import nn

from skunlearn import RetrainUnlearner, ShardedUnlearner
from skunlearn._torch.inference import share_out
from tests.instances import make_net


class Elsewhere(nn.Linear):
    """Sure of the last of five outputs, as a net that was driven too far may be."""

    def __init__(self):
        super().__init__(4, 5)

    def forward(self, X):
        z = super().forward(X)
        return z + z.new_tensor([0.0, 0.0, 0.0, 0.0, 1e4])


@pytest.mark.parametrize("cls", [RetrainUnlearner, ShardedUnlearner])
def test_a_net_that_is_sure_of_none_of_the_labels(data, cls):
    X, y = data
    net = make_net(max_epochs=1).set_params(module=Elsewhere)
    unlearner = cls(net, random_state=0).fit(X, y).unlearn(indices=[0])
    p = unlearner.predict_proba(X)
    assert p.shape == (60, 3)
    assert p == pytest.approx(1 / 3)
    assert set(unlearner.predict(X)) <= set(y)


def test_what_is_shared_out():
    p = np.array([[0.2, 0.2], [0.0, 0.0], [np.nan, 0.1]], dtype=np.float32)
    found = share_out(p)
    assert found.dtype == np.float32
    assert found[:2].tolist() == [[0.5, 0.5], [0.5, 0.5]]
    assert np.isnan(found[2]).all()  # a net without an answer is not given one
