"""Over-unlearning: what a method takes away from rows that nobody asked to forget."""

import numpy as np
from sklearn.metrics import pairwise_distances_argmin_min
from sklearn.utils import check_scalar

from skunlearn._fitted_model import ask_about
from skunlearn._rows.checking import check_models
from skunlearn._torch.embedding import features
from skunlearn._torch.observation import observe
from skunlearn._torch.parts.tasks import need_one_class

__all__ = ["over_unlearning"]


def over_unlearning(models, X, y, *, X_forget, y_forget, near=0.1, retrained="retrained"):
    """How much worse than the retrained model are others on rows that were not to be forgotten?

    Methods that push the forget rows away push their neighbours too. The mean accuracy hides it
    where the neighbours are few, so that they are looked at alone, and so is the worst class. An
    adversary can look for such rows (`damaging_forget_set`; [1]_ blends other classes' rows into
    the request).

    Parameters
    ----------
    models : dict of str to fitted classifier: unlearner, skorch net or scikit-learn estimator
        With the retrained one among them.
    X, y : unseen rows of what was to be kept, with labels
        Only rows of classes that retained rows have.
    X_forget, y_forget : the rows that were forgotten, with labels
        Neighbours are those near to one of these.
    near : float, default=0.1
        Share of the rows of `X` that count as neighbours: the nearest to a forgotten row in the
        retrained model's embedding (in the rows themselves where it is no net).
    retrained : str, default="retrained"
        Name of the reference among `models`.

    Returns
    -------
    results : pandas.DataFrame
        Index model, columns

        - "accuracy" on all rows.
        - "damage": accuracy of the retrained model less the model's own; "near damage" on the
          neighbours. Above 0 the model has lost more than the request took.
        - "broken": share of the rows that the retrained model has right and the model wrong,
          which gains elsewhere do not hide; "near broken".
        - "worst class", "worst class damage".

    Raises
    ------
    ValueError
        When the reference is missing, or `near` leaves no row.

    References
    ----------
    .. [1] H. Hu et al., "A Duty to Forget, a Right to be Assured? Exposing Vulnerabilities in
       Machine Unlearning Services", NDSS 2024, https://arxiv.org/abs/2309.08230

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skunlearn.evaluation import over_unlearning
    >>> X, y = load_digits(return_X_y=True)
    >>> X = X / 16
    >>> models = {
    ...     "retrained": LogisticRegression().fit(X[100:900], y[100:900]),
    ...     "mine": LogisticRegression(C=1e-4).fit(X[100:900], y[100:900]),
    ... }
    >>> results = over_unlearning(models, X[900:], y[900:], X_forget=X[:100], y_forget=y[:100])
    >>> results["damage"].gt(0).tolist()
    [False, True]
    """
    import pandas as pd

    check_models(models)
    if retrained not in models:
        raise ValueError(
            f"models holds no {retrained!r} to compare with: {sorted(models)}. Damage is what a "
            "method loses beyond a model that was trained without the rows."
        )
    check_scalar(near, "near", float, min_val=0, max_val=1, include_boundaries="right")
    reference, kept, classes = ask_about(models[retrained], X, y)
    if classes is None:
        raise ValueError("over_unlearning is about classifiers, the reference is a regressor.")
    need_one_class(classes, "over_unlearning", ValueError)
    gone = ask_about(models[retrained], X_forget, y_forget)[1]
    places = [features(reference, rows) for rows in (kept, gone)]
    distance = pairwise_distances_argmin_min(*places)[1]
    neighbours = np.argsort(distance, kind="stable")[: max(1, round(near * len(distance)))]
    right = {}
    for name, model in models.items():
        evidence = observe(*ask_about(model, X, y))
        right[name] = evidence.predicted == evidence.y
    base, labels, found = right[retrained], kept.y, {}
    names = np.asarray(classes)
    for name, ours in right.items():
        lost = base.astype(float) - ours
        broken = base & ~ours
        by_class = {c: lost[labels == c].mean() for c in np.unique(labels)}
        worst = max(by_class, key=by_class.get)
        found[name] = {
            "accuracy": ours.mean(),
            "damage": lost.mean(),
            "near damage": lost[neighbours].mean(),
            "broken": broken.mean(),
            "near broken": broken[neighbours].mean(),
            "worst class": names[worst],
            "worst class damage": by_class[worst],
        }
    results = pd.DataFrame.from_dict(found, orient="index")
    results.index.name = "model"
    return results
