"""Has planted data lost its effect? Confused classes, backdoors, noise in the inputs."""

from dataclasses import dataclass, field

import numpy as np
from scipy.stats import norm

from skunlearn.metrics._arrays import to_array
from skunlearn.metrics._statistics.interval_forms import Interval
from skunlearn.metrics._statistics.matching import check_labels, refuse_other_types
from skunlearn.metrics._statistics.true_positives import proportion

__all__ = [
    "GaussianUnlearningScore",
    "backdoor_success_rate",
    "gaussian_unlearning_score",
    "interclass_confusion",
]


def interclass_confusion(y_true, y_pred, classes, *, confidence=0.95):
    """Share of the rows of two classes that are taken for the other of the two.

    After training with some labels of the two classes swapped, and forgetting those rows, it
    should be that of a model that never saw them.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n,)
        True and predicted labels, of unseen rows say.
    classes : pair of labels
        Two different labels as in `y_true`.
    confidence : float, default=0.95
        Share of such intervals that hold the true value; 0.95 is the custom.

    Returns
    -------
    Interval
        Clopper–Pearson. Lower is better, down to the retrained model's.

    Raises
    ------
    TypeError
        If labels are text here and numbers there.
    ValueError
        If shapes differ, the two classes are one, or no row has them.

    References
    ----------
    Goel et al. (2022), "Towards adversarial evaluations for inexact machine unlearning",
    https://arxiv.org/abs/2201.06640

    Examples
    --------
    >>> from skunlearn.metrics import interclass_confusion
    >>> interclass_confusion([0, 0, 1, 1, 2], [1, 0, 1, 2, 0], (0, 1)).estimate
    0.25
    """
    a, b = classes
    y_true, y_pred = _labels(y_true, y_pred, classes=[a, b])
    if a == b:
        raise ValueError(f"classes must be two different labels, got {classes!r}.")
    rows = (y_true == a) | (y_true == b)
    if not rows.any():
        raise ValueError(f"no row of y_true has class {a!r} or {b!r}.")
    confused = ((y_true == a) & (y_pred == b)) | ((y_true == b) & (y_pred == a))
    return proportion(int(confused.sum()), int(rows.sum()), confidence)


def backdoor_success_rate(y_true, y_pred, target, *, confidence=0.95):
    """Share of rows with the trigger that are taken for the attacker's target class.

    Rows that belong to the target class are left out: being right about them is no success of
    the attack.

    Parameters
    ----------
    y_true : array-like of shape (n,)
        True labels of rows to which the trigger was added.
    y_pred : array-like of shape (n,)
        What the model says of them.
    target : label
        As in `y_pred`; rows that are truly of it are left out.
    confidence : float, default=0.95
        Share of such intervals that hold the true value; 0.95 is the custom.

    Returns
    -------
    Interval
        Clopper–Pearson. Lower is better, down to the retrained model's; not 0.

    Raises
    ------
    TypeError
        If labels are text here and numbers there.
    ValueError
        If shapes differ, or every row belongs to the target class.

    References
    ----------
    Gu, Dolan-Gavitt and Garg (2017), "BadNets: identifying vulnerabilities in the machine
    learning model supply chain", https://arxiv.org/abs/1708.06733

    Examples
    --------
    >>> from skunlearn.metrics import backdoor_success_rate
    >>> backdoor_success_rate([0, 1, 2, 2], [0, 0, 0, 2], target=0).estimate.__round__(3)
    0.667
    """
    y_true, y_pred = _labels(y_true, y_pred, target=[target])
    rows = y_true != target
    if not rows.any():
        raise ValueError(f"every row belongs to the target class {target!r} already.")
    return proportion(int((y_pred[rows] == target).sum()), int(rows.sum()), confidence)


@dataclass(frozen=True)
class GaussianUnlearningScore:
    """Outcome of `gaussian_unlearning_score`.

    Attributes
    ----------
    scores : ndarray of shape (n,)
        One for each poisoned row; standard normal when the model owes the noise nothing.
    mean : Interval
        0 when the noise is gone.
    p_value : float
        Of a mean this high or higher by chance.
    tpr_at_1pct : Interval
        Share of rows above the 99 % point of the standard normal; 0.01 when the noise is gone.
    """

    scores: np.ndarray = field(repr=False)
    mean: Interval
    p_value: float
    tpr_at_1pct: Interval

    def __str__(self):
        return (
            f"Gaussian unlearning score {self.mean}, p = {self.p_value:.2g}; TPR at 1 % FPR "
            f"{self.tpr_at_1pct}. Lower is better: 0 and 0.01 are a model that never saw the noise."
        )


def gaussian_unlearning_score(gradients, noise, *, scale=None, confidence=0.95):
    """Correlation of noise that was planted in training rows with the model's gradients there.

    Noise of a known spread was added to some rows before training, and these rows were to be
    forgotten. A model that still owes something to the noise has gradients of its loss at the
    clean rows that lean towards it.

    Parameters
    ----------
    gradients : array-like of shape (n, ...), float
        Gradient of the loss by the input at each clean row, from
        `skunlearn.evaluation.input_gradients`; the sign is
        turned here, since a fitted model's loss falls towards the noise.
    noise : array-like of the same shape, float
        What was added to each.
    scale : float, default=None
        Standard deviation of the noise's entries; None takes it from `noise`.
    confidence : float, default=0.95
        Share of such intervals that hold the true value; 0.95 is the custom.

    Returns
    -------
    GaussianUnlearningScore

    Raises
    ------
    ValueError
        If shapes differ, a value is not finite, or a gradient is zero throughout.

    References
    ----------
    Pawelczyk et al. (2024), "Machine unlearning fails to remove data poisoning attacks",
    https://arxiv.org/abs/2406.17216

    Examples
    --------
    >>> import numpy as np
    >>> from skunlearn.metrics import gaussian_unlearning_score
    >>> rng = np.random.default_rng(0)
    >>> noise, gradients = 0.3 * rng.normal(size=(200, 50)), rng.normal(size=(200, 50))
    >>> gaussian_unlearning_score(gradients, noise).p_value > 0.05
    True
    >>> gaussian_unlearning_score(gradients - noise, noise).p_value < 0.05
    True
    """
    gradients = to_array(gradients, dtype=np.float64)
    noise = to_array(noise, dtype=np.float64)
    if gradients.shape != noise.shape or gradients.ndim < 2 or not len(noise):
        raise ValueError(
            "gradients and noise must have the same shape (n, ...), got "
            f"{gradients.shape} and {noise.shape}."
        )
    gradients, noise = gradients.reshape(len(noise), -1), noise.reshape(len(noise), -1)
    if not (np.isfinite(gradients).all() and np.isfinite(noise).all()):
        raise ValueError("gradients or noise hold NaN or infinity.")
    lengths = np.linalg.norm(gradients, axis=1)
    if (lengths == 0).any():
        raise ValueError(
            f"the gradient of row {int(np.argmin(lengths))} is zero throughout: the loss there "
            "says nothing. Leave such rows out."
        )
    scale = noise.std() if scale is None else float(scale)
    if not scale > 0:
        raise ValueError(f"scale must be positive, got {scale!r}.")
    scores = -(gradients * noise).sum(axis=1) / (scale * lengths)
    mean, se = scores.mean(), 1 / np.sqrt(len(scores))
    arm = norm.ppf((1 + confidence) / 2) * se
    return GaussianUnlearningScore(
        scores=scores,
        mean=Interval(float(mean), float(mean - arm), float(mean + arm), confidence, "normal", se),
        p_value=float(norm.sf(mean / se)),
        tpr_at_1pct=proportion(int((scores > norm.ppf(0.99)).sum()), len(scores), confidence),
    )


def _labels(y_true, y_pred, **named):
    """Both as arrays of labels, of the types of those that are `named`: others equal none."""
    y_true, y_pred = check_labels(y_true, "y_true"), check_labels(y_pred, "y_pred")
    if y_true.shape != y_pred.shape:
        raise ValueError(
            f"y_true and y_pred must have one label per row, got {len(y_true)} and {len(y_pred)}."
        )
    ((name, labels),) = named.items()
    refuse_other_types(y_true=y_true, y_pred=y_pred, **{name: np.asarray(labels)})
    return y_true, y_pred
