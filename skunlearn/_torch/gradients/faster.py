"""Which of several ways of the same work is faster here: measured, once for each kind of work."""

import time
from contextlib import contextmanager
from contextvars import ContextVar
from weakref import WeakKeyDictionary

import torch

_CLEARLY = 1.2  # times as slow: less may be noise, which must not decide
_HOPELESS = 5  # times as slow in its first run, which also makes what later ones find
_REPEATS = 3

# A process decides once, so that it gives the same numbers to the last bit however often it is
# asked: ways differ by rounding.
_CHOSEN = WeakKeyDictionary()
_KEPT = ContextVar("_KEPT", default=None)


class KeepsWays:
    """Mixin of net unlearners that choose ways: the estimator and its files remember them.

    A model that was fitted in one process and forgets in others is not to be asked for time again
    in each, which may answer otherwise.
    """

    @contextmanager
    def _watched(self, net, retain, forget):
        kept = dict(vars(self).get("_ways", {}))
        token = _KEPT.set(kept)
        try:
            with super()._watched(net, retain, forget):
                yield
        finally:
            _KEPT.reset(token)
        if kept:
            self._ways = kept


def choose_faster(owner, key, ways, device):
    """Name of the fastest way; the first one, where no other is clearly faster.

    Parameters
    ----------
    owner : type
        Whose work it is; forgotten with it.
    key : str
        What else the time depends on: sizes, device, threads.
    ways : dict of str to (callable, int)
        What to time, and how many rows it takes.
    device : torch device
    """
    kept, place = _KEPT.get(), f"{owner.__module__}.{owner.__qualname__} {key}"
    if kept is not None and kept.get(place) in ways:
        return kept[place]
    chosen = _CHOSEN.setdefault(owner, {})
    if key not in chosen:
        times = {}
        for name, (run, rows) in ways.items():
            limit = _HOPELESS * rows * min(times.values(), default=float("inf"))
            times[name] = _time(run, device, limit) / rows
        first, best = next(iter(times)), min(times, key=times.get)
        chosen[key] = best if times[first] > _CLEARLY * times[best] else first
    if kept is not None:
        kept[place] = chosen[key]
    return chosen[key]


def _time(run, device, limit):
    """Least seconds of some runs after one to warm up, unless that takes longer than `limit`."""
    first = time_once(run, device)
    if first > limit:
        return first
    return min(time_once(run, device) for _ in range(_REPEATS))


def time_once(run, device):
    """Seconds of one run; on a machine that others use too, hardly more than on one's own."""
    gpu = torch.device(device).type == "cuda"
    if gpu:
        torch.cuda.synchronize(device)
    began, spent = time.perf_counter(), time.process_time()
    run()
    if gpu:
        torch.cuda.synchronize(device)
        return time.perf_counter() - began
    # Less than either would be on a machine of one's own: others take the processor from a long
    # run, which shows on the wall clock, and threads that wait may spin, which shows on the other.
    return min(time.perf_counter() - began, time.process_time() - spent)
