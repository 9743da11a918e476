"""One request of an approximate method, fulfilled by a training from scratch."""

from skunlearn.exact.retrain import RetrainUnlearner

_NEW = ("estimator", "estimator_", "_record", "deletions_", "_evidence", "_forgotten")


def retrained(unlearner, positions):
    """A copy of `unlearner` whose net was trained anew on the rows that are left."""
    if getattr(unlearner, "_is_exact", True):
        return unlearner._successor(positions)
    stand_in = RetrainUnlearner(
        unlearner.estimator,
        random_state=unlearner.random_state,
        store_data=unlearner.store_data,
        verbose=unlearner.verbose,
    )
    parameters = unlearner.get_params(deep=False)
    vars(stand_in).update({k: v for k, v in vars(unlearner).items() if k not in parameters})
    done = stand_in._successor(positions)
    new = object.__new__(type(unlearner))
    vars(new).update(vars(unlearner))
    vars(new).update({name: getattr(done, name) for name in _NEW})
    return new
