"""What transformers hold of the rows: which of them learn, and what is declared of others."""

from sklearn.frozen import FrozenEstimator

from skunlearn._recipe.leaves import is_stateless, walk_leaves
from skunlearn._recipe.trained_before import find_trained
from skunlearn.backbone import PublicBackbone


def sort_steps(steps):
    """Names of the innermost transformers by what they hold.

    Returns
    -------
    names : dict of list of str
        "fitted" learns from rows, "frozen" has learnt from rows elsewhere, "declared" too, but
        somebody declares that these were no training rows, "stateless" needs no ``fit`` by its
        tags. What is frozen inside a step is named beside the step itself.
    """
    found = {"fitted": [], "frozen": [], "declared": [], "stateless": []}
    for name, step in walk_leaves(steps):
        frozen = isinstance(step, FrozenEstimator)
        kind, inner = _find_kind(step), step.estimator if frozen else step
        found[kind].append(f"{name} ({type(inner).__name__})")
        if not frozen and kind != "declared":
            found["frozen"] += [f"{item.path} ({item.what})" for item in find_trained(step, name)]
    return found


def _find_kind(step):
    if isinstance(step, PublicBackbone):
        return "declared"
    if not isinstance(step, FrozenEstimator):
        return "stateless" if is_stateless(step) else "fitted"
    inner = {_find_kind(leaf) for _, leaf in walk_leaves([("", step.estimator)])}
    if inner == {"stateless"}:
        return "stateless"
    # One that is declared does not speak for another that was fitted elsewhere.
    return "declared" if inner <= {"declared", "stateless"} else "frozen"


def list_declarations(steps):
    """What is declared of each public backbone, with the name of the step."""
    found = []
    for name, step in walk_leaves(steps):
        inner = step.estimator if isinstance(step, FrozenEstimator) else step
        for _, leaf in walk_leaves([("", inner)]):
            if isinstance(leaf, PublicBackbone):
                found.append({"step": f"{name} ({type(leaf).__name__})", **leaf.declaration()})
    return found


def learns(step):
    """Whether a step learns from rows, or may."""
    return bool(sort_steps([("", step)])["fitted"])


def count_constant(steps):
    """How many leading steps learn nothing, of which the last is a public backbone."""
    n = 0
    for number, (name, step) in enumerate(steps, 1):
        if learns(step):
            break
        if sort_steps([(name, step)])["declared"]:
            n = number
    return n
