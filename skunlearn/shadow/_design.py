"""Which shadow model is trained on which row."""

import numpy as np

from skunlearn._rows.seeding import derive_seed


def draw_membership(candidates, n_models, seed):
    """Random halves of the candidates, every second model trained on the others.

    So each candidate is in half of the models, exactly for an even number of them; rows that are
    no candidates are in all. The first models do not depend on how many there are.

    Parameters
    ----------
    candidates : bool array of shape (n,)
    n_models : int
    seed : int

    Returns
    -------
    membership : bool array of shape (n_models, n)
    """
    rows = np.flatnonzero(candidates)
    membership = np.ones((n_models, len(candidates)), dtype=bool)
    for pair in range(0, n_models, 2):
        rng = np.random.default_rng(derive_seed(seed, pair))
        half = rng.permutation(rows)[: len(rows) // 2]
        membership[pair, rows] = False
        membership[pair, half] = True
        if pair + 1 < n_models:
            membership[pair + 1, half] = False
    return membership
