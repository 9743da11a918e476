"""An error or interrupt at any step of `unlearn` leaves the old model, bit for bit."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from skunlearn import FineTuneUnlearner, ProximalUnlearner, RetrainUnlearner
from skunlearn.exceptions import UnlearningError
from skunlearn.utils._check_tools import Fault, Snapshot, faults, outcome
from tests.instances import make_net
from tests.turns import crossed_in_turns

METHODS = {
    "retrain": (RetrainUnlearner, {}),
    "finetune": (FineTuneUnlearner, {"max_epochs": 2}),
    "finetune early": (FineTuneUnlearner, {"max_epochs": 2, "early_stopping": True}),
    "proximal": (ProximalUnlearner, {"max_epochs": 2, "norm": "fisher", "fisher_rows": 10}),
    "softened": (ProximalUnlearner, {"max_epochs": 2, "softening": "confidence"}),
}


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(50, 4)).astype(np.float32)
    return X, rng.integers(0, 3, 50)


def make(method, **kwargs):
    cls, params = METHODS[method]
    net = make_net(
        module__n_out=3, batch_size=16, max_epochs=2, callbacks=[("fault", Fault())], **kwargs
    )
    return cls(net, random_state=0, **params)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    "method, error",
    crossed_in_turns(METHODS, [RuntimeError, KeyboardInterrupt, SystemExit], every=2),
)
def test_fault_at_every_event(data, method, error):
    X, y = data
    unlearner = make(method).fit(X, y).unlearn(indices=[40])
    expected = make(method).fit(X, y).unlearn(indices=[40])
    Fault.arm(None, -1)
    expected.unlearn(indices=np.arange(8))
    events = Fault.seen
    assert events > 10  # 2 epochs of 3 batches
    state = Snapshot(unlearner, X)
    retained = unlearner._record.retained.copy()
    for at in range(events):
        with faults(unlearner, error, at), pytest.raises(error):
            unlearner.unlearn(indices=np.arange(8))
        state.check(f"{error.__name__} at {at}")
        assert np.array_equal(unlearner._record.retained, retained)
        assert "get_loss" not in vars(unlearner.estimator_)
    unlearner.unlearn(indices=np.arange(8))
    assert np.array_equal(outcome(unlearner, X), outcome(expected, X))


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("method", METHODS)
def test_fault_in_a_second_fit_keeps_the_first(data, method):
    X, y = data
    unlearner = make(method).fit(X, y, forget=np.arange(50) < 4)
    state = Snapshot(unlearner, X)
    for at in (0, 5, 20):
        with faults(unlearner, KeyboardInterrupt, at), pytest.raises(KeyboardInterrupt):
            unlearner.fit(X[::-1], y[::-1], forget=np.arange(50) < 9)
        state.check("an interrupted fit")


@pytest.mark.parametrize(
    "name", ["base.observe_all", "base.log_entry", "_unlearning.removal.derive_seed"]
)
def test_fault_outside_the_training(data, name, monkeypatch):
    X, y = data
    unlearner = make("finetune").fit(X, y)
    state = Snapshot(unlearner, X)

    def fail(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(f"skunlearn.{name}", fail)
        with pytest.raises(KeyboardInterrupt):
            unlearner.unlearn(indices=[1, 2])
    state.check(name)


def test_warning_turned_into_error_changes_nothing(data):
    X, y = data
    unlearner = make("finetune").set_params(lr=1e-9, estimator__max_epochs=60).fit(X, y)
    state = Snapshot(unlearner, X)
    with pytest.raises(UserWarning):  # the suite turns warnings into errors
        unlearner.unlearn(indices=[1, 2])
    state.check("a warning")


@pytest.mark.parametrize("lr", [1e6, 1e30])
def test_divergence_is_an_error(data, lr):
    X, y = data
    unlearner = FineTuneUnlearner(
        make_net(module__n_out=3, max_epochs=2), lr=lr, max_epochs=20, schedule="constant"
    )
    # A squared output makes the loss explode instead of saturating.
    unlearner.set_params(estimator__criterion=_SquareLoss).fit(X, y)
    state = Snapshot(unlearner, X)
    with pytest.raises(UnlearningError, match="learning rate"):
        unlearner.unlearn(indices=[1, 2])
    state.check("a divergence")


class _SquareLoss(torch.nn.CrossEntropyLoss):
    def forward(self, out, y):
        return super().forward(out, y) + (out**4).mean()


def test_outputs_that_overflow_are_an_error(data, monkeypatch):
    X, y = data
    unlearner = make("finetune").fit(X, y)
    state = Snapshot(unlearner, X)

    def explode(self, net, retain, forget):
        with torch.no_grad():
            for p in net.module_.parameters():
                p.fill_(3e38)

    monkeypatch.setattr(FineTuneUnlearner, "_unlearn", explode)
    with pytest.raises(UnlearningError, match="NaN or infinity"):
        unlearner.unlearn(indices=[1, 2])
    state.check("an overflow")


def test_the_old_model_is_not_even_written_to(data, monkeypatch):
    """What `_unlearn` gets shares no memory with the current model."""
    X, y = data
    unlearner = make("finetune").fit(X, y)
    old = unlearner.estimator_
    pointers = {p.data_ptr() for p in old.module_.parameters()}

    def look(self, net, retain, forget):
        assert net is not old
        assert not pointers & {p.data_ptr() for p in net.module_.parameters()}
        ours = {id(cb) for _, cb in net.callbacks_}
        assert not ours & {id(cb) for _, cb in old.callbacks_}
        assert not net.optimizer_.state
        assert len(net.history) == 0
        with torch.no_grad():
            net.module_.out.weight.add_(0.1 * torch.randn_like(net.module_.out.weight))

    monkeypatch.setattr(FineTuneUnlearner, "_unlearn", look)
    monkeypatch.setattr("skunlearn._unlearning.change.MOVED", -np.inf)
    promises = replace(FineTuneUnlearner._promises, accuracy_drop=np.inf)
    monkeypatch.setattr(FineTuneUnlearner, "_promises", promises)
    unlearner.unlearn(indices=[1, 2])
    assert unlearner.estimator_ is not old


@pytest.mark.filterwarnings("ignore::skunlearn.exceptions.ModelDamagedWarning")
def test_settings_of_one_request_do_not_reach_the_next(data):
    X, y = data
    unlearner = FineTuneUnlearner(make_net(module__n_out=3, max_epochs=5), random_state=0)
    unlearner.fit(X, y).set_params(lr=0.05, max_epochs=2, batch_size=8).unlearn(indices=[1])
    net = unlearner.estimator_
    assert (net.lr, net.max_epochs, net.batch_size) == (0.1, 5, 64)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_parameters_are_checked_by_unlearn_too(data):
    X, y = data
    unlearner = ProximalUnlearner(make_net(module__n_out=3, max_epochs=2)).fit(X, y)
    for bad in ({"penalty": -1}, {"penalty": np.nan}, {"lr": np.inf}, {"norm": "l3"}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            ProximalUnlearner(unlearner.estimator).fit(X, y).set_params(**bad).unlearn(indices=[1])
