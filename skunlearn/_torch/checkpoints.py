"""Checkpoint callbacks of a net, and the files that they write."""

import os
import tempfile
from contextlib import contextmanager

from skorch.callbacks import Checkpoint, TrainEndCheckpoint


@contextmanager
def private_checkpoints(net):
    """Let the net's checkpoint callbacks write to a folder that is thrown away.

    What they load back at the end still works, but the user's files of the first training are
    not overwritten by those of a retraining.
    """
    moved = [cb for _, cb in net.callbacks_ if isinstance(cb, Checkpoint)]
    moved += [cb.checkpoint_ for _, cb in net.callbacks_ if hasattr(cb, "checkpoint_")]
    with _in_private_folders(moved):
        yield


@contextmanager
def private_checkpoints_within(nets):
    """The same for nets that are parts of an estimator, and not initialised yet."""
    given = [cb for net in nets if isinstance(net.callbacks, list) for cb in net.callbacks]
    given = [cb[1] if isinstance(cb, tuple | list) else cb for cb in given]
    moved = [cb for cb in given if isinstance(cb, Checkpoint | TrainEndCheckpoint)]
    # Open files lie in no folder.
    moved = [cb for cb in moved if all(isinstance(f, str | None) for f in cb._f_kwargs().values())]
    with _in_private_folders(moved):
        yield


@contextmanager
def _in_private_folders(checkpoints):
    if not checkpoints:
        yield
        return
    before = [cb.dirname for cb in checkpoints]
    with tempfile.TemporaryDirectory(prefix="skunlearn-") as folder:
        for i, cb in enumerate(checkpoints):
            cb.dirname = os.path.join(folder, str(i))
            os.mkdir(cb.dirname)
        try:
            yield
        finally:
            for cb, dirname in zip(checkpoints, before):
                cb.dirname = dirname
