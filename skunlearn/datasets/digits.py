"""The digits that come with scikit-learn, as images for a convolutional net."""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.utils import Bunch

__all__ = ["load_digits_images"]


def load_digits_images(*, n_class=10, return_X_y=False):
    """Load scikit-learn's bundled 8×8 digits as float32 images.

    Nothing is downloaded: the data come with scikit-learn.

    Parameters
    ----------
    n_class : int, default=10
        How many classes to return, from 1 to 10: the digits 0 to ``n_class - 1``.
    return_X_y : bool, default=False
        Return ``(data, target)`` instead of a Bunch.

    Returns
    -------
    digits : :class:`~sklearn.utils.Bunch`
        With

        data : ndarray of shape (1797, 1, 8, 8), float32
            Grey values, scaled from 0..16 to [0, 1]. Fewer rows for ``n_class < 10``.
        images : ndarray
            The same array as `data`, under the name that scikit-learn's loaders use.
        target : ndarray of shape (1797,), int64
            The digit.
        target_names : ndarray of shape (n_class,), int64
            The classes.
        DESCR : str
            scikit-learn's description of the data set.
    (data, target) : tuple
        If ``return_X_y=True``.

    See Also
    --------
    sklearn.datasets.load_digits : The same images, flattened to 64 features.

    References
    ----------
    .. [1] Alpaydin, E. & Kaynak, C. (1998). Optical Recognition of Handwritten Digits.
       UCI Machine Learning Repository.

    Examples
    --------
    >>> from skunlearn.datasets import load_digits_images
    >>> X, y = load_digits_images(return_X_y=True)
    >>> X.shape, X.dtype, float(X.max())
    ((1797, 1, 8, 8), dtype('float32'), 1.0)
    """
    bunch = load_digits(n_class=n_class)
    images = (bunch.images[:, None] / 16).astype(np.float32)
    target = bunch.target.astype(np.int64)
    if return_X_y:
        return images, target
    return Bunch(
        data=images,
        images=images,
        target=target,
        target_names=np.arange(n_class, dtype=np.int64),
        DESCR=bunch.DESCR,
    )
