"""What the outputs on forget rows give away without a row that the model has never seen."""

import numpy as np
from scipy.special import entr, softmax
from sklearn.metrics import roc_auc_score

_MEMORISED = 0.05  # share of the loss of chance, ln C, below which a row counts as learnt by heart
_UNSURE = 0.05  # share of the rows that are right beyond the confidence in them, worth a warning
_ONE_SIDED = 1.64  # standard errors of a test at 5 %
_APART = 0.3  # chance that a retained row is less sure than a forget row, where both look alike 0.5


def medians_by_heart(before, after, chance):
    """Median losses of forget rows that mostly were known by heart and still are; else None.

    Not the mean: a few rows with large losses hide that all others are as they were. `chance` is
    the loss of a guess.
    """
    if before.logits is None or after.logits is None:
        return None
    medians = [float(np.median(evidence.losses())) for evidence in (before, after)]
    known = max(medians) < _MEMORISED * chance
    return medians if known else None


def stands_out(before, after, retained):
    """Whether the model knows forget rows, but was taught to be unsure of them.

    It then is right about more of them than it is sure of, and much less sure than of retained
    rows, which no model does to rows that it has never seen. Random labels leave this behind.

    Parameters
    ----------
    before, after : Evidence of the forget rows
    retained : Evidence of retained rows after the request

    Returns
    -------
    confidence : float or None
        Mean probability of the class that is named; None where the rows do not stand out.
    """
    if any(evidence is None or evidence.logits is None for evidence in (before, after, retained)):
        return None
    known, known_before, known_retained = (_excess(e) for e in (after, before, retained))
    # Of a few rows a calibrated model is often right about more than it is sure of.
    named = _probabilities(after).max(axis=1)
    chance = _ONE_SIDED * np.sqrt(np.mean(named * (1 - named)) / len(named))
    if known - max(known_before, known_retained, 0.0) < max(_UNSURE, chance):
        return None
    sides = np.repeat([1, 0], [len(after.y), len(retained.y)])
    entropies = np.concatenate([_entropies(after), _entropies(retained)])
    if roc_auc_score(sides, -entropies) > _APART:
        return None
    return float(named.mean())


def _probabilities(evidence):
    return softmax(evidence.logits.astype(np.float64), axis=1)


def _entropies(evidence):
    return entr(_probabilities(evidence)).sum(axis=1)


def _excess(evidence):
    """Accuracy beyond the mean confidence."""
    return evidence.score() - _probabilities(evidence).max(axis=1).mean()
