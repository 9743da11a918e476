"""Errors from inside PyTorch, told as a method's."""

import os
import traceback
from contextlib import contextmanager

import torch

from skunlearn.exceptions import UnlearningError

_TORCH, _OURS = (os.path.dirname(path) for path in (torch.__file__, __file__))

_ADVICE = (
    "\nIf this cannot be changed in the net, use a method that asks less of it: RetrainUnlearner "
    "only trains it."
)


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
