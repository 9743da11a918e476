"""Common corruptions of rows and images at five severities."""

from numbers import Integral

import numpy as np
import torch
from sklearn.utils import check_random_state

from skunlearn.robustness import _filters

__all__ = ["CORRUPTIONS", "corrupt"]

# Name: (what does it, its strength at severities 1 to 5, whether it needs images). Strengths are
# in shares of the range of values or of the shorter side of the image. Noise, brightness, contrast
# and JPEG are as strong as in ImageNet-C, whose others count pixels of one size of image.
_KINDS = {
    "gaussian_noise": (_filters.gaussian_noise, (0.08, 0.12, 0.18, 0.26, 0.38), False),
    "shot_noise": (_filters.shot_noise, (60, 25, 12, 5, 3), False),
    "impulse_noise": (_filters.impulse_noise, (0.03, 0.06, 0.09, 0.17, 0.27), False),
    "gaussian_blur": (_filters.gaussian_blur, (0.03, 0.05, 0.07, 0.1, 0.13), True),
    "motion_blur": (_filters.motion_blur, (0.15, 0.25, 0.35, 0.45, 0.55), True),
    "brightness": (_filters.brightness, (0.1, 0.2, 0.3, 0.4, 0.5), False),
    "contrast": (_filters.contrast, (0.4, 0.3, 0.2, 0.1, 0.05), True),
    "fog": (_filters.fog, (0.3, 0.6, 1.0, 1.5, 2.2), True),
    "pixelate": (_filters.pixelate, (0.75, 0.6, 0.5, 0.35, 0.25), True),
    "jpeg": (_filters.jpeg, (25, 18, 15, 10, 7), True),
}
CORRUPTIONS = tuple(_KINDS)


def corrupt(X, kind, severity=3, *, value_range=None, random_state=None):
    """Rows after a common corruption: noise, blur, weather or digital.

    Parameters
    ----------
    X : array or tensor of shape (n, ...)
        Images (n, channels, height, width) or (n, height, width); flat rows for noise and
        brightness.
    kind : str
        One of `skunlearn.robustness.CORRUPTIONS`: "gaussian_noise", "shot_noise",
        "impulse_noise", "gaussian_blur", "motion_blur", "brightness", "contrast", "fog",
        "pixelate", "jpeg".
    severity : {1, 2, 3, 4, 5}, default=3
        How strong, 5 the most; the default is the middle.
    value_range : pair of float, default=None
        Lowest and highest value of a row; results are clipped to it. None takes 0 to 255 for
        uint8 (the range of the dtype for other integers), 0 to 1 for floats between them, and
        otherwise those of `X`.
    random_state : int, RandomState instance or None, default=None
        Of what is drawn; an integer draws the same again, None something else each time.

    Returns
    -------
    corrupted : as `X`, a copy of the same type and dtype

    Raises
    ------
    ValueError, TypeError
        When the corruption or the severity is unknown, or flat rows are given for one of images.

    References
    ----------
    .. [1] D. Hendrycks, T. Dietterich, "Benchmarking Neural Network Robustness to Common
       Corruptions and Perturbations", ICLR 2019, https://arxiv.org/abs/1903.12261

    Examples
    --------
    >>> from skunlearn.datasets import load_digits_images
    >>> from skunlearn.robustness import corrupt
    >>> X, _ = load_digits_images(return_X_y=True)
    >>> noisy = corrupt(X, "gaussian_noise", 5, random_state=0)
    >>> noisy.shape, noisy.dtype, bool(noisy.min() >= 0 and noisy.max() <= 1)
    ((1797, 1, 8, 8), dtype('float32'), True)
    """
    if kind not in _KINDS:
        raise ValueError(f"kind must be one of {', '.join(CORRUPTIONS)}, got {kind!r}.")
    integral = isinstance(severity, Integral) and not isinstance(severity, bool)
    if not integral or not 1 <= severity <= 5:
        raise ValueError(f"severity must be 1, 2, 3, 4 or 5, got {severity!r}.")
    array = X.numpy(force=True) if isinstance(X, torch.Tensor) else X
    check_rows(array, "X")
    apply, strengths, needs_images = _KINDS[kind]
    if needs_images and array.ndim not in (3, 4):
        raise ValueError(
            f"{kind} needs images of shape (n, channels, height, width) or (n, height, width), "
            f"got {array.shape}. Flat rows take noise and brightness."
        )
    low, high = range_of(array) if value_range is None else value_range
    if not high > low:
        raise ValueError(f"value_range must be a pair of rising numbers, got {low}, {high}.")
    unit = (array.astype(np.float32) - np.float32(low)) / np.float32(high - low)
    rng = check_random_state(random_state)
    unit = np.clip(apply(unit, strengths[severity - 1], rng), 0, 1)
    corrupted = as_dtype(low + unit.astype(np.float64) * (high - low), array.dtype)
    return torch.as_tensor(corrupted, device=X.device) if array is not X else corrupted


def suits(kind, shape):
    """Whether rows of this shape, with the axis of rows, take the corruption."""
    return not _KINDS[kind][2] or len(shape) in (3, 4)


def check_rows(array, name):
    """Refuse what is no array of numbers with an axis of rows."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{name} must be an array or a tensor, got {type(array).__name__}.")
    if array.ndim < 2 or array.dtype.kind not in "iuf" or not array.size:
        raise ValueError(
            f"{name} must hold rows of numbers, shape (n, ...), got shape {array.shape} of "
            f"{array.dtype}."
        )


def range_of(array):
    """Lowest and highest value that rows like these may have."""
    if array.dtype.kind in "iu":
        limits = np.iinfo(array.dtype)
        return (0, limits.max) if array.min() >= 0 else (limits.min, limits.max)
    low, high = float(array.min()), float(array.max())
    return (0.0, 1.0) if low >= 0 and high <= 1 else (low, high)


def as_dtype(values, dtype):
    """Values in another dtype; integers by rounding."""
    return (np.rint(values) if dtype.kind in "iu" else values).astype(dtype)
