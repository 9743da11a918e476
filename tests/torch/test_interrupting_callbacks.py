"""Ctrl-C and other interrupts, inside of callbacks and outside."""

import _thread
import os
import signal
import threading

import pytest
import torch
from skorch.callbacks import Callback
from torch.utils.data import TensorDataset

from skunlearn import FineTuneUnlearner
from skunlearn._torch.loop.run_guards import watched_interrupts
from skunlearn.utils._check_tools import Snapshot, ctrl_c
from tests.instances import make_net
from tests.small import FORGET, net, quiet
from tests.torch.callback_tools import Pressed, Stops, _raise

pytestmark = quiet


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
