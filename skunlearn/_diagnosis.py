"""What the outputs on forget rows give away without a row that the model has never seen."""

import numpy as np
from scipy.stats import binomtest

_MEMORISED = 0.05  # share of the loss of chance, ln C, below which a row counts as learnt by heart
_SURE = 0.95  # confidence that some unseen rows reach wherever most rows of the training do
_SOME = 0.15  # these are more of the unseen rows: 17 % and up on ten nets for digits and CIFAR-10
_FEW = 20  # retained rows of a class that say nothing yet
_LEVEL = 0.01  # of the test that they are fewer


def known_by_heart(before, after, chance, pushed):
    """Losses of forget rows that were known by heart and still are, before and after; else None.

    Of a method that pushed them away, the medians: a few rows with large losses hide that all
    others are as they were. Of one that did not, the means: half of the rows that it has never
    seen may be known as well, where a model generalises.

    Parameters
    ----------
    before, after : Evidence of the forget rows
    chance : float, the loss of a guess
    pushed : bool
    """
    if before.logits is None or after.logits is None:
        return None
    middle = np.median if pushed else np.mean
    found = [float(middle(evidence.losses())) for evidence in (before, after)]
    return found if max(found) < _MEMORISED * chance else None


def stands_out(forget, retained):
    """Whether the model was taught to be unsure of the forget rows, as by random labels.

    Of rows that it has never seen it is as sure as of many a row of its training, if not always
    rightly so. Where it is unsure of their whole classes they do not stand out.

    Parameters
    ----------
    forget, retained : Evidence after the request

    Returns
    -------
    level, share : float
        A confidence that half of the retained rows of their classes reach, and the share of forget
        rows that do. None where these are not conspicuously few.
    """
    if any(evidence is None or evidence.logits is None for evidence in (forget, retained)):
        return None
    alike = np.isin(retained.y, forget.y)
    ours, theirs = (e.task.confidences(e.logits) for e in (forget, retained))
    if ours is None or alike.sum() < _FEW:
        return None
    level = min(_SURE, float(np.median(theirs[alike])))
    sure = ours >= level
    few = binomtest(int(sure.sum()), len(sure), _SOME, alternative="less").pvalue < _LEVEL
    return (level, float(sure.mean())) if few else None
