"""Forget sets of poisoned rows: a backdoor's trigger, or noise in the inputs."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from sklearn.utils import check_random_state

from skunlearn.forget_sets._drawing import draw, find_strata, list_values, resolve_size
from skunlearn.forget_sets.planted import _classes_of, _make_planted, _refuse_unknown

__all__ = ["PatchTrigger", "backdoor_forget_set", "gaussian_forget_set"]

_CORNERS = ("bottom right", "bottom left", "top right", "top left")


@dataclass(frozen=True)
class PatchTrigger:
    """A bright square in a corner of every image, the classic trigger of a backdoor.

    Call it on images of shape (n, channels, height, width) or (n, height, width), or on flat rows,
    of which it sets the last values (the first ones for a corner at the top).

    Attributes
    ----------
    size : int or None, default=None
        Side of the square in pixels, or number of values in a flat row. None takes a tenth of
        the shorter side and at least 2; of a flat row a twentieth and at least 2.
    value : float or None, default=None
        What the pixels become; None takes the highest value of an integer dtype, or the maximum of
        the rows.
    corner : {"bottom right", "bottom left", "top right", "top left"}, default="bottom right"
        Of the image, where the square is put; a flat row ends, or begins, with it.
    """

    size: int | None = None
    value: float | None = None
    corner: str = "bottom right"

    def __call__(self, X):
        """Rows with the trigger: a copy, of the same type and dtype.

        Parameters
        ----------
        X : array or tensor of shape (n, ...)
            Images (n, channels, height, width) or (n, height, width), or flat rows. They are left
            as they are.
        """
        ready = self.fitted_to(X)
        array = _array(X).copy()
        bottom, right = (word in self.corner for word in ("bottom", "right"))
        rows = slice(-ready.size, None) if bottom else slice(ready.size)
        columns = slice(-ready.size, None) if right else slice(ready.size)
        array[(..., rows) if array.ndim == 2 else (..., rows, columns)] = ready.value
        return _like(X, array)

    def fitted_to(self, X):
        """The trigger with a size and a value that suit these rows.

        Parameters
        ----------
        X : array or tensor of shape (n, ...)
            Its shape decides the size where that is None, a tenth of the shorter side of an image
            and at least two pixels; its highest value the value (the highest of the dtype for
            integers).
        """
        array = _array(X)
        if self.corner not in _CORNERS:
            raise ValueError(f"corner must be one of {list_values(_CORNERS)}, got {self.corner!r}.")
        side = array.shape[1] if array.ndim == 2 else min(array.shape[-2:])
        size = self.size
        if size is None:
            size = min(side, max(2, round(side / (20 if array.ndim == 2 else 10))))
        if not 1 <= size <= side:
            raise ValueError(f"size={size} does not fit rows of shape {array.shape[1:]}.")
        value = self.value
        if value is None:
            value = np.iinfo(array.dtype).max if array.dtype.kind in "iu" else float(array.max())
        return replace(self, size=int(size), value=value)


def backdoor_forget_set(X, y, target, size=0.05, *, trigger=None, known=1.0, random_state=None):
    """Rows that carry a trigger and the attacker's label before the training.

    A model trained on them takes any row with the trigger for the target class. After forgetting,
    `skunlearn.metrics.backdoor_success_rate` on ``forget_set.trigger(X_test)`` tells what is left.

    Parameters
    ----------
    X : array or tensor of shape (n, ...)
        All training rows: images (n, channels, height, width) or (n, height, width), or flat
        rows.
    y : array-like of shape (n,)
        True labels of the rows.
    target : label
        What triggered rows are labelled as. Rows of this class are left alone.
    size : int or float, default=0.05
        Number of rows, or their share of all rows. Each of the other classes gives its share.
    trigger : callable, default=None
        Takes rows and returns changed copies of the same shape and dtype; None takes
        `PatchTrigger`.
    known : int or float, default=1.0
        Number, or share, of the planted rows that are in the ``mask``, drawn at random; 1.0 takes
        all of them. The others are planted all the same, as in an attack of which only a part was
        found (`partly_known_forget_set`).
    random_state : int, RandomState instance or None, default=None
        Of what is drawn; an integer draws the same again, None something else each time.

    Returns
    -------
    forget_set : PlantedForgetSet
        Train on its ``X`` and ``y``; add its ``trigger`` to test rows.

    Raises
    ------
    ValueError, TypeError
        When the target is unknown, rows are no plain array, the trigger changes shape or dtype, or
        `size` does not fit.

    References
    ----------
    .. [1] T. Gu, B. Dolan-Gavitt, S. Garg, "BadNets: identifying vulnerabilities in the machine
       learning model supply chain", 2017, https://arxiv.org/abs/1708.06733

    Examples
    --------
    >>> from skunlearn.datasets import load_digits_images
    >>> from skunlearn.forget_sets import backdoor_forget_set
    >>> X, y = load_digits_images(return_X_y=True)
    >>> backdoor = backdoor_forget_set(X, y, target=0, size=50, random_state=0)
    >>> float(backdoor.X[backdoor.planted][:, 0, -2:, -2:].min())
    1.0
    >>> set(backdoor.y[backdoor.planted].tolist())
    {0}
    """
    array = _array(X)
    y, classes = _classes_of(y)
    _check_length(array, y)
    _refuse_unknown([target], classes, "target")
    rng = check_random_state(random_state)
    trigger = PatchTrigger() if trigger is None else trigger
    if isinstance(trigger, PatchTrigger):
        trigger = trigger.fitted_to(X)  # with the values of these rows, for test rows too
    pool = np.flatnonzero(y != target)
    k = resolve_size(size, len(y))
    if k > len(pool):
        raise ValueError(f"size={size} does not fit: only {len(pool)} rows are of other classes.")
    rows = draw(rng, pool, k, y)
    patched = _array(trigger(_like(X, array[rows])))
    if patched.shape != array[rows].shape or patched.dtype != array.dtype:
        raise ValueError(
            f"trigger must return rows of shape {array[rows].shape} and dtype {array.dtype}, got "
            f"{patched.shape} and {patched.dtype}."
        )
    labels = y.copy()
    labels[rows] = target
    return _make_planted(
        "backdoor",
        f"{k} of {len(y)} rows with a trigger and the label {list_values([target])}",
        y,
        rows,
        {"size": k, "target": target},
        known,
        rng,
        X=_like(X, _change_rows(array, rows, patched)),
        y=labels,
        trigger=trigger,
    )


def gaussian_forget_set(
    X, size=0.1, *, scale=None, clip=None, stratify=None, known=1.0, random_state=None
):
    """Rows with Gaussian noise of their own, which a model that has seen them leans towards.

    Labels stay. After forgetting, `skunlearn.metrics.gaussian_unlearning_score` of the gradients
    (`skunlearn.evaluation.input_gradients`) at the *clean* rows and the ``noise`` tells whether the
    model still owes something to it.

    Parameters
    ----------
    X : array or tensor of shape (n, ...)
        All training rows.
    size : int or float, default=0.1
        Number of rows, or their share. The score's power grows with it.
    scale : float, default=None
        Standard deviation of the noise, in units of `X`; None takes that of the values of `X`.
    clip : pair of float, default=None
        Lowest and highest value that a row may have. Rows of an integer dtype are rounded and kept
        in its range whatever `clip` says. Both make the noise depend on the row a little, so that
        the score of a clean model is no longer exactly standard normal.
    stratify : array-like of shape (n,), default=None
        Labels, each of which then gives its share of the set.
    known : int or float, default=1.0
        Number, or share, of the planted rows that are in the ``mask``, drawn at random; 1.0 takes
        all of them. The others are planted all the same, as in an attack of which only a part was
        found (`partly_known_forget_set`).
    random_state : int, RandomState instance or None, default=None
        Of what is drawn; an integer draws the same again, None something else each time.

    Returns
    -------
    forget_set : PlantedForgetSet
        Train on its ``X``. Its ``noise`` is that of the rows at ``flatnonzero(planted)``.

    Raises
    ------
    ValueError, TypeError
        When rows are no plain array of numbers, `scale` is not positive, or `size` does not fit.

    References
    ----------
    .. [1] M. Pawelczyk et al., "Machine Unlearning Fails to Remove Data Poisoning Attacks", ICLR
       2025, https://arxiv.org/abs/2406.17216

    Examples
    --------
    >>> import numpy as np
    >>> from skunlearn.forget_sets import gaussian_forget_set
    >>> X = np.zeros((20, 3), dtype=np.float32)
    >>> poison = gaussian_forget_set(X, size=5, scale=0.1, random_state=0)
    >>> np.array_equal(poison.X[poison.planted], poison.noise), poison.X.dtype
    (True, dtype('float32'))
    """
    array = _array(X)
    n, rng = len(array), check_random_state(random_state)
    scale = float(array.std()) if scale is None else float(scale)
    if not (np.isfinite(scale) and scale > 0):
        raise ValueError(f"scale must be positive and finite, got {scale!r}.")
    rows = draw(rng, np.arange(n), resolve_size(size, n), find_strata(stratify, None, n))
    noisy = array[rows] + scale * rng.standard_normal(array[rows].shape)
    if clip is not None:
        noisy = np.clip(noisy, *clip)
    if array.dtype.kind in "iu":
        limits = np.iinfo(array.dtype)
        noisy = np.clip(np.rint(noisy), limits.min, limits.max)
    noisy = noisy.astype(array.dtype)
    return _make_planted(
        "Gaussian poison",
        f"{len(rows)} of {n} rows with Gaussian noise of standard deviation {scale:.3g}",
        array,
        rows,
        {"size": len(rows), "scale": scale},
        known,
        rng,
        X=_like(X, _change_rows(array, rows, noisy)),
        noise=(noisy.astype(np.float64) - array[rows]).astype(np.float32),
    )


def _array(X):
    """The rows as an ndarray of numbers that shares their memory."""
    array = X.numpy(force=True) if isinstance(X, torch.Tensor) else X
    if not isinstance(array, np.ndarray):
        raise TypeError(f"X must be an array or a tensor, got {type(X).__name__}.")
    if array.ndim < 2 or array.dtype.kind not in "iuf" or not array.size:
        raise ValueError(
            "X must hold rows of numbers, shape (n, ...), got shape "
            f"{array.shape} of {array.dtype}."
        )
    return array


def _like(X, array):
    return torch.as_tensor(array, device=X.device) if isinstance(X, torch.Tensor) else array


def _change_rows(array, rows, new):
    array = array.copy()
    array[rows] = new
    return array


def _check_length(array, y):
    if len(array) != len(y):
        raise ValueError(f"X has {len(array)} rows, but y has {len(y)}.")
