"""A net as it was early in its training, in a file: weights, optimizer state, and rates to come."""

import contextlib
import json
import os
import uuid
import weakref
from dataclasses import dataclass

import numpy as np
from skorch.callbacks import Callback
from skorch.dataset import get_len

from skunlearn._files import tensor_files
from skunlearn._files.own_folder import Folder
from skunlearn._torch import portable
from skunlearn._torch.batches.batching import n_batches
from skunlearn._torch.loop.learning_rates import rates, set_rates
from skunlearn._torch.parts.net_state import weights
from skunlearn.exceptions import UnlearningError

_MOST = 1000  # learning rates that are kept of the rest of a training


@dataclass(frozen=True)
class EarlyState:
    """Where the file is, and how the training went on.

    Attributes
    ----------
    folder : Folder
    name : str or None
        Of the file; None where the training was over before there was anything to keep.
    course : ndarray of shape (n, n_groups)
        Learning rates from there to the end of the recipe; NaN where an optimizer has none.
    epochs : float
        What the state has been trained for, since its weights were drawn.
    """

    folder: Folder
    name: str | None
    course: np.ndarray
    epochs: float

    @property
    def path(self):
        """Of the file, or None."""
        return None if self.name is None else os.path.join(self.folder.path, self.name)

    def put_into(self, net):
        """Give a net of the same layers the weights, and its new optimizers the state, of then."""
        tensors, state = tensor_files.read(self.path)
        try:
            portable.adopt(net, tensor_files.part(tensors, "net."), state["frozen"])
        except RuntimeError as error:
            raise UnlearningError(
                f"The net's layers are no longer those of its checkpoint: {error} Fit again."
            ) from error
        for name, known in state["optimizers"].items():
            optimizer = getattr(net, name + "_")
            now = optimizer.state_dict()
            if [len(g["params"]) for g in now["param_groups"]] != known["groups"]:
                continue  # another set of parameters learns now: it starts anew
            held = {int(i): dict(plain) for i, plain in known["plain"].items()}
            for key, tensor in tensor_files.part(tensors, f"{name}.").items():
                number, entry = key.split(".", 1)
                held.setdefault(int(number), {})[entry] = tensor
            optimizer.load_state_dict({"state": held, "param_groups": now["param_groups"]})


class Unsettled:
    """The file of a request that may still be refused: it goes when nobody refers to this."""

    def __init__(self, path):
        self._end = weakref.finalize(self, _unlink, path)

    def settle(self):
        """Let the file stay."""
        if hasattr(self, "_end"):
            self._end.detach()

    def drop(self):
        """Delete it now."""
        self._end()

    def __getstate__(self):
        return {}  # a copy does not own the file


def _unlink(path):
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def write_state(net, path):
    """Write what `EarlyState.put_into` reads."""
    tensors = {f"net.{key}": value.contiguous().cpu() for key, value in weights(net).items()}
    optimizers = {}
    for name in net._optimizers:
        held = getattr(net, name + "_").state_dict()
        found = _split(held["state"])
        if found is None:
            continue
        tensors |= {f"{name}.{key}": value for key, value in found[0].items()}
        groups = [len(group["params"]) for group in held["param_groups"]]
        optimizers[name] = {"groups": groups, "plain": found[1]}
    tensor_files.write(
        path, tensors, {"frozen": portable.name_frozen(net), "optimizers": optimizers}
    )


def _split(state):
    """Tensors of an optimizer's state by name, and its numbers; None where it holds other things.

    Such an optimizer (L-BFGS) starts anew.
    """
    tensors, numbers = {}, {}
    for index, entries in state.items():
        for key, value in entries.items():
            if hasattr(value, "detach"):
                tensors[f"{index}.{key}"] = value.detach().clone().contiguous().cpu()
                continue
            try:
                json.dumps(value, allow_nan=False)
            except (TypeError, ValueError):
                return None
            numbers.setdefault(str(index), {})[key] = value
    return tensors, numbers


class Keeper(Callback):
    """Write the state of a net to a file after a share of its training, and note the rates.

    Parameters
    ----------
    folder : Folder
    share : float
        Of the steps; at least one, and never all.
    before : EarlyState or None
        What the training goes on from.
    """

    def __init__(self, folder, share, before=None):
        self.folder, self.share, self.before = folder, share, before
        self.unsettled_ = None

    def on_train_begin(self, net, X=None, **kwargs):
        """Choose the step."""
        self.per_epoch_ = max(1, n_batches(net, get_len(X)))
        steps = net.max_epochs * self.per_epoch_
        self.at_, self.step_ = min(max(1, round(self.share * steps)), steps - 1), 0
        self.name_, self.unsettled_, self.rates_ = None, None, []

    def on_batch_begin(self, net, training=False, **kwargs):
        """Note the rates of the steps that follow."""
        if training and self.before is None and self.step_ >= self.at_:
            self.rates_.append(rates(net))

    def on_batch_end(self, net, training=False, **kwargs):
        """Write, when it is time."""
        self.step_ += bool(training)
        if training and self.step_ == self.at_:
            name = f"{uuid.uuid4().hex}.safetensors"
            path = os.path.join(self.folder.path, name)
            write_state(net, path)
            self.name_, self.unsettled_ = name, Unsettled(path)

    def kept(self):
        """`EarlyState` of the training that is over."""
        epochs = self.at_ / self.per_epoch_
        if self.before is not None:
            return EarlyState(
                self.folder, self.name_, self.before.course, self.before.epochs + epochs
            )
        return EarlyState(self.folder, self.name_, _thin_out(self.rates_), epochs)


def _thin_out(found):
    course = np.array([[np.nan if r is None else r for r in each] for each in found], dtype=float)
    if len(course) > _MOST:
        course = course[np.linspace(0, len(course) - 1, _MOST).round().astype(int)]
    same = len(course) and np.array_equal(course, np.repeat(course[:1], len(course), 0), True)
    return course[:1] if same else course


class ReplayedRates(Callback):
    """Let the learning rates take the course that they took once, over however many steps.

    Parameters
    ----------
    course : ndarray of shape (n, n_groups)
    """

    sets_learning_rate = True

    def __init__(self, course):
        self.course = course

    def on_train_begin(self, net, X=None, **kwargs):
        """Count the steps."""
        self.step_ = 0
        self.n_steps_ = net.max_epochs * max(1, n_batches(net, get_len(X)))

    def on_batch_begin(self, net, training=False, **kwargs):
        """Set the rates of this step."""
        if training and len(self.course):
            place = int(self.step_ / self.n_steps_ * len(self.course))
            given = self.course[min(place, len(self.course) - 1)]
            set_rates(net, [None if np.isnan(rate) else float(rate) for rate in given])
            self.step_ += 1
