"""All or nothing: work is done on a copy, whose state is taken over when it has gone well."""

import copy
from contextlib import contextmanager

_OWN = "_own"  # the names of what fit and requests have put on an estimator
_ORIGIN = "_draft_of"


@contextmanager
def drafted(estimator, *, anew=False):
    """A copy to work on; `estimator` takes its state over when the block ends without an error.

    What the work puts on the copy under new names is the estimator's own state, whoever wrote its
    class.

    Parameters
    ----------
    estimator : estimator whose ``__copy__`` shares everything
    anew : bool, default=False
        Without the own state of an earlier fit, which may have been on another kind of data.
    """
    draft = copy.copy(estimator)
    if anew:
        forget_own_state(draft)
    names = set(vars(draft))
    vars(draft)[_ORIGIN] = estimator
    yield draft
    del vars(draft)[_ORIGIN]
    note_own_state(draft, names)
    # One assignment, which no interrupt can cut in half.
    estimator.__dict__ = dict(vars(draft))


def origin(estimator):
    """The estimator that a draft will give its state to; any other is its own."""
    return vars(estimator).get(_ORIGIN, estimator)


def note_own_state(draft, names):
    """Write down what work has put on a copy; `names` are those of what it held before."""
    own = own_names(draft) | (vars(draft).keys() - names)
    vars(draft)[_OWN] = frozenset(own & vars(draft).keys()) - {_OWN}


def own_names(estimator):
    """Names of what fits and requests have put on an estimator, and is there still."""
    return vars(estimator).get(_OWN, frozenset()) & vars(estimator).keys()


def forget_own_state(estimator):
    """Remove what fits and requests have put on an estimator."""
    for name in {*own_names(estimator), _OWN}:
        vars(estimator).pop(name, None)


def share_state(estimator, source):
    """Bring an estimator into the state of another one, which keeps it."""
    forget_own_state(estimator)
    held = vars(source)
    vars(estimator).update(
        {name: held[name] for name in (*own_names(source), _OWN) if name in held}
    )


def share_all(estimator):
    """A copy of an estimator that shares everything with it; for its ``__copy__``."""
    new = object.__new__(type(estimator))
    vars(new).update(vars(estimator))
    return new
