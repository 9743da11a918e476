"""The innermost steps of scikit-learn's compositions, whether they learn, and what they take."""

from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import FunctionTransformer
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


def refuse_dataset(steps):
    """Raise where the first of `steps` to see the rows cannot take a torch Dataset."""
    for name, step in walk_leaves(steps):
        step = step.estimator if isinstance(step, FrozenEstimator) else step
        if isinstance(step, FunctionTransformer):
            if step.func is None:  # it hands the rows on
                continue
        elif _takes_arrays(step):
            raise TypeError(
                f"X is a torch Dataset, and {name} ({type(step).__name__}) takes arrays. Read it "
                "into arrays once, of pairs by X, y = map(np.stack, zip(*(dataset[i] for i in "
                "range(len(dataset))))), and flatten rows of several dimensions. In front of a "
                "net the Dataset's own transform can do a step's work, with numbers not learnt "
                "from these rows."
            )
        return


def _takes_arrays(step):
    """Whether a step is one of scikit-learn's own, with none inside to hand the rows on to."""
    inner = [value for value in step.get_params().values() if isinstance(value, BaseEstimator)]
    return type(step).__module__.startswith("sklearn.") and not inner


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
