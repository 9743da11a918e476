"""The innermost steps of scikit-learn's compositions, and whether they learn from rows."""

from sklearn.compose import ColumnTransformer
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.utils import get_tags


def walk_leaves(steps):
    """Yield name and estimator of each innermost one of `steps`, a list of (name, estimator)."""
    for name, step in steps:
        if step is None or isinstance(step, str):  # "passthrough", "drop"
            continue
        inner = _list_inner_steps(step)
        if inner is None:
            yield name, step
        else:
            yield from ((f"{name}__{below}", leaf) for below, leaf in walk_leaves(inner))


def is_stateless(estimator):
    """Whether nothing in `estimator` needs a ``fit``, by its tags."""
    return all(_needs_no_fit(leaf) for _, leaf in walk_leaves([("", estimator)]))


def _list_inner_steps(step):
    if isinstance(step, Pipeline):
        return step.steps
    if isinstance(step, FeatureUnion):
        return step.transformer_list
    if isinstance(step, ColumnTransformer):
        named = [(name, transformer) for name, transformer, _ in step.transformers]
        return [*named, ("remainder", step.remainder)]
    return None


def _needs_no_fit(step):
    try:
        return not get_tags(step).requires_fit
    except AttributeError:  # no scikit-learn estimator, so that nothing is known about it
        return False
