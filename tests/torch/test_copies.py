"""A copy of a net is a copy of the net, in requests of every method."""

import numpy as np
import pytest
import torch
from sklearn.frozen import FrozenEstimator
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback
from torch import nn

from skunlearn import (
    EUkUnlearner,
    FineTuneUnlearner,
    MSGUnlearner,
    NoTUnlearner,
    SSDUnlearner,
)
from skunlearn._torch.skorch_nets import copy_net
from skunlearn._unlearning import removal
from skunlearn.editing import neg_merge
from skunlearn.exceptions import UnlearningError
from skunlearn.utils import all_unlearners
from skunlearn.utils._check_tools import parameters, same_parameters
from tests.instances import make_net
from tests.odd_nets import MLP, ODD, RandomFeatures, RunningMean, odd_net, rows
from tests.small import quiet

kinds = pytest.mark.parametrize("kind", ODD)


# They change weights before they train, or train not at all; one refuses a training of no step.
EDITS = (
    *("CFWUnlearner", "EUkUnlearner", "FisherForgettingUnlearner"),
    *("InfluenceUnlearner", "KDEUnlearner", "RNIUnlearner"),
    *(
        "LFSSDUnlearner",
        "MSGUnlearner",
        "NoTUnlearner",
        "PRMQUnlearner",
        "PUMAUnlearner",
        "SSDUnlearner",
    ),
    "PotionUnlearner",
    *("AutoUnlearner", "ShrinkPerturbUnlearner", "UAMUnlearner"),
)


# They train the net themselves, so that there is nothing to copy, or refuse odd ones.
TRAIN_AFRESH = (
    *("AmnesiacUnlearner", "RetrainUnlearner", "RewindUnlearner", "ShardedUnlearner"),
    *("CTUnlearner", "NoisyFineTuneUnlearner"),
)


NEED_NEW_WEIGHTS = (
    *("AutoUnlearner", "BadTeacherUnlearner", "OracleMatchingUnlearner"),
    "ShrinkPerturbUnlearner",
)


class Stop(Callback):
    """Ends a training before its first batch, once it is told to."""

    now = False

    def on_epoch_begin(self, net, **kwargs):
        if Stop.now:
            raise KeyboardInterrupt


@pytest.fixture
def stop():
    yield Stop
    Stop.now = False


@kinds
@quiet
def test_a_copy_says_the_same_and_shares_nothing(kind):
    X, y = rows()
    net = odd_net(kind)
    said, state = net.predict_proba(X), parameters(net)
    new = copy_net(net)
    assert np.array_equal(new.predict_proba(X), said)
    assert type(new) is type(net)
    assert len(new.history) == 0 < len(net.history)
    assert not new.optimizer_.state
    ours, theirs = ({p.data_ptr() for _, p in n.get_all_learnable_params()} for n in (net, new))
    assert not ours & theirs
    new.partial_fit(X, y)
    assert not np.array_equal(new.predict_proba(X), said)
    assert np.array_equal(net.predict_proba(X), said)
    assert same_parameters(parameters(net), state)


@pytest.mark.parametrize("turn", [0, *(pytest.param(i, marks=pytest.mark.long) for i in (1, 2))])
@kinds
@quiet
def test_requests_of_every_method_start_from_the_net_as_it_is(kind, turn, stop, monkeypatch):
    """Without an epoch of training the model is bitwise the one before.

    But for running statistics, which are taken anew at the end of every request. A kind meets
    every third method in a turn, the next kind the next ones.
    """
    for where in (removal, neg_merge):
        monkeypatch.setattr(where, "renew_statistics", lambda net, rows, seed: None)
    X, y = rows()
    net = odd_net(kind, callbacks=[("stop", Stop())])
    said, state = net.predict_proba(X), parameters(net)
    tried = 0
    first = (turn + list(ODD).index(kind)) % 3
    for name, cls in list(all_unlearners(nets=True).items())[first::3]:
        if name in TRAIN_AFRESH + NEED_NEW_WEIGHTS * (kind == "module instance"):
            continue
        unlearner = cls(FrozenEstimator(net), random_state=0)
        if "max_epochs" in unlearner.get_params():
            unlearner.set_params(max_epochs=1)
        if name == "OracleMatchingUnlearner":  # which otherwise trains anew in so short a recipe
            unlearner.set_params(oracle=FrozenEstimator(net))
        unlearner.fit(X, y)
        assert np.array_equal(unlearner.predict_proba(X), said), name
        stop.now = name not in EDITS
        try:
            unlearner.unlearn(indices=[0, 1, 2])
        except UnlearningError:
            assert name in EDITS
        if stop.now:
            assert np.array_equal(unlearner.predict_proba(X), said), name
            assert same_parameters(parameters(unlearner.estimator_), state), name
            tried += 1
        stop.now = False
        assert np.array_equal(net.predict_proba(X), said), f"{name} changed the user's net"
        assert same_parameters(parameters(net), state), f"{name} changed the user's net"
    assert tried >= 4


@pytest.mark.parametrize("module", [RandomFeatures, RunningMean])
@pytest.mark.parametrize("cls", [FineTuneUnlearner, SSDUnlearner])
@quiet
def test_what_is_in_no_state_dict_costs_no_accuracy(module, cls):
    """Three hundred rows of twelve numbers in three classes, ten of them forgotten."""
    X = np.random.default_rng(0).normal(size=(300, 12)).astype(np.float32)
    y = X[:, :3].argmax(axis=1)
    net = make_net(max_epochs=20, batch_size=32, module__n_in=12).set_params(module=module)
    params = {"max_epochs": 2} if cls is FineTuneUnlearner else {}
    unlearner = cls(net, random_state=0, **params).fit(X, y)
    before = unlearner.score(X, y)
    assert before > 0.85
    assert unlearner.unlearn(indices=range(10)).score(X, y) > before - 0.05


@pytest.mark.parametrize("kind", ["dropout changed", "batch norm changed", "criterion changed"])
@quiet
def test_settings_of_modules_hold_in_training_too(kind):
    X, y = rows()
    net = odd_net(kind)
    unlearner = FineTuneUnlearner(FrozenEstimator(net), random_state=0).fit(X, y)
    new = unlearner.unlearn(indices=[0]).estimator_
    if kind == "dropout changed":
        assert new.module_.drop.p == 0.0
    elif kind == "batch norm changed":
        assert (new.module_.norm.momentum, new.module_.norm.eps) == (0.5, 0.3)
    else:
        assert new.criterion_.label_smoothing == 0.3
        assert new.criterion_.weight.tolist() == [1.0, 2.0, 0.5]


@quiet
def test_hooks_on_gradients_still_mask_them():
    X, y = rows()
    net = odd_net("masked gradient")
    before = net.module_.out.weight.detach().clone()
    unlearner = FineTuneUnlearner(FrozenEstimator(net), lr=1.0, random_state=0).fit(X, y)
    after = unlearner.unlearn(indices=[0]).estimator_.module_.out.weight
    moved = (after != before).any(0)
    assert moved.tolist() == net.module_.mask[0].bool().tolist()


@quiet
def test_what_is_looked_at_through_a_view_or_a_hook_is_the_copys_own():
    tied = copy_net(odd_net("tied weights")).module_
    assert tied.again.weight is tied.hidden.weight
    assert tied.seen.data_ptr() == tied.hidden.weight.data_ptr()
    net = odd_net("hooks")
    hooked = copy_net(net).module_
    assert hooked.parent() is hooked
    assert hooked.act.__defaults__ == (hooked,)
    hooked(torch.zeros(7, 4))
    assert len(hooked.kept) == 7 != len(net.module_.kept)
    uncopyable = odd_net("uncopyable")
    new = copy_net(uncopyable).module_
    assert new.lock is uncopyable.module_.lock
    assert new.tools[0] is uncopyable.module_.tools[0]
    assert new.tools[1] is not uncopyable.module_.tools[1]
    assert torch.rand(1, generator=new.generator) == torch.rand(
        1, generator=uncopyable.module_.generator
    )


class Refuses(MLP):
    """Cannot be copied by any means."""

    def __deepcopy__(self, memo):
        raise RuntimeError("no second of me")


def test_what_cannot_be_copied_is_named():
    X, y = rows()
    unlearner = FineTuneUnlearner(make_net(max_epochs=1).set_params(module=Refuses)).fit(X, y)
    with pytest.raises(TypeError, match=r"cannot be copied.*no second of me.*__deepcopy__"):
        unlearner.unlearn(indices=[0])


class Thresholded(NeuralNetClassifier):
    """Learns an average of its weights beside them, and notes its rows' number."""

    def on_batch_end(self, net, training=False, **kwargs):
        if training:
            self.mean_ = {k: v.clone() for k, v in self.module_.state_dict().items()}


@quiet
def test_attributes_of_the_net_come_along():
    X, y = rows()
    net = Thresholded(
        MLP, criterion=nn.CrossEntropyLoss, max_epochs=1, train_split=None, verbose=0
    ).fit(X, y)
    net.threshold = 0.3
    new = copy_net(net)
    assert new.threshold == 0.3
    assert new.mean_.keys() == net.mean_.keys()
    assert all(new.mean_[key] is not net.mean_[key] for key in net.mean_)
    net.get_loss = net.get_loss  # a bound method on the instance
    assert copy_net(net).get_loss.__self__ is not net


# ------------------------------------------------------------------ layers made of others


@quiet
def test_pruned_weights_stay_pruned():
    X, y = rows()
    net = odd_net("pruned")
    unlearner = FineTuneUnlearner(FrozenEstimator(net), lr=0.5, random_state=0).fit(X, y)
    new = unlearner.unlearn(indices=[0, 1]).estimator_.module_
    zero = net.module_.hidden.weight_mask == 0
    assert zero.sum() == 32
    assert (new.hidden.weight[zero] == 0).all()
    assert not torch.equal(new.hidden.weight, net.module_.hidden.weight)


@quiet
@pytest.mark.parametrize("kind", ["pruned", "normalised weights"])
def test_methods_that_edit_layers_reach_the_weights_that_count(kind, stop):
    X, y = rows()
    net = odd_net(kind, callbacks=[("stop", Stop())])
    stop.now = True
    frozen = FrozenEstimator(net)
    with torch.no_grad():
        net.module_.eval()(torch.zeros(1, 4))
        before = net.module_.hidden.weight.detach().clone()
    for cls in (NoTUnlearner, MSGUnlearner):
        unlearner = cls(frozen, max_epochs=1, random_state=0).fit(X, y).unlearn(indices=[0, 1])
        module = unlearner.estimator_.module_
        with torch.no_grad():
            module(torch.zeros(1, 4))
        if cls is NoTUnlearner:
            torch.testing.assert_close(module.hidden.weight.detach(), -before)
        else:
            assert not torch.allclose(module.hidden.weight, before)
    unlearner = EUkUnlearner(frozen, max_epochs=1, random_state=0).fit(X, y)
    if kind == "pruned":
        module = unlearner.unlearn(indices=[0, 1]).estimator_.module_
        assert not (module.out.weight_orig == net.module_.out.weight_orig).any()
        assert torch.equal(module.out.weight_mask, net.module_.out.weight_mask)
        assert "weight" not in module.out._parameters
    else:
        with pytest.raises(UnlearningError, match="parametrizations"):
            unlearner.unlearn(indices=[0, 1])
