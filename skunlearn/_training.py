"""A(D): train a fresh estimator on some rows, once for each (recipe, rows, seed)."""

import inspect
import warnings

import joblib
from sklearn.base import clone
from sklearn.utils.validation import check_memory

from skunlearn import _skorch
from skunlearn._data import digest_of, is_dataset
from skunlearn._seeding import seeded


def train(estimator, rows, classes, seed, *, memory=None, verbose=0):
    """Train a fresh copy of `estimator` on `rows`.

    Parameters
    ----------
    estimator : skorch net or scikit-learn estimator, left untouched
    rows : Rows, with encoded targets
    classes : ndarray of class labels, or None for regression
    seed : int
    memory : None, str or joblib.Memory
        Where trained estimators are kept; the key is the recipe, the rows and the seed.

    Returns
    -------
    trained : fitted estimator
    """
    if memory is None or is_dataset(rows.X):
        if memory is not None:
            warnings.warn(
                "memory= is not used: the rows of a torch Dataset cannot be compared, so a "
                "cached net could have been trained on others.",
                UserWarning,
                stacklevel=4,
            )
        return _train(estimator, rows, classes, seed, verbose)
    # `rows` and the like are left out of joblib's key: hashing the rows once is enough.
    cached = check_memory(memory).cache(_train_for_cache, ignore=["work"])
    state = cached(key(estimator, rows, seed), work=(estimator, rows, classes, seed, verbose))
    if _skorch.is_net(estimator):
        with seeded(seed):
            return _skorch.restore(estimator, state, verbose=verbose)
    return state


def _train_for_cache(key, work):
    trained = _train(*work)
    return _skorch.describe(trained) if _skorch.is_net(trained) else trained


def _train(estimator, rows, classes, seed, verbose):
    with seeded(seed):
        if not _skorch.is_net(estimator):
            return _fit_sklearn(estimator, rows, classes, seed)
        net = _skorch.fresh_net(estimator, verbose=verbose)
        _skorch.check_outputs(net, rows, None if classes is None else len(classes))
        return _skorch.train(net, rows)


def _fit_sklearn(estimator, rows, classes, seed):
    new = clone(estimator)
    # An estimator without a seed of its own would draw from numpy's global generator, which is
    # seeded here, but may also spawn processes that are not.
    unseeded = {
        key: seed
        for key, value in new.get_params().items()
        if key.split("__")[-1] == "random_state" and value is None
    }
    new.set_params(**unseeded)
    X, y = rows.arrays()
    return new.fit(X, y if classes is None else classes[y])


def key(estimator, rows, seed):
    params = {k: v for k, v in estimator.get_params(deep=False).items() if k != "verbose"}
    try:
        recipe = joblib.hash(
            [type(estimator), _source(params.get("module")), sorted(params), params]
        )
    except Exception as error:  # whatever pickle raises for this parameter
        raise ValueError(
            f"memory= needs an estimator whose parameters can be pickled: {error}. Define the "
            "module class and callbacks at the top level of a file, without lambdas."
        ) from error
    return digest_of(recipe.encode(), rows.digests, rows.y, str(seed).encode())


def _source(module):
    # The same name with other code is another net.
    try:
        return inspect.getsource(module)
    except (OSError, TypeError):
        return None
