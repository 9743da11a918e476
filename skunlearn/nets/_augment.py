"""Random flips and shifts of a whole batch at once."""

import torch
import torch.nn.functional as F

from skunlearn._torch.batches.device_rows import send_tensor

__all__ = ["flip_and_shift"]


def flip_and_shift(x, pixels):
    """Mirror each image with probability 1/2 and shift it by up to `pixels` either way.

    The border is filled by reflection. Draws come from torch's global generator, on the CPU for
    every device, so that ``torch.manual_seed`` repeats them and devices agree.

    Parameters
    ----------
    x : tensor of shape (n, channels, height, width), floating point
    pixels : int

    Returns
    -------
    tensor like `x`, in the same memory format
    """
    n, _, height, width = x.shape
    flip = torch.rand(n) < 0.5
    offsets = torch.randint(0, 2 * pixels + 1, (2, n, 1))
    rows = offsets[0] + torch.arange(height)
    columns = offsets[1] + torch.arange(width)
    columns = torch.where(flip[:, None], columns.flip(1), columns)
    padded = F.pad(x, (pixels,) * 4, mode="reflect").permute(0, 2, 3, 1)
    rows, columns = send_tensor(rows, x.device), send_tensor(columns, x.device)
    samples = torch.arange(n, device=x.device)[:, None, None]
    return padded[samples, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
