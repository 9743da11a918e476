"""One request of an approximate method, fulfilled by a training from scratch."""

import copy

from skunlearn._unlearning.fitted import share_state
from skunlearn.exact.retrain import RetrainUnlearner


def retrain(unlearner, positions):
    """A copy of `unlearner` whose net was trained anew on the rows that are left."""
    if unlearner._make_promises().exact:
        return unlearner._successor(positions)
    stand_in = RetrainUnlearner(
        unlearner.estimator,
        random_state=unlearner.random_state,
        store_data=unlearner.store_data,
        verbose=unlearner.verbose,
    )
    share_state(stand_in, unlearner)
    done, new = stand_in._successor(positions), copy.copy(unlearner)
    new.estimator, new._fitted = done.estimator, done._fitted
    return new
