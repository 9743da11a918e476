"""What every image net does with its input first."""

import torch

__all__ = ["as_float"]

# Round numbers rather than the training set's mean and standard deviation: statistics of rows
# would stay in the net after those rows are forgotten.
CENTRE, SCALE = 127.5, 63.75


def as_float(x):
    """uint8 pixels mapped from 0..255 to [-2, 2] in torch's default dtype; floats as they are."""
    if x.dtype == torch.uint8:
        return (x.to(torch.get_default_dtype()) - CENTRE) / SCALE
    if not x.is_floating_point():
        raise TypeError(f"images must be uint8 or floating point, got {x.dtype}")
    return x
