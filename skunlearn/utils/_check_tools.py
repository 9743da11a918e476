"""Data, faults and snapshots for the checks of the verb `unlearn`."""

import contextlib
import copy
import random
import signal
import threading
import warnings
from functools import wraps
from unittest import SkipTest, mock

import numpy as np
import torch
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils import get_tags
from skorch.callbacks import Callback

from skunlearn._torch.parts.net_state import weights
from skunlearn._torch.skorch_nets import is_net

N_ROWS = 120
# The rows that most checks forget.
FORGET = np.arange(0, 24)
# Rows for a second request.
OTHER = np.arange(40, 64)


def prepare(estimator):
    """A clone with a seed, and its task ``(X, y)``: float64 rows, a tenth of the labels wrong."""
    if isinstance(estimator.estimator, FrozenEstimator):
        raise SkipTest("the checks train the estimator themselves; pass it without FrozenEstimator")
    new = clone(estimator).set_params(random_state=0)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N_ROWS, 8))
    signal = X[:, 0] + X[:, 1]
    noise = np.zeros(N_ROWS, dtype=bool)
    noise[FORGET[::2]] = True
    if is_classifier(new):
        return new, X, np.where(noise, signal <= 0, signal > 0).astype(np.int64)
    return new, X, np.where(noise, -signal, signal) + 0.1 * rng.normal(size=N_ROWS)


# Fits on the task, and answers of others, while checks share them; None otherwise.
_shared = None


@contextlib.contextmanager
def sharing(found):
    """Let checks take copies of what others of one estimator have trained; `found` is a dict.

    Not for everybody: what is copied must be one that ``copy.deepcopy`` copies truly.
    """
    global _shared
    _shared = found
    try:
        yield
    finally:
        _shared = None


def share(key, make):
    """What ``make()`` returns, made once for all checks that share."""
    if _shared is None:
        return make()
    if key not in _shared:
        _shared[key] = make()
    return _shared[key]


def fitted(estimator):
    """As `prepare`, with the clone fitted to its task."""
    new, X, y = prepare(estimator)
    # With the estimator itself, lest another one be given its number.
    _, done = share(("fit", id(estimator)), lambda: (estimator, new.fit(X, y)))
    return twin(done, lambda: done), X, y


def outcome_after(estimator, rows=FORGET, start=None):
    """What a model of the task says of all rows after a request for some.

    `start` is what `fitted` gave to a check that has asked it, and to which the request goes.
    """

    def ask():
        new = fitted(estimator)[0] if start is None else start
        return estimator, outcome(new.unlearn(indices=rows), prepare(estimator)[1])

    return share(("request", id(estimator), tuple(rows)), ask)[1]


def twin(done, fit):
    """One like the fitted `done`: a copy where fits are shared, or else what ``fit()`` returns."""
    return fit() if _shared is None else copy.deepcopy(done)


def is_classifier(estimator):
    """Whether the unlearner holds a classifier."""
    return get_tags(estimator).estimator_type == "classifier"


def outcome(estimator, X):
    """What the model says: probabilities, or else predictions."""
    if hasattr(estimator, "predict_proba"):
        return estimator.predict_proba(X)
    return np.asarray(estimator.predict(X))


def parameters(model):
    """Arrays that tell a net's state bit for bit; None for other estimators."""
    if not is_net(model):
        return None
    found = {key: value.detach().cpu() for key, value in weights(model).items()}
    # numpy has no bfloat16, which float32 holds bit for bit
    narrow = torch.bfloat16
    return {k: (v.float() if v.dtype is narrow else v).numpy().copy() for k, v in found.items()}


def same_parameters(a, b):
    """Whether two results of `parameters` are bitwise equal."""
    if a is None or b is None:
        return a is b
    return a.keys() == b.keys() and all(np.array_equal(a[key], b[key]) for key in a)


class Snapshot:
    """An estimator's state, to see later that nothing changed."""

    def __init__(self, estimator, X):
        self.estimator, self.X = estimator, X
        self.attributes = dict(vars(estimator))
        self.log = repr(estimator.deletions_)
        self.parameters = parameters(estimator.estimator_)
        self.outcome = outcome(estimator, X)
        self.certificate = estimator.certificate()
        self.generators = generators()

    def check(self, what):
        """Raise AssertionError when something differs."""
        now = vars(self.estimator)
        changed = sorted(
            key
            for key in self.attributes.keys() | now.keys()
            if self.attributes.get(key) is not now.get(key)
        )
        assert not changed, f"{what} changed the attributes {changed}"
        assert repr(self.estimator.deletions_) == self.log, f"{what} changed deletions_"
        assert self.estimator.certificate() == self.certificate, f"{what} changed the certificate"
        assert same_parameters(parameters(self.estimator.estimator_), self.parameters), (
            f"{what} changed the weights"
        )
        # Before anything is predicted, which may draw from torch's generator.
        assert generators() == self.generators, f"{what} changed a global random generator"
        assert np.array_equal(outcome(self.estimator, self.X), self.outcome), (
            f"{what} changed the predictions"
        )


def generators():
    """States of the global generators of torch, numpy and Python, as comparable values."""
    name, keys, *rest = np.random.get_state()  # noqa: NPY002
    return torch.get_rng_state().numpy().tobytes(), name, keys.tobytes(), rest, random.getstate()


class Fault(Callback):
    """A skorch callback that raises at the n-th event once it is armed; it counts events."""

    # On the class: unlearners train clones of the net that holds the callback.
    error, at, seen = None, -1, 0

    @classmethod
    def arm(cls, error, at):
        """Raise `error` at event number `at`; None only counts."""
        cls.error, cls.at, cls.seen = error, at, 0

    def _tick(self):
        cls = type(self)
        cls.seen += 1
        if cls.error is not None and cls.seen == cls.at + 1:
            if cls.error is KeyboardInterrupt:  # raised here it would be the callback's own stop
                signal.raise_signal(signal.SIGINT)
            raise cls.error("injected")

    def on_train_begin(self, net, **kwargs):
        """Count."""
        self._tick()

    def on_train_end(self, net, **kwargs):
        """Count."""
        self._tick()

    def on_epoch_begin(self, net, **kwargs):
        """Count."""
        self._tick()

    def on_epoch_end(self, net, **kwargs):
        """Count."""
        self._tick()

    def on_batch_begin(self, net, **kwargs):
        """Count."""
        self._tick()

    def on_batch_end(self, net, **kwargs):
        """Count."""
        self._tick()

    def on_grad_computed(self, net, **kwargs):
        """Count."""
        self._tick()


def with_fault(estimator):
    """The estimator with a `Fault` in its net, or itself when it holds no net."""
    if is_net(estimator.estimator):
        given = estimator.estimator.callbacks
        if isinstance(given, str):  # "disable"
            raise SkipTest("the net's callbacks are disabled")
        net = clone(estimator.estimator).set_params(callbacks=[*(given or []), ("fault", Fault())])
        estimator.set_params(estimator=net)
    return estimator


@contextlib.contextmanager
def faults(estimator, error, at):
    """Let training raise `error` at its `at`-th event.

    Without a net there are two: before and after the method's own work.
    """
    if not is_net(estimator.estimator):
        work = type(estimator)._attempt

        def interrupted(*args):
            if at:
                work(*args)
            raise error("injected")

        with mock.patch.object(type(estimator), "_attempt", interrupted):
            yield
        return
    Fault.arm(error, at)
    try:
        with ctrl_c() if error is KeyboardInterrupt else contextlib.nullcontext():
            yield
    finally:
        Fault.arm(None, -1)


@contextlib.contextmanager
def ctrl_c():
    """Let SIGINT raise KeyboardInterrupt, also in a process whose parent ignores it."""
    if threading.current_thread() is not threading.main_thread():
        raise SkipTest("only the main thread is interrupted by Ctrl-C")
    plain = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, plain)


def count_events(estimator, act):
    """Number of events in ``act()`` at which a fault can be injected."""
    Fault.arm(None, -1)
    act()
    return Fault.seen if is_net(estimator.estimator) else 2


def quietly(check):
    """What a method has to say about its result on toy data is not the checks' business."""

    @wraps(check)
    def quiet(estimator):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            check(estimator)

    return quiet


def must_raise(error, act, what):
    """Raise AssertionError unless ``act()`` raises `error`."""
    try:
        act()
    except error:
        return
    raise AssertionError(f"{what}: {error.__name__} was not raised")
