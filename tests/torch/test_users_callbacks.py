"""Callbacks that act at the beginning, that stop a training, and that cannot be copied."""

import _thread
import os
import pickle
import signal
import threading

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import (
    Callback,
    EarlyStopping,
    Freezer,
    Initializer,
    LRScheduler,
    ParamMapper,
    TensorBoard,
    Unfreezer,
)
from torch.utils.data import TensorDataset

from skunlearn import (
    FineTuneUnlearner,
    NegGradPlusUnlearner,
    RandomLabelUnlearner,
    RetrainUnlearner,
    RUMUnlearner,
    SCRUBUnlearner,
    ShardedUnlearner,
    UNSIRUnlearner,
)
from skunlearn._torch.loop.run_guards import watched_interrupts
from skunlearn._torch.skorch_nets import copy_net
from skunlearn.evaluation import relearn_time, relearning_attack
from skunlearn.exceptions import UnlearningError
from skunlearn.model_selection import ForgetSplit
from skunlearn.utils._check_tools import Snapshot, ctrl_c, parameters, same_parameters
from tests.instances import make_net
from tests.small import FORGET, net, quiet

pytestmark = quiet
METHODS = (
    *(FineTuneUnlearner, NegGradPlusUnlearner, RandomLabelUnlearner, RUMUnlearner),
    *(SCRUBUnlearner, UNSIRUnlearner),
)
methods = pytest.mark.parametrize("cls", METHODS)


def ones(p):
    torch.nn.init.constant_(p, 1.0)


def tiny(cls, model, **params):
    """An unlearner whose steps are too short to move a weight far."""
    if cls is not RUMUnlearner:
        params = {"lr": 1e-9, "max_epochs": 2} | params
    else:
        params["unlearners"] = [tiny(FineTuneUnlearner, model)]
    return cls(model, random_state=0, **params)


def moved(unlearner):
    """Largest change of a weight by a request."""
    before = parameters(unlearner.estimator_)
    after = parameters(unlearner.unlearn(indices=FORGET).estimator_)
    return max(np.abs(before[key] - after[key]).max() for key in before)


# ------------------------------------------------------------------ the beginning


@methods
@pytest.mark.parametrize(
    "callback",
    [
        Initializer("*.weight", fn=ones),
        Initializer("*.weight", fn=ones, at=2),
        ParamMapper("*.weight", fn=ones, at=1),
    ],
    ids=["Initializer", "in the second epoch", "ParamMapper"],
)
def test_initialisers_act_in_trainings_from_scratch_only(data, cls, callback):
    X, y = data
    model = net(callbacks=[("init", callback)], max_epochs=3, lr=1e-9)
    unlearner = tiny(cls, model).fit(X, y)
    weight = unlearner.estimator_.module_.hidden.weight
    assert torch.allclose(weight, torch.ones_like(weight))
    with torch.no_grad():
        for p in unlearner.estimator_.module_.parameters():
            p.mul_(2)
    assert moved(unlearner) < 1e-4


def test_initialisers_act_again_where_a_training_is_from_scratch(data):
    X, y = data
    model = net(callbacks=[("init", Initializer("*.weight", fn=ones))], lr=1e-9)
    unlearner = RetrainUnlearner(model, random_state=0).fit(X, y).unlearn(indices=FORGET)
    weight = unlearner.estimator_.module_.hidden.weight
    assert torch.allclose(weight, torch.ones_like(weight))


class OwnStart(Callback):
    """A user's own initialisation, when a training or its first epoch begins."""

    def __init__(self, event="on_train_begin"):
        self.event = event

    def on_train_begin(self, net, **kwargs):
        if self.event == "on_train_begin":
            net.module_.load_state_dict(
                {k: torch.ones_like(v) for k, v in net.module_.state_dict().items()}
            )

    def on_epoch_begin(self, net, **kwargs):
        if self.event == "on_epoch_begin" and len(net.history) == 1:
            net.module_.apply(_reset)


def _reset(module):
    if isinstance(module, torch.nn.Linear):
        module.reset_parameters()


class BuildsAnew(Callback):
    """As skorch's documentation has it for input sizes: a module built anew."""

    def on_train_begin(self, net, **kwargs):
        net.set_params(module__hidden=7)


@methods
@pytest.mark.parametrize(
    "callback",
    [OwnStart(), OwnStart("on_epoch_begin"), BuildsAnew()],
    ids=["train", "epoch", "module"],
)
def test_a_users_own_initialisation_is_kept_out_of_requests(data, cls, callback):
    X, y = data
    model = net(callbacks=[("own", callback)], max_epochs=3)
    unlearner = tiny(cls, model).fit(X, y)
    assert moved(unlearner) < 1e-4
    if isinstance(callback, BuildsAnew):
        assert unlearner.estimator_.module_.hidden.out_features == 7


class GrowsAHead(Callback):
    """Puts a layer of another shape into the module."""

    def on_train_begin(self, net, **kwargs):
        net.module_.out = torch.nn.Sequential(net.module_.out, torch.nn.Linear(3, 3))


def test_layers_changed_at_the_beginning_of_a_request_are_an_error(data):
    X, y = data
    trained = net().fit(X, y)
    trained.set_params(callbacks=[("grow", GrowsAHead())])
    unlearner = FineTuneUnlearner(FrozenEstimator(trained), random_state=0).fit(X, y)
    state = Snapshot(unlearner, X)
    with pytest.raises(UnlearningError, match="changed the net's layers at the beginning"):
        unlearner.unlearn(indices=FORGET)
    state.check("layers that grow")


def test_what_was_frozen_stays_frozen_and_what_thawed_learns(data):
    X, y = data
    callbacks = [
        ("freeze", Freezer(["hidden.*", "out.bias"])),
        ("thaw", Unfreezer("out.bias", at=3)),
    ]
    unlearner = FineTuneUnlearner(net(callbacks=callbacks), max_epochs=2, random_state=0)
    unlearner.fit(X, y)
    before = parameters(unlearner.estimator_)
    after = parameters(unlearner.unlearn(indices=FORGET).estimator_)
    assert np.array_equal(before["module.hidden.weight"], after["module.hidden.weight"])
    assert not np.array_equal(before["module.out.bias"], after["module.out.bias"])


def clamp(p):
    with torch.no_grad():
        p.clamp_(-0.1, 0.1)


def test_a_constraint_of_every_epoch_goes_on(data):
    X, y = data
    constraint = ParamMapper("*", fn=clamp, at=lambda net: True)
    model = net(callbacks=[("bound", constraint)], lr=0.5)
    unlearner = FineTuneUnlearner(model, max_epochs=3, random_state=0).fit(X, y)
    mappers = [cb for _, cb in copy_net(unlearner.estimator_).callbacks_]
    assert any(isinstance(cb, ParamMapper) for cb in mappers)
    before = parameters(unlearner.estimator_)
    assert max(np.abs(v).max() for v in before.values()) > 0.1  # after the last epoch's steps
    unlearner.unlearn(indices=FORGET)


def test_attacks_that_train_start_from_the_model_too(data):
    X, y = data
    model = net(callbacks=[("init", Initializer("*.weight", fn=ones))], max_epochs=20)
    unlearner = RetrainUnlearner(model, random_state=0).fit(X, y)
    models = {"original": unlearner.estimator_}
    models["retrained"] = unlearner.unlearn(indices=FORGET).estimator_
    found = relearning_attack(models, X[FORGET], y[FORGET], k=3, lr=1e-9, n_repeats=1)
    assert found["after"].tolist() == found["before"].tolist()
    table = relearn_time(models, X[FORGET], y[FORGET], lr=[1e-9], max_epochs=1)
    assert np.isinf(table["steps"]["retrained"]).all()


# ------------------------------------------------------------------ stops and interrupts


class Stops(Callback):
    """Ends a training by KeyboardInterrupt, as skorch's EarlyStopping does."""

    log = []

    def __init__(self, event="on_epoch_end", at=2, how=None):
        self.event, self.at, self.how = event, at, how

    def initialize(self):
        self.count_, self.ended_ = 0, False
        return self

    def _tick(self, event):
        if event == self.event:
            self.count_ += 1
            if self.count_ == self.at:
                (_raise if self.how is None else self.how)()

    def on_train_end(self, net, **kwargs):
        self.ended_ = True
        Stops.log.append(len(net.history))

    def on_epoch_begin(self, net, **kwargs):
        self._tick("on_epoch_begin")

    def on_epoch_end(self, net, **kwargs):
        self._tick("on_epoch_end")

    def on_batch_begin(self, net, **kwargs):
        self._tick("on_batch_begin")

    def on_batch_end(self, net, **kwargs):
        self._tick("on_batch_end")

    def on_grad_computed(self, net, named_parameters, **kwargs):
        self._tick("on_grad_computed")


def _raise():
    raise KeyboardInterrupt


EVENTS = ("on_epoch_begin", "on_epoch_end", "on_batch_begin", "on_batch_end", "on_grad_computed")


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("short", [True, False])
def test_a_callback_ends_trainings_in_good_order(data, event, short, monkeypatch):
    """In skunlearn's own loop and in skorch's."""
    X, y = data
    if not short:
        monkeypatch.setattr("skunlearn._torch.loop.epoch_loop._is_plain", lambda net: False)
    model = net(callbacks=[("stop", Stops(event))], max_epochs=9)
    unlearner = FineTuneUnlearner(model, max_epochs=5, random_state=0)
    handler = signal.getsignal(signal.SIGINT)
    Stops.log.clear()
    unlearner.fit(X, y)
    assert len(unlearner.estimator_.history) <= 2
    unlearner.unlearn(indices=FORGET)
    assert len(Stops.log) == 2
    assert max(Stops.log) <= 2
    assert dict(unlearner.estimator_.callbacks_)["stop"].ended_
    assert len(unlearner.deletions_) == 1
    assert signal.getsignal(signal.SIGINT) is handler
    plain = clone(model).set_params(verbose=0).fit(X, y)
    assert len(plain.history) == len(unlearner.estimator_.history)


@methods
def test_every_method_takes_the_stop(data, cls):
    X, y = data
    unlearner = tiny(cls, net(callbacks=[("stop", Stops(at=1))])).fit(X, y)
    unlearner.unlearn(indices=FORGET)
    assert len(unlearner.deletions_) == 1


PHASED = {
    SCRUBUnlearner: ({"rewind": None}, 2),
    RandomLabelUnlearner: ({"order": "sequential"}, 2),
    UNSIRUnlearner: ({"impair_epochs": 2}, 3),
}


@pytest.mark.parametrize("cls", PHASED)
@pytest.mark.parametrize("event", ["on_epoch_end", "on_batch_end"])
def test_a_stop_ends_methods_of_several_phases_with_the_epoch(data, cls, event):
    X, y = data
    params, trainings = PHASED[cls]
    model = net(callbacks=[("stop", Stops(event, at=1))])
    unlearner = tiny(cls, model, max_epochs=6, **params).fit(X, y)
    Stops.log.clear()
    unlearner.unlearn(indices=np.flatnonzero(y == 0) if cls is UNSIRUnlearner else FORGET)
    assert len(Stops.log) == trainings


def test_shards_take_the_stop(data):
    X, y = data
    model = net(callbacks=[("stop", Stops(at=1))])
    ShardedUnlearner(model, n_shards=2, random_state=0).fit(X, y).unlearn(indices=FORGET)


def test_early_stopping_of_a_users_own_class(data):
    X, y = data

    class Mine(EarlyStopping):
        def on_epoch_end(self, net, **kwargs):
            self.misses_ = -5  # what it counts is its own business
            if len(net.history) == 2:
                raise KeyboardInterrupt

    model = net(callbacks=[("stop", Mine(monitor="train_loss"))], max_epochs=9)
    unlearner = FineTuneUnlearner(model, max_epochs=5, random_state=0).fit(X, y)
    unlearner.unlearn(indices=FORGET)
    assert len(unlearner.estimator_.history) == 2


def press():
    """Ctrl-C."""
    os.kill(os.getpid(), signal.SIGINT)
    for _ in range(1000):  # the handler runs between two instructions
        pass


def press_in_a_thread():
    thread = threading.Thread(target=_thread.interrupt_main)
    thread.start()
    thread.join()
    for _ in range(1000):
        pass


def press_and_raise():
    """A callback that tidies up after Ctrl-C, and ends the training with an error of its own."""
    try:
        press()
    except KeyboardInterrupt:
        raise KeyboardInterrupt("tidied up")  # noqa: B904


def press_and_pass_on():
    try:
        press()
    finally:
        pass


PRESSES = [press, press_in_a_thread, press_and_raise, press_and_pass_on]


@pytest.mark.parametrize("how", PRESSES)
@pytest.mark.parametrize("event", ["on_epoch_end", "on_grad_computed"])
def test_ctrl_c_inside_a_callback_rolls_back(data, how, event):
    X, y = data
    model = net(callbacks=[("stop", Stops(event, at=7))], max_epochs=2)
    unlearner = FineTuneUnlearner(model, max_epochs=8, random_state=0).fit(X, y)
    state = Snapshot(unlearner, X)
    # In place of the recipe's, for the request alone.
    unlearner.estimator_.callbacks = [("stop", Stops(event, at=7, how=how))]
    with ctrl_c(), pytest.raises(KeyboardInterrupt):
        unlearner.unlearn(indices=FORGET)
    state.check(how.__name__)
    unlearner.estimator_.callbacks = None
    assert len(unlearner.unlearn(indices=FORGET).deletions_) == 1


class Pressed(torch.nn.Module):
    """Is interrupted in the middle of a forward pass."""

    left = None

    def __init__(self, how):
        super().__init__()
        self.out, self.how = torch.nn.Linear(4, 3), how

    def forward(self, X):
        if Pressed.left is not None and self.training:
            Pressed.left -= 1
            if Pressed.left == 0:
                self.how()
        return self.out(X)


@pytest.mark.parametrize("how", [*PRESSES, _raise])
def test_interrupts_outside_of_callbacks_roll_back(data, how):
    X, y = data
    model = make_net(max_epochs=2, batch_size=16, module__how=how).set_params(module=Pressed)
    unlearner = FineTuneUnlearner(model, random_state=0).fit(X, y)
    state = Snapshot(unlearner, X)
    Pressed.left = 3
    try:
        with ctrl_c(), pytest.raises(KeyboardInterrupt):
            unlearner.unlearn(indices=FORGET)
    finally:
        Pressed.left = None
    state.check(how.__name__)


class Loads(TensorDataset):
    """Is interrupted while a row is read."""

    armed = False

    def __getitem__(self, i):
        if Loads.armed:
            raise KeyboardInterrupt
        return super().__getitem__(i)


def test_interrupts_while_rows_are_read_roll_back(data):
    X, y = data
    rows = Loads(torch.from_numpy(X), torch.from_numpy(y))
    unlearner = FineTuneUnlearner(net(max_epochs=1), random_state=0).fit(rows)
    Loads.armed = True
    try:
        with pytest.raises(KeyboardInterrupt):
            unlearner.unlearn(indices=FORGET)
    finally:
        Loads.armed = False
    assert unlearner.deletions_ == []


def test_a_handler_that_a_callback_sets_is_its_own(data):
    """Press to stop in good order: the handler only notes, and the callback stops."""
    X, y = data

    class PressToStop(Callback):
        def on_train_begin(self, net, **kwargs):
            self.pressed_ = False
            self.before_ = signal.signal(signal.SIGINT, self.note)

        def note(self, number, frame):
            self.pressed_ = True

        def on_epoch_end(self, net, **kwargs):
            if len(net.history) == 2:
                press()
            if self.pressed_:
                raise KeyboardInterrupt

        def on_train_end(self, net, **kwargs):
            signal.signal(signal.SIGINT, self.before_)
            self.before_ = None

    with ctrl_c():
        model = net(callbacks=[("press", PressToStop())], max_epochs=9)
        unlearner = FineTuneUnlearner(model, max_epochs=5, random_state=0).fit(X, y)
        unlearner.unlearn(indices=FORGET)
    assert len(unlearner.estimator_.history) == 2


def test_trainings_in_other_threads_take_the_stop_and_no_signal(data):
    X, y = data
    model = net(callbacks=[("stop", Stops(at=1))], max_epochs=9)
    done = []

    def work():
        unlearner = FineTuneUnlearner(model, max_epochs=5, random_state=0).fit(X, y)
        done.append(len(unlearner.unlearn(indices=FORGET).estimator_.history))

    handler = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [1]
    assert signal.getsignal(signal.SIGINT) is handler


def test_a_process_that_ignores_ctrl_c_goes_on_ignoring_it():
    plain = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with watched_interrupts() as pressed:
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
            press()
        assert pressed == []
    finally:
        signal.signal(signal.SIGINT, plain)


# ------------------------------------------------------------------ copies of callbacks


class Locked(Callback):
    """Holds a lock, and counts in an attribute that no parameter of its constructor stands for."""

    def __init__(self):
        self.lock, self.count, self.seen = threading.Lock(), 0, []

    def on_epoch_end(self, net, **kwargs):
        with self.lock:
            self.count += 1
            self.seen.append(len(net.history))


class Writer:
    """Stands for a SummaryWriter of TensorBoard, which holds locks and a thread."""

    def __init__(self):
        self.lock, self.written, self.closed = threading.Lock(), [], 0

    def add_scalar(self, tag, scalar_value, global_step):
        with self.lock:
            self.written.append((tag, global_step))

    def close(self):
        self.closed += 1


class Pressing(Callback):
    """Refuses every kind of copy."""

    def __init__(self):
        self.lock = threading.Lock()

    def __reduce_ex__(self, protocol):
        raise TypeError("no second of me")


def test_callbacks_that_cannot_be_copied(data):
    X, y = data
    writer, own = Writer(), Locked()
    callbacks = [("board", TensorBoard(writer)), ("own", own), ("press", Pressing()), Locked]
    model = net(callbacks=callbacks, max_epochs=3)
    unlearner = FineTuneUnlearner(model, max_epochs=2, random_state=0).fit(X, y)
    fitted = dict(unlearner.estimator_.callbacks_)["own"]
    assert fitted.seen == [1, 2, 3]
    written = len(writer.written)
    assert written >= 3
    unlearner.unlearn(indices=FORGET)
    now = dict(unlearner.estimator_.callbacks_)["own"]
    assert len(writer.written) > written  # the writer is one
    assert writer.closed == 2
    assert (fitted.count, own.count) == (3, 0)  # while counts are each their own
    assert now.lock is fitted.lock is own.lock
    assert not same_parameters(
        parameters(unlearner.estimator_), parameters(clone(unlearner).fit(X, y).estimator_)
    )


class Shared(Writer):
    """Stands for itself where it is copied."""

    def __deepcopy__(self, memo):
        return self


def test_slices_of_shards_take_them(data):
    X, y = data
    writer = Writer()
    model = net(callbacks=[("board", TensorBoard(writer))], max_epochs=2)
    ShardedUnlearner(model, n_shards=2, n_slices=2, random_state=0).fit(X, y).unlearn(indices=[0])
    assert writer.closed >= 5


def test_inside_other_estimators_they_are_named(data):
    """Which scikit-learn clones by itself."""
    X, y = data

    def unlearner(writer):
        model = net(callbacks=[("board", TensorBoard(writer))], max_epochs=1)
        return RetrainUnlearner(Pipeline([("scale", StandardScaler()), ("net", model)]))

    with pytest.raises(TypeError, match=r"Pipeline cannot be cloned.*lock.*__deepcopy__"):
        unlearner(Writer()).fit(X, y)
    shared = Shared()
    unlearner(shared).fit(X, y).unlearn(indices=FORGET)
    assert shared.closed == 2


def test_searches_and_clones_take_them(data):
    X, y = data
    forget = np.arange(60) % 4 == 0
    model = net(callbacks=[("own", Locked()), ("board", TensorBoard(Writer()))], max_epochs=1)
    search = GridSearchCV(
        FineTuneUnlearner(model, random_state=0),
        {"lr": [0.1, 0.2]},
        cv=ForgetSplit(2, forget=forget, random_state=0),
        error_score="raise",
    )
    search.fit(X, y, forget=forget)
    again = clone(search.best_estimator_)
    assert again.estimator is not search.best_estimator_.estimator
    assert again.get_params(deep=False).keys() == search.best_estimator_.get_params(False).keys()


def test_files_do_not_mind_them_and_pickles_name_them(data, tmp_path):
    X, y = data
    model = net(callbacks=[("own", Locked())], max_epochs=1)
    unlearner = FineTuneUnlearner(model, random_state=0).fit(X, y).unlearn(indices=FORGET)
    unlearner.save(tmp_path / "model")
    loaded = FineTuneUnlearner(model).load(tmp_path / "model")
    assert np.array_equal(loaded.predict_proba(X), unlearner.predict_proba(X))
    with pytest.raises(TypeError, match="lock"):
        pickle.dumps(unlearner)


def test_copies_keep_the_parameters_and_start_without_a_past(data):
    X, y = data
    scheduler = LRScheduler("StepLR", step_size=1, gamma=0.5)
    callbacks = [("rate", scheduler), ("init", Initializer("*.bias", fn=ones))]
    model = make_net(callbacks=callbacks, max_epochs=3, verbose=0, module__how=None)
    model.set_params(module=Pressed).fit(X, y)
    new = copy_net(model)
    rate = dict(new.callbacks_)["rate"]
    assert rate is not scheduler
    assert (rate.step_size, rate.gamma, rate.lr_scheduler_) == (1, 0.5, None)
    # The recipe keeps all of them, for a training from scratch.
    assert [name for name, _ in new.callbacks] == ["rate", "init"]
    assert [name for name, _ in new.callbacks_ if name in ("rate", "init")] == ["rate"]
