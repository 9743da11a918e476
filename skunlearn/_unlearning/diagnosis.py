"""Warnings: of a class that goes, of a request that did not forget or that destroyed the model."""

import numpy as np

from skunlearn._rows.checking import warn
from skunlearn._torch.parts.tasks import task_of
from skunlearn._unlearning import traces
from skunlearn._unlearning.certificate.deletion_log import to_plain
from skunlearn._unlearning.change import Facts
from skunlearn._unlearning.rules import DAMAGE, FORGETTING
from skunlearn.exceptions import ClassForgottenWarning, ModelDamagedWarning, NotForgottenWarning

_SOME = 10_000  # retained rows that are asked first which classes are left


def find_emptied(unlearner, record, forget, positions=None, retain=None):
    """Encoded classes, or labels, of which a request removes every row, with a warning.

    `record` is as the request leaves it. Where it holds no rows, `retain` are those that came
    with the request, those at `positions` go, and of the others digests tell.
    """
    if unlearner._classes is None:
        return ()
    task = task_of(unlearner._classes)
    if not record.has_data:
        gone = _recall_emptied(task, record, forget, positions, retain)
    elif forget is None:
        return ()
    else:
        gone = task.find_emptied(record.read_some_y(_SOME), forget.y)
        if len(gone):  # not even looked for among all rows, where some have the class
            gone = task.find_emptied(record.retained_y, forget.y)
    if len(gone):
        names = to_plain(unlearner._row_reader.name(gone))
        warn(
            f"The request removes every retained row of {names}: the model forgets the whole "
            "class. Judge it on unseen rows of that class, and its accuracy on the others.",
            ClassForgottenWarning,
        )
    return tuple(gone.tolist())


def _recall_emptied(task, record, forget, positions, retain):
    """As ``find_emptied``, of rows that are not at hand; none where nobody can say."""
    codes = range(len(task.labels)) if task.has_one_class else ()
    if forget is not None:
        gone = forget.y
    elif task.has_one_class:
        gone = record.recall_labels(positions, codes)
        gone = gone[gone >= 0]
    else:
        return np.array([], dtype=int)
    emptied = task.find_emptied(retain.y, gone)
    if len(retain) == record.retained.sum() or not len(emptied):
        return emptied
    # The request has brought a part of those that are left.
    left = record.recall_labels(np.flatnonzero(record.retained), codes)
    known = task.has_one_class and (left >= 0).all()
    return emptied[~np.isin(emptied, left)] if known else emptied[:0]


def warn_if_wrong(unlearner, change, measured, most_lost, removal):
    """Warn once when a request has damaged the model, and once when it has not forgotten.

    Parameters
    ----------
    unlearner, change, measured, most_lost, removal : see `Facts`
        The method is not exact; of one with a proof only what the noise cost is asked.
    """
    trained = change.retain_before
    if trained is not None and removal.never_trained is not None:
        trained = trained.take(~np.isin(removal.sample.positions, removal.never_trained))
    if traces.has_learnt_nothing(trained):
        return
    facts = Facts(unlearner, change, measured, most_lost, removal, trained)
    _ask(DAMAGE, facts, ModelDamagedWarning)
    if None not in facts.losses and not facts.promises.certified:
        _ask(FORGETTING, facts, NotForgottenWarning)


def _ask(rules, facts, category):
    """Warn of what the first of the rules says that applies and finds something."""
    for rule in rules:
        if all(map(facts.hold, rule.needs)) and (text := rule.say(facts)):
            warn(text, category)
            return
