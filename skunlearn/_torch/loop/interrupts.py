"""The KeyboardInterrupt by which a callback ends a training, told from Ctrl-C.

skorch's ``fit`` takes both for an end in good order. An unlearning must not: a model half-way
through it has not forgotten.
"""

import signal
import threading
from contextlib import contextmanager

from skorch import NeuralNet

from skunlearn._torch.loop import epoch_loop


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
