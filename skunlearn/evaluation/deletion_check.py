"""Check a deletion after it was carried out, and let what was found join its certificate."""

import numpy as np
from sklearn.metrics import get_scorer
from sklearn.utils import _safe_indexing
from torch.utils.data import Subset

from skunlearn._rows.containers import is_dataset
from skunlearn._torch.observation import observe
from skunlearn._torch.parts.tasks import Labels
from skunlearn._unlearning.certificate.findings import describe_finding
from skunlearn._unlearning.validation import dataset_targets
from skunlearn.evaluation._showing.checked import Checked
from skunlearn.evaluation.audit import audit
from skunlearn.evaluation.reconstruction import _linear, reconstruction_attack
from skunlearn.metrics._attacks.membership import membership_inference
from skunlearn.metrics._scorers.scoring import read_attacked, read_forgotten

__all__ = ["check_deletion", "utility_change"]

_FEWEST = 10  # rows on a side of an attack; with fewer it tells next to nothing


def check_deletion(
    unlearner,
    X_test,
    y_test=None,
    *,
    before=None,
    groups=None,
    groups_test=None,
    retrained="train",
    n_seeds=2,
    scoring=None,
):
    """Verify the last request apart from its execution, and record what was found.

    Every score of the attack with its interval and reference, each model's worst row, the attack
    within each class and group, the distance to a retrained model over that of retrained models
    to each other, what two versions of a linear model give away, and utility before and after.
    All of it joins ``certificate()``.

    Parameters
    ----------
    unlearner : fitted unlearner or UnlearningPipeline that has forgotten
        Its last request is verified, and what is found is recorded with it. It is not trained any
        further.
    X_test, y_test : rows and labels never seen
        A torch Dataset has its labels with it, and `y_test` is None.
    before : fitted unlearner or estimator, default=None
        The model before the request (``copy.deepcopy(unlearner)``, or a file that was loaded).
        Without it there is no utility before, and no reconstruction.
    groups : array of shape (n,), default=None
        Group of each row that ``fit`` was given (an age band, say), in their order. Nothing but
        names of groups and figures is recorded: take care that a group is not one person.
    groups_test : array of shape (n_test,), default=None
        Of `X_test`. Groups with fewer than 10 rows on a side are not attacked, and named.
    retrained, n_seeds : see `audit`
        With two retrained models or more there is a distance over null.
    scoring : str or callable, default=None
        Of the utility; None takes the estimator's own ``score``.

    Returns
    -------
    found : dict
        What was recorded: "audit", "attack", "groups" and "reconstruction" under
        "verification", and "utility". None where something is not at hand. It prints as its
        verdicts and main figures.

    Raises
    ------
    ValueError, TypeError
        As `audit`; when groups do not have one entry for each row. Nothing is recorded then.

    Examples
    --------
    >>> import copy
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skunlearn import RetrainUnlearner
    >>> from skunlearn.evaluation import check_deletion
    >>> X, y = load_iris(return_X_y=True)
    >>> unlearner = RetrainUnlearner(LogisticRegression(max_iter=500), random_state=0)
    >>> before = copy.deepcopy(unlearner.fit(X[::2], y[::2]))
    >>> unlearner = unlearner.unlearn(indices=range(0, 75, 3))
    >>> found = check_deletion(unlearner, X[1::2], y[1::2], before=before)
    >>> found["verification"]["audit"]["verdicts"]["RetrainUnlearner"]["kind"]
    'indistinguishable'
    >>> len(unlearner.certificate()["verification"])
    1
    """
    y_test = dataset_targets(X_test) if y_test is None and is_dataset(X_test) else y_test
    groups = _check_groups(groups, len(unlearner._record), "groups")
    groups_test = _check_groups(groups_test, len(y_test), "groups_test")
    if (groups is None) != (groups_test is None):
        raise ValueError("groups and groups_test come together.")
    report = audit(unlearner, X_test, y_test, retrained=retrained, n_seeds=n_seeds, original=before)
    found = {"audit": describe_finding(report)}
    found |= _attack(unlearner, X_test, y_test, groups, groups_test)
    found["reconstruction"] = _reconstruction(before, unlearner, X_test)
    utility = None
    if before is not None:
        utility = utility_change(
            before, unlearner, X_test, y_test, groups=groups_test, scoring=scoring
        )
    unlearner.record(audit=found, utility=utility)
    return Checked({"verification": found, "utility": utility})


def utility_change(before, after, X, y=None, *, groups=None, scoring=None):
    """Scores of two versions of a model on the same rows: all of them, by class and by group.

    Parameters
    ----------
    before, after : fitted estimators or unlearners
        Of the same task; `after` is the one that has forgotten.
    X, y : rows and labels
        Rows that neither was trained on. A torch Dataset has its labels with it, and `y` is None.
    groups : array of shape (n,), default=None
        Group of each row.
    scoring : str or callable, default=None
        A scorer as in scikit-learn. None takes the estimators' own ``score``.

    Returns
    -------
    change : dict
        "scoring", "all", "by_class" (of classifiers) and "by_group", each with "before",
        "after" and "n". A score that is undefined is None.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from skunlearn.evaluation import utility_change
    >>> X, y = load_iris(return_X_y=True)
    >>> before, after = GaussianNB().fit(X[::2], y[::2]), GaussianNB().fit(X[20::2], y[20::2])
    >>> change = utility_change(before, after, X[1::2], y[1::2])
    >>> change["all"]["n"], sorted(change["by_class"])
    (75, ['0', '1', '2'])
    """
    scorer = get_scorer(scoring) if isinstance(scoring, str) else scoring
    scorer = scorer or (lambda model, X, y: model.score(X, y))
    data = is_dataset(X)
    y = np.asarray(dataset_targets(X) if y is None and data else y)
    groups = _check_groups(groups, len(y), "groups")

    def compare(rows):
        part, labels = Subset(X, rows.tolist()) if data else _safe_indexing(X, rows), y[rows]
        scores = [float(scorer(model, part, labels)) for model in (before, after)]
        scores = [score if np.isfinite(score) else None for score in scores]
        return {"before": scores[0], "after": scores[1], "n": len(rows)}

    change = {
        "scoring": getattr(scoring, "__name__", None) or str(scoring or "score of the estimator"),
        "all": compare(np.arange(len(y))),
        "by_class": None,
        "by_group": None,
    }
    classes = getattr(after, "classes_", None)
    if classes is not None and y.ndim == 1:
        change["by_class"] = {
            str(label): compare(np.flatnonzero(y == label)) for label in np.unique(y)
        }
    if groups is not None:
        change["by_group"] = {
            str(group): compare(np.flatnonzero(groups == group)) for group in np.unique(groups)
        }
    return change


def _check_groups(groups, n, name):
    if groups is None:
        return None
    groups = np.asarray(groups)
    if groups.shape != (n,):
        raise ValueError(f"{name} must have one entry for each of {n} rows, got {groups.shape}.")
    return groups


def _attack(unlearner, X_test, y_test, groups, groups_test):
    """The attack by every score, within each class, and within each group."""
    final, unseen = read_attacked(unlearner, X_test, y_test, referenced=True)
    if final._classes is None or isinstance(final._classes, Labels):
        return {"attack": None, "groups": None}
    model, forget = final.estimator_, read_forgotten(final)
    sides = [observe(model, rows, final._classes) for rows in (forget, unseen)]
    if any(side.logits is None for side in sides):
        return {"attack": None, "groups": None}
    whole = _attack_sides(sides, [np.arange(len(side.y)) for side in sides], per_class=True)
    found = {"attack": describe_finding(whole), "groups": None}
    if groups is None:
        return found
    positions = getattr(forget, "positions", None)
    if positions is None:
        raise ValueError("The positions of the forgotten rows are not at hand: leave out groups=.")
    gone, found["groups"] = groups[np.asarray(positions)], {}
    for group in np.unique(gone):
        rows = [np.flatnonzero(gone == group), np.flatnonzero(groups_test == group)]
        # Of classes that are on both sides alone: others tell classes and not members apart.
        shared = np.intersect1d(*(side.y[held] for side, held in zip(sides, rows)))
        rows = [held[np.isin(side.y[held], shared)] for side, held in zip(sides, rows)]
        if min(map(len, rows)) < _FEWEST:
            sizes = {"n_forget": len(rows[0]), "n_unseen": len(rows[1])}
            found["groups"][str(group)] = sizes | {"skipped": f"fewer than {_FEWEST} rows"}
        else:
            found["groups"][str(group)] = describe_finding(_attack_sides(sides, rows))
    return found


def _attack_sides(sides, rows, **more):
    (forget, gone), (unseen, others) = zip(sides, rows)
    shown = forget.logits[gone], forget.y[gone], unseen.logits[others], unseen.y[others]
    return membership_inference(*shown, attack="strongest", random_state=0, **more)


def _reconstruction(before, after, X_public):
    """What the two versions of a linear model give away; None of other models."""
    if before is None:
        return None
    try:
        for model, name in ((before, "before"), (after, "after")):
            _linear(model, name)
        gone = np.asarray(after._forgotten.arrays()[0])
    except (TypeError, AttributeError):  # not linear, a pipeline, or the rows are not at hand
        return None
    try:
        rebuilt = reconstruction_attack(before, after, X_public)
    except ValueError as error:  # the two are the same
        return {"note": str(error)}
    # As many unseen rows: what a row that was not deleted has in common with it by chance.
    others = np.asarray(X_public)[: len(gone)]
    return {
        "similarity": float(rebuilt.similarity(gone).max()),
        "similarity_of_unseen": float(rebuilt.similarity(others).max()),
        "n_deleted": len(gone),
        "share": rebuilt.share,
    }
