"""Whether a few rows, too few for an AUC, are still known."""

import numpy as np

from skunlearn._torch.observation import observe

LEVEL = 0.02  # of false alarms, in a request


def rarity(net, reference, forget, unseen, classes):
    """How rarely `net` would know unseen rows as much better as it does the forget rows.

    It was trained longer than the reference, so that it knows unseen rows better as well, some of
    them far better. By how much the loss of each row has fallen from one to the other takes how
    hard the row is out of account.

    Parameters
    ----------
    net, reference : fitted nets
        The reference never saw the forget rows.
    forget, unseen : Rows
    classes : see `task_of`

    Returns
    -------
    share : float or None
        Of requests of unseen rows of which one has fallen as far: the smallest share of unseen rows
        over the forget rows, times their number. None where `LEVEL` could not be reached.
    """
    if len(unseen) + 1 < len(forget) / LEVEL:
        return None
    fell = []
    for rows in (forget, unseen):
        ours, theirs = (observe(model, rows, classes).losses() for model in (net, reference))
        fell.append(theirs - ours)
    if not all(np.isfinite(f).all() for f in fell):
        return None
    as_far = 1 + (fell[1][None] >= fell[0][:, None]).sum(axis=1)
    return float(min(1.0, len(forget) * as_far.min() / (len(unseen) + 1)))
