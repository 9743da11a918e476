"""Which shadow model is trained on which row."""

import numpy as np

from skunlearn._rows.seeding import derive_seed


def draw_membership(candidates, n_models, seed, groups=None):
    """Random halves of the candidates, every second model trained on the others.

    So each candidate is in half of the models, exactly for an even number of them; rows that are
    no candidates are in all. The first models do not depend on how many there are.

    Parameters
    ----------
    candidates : bool array of shape (n,)
    n_models : int
    seed : int
    groups : int array of shape (n,), default=None
        Halves are of these then, and candidates of one are together in a model or not in it.

    Returns
    -------
    membership : bool array of shape (n_models, n)
    """
    rows = np.flatnonzero(candidates)
    names = rows if groups is None else groups[rows]
    kinds = np.unique(names)
    membership = np.ones((n_models, len(candidates)), dtype=bool)
    for pair in range(0, n_models, 2):
        rng = np.random.default_rng(derive_seed(seed, pair))
        chosen = rng.permutation(kinds)[: len(kinds) // 2]
        half = rows[np.isin(names, chosen)]
        membership[pair, rows] = False
        membership[pair, half] = True
        if pair + 1 < n_models:
            membership[pair + 1, half] = False
    return membership
