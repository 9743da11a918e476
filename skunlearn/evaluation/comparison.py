"""Original, unlearned and retrained models side by side."""

import copy
from dataclasses import replace

import numpy as np
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from skunlearn._recipe import caches
from skunlearn._rows import checking
from skunlearn._rows.containers import is_dataset, n_rows
from skunlearn._torch import skorch_nets
from skunlearn._torch.parts.tasks import refuse_task
from skunlearn._unlearning import validation, words
from skunlearn._unlearning.announcing import describe_result
from skunlearn._unlearning.fitted import share_state
from skunlearn.evaluation._assembling import check_settings, check_twins
from skunlearn.evaluation._reference_models import (
    check_floor,
    check_recipe,
    name_unlearners,
    other_references,
    outputs_of,
    train_floor,
)
from skunlearn.evaluation._subjects import Subject, check_kind, find_asked_model
from skunlearn.evaluation.audit import audit, audit_logits, judge_outputs
from skunlearn.exact import RetrainUnlearner

__all__ = ["compare"]

_UNIMPORTANT = ("verbose", "n_jobs")  # parameters that do not change what is learnt


@words.explained(audit_logits, audit)
def compare(
    unlearners,
    X,
    y=None,
    *,
    forget,
    X_test,
    y_test=None,
    n_seeds=1,
    floor="same",
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
    unlearners : dict of str to unlearner or UnlearningPipeline, list of them, or a single one
        All around the same estimator, pipelines with the same steps; it is trained once, for the
        first of them. Exact methods, and those that watch their own training, make a model anew,
        which may be of another. A list takes the names of the classes, of pipelines those at their
        ends.
    X, y : training rows and labels, or targets of a regression
        A torch Dataset has its labels with it, and `y` is None; so with `X_test` and `y_test`.
    forget : bool array of shape (n_samples,)
        Rows to forget.
    X_test, y_test : rows and labels never seen
        Of all classes; those of the forgotten ones are what the attacks compare with.
    n_seeds : int, default=1
        Retrained models. Two or more give distances their null band: how far one retrained
        model lies from another.
    {floor}
        Of several methods the one that took most is asked.
    {attacks}
        Of regressors there is one attack, by the error of each row, see `audit`.
    {tolerance}
        Of regressors it is a share of the retrained model's mean error on the forget set.
    {confidence}
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
        On "original", the given names, the floor ("retrained 4/20 epochs") and "retrained". Its
        time is that of a training now, never taken from a cache.

    Raises
    ------
    TypeError, ValueError
        When a reference would start from what was trained before: a module instance, a callback
        that loads weights, frozen parts.
    ValueError
        When the mask does not fit the rows, names repeat, or unlearners that share one training
        are around estimators that differ.

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
    check_settings(attacks, tolerance, confidence)
    unlearners = name_unlearners(unlearners, "compare")
    first = _first_of(unlearners)
    check_floor(floor, _final(first).estimator)
    n = len(validation.check_dataset(X)) if is_dataset(X) else n_rows(X)
    mask = checking.check_forget_mask(forget, n)
    rows = np.flatnonzero(mask)

    def say(text):
        if verbose:
            print(text, flush=True)

    say("training the original model …")
    retrained = _find_trainers(first, random_state, verbose)
    how = {} if measure_on is None else {"measure_on": measure_on}
    retrained.fit(X, y, **how)
    subject = Subject(retrained, "compare")
    for unlearner in unlearners.values():
        refuse_task(_final(unlearner), subject.classes)
    record = retrained._record
    views = {k: record.view(np.flatnonzero(m)) for k, m in (("forget", mask), ("retain", ~mask))}
    views["unseen"] = subject.unseen(X_test, y_test)
    check_twins(views["forget"], views["unseen"], subject.classes)
    train = subject.trainer(views["retain"]) if n_seeds != 1 else None

    def ask(unlearner):
        return outputs_of(find_asked_model(unlearner), views, subject.classes)

    trained = copy.copy(retrained)
    outputs, seconds, done = {"original": ask(retrained)}, {}, []
    for name, unlearner in unlearners.items():
        say(f"{name}: unlearning {len(rows):,} of {n:,} rows …")
        new = clone(unlearner)
        final = _final(new)
        if final._make_promises().watches_training:
            # Its own training is part of it.
            final.set_params(random_state=random_state)
            new.fit(X, y, **how)
        else:
            _share(new, trained)
        with caches.kept():  # nobody asked to delete these rows
            new.unlearn(indices=rows)
        outputs[name], seconds[name] = ask(new), new.deletions_[-1]["seconds"]
        say(describe_result(new.deletions_[-1]))
        done.append((_final(new), new.deletions_[-1]))
    floors, times, notes = train_floor(subject, views["retain"], floor, done)
    outputs |= {name: outputs_of(model, views, subject.classes) for name, model in floors.items()}
    seconds |= times
    for name, spent in times.items():
        say(f"{name}: trained without the forget rows in {spent:.1f} s")
    say("retraining without the forget rows …")
    final = subject.final
    memory, final.memory = final.memory, None  # its time is the yardstick
    retrained.unlearn(indices=rows)
    outputs["retrained"] = ask(retrained)
    seconds["retrained"] = retrained.deletions_[-1]["seconds"]
    say(describe_result(retrained.deletions_[-1]))
    final.memory = memory
    others = other_references(subject.final._seed, train, n_seeds)
    outputs |= {name: outputs_of(model, views, subject.classes) for name, model in others}
    report = judge_outputs(
        outputs,
        views,
        subject,
        retrained=["retrained", *(name for name in outputs if name.startswith("retrained ("))],
        seconds=seconds,
        attacks=attacks,
        tolerance=tolerance,
        confidence=confidence,
        random_state=random_state,
        floor=next(iter(floors), None),
    )
    return replace(report, warnings=[*report.warnings, *notes])


def _first_of(unlearners):
    """The first of them, whose estimator all share; pipelines stand among pipelines."""
    for unlearner in unlearners.values():
        check_kind(unlearner, "compare")
    first = next(iter(unlearners.values()))
    if len({isinstance(u, Pipeline) for u in unlearners.values()}) > 1:
        raise TypeError(
            "compare takes unlearners or UnlearningPipelines, not both: the rows of the others "
            "would not be those before the first step. Put each into a pipeline of the same steps."
        )
    check_recipe(_final(first).estimator, "compare")
    for name, unlearner in unlearners.items():
        promises = _final(unlearner)._make_promises()
        if promises.exact or promises.watches_training:
            continue  # it trains a model of its own
        apart = _tell_apart(_final(first).estimator, _final(unlearner).estimator)
        if apart:
            raise ValueError(
                "compare trains one model for all, that of the first, and the estimator of "
                f"{name!r} is another: {apart}. Call compare once for each estimator."
            )
    return first


def _tell_apart(ours, theirs):
    """What surely differs between two estimators, in words; None where nothing does."""
    ours, theirs = skorch_nets.unwrap(ours), skorch_nets.unwrap(theirs)
    if ours is theirs:
        return None
    if type(ours) is not type(theirs):
        return f"{type(theirs).__name__}, not {type(ours).__name__}"
    mine, other = ours.get_params(), theirs.get_params()
    apart = sorted(
        key
        for key in mine.keys() | other.keys()
        if key.split("__")[-1] not in _UNIMPORTANT and _differ(mine.get(key), other.get(key))
    )
    return f"its {', '.join(apart)}" if apart else None


def _differ(a, b):
    """Whether two values of a parameter surely differ; of most objects nobody can say."""
    plain = bool | int | float | str | None | type
    return isinstance(a, plain) and isinstance(b, plain) and a is not b and a != b


def _find_trainers(first, random_state, verbose):
    """What trains the original model, and the retrained one."""
    piped = isinstance(first, Pipeline)
    final = first.steps[-1][1] if piped else first
    unlearner = RetrainUnlearner(
        final.estimator, random_state=random_state, memory=final.memory, verbose=verbose > 1
    )
    if not piped:
        return unlearner
    steps = [*first.steps[:-1], (first.steps[-1][0], unlearner)]
    return clone(first).set_params(steps=steps, refit_transformers=True)


def _final(unlearner):
    return unlearner.steps[-1][1] if isinstance(unlearner, Pipeline) else unlearner


def _share(new, trained):
    """Bring an unlearner into the state in which the training of the original has left another."""
    share_state(new, trained)
    if isinstance(new, Pipeline):
        name, inner = new.steps[-1]
        share_state(inner, trained.steps[-1][1])
        new.steps = [*trained.steps[:-1], (name, inner)]
