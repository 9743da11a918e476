"""Was a trained ensemble trained on these rows? Its trees remember how many rows went where."""

import numpy as np
from scipy import sparse
from sklearn.base import is_classifier

from skunlearn.exact._growing import (
    DRAWS_BY_WEIGHT,
    Plan,
    as_trained,
    base_of,
    code_targets,
    is_forest,
    is_tree,
    row_weights,
    shows_draws_only,
)

_ADVICE = (
    "Pass the rows that it was trained on, in their order (and without weights, or with those of "
    "its training), or the ensemble without FrozenEstimator."
)
_MEANS = ("squared_error", "friedman_mse", "poisson")  # criteria whose leaves hold means


def refuse_unknown_draws(ensemble):
    """Raise ValueError where nobody can tell which rows a member of a trained ensemble has seen."""
    name = type(ensemble).__name__
    if not shows_draws_only(ensemble):
        base = type(base_of(ensemble)).__name__
        raise ValueError(
            f"scikit-learn has shown every {base} of this {name} all rows, those outside its draw "
            "with a weight of zero, so that none is sure not to know a row. Pass the ensemble "
            f"without FrozenEstimator, or train it around a Pipeline of {base}, which is shown its "
            "draw alone."
        )
    samples = getattr(ensemble, "estimators_samples_", None)
    if samples is None or len(samples) != len(ensemble.estimators_):
        raise ValueError(
            f"This {name} does not know what its members drew: it was filled in several calls of "
            "fit (warm_start), or has forgotten rows before. Pass it without FrozenEstimator."
        )


def check_grown_on(ensemble, rows, classes):
    """The `Plan` of a trained ensemble; ValueError unless its draws from `rows` give its trees."""
    refuse_unknown_draws(ensemble)
    name, samples = type(ensemble).__name__, ensemble.estimators_samples_
    if ensemble._n_samples != len(rows):
        raise ValueError(f"This {name} was trained on {ensemble._n_samples} rows. {_ADVICE}")
    X, y = rows.arrays()
    X = as_trained(ensemble, X)
    if is_classifier(ensemble):
        y = code_targets(ensemble, classes[y])
    weights = row_weights(ensemble, y, rows.weights)
    stored = getattr(ensemble, "_sample_weight", weights)  # versions before 1.8 keep none
    same = stored is weights is None or (
        stored is not None and weights is not None and np.allclose(stored, weights)
    )
    plan = Plan.of(ensemble, len(rows))
    if same and is_tree(plan.template):
        X = (X.tocsr() if sparse.issparse(X) else X).astype(np.float32)
        columns = [slice(None)] * len(samples)
        if not is_forest(ensemble):
            columns = ensemble.estimators_features_
        same = all(
            _is_grown_on(member, X[:, chosen], y, drawn, weights)
            for member, drawn, chosen in zip(ensemble.estimators_, samples, columns)
        )
        if weights is None and getattr(ensemble, "class_weight", None) is None:
            same &= all(m.tree_.weighted_n_node_samples[0] == plan.n_draws
                        for m in ensemble.estimators_ if m.class_weight is None)  # fmt: skip
    if not same:
        raise ValueError(f"A member of this {name} was not trained on its draw. {_ADVICE}")
    return plan


def _is_grown_on(member, X, y, drawn, weights=None):
    """Whether the drawn rows fill the leaves as the tree says, with the right targets.

    This holds in any version, other than a comparison with a tree that is grown again.
    """
    if weights is not None:
        drawn = drawn[weights[drawn] > 0]  # others are not there for a tree
    tree, distinct = member.tree_, np.unique(drawn)
    is_leaf = tree.children_left == -1
    leaves = tree.apply(X[distinct])
    found = np.bincount(leaves, minlength=tree.node_count)
    if not np.array_equal(found[is_leaf], tree.n_node_samples[is_leaf]):
        return False
    if is_classifier(member):
        # A leaf that gives a class no share holds no row of it.
        columns = y[distinct].reshape(len(distinct), -1).T
        return all((tree.value[leaves, i, codes] > 0).all() for i, codes in enumerate(columns))
    if member.criterion not in _MEANS or member.monotonic_cst is not None:
        return True
    leaves, y = tree.apply(X[drawn]), y[drawn].reshape(len(drawn), -1)
    counts = np.ones(len(drawn)) if weights is None or DRAWS_BY_WEIGHT else weights[drawn]
    size = np.bincount(leaves, weights=counts, minlength=tree.node_count)
    size[size == 0] = 1
    for column, values in enumerate(y.T):
        mean = np.bincount(leaves, weights=counts * values, minlength=tree.node_count) / size
        if not np.allclose(mean[is_leaf], tree.value[is_leaf, column, 0]):
            return False
    return True
