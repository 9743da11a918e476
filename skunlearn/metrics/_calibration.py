"""Does a model know how sure it may be?"""

import numpy as np
from scipy.special import softmax
from sklearn.utils import check_scalar

from skunlearn.metrics._logits import check_logits

__all__ = ["expected_calibration_error"]


def expected_calibration_error(logits, y, *, n_bins=15):
    """Mean distance between a model's confidence and its accuracy (ECE).

    Rows are sorted into bins of equal width by the probability of the predicted class; the
    distance of mean confidence and accuracy in each bin counts by its share of the rows.

    Parameters
    ----------
    logits : array-like of shape (n, n_classes), float
        Logits or log-probabilities.
    y : array-like of shape (n,), int
        Column of each row's true class.
    n_bins : int, default=15
        As in [1]_. The error of a perfectly calibrated model grows with it on few rows.

    Returns
    -------
    error : float
        In [0, 1]; lower is better.

    Raises
    ------
    TypeError, ValueError
        When shapes do not fit, or a value is not finite.

    References
    ----------
    .. [1] C. Guo, G. Pleiss, Y. Sun, K. Weinberger, "On Calibration of Modern Neural Networks",
       ICML 2017, https://arxiv.org/abs/1706.04599

    Examples
    --------
    >>> import numpy as np
    >>> from skunlearn.metrics import expected_calibration_error
    >>> p = np.array([[0.8, 0.2]] * 10)
    >>> round(expected_calibration_error(np.log(p), [0] * 7 + [1] * 3), 3)
    0.1
    """
    check_scalar(n_bins, "n_bins", int, min_val=1)
    logits, y = check_logits(logits, y)
    p = softmax(logits, axis=1)
    confidence, right = p.max(axis=1), p.argmax(axis=1) == y
    place = np.minimum((confidence * n_bins).astype(int), n_bins - 1)
    gaps = np.bincount(place, weights=confidence - right, minlength=n_bins)
    return float(np.abs(gaps).sum() / len(y))
