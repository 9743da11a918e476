"""Original, unlearned and retrained models side by side."""

import numpy as np
from sklearn.base import clone

from skunlearn import _validation
from skunlearn._data import is_dataset
from skunlearn._evidence import observe
from skunlearn._record import Rows
from skunlearn.exact import RetrainUnlearner
from skunlearn.metrics.attacks import compare_scores, membership_scores

__all__ = ["compare", "comparison_table"]

# Column -> what a good value is. "retrained" means: as close as can be to the retrained row.
DIRECTIONS = {
    "test": "higher*",
    "retained test": "higher",
    "retained train": "retrained",
    "over-fit": "lower",
    "forget train": "retrained",
    "forget unseen": "retrained",
    "AUC": "retrained",
    "AUC low": "retrained",
    "AUC high": "retrained",
    "unmatched AUC": "see note",
    "seconds": "lower",
    "of retraining": "lower",
}
_ALIKE = 0.05  # accuracies on the forget rows that differ by less count as alike
_NOTE = (
    "* A model that has truly forgotten a class gets its test rows wrong: accuracy over all "
    "classes rewards remembering, so read the retained classes first.\n"
    "AUC: margin attack on forgotten against unseen rows of the same classes, with its interval; "
    "unmatched: against all test rows, which sees the difference between classes, also in the "
    "retrained model."
)


def compare(
    unlearners, X, y, *, forget, X_test, y_test, confidence=0.95, random_state=0, verbose=0
):
    """Train once, forget with each method, and set them beside a retrained model.

    Parameters
    ----------
    unlearners : dict of str to classifier unlearner
        All around the same estimator; it is trained once, for the first of them.
    X, y : training rows and labels
    forget : bool array of shape (n_samples,)
        Rows to forget.
    X_test, y_test : rows and labels never seen
    confidence : float, default=0.95
        Level of the AUC's interval.
    random_state : int, default=0
        Seed of all trainings and of bootstrap intervals.
    verbose : int, default=0
        1 says what is being done.

    Returns
    -------
    table : pandas.DataFrame
        One row per model: "original", the given names, "retrained". Columns: accuracy on all
        ``test`` rows, ``retained test`` (classes that are not wholly forgotten), ``retained
        train``, ``over-fit`` (retained train minus retained test), ``forget train`` (the
        forget rows), ``forget unseen`` (test rows of the forget set's classes), ``AUC`` of the
        class-matched margin attack with ``AUC low`` and ``AUC high``, ``unmatched AUC``,
        ``seconds`` of the unlearning and their ratio ``of retraining``.
        ``table.attrs["directions"]`` says what a good value of each is,
        ``table.attrs["ceiling"]`` the highest accuracy over all test rows that a model without
        the forgotten classes can have.

    Raises
    ------
    ValueError
        When an unlearner is no classifier, or the mask does not fit the rows.

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
    >>> table = compare(
    ...     {"again": RetrainUnlearner(LogisticRegression(max_iter=500))},
    ...     X[train],
    ...     y[train],
    ...     forget=forget[train],
    ...     X_test=X[~train],
    ...     y_test=y[~train],
    ... )
    >>> list(table.index)
    ['original', 'again', 'retrained']
    """
    import pandas as pd

    def say(text):
        if verbose:
            print(text, flush=True)

    first = next(iter(unlearners.values()))
    mask = _validation.check_forget_mask(forget, len(X))
    rows = np.flatnonzero(mask)
    say("training the original model")
    retrained = RetrainUnlearner(
        first.estimator, random_state=random_state, memory=first.memory, verbose=verbose > 1
    ).fit(X, y)
    if not hasattr(retrained, "classes_"):
        raise ValueError("compare is for classifiers.")
    views = _views(retrained, mask, X_test, y_test)
    fitted = {k: v for k, v in vars(retrained).items() if k not in retrained.get_params(False)}
    result = {"original": _measure(retrained.estimator_, views, confidence, random_state)}
    for name, unlearner in unlearners.items():
        say(f"forgetting: {name}")
        new = clone(unlearner)
        vars(new).update(fitted, _seed=retrained._seed)
        new.unlearn(indices=rows)
        result[name] = _measure(new.estimator_, views, confidence, random_state)
        result[name]["seconds"] = new.deletions_[-1]["seconds"]
    say("retraining without the forget rows")
    retrained.memory = None  # its time is the yardstick, so it is not taken from a cache
    retrained.unlearn(indices=rows)
    result["retrained"] = _measure(retrained.estimator_, views, confidence, random_state)
    result["retrained"]["seconds"] = retrained.deletions_[-1]["seconds"]

    table = pd.DataFrame.from_dict(result, orient="index", columns=list(DIRECTIONS))
    table["of retraining"] = table["seconds"] / table.loc["retrained", "seconds"]
    gone = np.isin(views["test"].y, views["gone"])
    table.attrs["directions"] = DIRECTIONS
    table.attrs["ceiling"] = float(1 - gone.mean())
    table.attrs["confidence"] = confidence
    return table


def comparison_table(table):
    """Text of a comparison: figures, the direction of each column, and how to read it.

    Parameters
    ----------
    table : pandas.DataFrame
        From `compare`.

    Returns
    -------
    text : str

    Examples
    --------
    >>> from skunlearn.evaluation import compare, comparison_table
    >>> def report(unlearners, X, y, **parts):
    ...     print(comparison_table(compare(unlearners, X, y, **parts)))
    """
    import pandas as pd

    out = pd.DataFrame(index=table.index)
    for column in ("test", "retained test", "retained train", "over-fit", "forget train"):
        out[column] = [f"{100 * v:.1f}" for v in table[column]]
    out["forget unseen"] = [f"{100 * v:.1f}" for v in table["forget unseen"]]
    out["AUC [interval]"] = [
        f"{a:.3f} [{low:.3f}, {high:.3f}]"
        for a, low, high in zip(table["AUC"], table["AUC low"], table["AUC high"])
    ]
    out["unmatched AUC"] = [f"{v:.3f}" for v in table["unmatched AUC"]]
    for column, form in (("seconds", ".2f"), ("of retraining", ".2f")):
        out[column] = ["-" if np.isnan(v) else format(v, form) for v in table[column]]
    better = [DIRECTIONS[c.removesuffix(" [interval]")] for c in out.columns]
    out = pd.concat([pd.DataFrame([better], index=["(better)"], columns=out.columns), out])
    return (
        f"{out.to_string()}\n\nAccuracies in %; no model without the forgotten classes can exceed "
        f"{100 * table.attrs['ceiling']:.1f} over all test rows.\n{_NOTE}\n{verdicts(table)}"
    )


def verdicts(table):
    """One line per unlearned model: how near is it to the retrained one?

    The attack alone would be blind to a model that keeps a class so well that it knows unseen rows
    of it too; hence the second figure.
    """
    best = table.loc["retrained"]
    lines = []
    for name in table.index.drop(["original", "retrained"]):
        row = table.loc[name]
        inside = best["AUC low"] <= row["AUC"] <= best["AUC high"]
        known = row["forget train"] - best["forget train"]
        gain = row["retained test"] - best["retained test"]
        lines.append(
            f"{name}: {'forgotten' if inside and abs(known) <= _ALIKE else 'NOT FORGOTTEN'} as far "
            f"as these figures can tell: AUC {row['AUC']:.3f} {'inside' if inside else 'outside'} "
            f"the retrained model's interval {best['AUC low']:.3f} to {best['AUC high']:.3f}; "
            f"knows {100 * known:+.1f} points of the forget rows and {100 * gain:+.1f} points of "
            "the retained test rows against it."
        )
    return "\n".join(lines)


def _views(unlearner, mask, X_test, y_test):
    record = unlearner._record
    if is_dataset(X_test) and y_test is None:
        y_test = _validation.dataset_targets(X_test)
    X_test = _validation.check_X(unlearner, X_test)
    y_test = _validation.encode(np.asarray(y_test), unlearner.classes_, "y_test")
    forget, retain = (record.view(np.flatnonzero(m)) for m in (mask, ~mask))
    return {
        "forget": forget,
        "retain": retain,
        "test": Rows(X_test, y_test, np.arange(len(y_test))),
        "gone": np.setdiff1d(forget.y, retain.y),
        "classes": unlearner.classes_,
    }


def _measure(model, views, confidence, random_state):
    """All figures of one model, from one forward pass over each set."""
    seen = {k: observe(model, views[k], views["classes"]) for k in ("forget", "retain", "test")}
    right = {k: e.predicted == e.y for k, e in seen.items()}
    test_y = views["test"].y
    gone = np.isin(test_y, views["gone"])
    twins = np.isin(test_y, views["forget"].y)
    scores = {k: membership_scores(seen[k].logits, seen[k].y) for k in ("forget", "test")}
    attack = {
        match: compare_scores(
            scores["forget"],
            scores["test"],
            y_forget=seen["forget"].y,
            y_unseen=test_y,
            match=match,
            confidence=confidence,
            random_state=random_state,
        )
        for match in ("class", None)
    }
    return {
        "test": right["test"].mean(),
        "retained test": right["test"][~gone].mean(),
        "retained train": right["retain"].mean(),
        "over-fit": right["retain"].mean() - right["test"][~gone].mean(),
        "forget train": right["forget"].mean(),
        "forget unseen": right["test"][twins].mean() if twins.any() else np.nan,
        "AUC": attack["class"].auc,
        "AUC low": attack["class"].interval.low,
        "AUC high": attack["class"].interval.high,
        "unmatched AUC": attack[None].auc,
        "seconds": np.nan,
    }
