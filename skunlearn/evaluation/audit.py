"""Audit a model that has forgotten: figures, intervals, verdict."""

from dataclasses import replace

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skunlearn._short import SHARE
from skunlearn.base import model_of
from skunlearn.evaluation._against import against, over_null
from skunlearn.evaluation._models import blind as blind_baseline
from skunlearn.evaluation._models import outputs_of, reference_models
from skunlearn.evaluation.figures import (
    IDEALS,
    SETS,
    Sets,
    attack,
    direction_of,
    measure,
    score_names,
)
from skunlearn.evaluation.report import Report
from skunlearn.evaluation.verdicts import judge, warn_about, warn_about_sets
from skunlearn.metrics._logits import check_logits
from skunlearn.metrics._scoring import (
    forgotten_rows,
    refuse_noise,
    refuse_training_rows,
    unseen_rows,
)
from skunlearn.metrics.matching import match_weights
from skunlearn.metrics.scores import attack_scores

__all__ = ["audit", "audit_logits"]


def audit(
    unlearner,
    X_test,
    y_test,
    *,
    retrained="train",
    original=None,
    n_seeds=1,
    short=SHARE,
    attacks="strongest",
    tolerance=0.03,
    confidence=0.95,
    random_state=0,
):
    """Set an unlearner that has forgotten beside a retrained model.

    Judged is the last request. `compare` does the same for several methods, and trains the
    original too; `audit_logits` takes the outputs of any model from anywhere. Retrained models
    are trained with the sample weights of ``fit``; the figures count every row once.

    Parameters
    ----------
    unlearner : fitted classifier unlearner that has forgotten
    X_test, y_test : rows and labels never seen
        Among them rows of the forgotten classes, to compare forgotten rows with.
    retrained : "train", "short", fitted estimator, list of them, or None, default="train"
        Models that never saw the forget set. "train" trains `n_seeds` of them on the retained
        rows, kept in the unlearner's ``memory``; "short" does so for a share of the epochs, which
        gives the attack its reference but no accuracy to compare with (see `audit_logits`); None
        does without, and says so.
    original : fitted estimator, default=None
        The model before the request, which the unlearner no longer holds.
    n_seeds : int, default=1
        Retrained models to train. Two or more give distances their null band: how far one
        retrained model lies from another.
    short : float, default=0.1
        Share of the epochs of ``retrained="short"``, at least one. An estimator without epochs is
        trained in full, and the report calls it retrained.
    attacks, tolerance, confidence, random_state
        See `audit_logits`.

    Returns
    -------
    report : Report

    Raises
    ------
    TypeError, ValueError
        When a reference would start from what was trained before: a module instance, a callback
        that loads weights, frozen parts.
    ValueError
        When nothing has been forgotten, the forget rows are no longer at hand, the unlearner
        is no classifier, a forgotten class has no test row, or training rows are augmented at
        random, ``fit`` was not told how to `measure_on` them, and `retrained` is None.

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
    check_is_fitted(unlearner)
    if not hasattr(unlearner, "classes_"):
        raise ValueError("audit is for classifiers.")
    if not unlearner.deletions_:
        raise ValueError(f"{type(unlearner).__name__} has not forgotten anything yet.")
    forget = forgotten_rows(unlearner)
    unseen = unseen_rows(unlearner, X_test, y_test)
    refuse_training_rows(unlearner, unseen)
    record = unlearner._record
    retain = record.view(np.flatnonzero(record.retained))
    views = {"forget": forget, "retain": retain, "unseen": unseen}
    name = type(unlearner).__name__
    models = {name: unlearner.estimator_}
    if original is not None:
        models = {"original": model_of(original)} | models
    references, asked = reference_models(unlearner, retain, retrained, n_seeds, short)
    if not references and unlearner._evidence is not None:
        refuse_noise(unlearner._evidence)
    models |= references
    report = audit_logits(
        {key: outputs_of(model, views, unlearner._classes) for key, model in models.items()},
        {key: rows.y for key, rows in views.items()},
        retrained=list(references),
        reference_note=asked.note if asked is not None and asked.kind == "short" else None,
        seconds={name: unlearner.deletions_[-1]["seconds"]},
        blind=blind_baseline(views, random_state),
        attacks=attacks,
        tolerance=tolerance,
        confidence=confidence,
        random_state=random_state,
    )
    if asked is not None and asked.kind != "short":
        said = f"No short reference: the retrained model was {asked.note}."
        return replace(report, warnings=[*report.warnings, said])
    return report


def audit_logits(
    outputs,
    labels,
    *,
    retrained="retrained",
    reference_note=None,
    original="original",
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
        Column of each row's true class, for the same sets.
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
    forgotten_classes : array-like of int, default=None
        Classes that were wholly forgotten; None finds them where "retain" is given, and takes
        none otherwise.
    seconds : dict of str to float, default=None
        Time that each model took.
    blind : MembershipInference, default=None
        From `skunlearn.metrics.blind_attack` on the rows, for the warning about shift.
    attacks : str or sequence of str, default="strongest"
        See `skunlearn.metrics.membership_inference`. The first decides the verdict.
    tolerance : float, default=0.03
        Practical margin: a difference of AUC, or of accuracy on the forget set, that is too small
        to matter, whatever its significance: one of AUC must differ from 0 and exceed it, one of
        accuracy must surely exceed it, beyond what unseen rows show of classes that keep most of
        their rows ("retain" is needed for that). Two retrained models that differ by more in accuracy
        raise it to what they differ by.
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
    outputs, y = _check(outputs, labels)
    original = original if original in outputs else None
    attacks = (attacks,) if isinstance(attacks, str) else tuple(attacks)
    if not attacks:
        raise ValueError("attacks is empty; the first of them decides the verdict.")
    gone = np.setdiff1d(y["forget"], y["retain"]) if "retain" in y else np.array([], dtype=int)
    if forgotten_classes is not None:
        gone = np.asarray(forgotten_classes)
    sets = Sets(y, gone, confidence, random_state)

    first = retrained[0] if retrained else None
    kind = "retrained" if reference_note is None else "short"
    figures, attacked, plain = {}, {}, {}
    for name, logits in outputs.items():
        theirs = None if name == first else outputs.get(first)
        figures[name], attacked[name], plain[name] = measure(
            logits, sets, attacks, theirs, kind, reference_note or ""
        )
        unmatched = attack(logits, sets, score_names(attacks)[0], match=None).interval
        figures[name]["unmatched AUC"] = (unmatched.estimate, unmatched.low, unmatched.high)
    if first is not None:
        del figures[first]["AUC difference"]
    if first is not None and kind == "retrained":
        for name in outputs:
            if name != first:
                figures[name] |= against(outputs, figures, plain, name, first, confidence)
            figures[name] |= over_null(outputs, name, retrained, confidence)
    _add_seconds(figures, seconds or {}, first)

    candidates = [n for n in outputs if n != original and n not in retrained]
    warnings = warn_about_sets(
        outputs.get(original),
        None if kind == "short" else outputs.get(first),
        plain[first or next(iter(outputs))],
        sets,
        blind,
    )
    verdicts = {}
    for name in candidates:
        references = [outputs[k] for k in retrained]
        verdicts[name] = judge(outputs[name], references, attacked[name], sets, tolerance)
        if kind == "retrained":
            warnings += warn_about(
                name, outputs[name], outputs.get(first), outputs.get(original), sets
            )
    unseen_gone = np.isin(y["unseen"], gone)
    return Report(
        frame=_tidy(figures, retrained),
        verdicts=verdicts,
        warnings=warnings,
        roles={"original": original, "retrained": first},
        curves=_curves(outputs, sets, score_names(attacks)[0]),
        ceiling=float(1 - unseen_gone.mean()),
        confidence=confidence,
    )


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
            z, y[name] = check_logits(
                sets[name], labels[name], logits_name=where, y_name=f"labels[{name!r}]"
            )
            checked[model][name] = z
    widths = {m: {k: z.shape[1] for k, z in s.items()} for m, s in checked.items()}
    if len({w for s in widths.values() for w in s.values()}) > 1:
        raise ValueError(f"all logits must have one column per class; columns found: {widths}.")
    return checked, y


def _add_seconds(figures, seconds, first):
    for name, value in seconds.items():
        if name in figures:
            figures[name]["seconds"] = (value, np.nan, np.nan)
            if seconds.get(first):
                figures[name]["of retraining"] = (value / seconds[first], np.nan, np.nan)


def _tidy(figures, retrained):
    """One row per model and figure, with its reference."""
    import pandas as pd

    first = retrained[0] if retrained else None
    order = list(dict.fromkeys(metric for found in figures.values() for metric in found))
    order.sort(key=lambda metric: metric in ("seconds", "of retraining"))
    rows = []
    for model, found in figures.items():
        for metric in (m for m in order if m in found):
            value, low, high = found[metric]
            reference = _reference(figures, retrained, metric)
            inside = None
            if model != first and not np.isnan(reference[1]):
                inside = bool(reference[1] <= value <= reference[2])
            direction = direction_of(metric)
            rows.append((model, metric, value, low, high, *reference, direction, inside))
    columns = ["model", "metric", "value", "low", "high"]
    columns += ["reference", "reference low", "reference high", "direction", "inside"]
    frame = pd.DataFrame(rows, columns=columns)
    return frame.astype({"inside": "boolean"})


def _reference(figures, retrained, metric):
    """Value of the retrained model with the interval that it and its other seeds span."""
    if not retrained:
        chance = 0.5 if metric.startswith("AUC") else np.nan
        return (0.0 if metric == "AUC difference" else chance, np.nan, np.nan)
    others = [figures[name][metric] for name in retrained[1:] if metric in figures[name]]
    if metric in IDEALS:
        # The first is the yardstick itself; the others show how far a retrained model lies.
        ideal = IDEALS[metric]
        if not others:
            return ideal, np.nan, np.nan
        values = [ideal, *(value for value, _, _ in others)]
        return ideal, min(values), max(values)
    spans = [figures[retrained[0]].get(metric, (np.nan,) * 3), *others]
    return spans[0][0], min(s[1] for s in spans), max(s[2] for s in spans)


def _curves(outputs, sets, name):
    weights = match_weights(sets.y["forget"], sets.y["unseen"])
    curves = {}
    for model, logits in outputs.items():
        sides = ((logits[k], sets.y[k]) for k in ("forget", "unseen"))
        ((members, others),) = attack_scores(*sides, name, random_state=sets.seed).values()
        scores = {"forget": members, "unseen": others}
        curves[model] = scores | {"weights": weights, "attack": name}
    return curves
