"""Audit a model that has forgotten: figures, intervals, verdict."""

from dataclasses import replace

import numpy as np

from skunlearn._torch.parts.tasks import Classes, Labels
from skunlearn._torch.row_errors import find_row_error
from skunlearn._unlearning import words
from skunlearn.evaluation import _classes, _multilabel, _values
from skunlearn.evaluation._assembling import assemble, check_settings, check_twins
from skunlearn.evaluation._reference_models import (
    check_floor,
    outputs_of,
    reference_models,
    train_floor,
)
from skunlearn.evaluation._reference_models import run_blind_attack as blind_baseline
from skunlearn.evaluation._subjects import Subject, find_asked_model
from skunlearn.evaluation.figures import SETS, Sets
from skunlearn.metrics._label_logits import check_label_logits, is_multilabel
from skunlearn.metrics._logits import check_logits
from skunlearn.metrics._scorers.scoring import refuse_noise
from skunlearn.metrics._scorers.short_reference import SHARE

__all__ = ["audit", "audit_logits"]


def audit_logits(
    outputs,
    labels,
    *,
    retrained="retrained",
    reference_note=None,
    original="original",
    floor=None,
    forgotten_classes=None,
    seconds=None,
    blind=None,
    attacks="strongest",
    tolerance=0.03,
    confidence=0.95,
    random_state=0,
):
    """Audit models of any origin from their logits.

    Parameters
    ----------
    outputs : dict of str to dict of str to array-like of shape (n_rows, n_classes)
        For each model its logits (or log-probabilities) on the sets "forget", "unseen" and
        optionally "retain".
    labels : dict of str to array-like of shape (n_rows,), int
        Column of each row's true class, for the same sets; or of shape (n_rows, n_labels), 0 or 1
        for each label of rows that have several, with a logit for each label. A row is then right
        when all of its labels are, and attacks take the mean over the labels.
    retrained : str, list of str or None, default="retrained"
        Models in `outputs` that never saw the forget set, the reference of all others. More than
        one (of other seeds) give a null band. A name that is not in `outputs` is an error; None
        says that there is none.
    reference_note : str, default=None
        Says that these models are short references, trained for a share of the epochs, and which
        ("3 of 30 epochs"). Attacks are then compared with theirs, accuracies only on classes that
        were wholly forgotten: a short training knows less of everything.
    original : str or None, default="original"
        Model before the request; ignored when `outputs` has none of that name.
    floor : str or None, default=None
        Model in `outputs` that was trained without the forget set for the budget of the others. It
        has a verdict as these have; of those that are no better than it by any figure the warnings
        say so.
    forgotten_classes : array-like of int, default=None
        Classes that were wholly forgotten; None finds them where "retain" is given, and takes
        none otherwise.
    seconds : dict of str to float, default=None
        Time that each model took.
    blind : MembershipInference, default=None
        From `skunlearn.metrics.blind_attack` on the rows, for the warning about shift.
    attacks : str or sequence of str, default="strongest"
        A score of `skunlearn.metrics.membership_scores` ("margin", say); "strongest" for the one
        of them that lies farthest from its reference, with intervals that hold for all of them
        together; or "learned" for a logistic regression on all of them. Of several the first
        decides the verdict.
    tolerance : float, default=0.03
        Practical margin: a difference of AUC, or of accuracy on the forget set, that is too small
        to matter, whatever its significance: one of AUC must differ from 0 and exceed it, one of
        accuracy must surely exceed it, beyond what unseen rows show of classes that keep most of
        their rows ("retain" is needed for that). Two retrained models that differ by more in
        accuracy raise it to what they differ by.
    confidence : float, default=0.95
        Level of all intervals.
    random_state : int, default=0
        Seed of bootstrap intervals.

    Returns
    -------
    report : Report

    Raises
    ------
    ValueError
        When a set, a model or labels are missing or do not fit each other, values are not
        finite, or a class of the forget set has no unseen row.

    Examples
    --------
    >>> import numpy as np
    >>> from skunlearn.evaluation import audit_logits
    >>> rng = np.random.default_rng(0)
    >>> labels = {"forget": rng.integers(3, size=200), "unseen": rng.integers(3, size=400)}
    >>> never_saw = {k: np.eye(3)[y] + rng.normal(size=(len(y), 3)) for k, y in labels.items()}
    >>> kept = never_saw | {"forget": never_saw["forget"] + 2 * np.eye(3)[labels["forget"]]}
    >>> report = audit_logits({"mine": kept, "retrained": never_saw}, labels)
    >>> report.verdicts["mine"].kind
    'not forgotten'
    """
    if isinstance(retrained, str):
        retrained = [retrained]
    retrained = list(retrained or [])
    _check_names(outputs, retrained)
    if floor is not None and (floor not in outputs or floor in (original, *retrained)):
        raise ValueError(
            f"floor={floor!r} must name a model of outputs that is neither the original nor "
            f"retrained in full; there are {', '.join(map(repr, outputs))}."
        )
    outputs, y = _check(outputs, labels)
    original = original if original in outputs else None
    attacks = check_settings(attacks, tolerance, confidence)
    multi, gone = is_multilabel(y["forget"]), np.array([], dtype=int)
    if "retain" in y:
        task = Labels(y["forget"].shape[1]) if multi else Classes(None)
        gone = task.find_emptied(y["retain"], y["forget"])
    if forgotten_classes is not None:
        gone = np.asarray(forgotten_classes)
    return assemble(
        _multilabel if multi else _classes,
        outputs,
        Sets(y, gone, confidence, random_state),
        retrained=retrained,
        original=original,
        seconds=seconds,
        blind=blind,
        attacks=attacks,
        tolerance=tolerance,
        reference_note=reference_note,
        floor=floor,
    )


@words.explained(audit_logits)
def audit(
    unlearner,
    X_test,
    y_test=None,
    *,
    X_forget=None,
    y_forget=None,
    retrained="train",
    original=None,
    n_seeds=1,
    floor="same",
    short=SHARE,
    attacks="strongest",
    tolerance=0.03,
    confidence=0.95,
    random_state=0,
):
    """Set an unlearner that has forgotten beside a retrained model.

    Judged is the last request, or what `X_forget` holds. `compare` does the same for several
    methods, and trains the original too; `audit_logits` takes the outputs of any model from
    anywhere. Retrained models are trained with the sample weights of ``fit``; the figures count
    every row once.

    Parameters
    ----------
    unlearner : fitted unlearner that has forgotten, or UnlearningPipeline
        Of a regressor the error of each row is the attack's score, and R² and mean errors stand
        where those of a classifier are accuracies. A net with an L1, smooth L1, Huber or Poisson
        loss is judged by that (Poisson's as a deviance), everything else by squared errors;
        ``report.error`` names it.
    X_test, y_test : rows and labels never seen
        A torch Dataset has its labels with it, and `y_test` is None. Among them rows of the
        forgotten classes, to compare forgotten rows with. Those of a pipeline are as they are
        before its first step.
    X_forget, y_forget : rows and labels, default=None
        Forgotten rows to judge by, of any request: all that were ever forgotten, say. None takes
        those of the last request, which an estimator no longer has that was pickled, loaded or
        detached: ``attach`` the retained rows, and pass the forgotten ones here. They must be as
        they were passed to ``fit``; that they are forgotten ones is checked, but of a Dataset,
        whose items are known by their places, only that they are not retained.
    retrained : "train", "short", fitted estimator, list of them, or None, default="train"
        Models that never saw the forget set. "train" trains `n_seeds` of them on the retained
        rows, kept in the unlearner's ``memory``, those of a pipeline with its steps; "short" does
        so for a share of the epochs, which gives the attack its reference but no accuracy to
        compare with (see `audit_logits`); None does without, and says so.
    original : fitted estimator, default=None
        The model before the request, which the unlearner no longer holds.
    n_seeds : int, default=1
        Retrained models to train. Two or more give distances their null band: how far one
        retrained model lies from another.
    floor : "same", int or None, default="same"
        What training anew gives for the same budget, the floor of all approximate methods: a net
        trained on the retained rows for as many epochs as the method took, with its learning rates
        run through in these, as by ``RetrainUnlearner(max_epochs=)``. It is judged as the method
        is, which the warnings hold against it. "same" takes the method's `max_epochs` (of those on
        forget rows alone as many fewer as these are), those in the log of `AutoUnlearner`, and a
        fifth of the recipe's of methods that have none; exact methods, models that are no nets,
        and audits that train no models in full do without, as None does. An int is a number of
        epochs, of nets.
    short : float, default=0.1
        Share of the epochs of ``retrained="short"``, at least one. An estimator without epochs is
        trained in full, and the report calls it retrained.
    {attacks}
        Of regressors there is one attack, by the error of each row.
    {tolerance}
        Of regressors it is a share of the retrained model's mean error on the forget set.
    {confidence, random_state}

    Returns
    -------
    report : Report

    Raises
    ------
    TypeError, ValueError
        When a reference would start from what was trained before: a module instance, a callback
        that loads weights, frozen parts.
    ValueError
        When nothing has been forgotten, the forget rows are no longer at hand and none are passed
        (or such that were not forgotten), a forgotten class
        has no test row, the steps of a pipeline cannot transform a row, or training rows are
        augmented at random, ``fit`` was not told how to `measure_on` them, and `retrained` is
        None.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.tree import DecisionTreeClassifier
    >>> from skunlearn import RetrainUnlearner
    >>> from skunlearn.evaluation import audit
    >>> X, y = load_iris(return_X_y=True)
    >>> unlearner = RetrainUnlearner(DecisionTreeClassifier(), random_state=0).fit(X[::2], y[::2])
    >>> report = audit(unlearner.unlearn(indices=range(0, 75, 5)), X[1::2], y[1::2])
    >>> report.verdicts["RetrainUnlearner"].kind
    'indistinguishable'
    """
    check_settings(attacks, tolerance, confidence)
    subject = Subject(unlearner, "audit")
    check_floor(floor, subject.final.estimator)
    if not unlearner.deletions_:
        raise ValueError(f"{subject.name} has not forgotten anything yet. Call unlearn first.")
    views = {
        "forget": subject.forgotten(X_forget, y_forget),
        "retain": subject.retained(),
        "unseen": subject.unseen(X_test, y_test),
    }
    check_twins(views["forget"], views["unseen"], subject.classes)
    brought = X_forget is not None
    judged = unlearner.deletions_ if brought else unlearner.deletions_[-1:]
    models = {subject.name: subject.model}
    if original is not None:
        models = {"original": find_asked_model(original)} | models
    references, asked = reference_models(subject, views["retain"], retrained, n_seeds, short)
    if not references and subject.final._evidence is not None:
        refuse_noise(subject.final._evidence)
    seconds = {subject.name: sum(entry["seconds"] for entry in judged)}
    floors, notes = {}, []
    if floor != "same" or (isinstance(retrained, str) and retrained == "train"):
        last = [(subject.final, unlearner.deletions_[-1])]
        floors, times, notes = train_floor(subject, views["retain"], floor, last)
        models, seconds = models | floors, seconds | times
    models |= references
    report = judge_outputs(
        {name: outputs_of(model, views, subject.classes) for name, model in models.items()},
        views,
        subject,
        retrained=list(references),
        reference_note=asked.note if asked is not None and asked.kind == "short" else None,
        seconds=seconds,
        attacks=attacks,
        tolerance=tolerance,
        confidence=confidence,
        random_state=random_state,
        floor=next(iter(floors), None),
    )
    said = _say_which(unlearner.deletions_, len(views["forget"]) if brought else None)
    if asked is not None and asked.kind != "short":
        said.append(f"No short reference: the retrained model was {asked.note}.")
    return replace(report, warnings=[*report.warnings, *said, *notes])


def _say_which(deletions, brought=None):
    """What an audit has not looked at: requests before the last, or rows that were not brought."""
    rows = [entry["rows"] for entry in deletions]
    if brought is not None:
        if brought == sum(rows):
            return []
        return [
            f"Judged are the {brought} rows of X_forget, of {sum(rows)} that were forgotten. The "
            "time is that of all."
        ]
    if len(rows) == 1:
        return []
    return [
        f"Judged is the last of {len(rows)} requests, {rows[-1]} of the {sum(rows)} rows that they "
        "named. Rows of the others are not looked at."
    ]


def judge_outputs(
    outputs,
    views,
    subject,
    *,
    retrained,
    seconds,
    attacks,
    tolerance,
    confidence,
    random_state,
    reference_note=None,
    floor=None,
):
    """The report on models by what they say of the views; see `audit`.

    Parameters
    ----------
    outputs : dict of str to dict of str to ndarray
        Logits, or predictions of regressors, by model and view.
    views : dict of str to Rows
    subject : Subject
        Whose rows these are.
    """
    y = {name: rows.y for name, rows in views.items()}
    shown = {name: subject.numbers(views[name]) for name in ("forget", "unseen")}
    baseline = blind_baseline(shown, random_state, classes=subject.classes)
    how = {"retrained": retrained, "seconds": seconds, "blind": baseline, "tolerance": tolerance}
    how |= {"reference_note": reference_note, "floor": floor}
    if subject.classes is not None:
        how |= {"attacks": attacks, "confidence": confidence, "random_state": random_state}
        return audit_logits(outputs, y, **how)
    for name, found in outputs.items():
        if not all(np.isfinite(values).all() for values in found.values()):
            raise ValueError(f"The predictions of {name!r} hold NaN or infinity.")
    original = "original" if "original" in outputs else None
    error = find_row_error(subject.final.estimator, y.values())
    sets = Sets(y, np.array([], dtype=int), confidence, random_state, error)
    how |= {"attacks": (error.name,), "original": original}
    return replace(assemble(_values, outputs, sets, **how), error=error.name)


def _check_names(outputs, retrained):
    missing = [name for name in retrained if name not in outputs]
    if missing:
        raise ValueError(
            f"outputs hold no model named {', '.join(map(repr, missing))}, only "
            f"{', '.join(map(repr, outputs))}. Name the retrained model in retrained=, or pass "
            "retrained=None to do without one."
        )


def _check(outputs, labels):
    """Float64 logits and integer labels of every set, or an error that says which."""
    if not outputs:
        raise ValueError("outputs holds no model.")
    unknown = sorted(set(labels) - set(SETS))
    missing = [name for name in ("forget", "unseen") if name not in labels]
    if unknown or missing:
        raise ValueError(
            f"labels must have the keys 'forget', 'unseen' and optionally 'retain'; got "
            f"{', '.join(map(repr, labels))}."
        )
    if len({is_multilabel(values) for values in labels.values()}) > 1:
        raise ValueError("labels must all be classes, or all indicators of several labels.")
    checked, y = {}, {}
    for model, sets in outputs.items():
        if set(sets) != set(labels):
            raise ValueError(
                f"labels are given for {sorted(labels)}, but {model!r} has logits for "
                f"{sorted(sets)}."
            )
        checked[model] = {}
        for name in sets:
            where = f"outputs[{model!r}][{name!r}]"
            check = check_label_logits if is_multilabel(labels[name]) else check_logits
            z, y[name] = check(
                sets[name], labels[name], logits_name=where, y_name=f"labels[{name!r}]"
            )
            checked[model][name] = z
    widths = {m: {k: z.shape[1] for k, z in s.items()} for m, s in checked.items()}
    if len({w for s in widths.values() for w in s.values()}) > 1:
        raise ValueError(f"all logits must have one column per class; columns found: {widths}.")
    return checked, y
