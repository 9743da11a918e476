"""How much a model owes its knowledge of rows to having seen them."""

import numpy as np


def confidence_proxy(losses):
    """The rows that a model is least sure of count as most memorised.

    Parameters
    ----------
    losses : ndarray of shape (n,)
        Cross-entropy of each row under the model that has seen it.
    """
    return -np.exp(-losses)


def gain(losses, losses_without):
    """Probability of the true class with and without the row in the training set, their difference.

    Parameters
    ----------
    losses : ndarray of shape (n,)
    losses_without : list of ndarray of shape (n,)
        Of models that have not seen the rows; their probabilities are averaged.
    """
    return np.exp(-losses) - np.mean([np.exp(-other) for other in losses_without], axis=0)
