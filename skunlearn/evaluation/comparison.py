"""Original, unlearned and retrained models side by side."""

import numpy as np
from sklearn.base import clone

from skunlearn import _caches, _validation
from skunlearn._data import is_dataset, n_rows
from skunlearn.evaluation._models import blind, check_recipe, named, other_references, outputs_of
from skunlearn.evaluation.audit import audit_logits
from skunlearn.exact import RetrainUnlearner
from skunlearn.metrics._scoring import refuse_training_rows, unseen_rows

__all__ = ["compare"]


def compare(
    unlearners,
    X,
    y,
    *,
    forget,
    X_test,
    y_test,
    n_seeds=1,
    attacks="strongest",
    tolerance=0.03,
    confidence=0.95,
    random_state=0,
    verbose=0,
    measure_on=None,
):
    """Train once, forget with each method, and set them beside a retrained model.

    Parameters
    ----------
    unlearners : dict of str to classifier unlearner, or list of them
        All around the same estimator; it is trained once, for the first of them. A list takes
        the names of the classes.
    X, y : training rows and labels
    forget : bool array of shape (n_samples,)
        Rows to forget.
    X_test, y_test : rows and labels never seen
    n_seeds : int, default=1
        Retrained models. Two or more give distances their null band: how far one retrained
        model lies from another.
    attacks, tolerance, confidence
        See `audit_logits`.
    random_state : int, default=0
        Seed of all trainings and of bootstrap intervals.
    verbose : int, default=0
        1 says what is being done.
    measure_on : torch Dataset or callable, default=None
        How to read training rows as they are where they are augmented at random; see
        `BaseUnlearner.fit`.

    Returns
    -------
    report : Report
        On "original", the given names and "retrained". Its time is that of a training now,
        never taken from a cache.

    Raises
    ------
    TypeError, ValueError
        When a reference would start from what was trained before: a module instance, a callback
        that loads weights, frozen parts.
    ValueError
        When an unlearner is no classifier, the mask does not fit the rows, or names repeat.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skunlearn import RetrainUnlearner
    >>> from skunlearn.evaluation import compare
    >>> X, y = load_iris(return_X_y=True)
    >>> forget = (y == 2) & (np.arange(150) % 2 == 0)
    >>> train = np.arange(150) % 3 > 0
    >>> report = compare(
    ...     {"again": RetrainUnlearner(LogisticRegression(max_iter=500))},
    ...     X[train],
    ...     y[train],
    ...     forget=forget[train],
    ...     X_test=X[~train],
    ...     y_test=y[~train],
    ... )
    >>> list(report.wide.index)
    ['original', 'again', 'retrained']
    """
    unlearners = named(unlearners, "compare")
    first = next(iter(unlearners.values()))
    n = len(_validation.check_dataset(X)) if is_dataset(X) else n_rows(X)
    mask = _validation.check_forget_mask(forget, n)
    rows = np.flatnonzero(mask)
    check_recipe(first.estimator, "compare")

    def say(text):
        if verbose:
            print(text, flush=True)

    say("training the original model")
    retrained = RetrainUnlearner(
        first.estimator, random_state=random_state, memory=first.memory, verbose=verbose > 1
    ).fit(X, y, measure_on=measure_on)
    if not hasattr(retrained, "classes_"):
        raise ValueError("compare is for classifiers.")
    record = retrained._record
    unseen = unseen_rows(retrained, X_test, y_test)
    refuse_training_rows(retrained, unseen)
    views = {k: record.view(np.flatnonzero(m)) for k, m in (("forget", mask), ("retain", ~mask))}
    views["unseen"] = unseen

    def ask(model):
        return outputs_of(model, views, retrained._classes)

    fitted = {k: v for k, v in vars(retrained).items() if k not in retrained.get_params(False)}
    outputs, seconds = {"original": ask(retrained.estimator_)}, {}
    for name, unlearner in unlearners.items():
        say(f"forgetting: {name}")
        new = clone(unlearner)
        if new._watches_training:
            # Its own training is part of it.
            how = {} if measure_on is None else {"measure_on": measure_on}
            new.set_params(random_state=random_state).fit(X, y, **how)
        else:
            vars(new).update(fitted, _seed=retrained._seed)
        with _caches.kept():  # nobody asked to delete these rows
            new.unlearn(indices=rows)
        outputs[name], seconds[name] = ask(new.estimator_), new.deletions_[-1]["seconds"]
    say("retraining without the forget rows")
    memory, retrained.memory = retrained.memory, None  # its time is the yardstick
    retrained.unlearn(indices=rows)
    outputs["retrained"] = ask(retrained.estimator_)
    seconds["retrained"] = retrained.deletions_[-1]["seconds"]
    retrained.memory = memory
    others = other_references(retrained, views["retain"], n_seeds)
    outputs |= {name: ask(model) for name, model in others}
    return audit_logits(
        outputs,
        {name: view.y for name, view in views.items()},
        retrained=["retrained", *(name for name in outputs if name.startswith("retrained ("))],
        seconds=seconds,
        blind=blind(views, random_state),
        attacks=attacks,
        tolerance=tolerance,
        confidence=confidence,
        random_state=random_state,
    )
