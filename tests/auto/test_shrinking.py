"""The dial between fine-tuning and training anew."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.frozen import FrozenEstimator
from torch import nn

from skunlearn import AutoUnlearner, FineTuneUnlearner, ShrinkPerturbUnlearner
from skunlearn._rows.views import Rows
from skunlearn._torch.parts.net_state import weights
from skunlearn.auto._adapting import Adapting
from skunlearn.auto._keeping import Keeping
from skunlearn.exceptions import UnlearningError
from skunlearn.finetuning._shrinking import new_net, shrink
from skunlearn.utils._check_tools import parameters, same_parameters
from tests.auto.digits import damaged, net, small


@damaged
@pytest.mark.filterwarnings("ignore::skunlearn.exceptions.NotForgottenWarning")
def test_the_ends_of_the_dial():
    """At 1 it is fine-tuning, at 0 it starts from the untrained net; bit for bit."""
    X, y, *_ = small()
    fitted = {
        share: ShrinkPerturbUnlearner(net(max_epochs=6), shrink=share, random_state=0).fit(X, y)
        for share in (0.0, 1.0)
    }
    fine = FineTuneUnlearner(net(max_epochs=6), max_epochs=2, random_state=0).fit(X, y)
    fine.unlearn(indices=np.arange(10))
    fitted[1.0].unlearn(indices=np.arange(10))
    assert same_parameters(parameters(fitted[1.0].estimator_), parameters(fine.estimator_))
    # Of what stood in the weights nothing is left.
    other = ShrinkPerturbUnlearner(
        FrozenEstimator(net(max_epochs=6, lr=1e-3).fit(X, y)), shrink=0.0, lr=0.1, random_state=0
    ).fit(X, y)
    for one in (fitted[0.0], other):
        one.unlearn(indices=np.arange(10))
    assert same_parameters(parameters(fitted[0.0].estimator_), parameters(other.estimator_))


def test_shrinking_in_numbers():
    X, y, *_ = small()
    model, rows = net(module__norm=True, max_epochs=2).fit(X, y), Rows(X, y, np.arange(120))
    model.module_.first.bias.requires_grad_(False)
    new = new_net(model, rows, np.arange(3), 7)
    assert same_parameters(weights(new_net(model, rows, np.arange(3), 7)), weights(new))
    assert not same_parameters(weights(new_net(model, rows, np.arange(3), 8)), weights(new))
    before, fresh = weights(model), weights(new)
    shrink(model, new, 0.25)
    for key, value in weights(model).items():
        moves = value.is_floating_point() and key != "module.first.bias"
        expected = 0.25 * before[key] + 0.75 * fresh[key] if moves else before[key]
        torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-7)


def test_layers_that_no_new_net_has():
    X, y, *_ = small()
    trained = net(max_epochs=2).fit(X, y)
    trained.module_.last = nn.Sequential(nn.Linear(512, 8), nn.Linear(8, 10))
    for cls in (ShrinkPerturbUnlearner, AutoUnlearner):
        unlearner = cls(FrozenEstimator(trained), random_state=0).fit(X, y)
        with pytest.raises(UnlearningError, match="changed after they were built"):
            unlearner.unlearn(indices=np.arange(10))
        assert unlearner.deletions_ == []


def test_layers_of_a_recipe_that_was_set_since():
    X, y, *_ = small()
    for cls in (ShrinkPerturbUnlearner, AutoUnlearner):
        unlearner = cls(net(max_epochs=2), random_state=0).fit(X, y)
        unlearner.set_params(estimator__module__hidden=7)
        with pytest.raises(UnlearningError, match=r"module__hidden was set after fit. Set it back"):
            unlearner.unlearn(indices=np.arange(10))


@pytest.mark.parametrize(("classes", "kept"), [(np.arange(3), 0.5), (None, 0.75)])
def test_regressions_lose_less_at_a_look(classes, kept):
    X, y, *_ = small()
    model, new = (net(max_epochs=3).fit(X, y) for _ in range(2))
    judge = SimpleNamespace(
        look=lambda net: {}, differences=lambda seen: {"loss": 0.4}, error=lambda seen, name: 0.01
    )
    adapting = Adapting(judge, new, 0.8, 0.015, 0.12, Keeping(classes, list).kept)
    adapting.on_train_begin(model)
    for _ in range(2):
        adapting.on_epoch_end(model)
    assert adapting.shares_ == pytest.approx([0.8, kept * 0.8])
    assert adapting.seen_ == [{"epochs": 1, "share": 0.8, "distance": 0.4}]
