"""Switches of torch that hold for a whole process, where several threads need them at a time."""

import threading


class SharedSwitch:
    """A block that threads may be in together: the first turns something on, the last turns it off.

    Each thread by itself would put back what another has set, or be refused.

    Parameters
    ----------
    make : callable
        Returns the context manager that turns it on and off.
    """

    def __init__(self, make):
        self._make, self._lock = make, threading.Lock()
        self._inside, self._held = 0, None

    def __enter__(self):
        with self._lock:
            if not self._inside:
                held = self._make()
                held.__enter__()
                self._held = held
            self._inside += 1

    def __exit__(self, *raised):
        with self._lock:
            self._inside -= 1
            if not self._inside:
                held, self._held = self._held, None
                held.__exit__(None, None, None)
