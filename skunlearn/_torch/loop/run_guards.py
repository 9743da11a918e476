"""What a run is guarded against: Ctrl-C, scores that fail, other weights to start, torch's errors.

skorch's ``fit`` takes Ctrl-C and the KeyboardInterrupt by which a callback ends a training both for
an end in good order. An unlearning must not: a model half-way through it has not forgotten.
"""

import os
import re
import signal
import threading
import traceback
from contextlib import ExitStack, contextmanager
from functools import partial

import numpy as np
import torch
from sklearn.exceptions import UndefinedMetricWarning
from skorch import NeuralNet
from skorch.callbacks import BatchScoring, Callback, EpochScoring, ParamMapper

from skunlearn._rows import checking
from skunlearn._torch.loop import epoch_loop
from skunlearn._torch.parts.net_state import holds, named_tensors, set_weights, weights
from skunlearn._torch.skorch_nets import overridden
from skunlearn.exceptions import UnlearningError

_TORCH, _OURS = (os.path.dirname(path) for path in (torch.__file__, __file__))

_ADVICE = (
    "\nIf this cannot be changed in the net, use a method that asks less of it: RetrainUnlearner "
    "only trains it."
)


@contextmanager
def watched_interrupts():
    """Give the list of the KeyboardInterrupts that come from a signal inside the block.

    Python raises such a one in the main thread only, from the handler of SIGINT, at whatever line
    runs just then, be it inside a callback.
    """
    pressed = []
    plain = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(plain):
        yield pressed
        return

    def note(number, frame):
        try:
            plain(number, frame)
        except KeyboardInterrupt as error:
            pressed.append(error)
            raise

    try:
        signal.signal(signal.SIGINT, note)
        yield pressed
    finally:
        if signal.getsignal(signal.SIGINT) is note:  # else a callback has set its own
            signal.signal(signal.SIGINT, plain)


def is_own_stop(error, pressed):
    """Whether a KeyboardInterrupt was raised by a callback and has nothing to do with Ctrl-C."""
    seen = error
    while seen is not None:
        if any(seen is other for other in pressed):
            return False
        seen = seen.__cause__ or seen.__context__
    entry = error.__traceback__
    while entry is not None:
        if entry.tb_frame.f_code in _TELLING:
            return True
        entry = entry.tb_next
    return False


_TELLING = (NeuralNet.notify.__code__, epoch_loop.tell.__code__)


@contextmanager
def lenient_scores(net):
    """Let scores that fail be NaN, with a warning, as scikit-learn's searches have it.

    Rows to forget may all be of one class, and the rows that stay lack one: an ROC AUC is undefined
    then, which is no reason to forget nothing.
    """
    with ExitStack() as stack:
        for _, callback in net.callbacks_:
            if isinstance(callback, EpochScoring | BatchScoring):
                score = partial(_score_if_possible, callback, callback._scoring, [])
                stack.enter_context(overridden(callback, _scoring=score))
        yield


def _score_if_possible(callback, score, failed, net, X_test, y_test):
    try:
        return score(net, X_test, y_test)
    except Exception as error:
        if not failed:
            failed.append(error)
            checking.warn(
                f"The callback that scores {callback.name_!r} failed on the rows of this "
                f"training, and its score is NaN: {type(error).__name__}: {error}",
                UndefinedMetricWarning,
            )
        return np.nan


def shapes_start(net):
    """Whether the net or a callback of the user's may change weights before the first batch."""
    for event in ("on_train_begin", "on_epoch_begin"):
        for listener in epoch_loop.find_listeners(net, event):
            owner = getattr(listener, "__self__", None)
            code = listener if owner is net else type(owner)
            known = code.__module__.partition(".")[0] in ("skorch", "skunlearn")
            if not known or isinstance(owner, ParamMapper):
                return True
    return False


class KeptStart(Callback):
    """Put back what callbacks before this one have done to the weights before the first batch.

    A user's own initialisation, or pretrained weights loaded when a training begins, are for
    trainings from scratch.

    Parameters
    ----------
    net : skorch net, as it is to start
    """

    def __init__(self, net):
        self.attributes = {
            f"{name}_": getattr(net, f"{name}_")
            for name in (*net._modules, *net._criteria, *net._optimizers)
        }
        self.held, self.state = named_tensors(net), weights(net)

    def on_train_begin(self, net, **kwargs):
        """Put the weights back."""
        # A module built anew comes with an optimizer of its own.
        vars(net).update(self.attributes)
        if holds(net, self.state):
            return
        self._write_back(net)
        try:
            set_weights(net, self.state)
        except RuntimeError as error:
            raise UnlearningError(
                "A callback has changed the net's layers at the beginning of a request, which "
                f"starts from the net as it is: {error} Let the module's __init__ make them."
            ) from error

    def on_epoch_begin(self, net, **kwargs):
        """Put them back, before the first epoch."""
        if self.state is not None:
            self.on_train_begin(net)
            self.held = self.state = None

    @torch.no_grad()
    def _write_back(self, net):
        """Into tensors that were only written to, so that they stay what a method refers to.

        Layers that rest while others learn would stay frozen, had they been replaced.
        """
        for key, tensor in named_tensors(net).items():
            held, value = self.held.get(key), self.state.get(key)
            same = held is not None and held.data_ptr() == tensor.data_ptr()
            if same and held.shape == tensor.shape == value.shape and tensor.dtype == value.dtype:
                tensor.copy_(value)


@contextmanager
def telling_outputs():
    """Say of what a module returns that it is no tensor, where its loss is given it."""
    try:
        yield
    except TypeError as error:
        about_output = _tell_output(error)
        if about_output is None:
            raise
        raise TypeError(about_output) from error


NO_TENSOR = (
    "The net's loss takes a tensor, and the module returns a {}. Let it return the logits (for one "
    "of transformers a module around it, whose forward returns self.model(**tokens).logits), or "
    "give the net a get_loss that finds them."
)


def _tell_output(error):
    """What is wrong with a module's output that its loss refuses; None of another error."""
    other = re.match(r"\w+_loss\w*\(\): .*'input' .*must be Tensor, not (.*)", str(error))
    if other is None:
        return None
    return NO_TENSOR.format(other[1])


@contextmanager
def telling_torch_errors(method, is_exact):
    """Raise an UnlearningError that names the method where PyTorch refuses what it asks of a net.

    A second derivative that a layer does not have, say, or a gradient by the rows that does not
    exist. Errors from the user's own code (a module, a callback) stay what they are, and so does a
    lack of memory.
    """
    try:
        yield
    except (RuntimeError, TypeError, ValueError, AttributeError) as error:
        if not _is_torchs(error):
            raise
        about_output = _tell_output(error)
        if about_output:
            raise UnlearningError(f"{about_output} The model is as it was before.") from error
        raise UnlearningError(
            f"{method} asks for something that PyTorch cannot do with this net. The model is as it "
            f"was before. PyTorch says: {error}" + ("" if is_exact else _ADVICE)
        ) from error


def _is_torchs(error):
    if isinstance(error, torch.OutOfMemoryError) or type(error).__module__.startswith("skunlearn"):
        return False
    where = traceback.extract_tb(error.__traceback__)[-1].filename
    # What PyTorch's compiled part raises has no frame of its own.
    compiled = type(error) in (RuntimeError, NotImplementedError) and where.startswith(_OURS)
    return compiled or where.startswith(_TORCH)
