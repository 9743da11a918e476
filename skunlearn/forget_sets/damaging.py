"""A malicious requester: rows whose deletion hurts what the model should keep."""

import numpy as np
from scipy.special import softmax
from sklearn.utils.validation import check_is_fitted

from skunlearn._fitted_model import ask_about
from skunlearn._torch.embedding import features
from skunlearn._torch.observation import observe
from skunlearn._torch.parts.tasks import need_one_class
from skunlearn.base import BaseUnlearner
from skunlearn.forget_sets._drawing import as_mask, find_candidates, pick_top
from skunlearn.forget_sets.results import ForgetSet

__all__ = ["damaging_forget_set"]


def damaging_forget_set(unlearner, X_target, y_target, size=0.1, *, candidates=None):
    """The training rows that a malicious requester would have deleted to hurt other rows.

    The adversary of [1]_ and [2]_ owns training rows, may ask for the deletion of any of them, and
    wants the model to fail on the target rows afterwards. Every method must fulfil such a
    request, an exact one as well: what it costs a *retrained* model is the price of the request,
    what it costs beyond that the method's own (`over_unlearning`).
    ``unlearn(..., max_accuracy_drop=, X_val=, y_val=)`` notices either.

    It takes the rows whose gradient of the loss, by the weights of the last layer, points most
    along that of the target rows: to first order they are what keeps the targets' loss low. Of
    models that are no nets, the last layer is taken to be linear in the rows.

    Parameters
    ----------
    unlearner : fitted classifier unlearner that holds its rows
        The attacked model; its training rows are the candidates.
    X_target, y_target : rows and labels
        What is to be hurt: unseen rows of one class, say, or of all.
    size : int or float, default=0.1
        Number of rows, or their share of the candidates.
    candidates : bool array of shape (n,), default=None
        The adversary's own rows, of those that ``fit`` was given; None: all.

    Returns
    -------
    forget_set : ForgetSet
        Its details hold the "scores" of the rows at ``forget_set.indices``, higher is worse.

    Raises
    ------
    TypeError, ValueError
        When the unlearner is no classifier or gives no probabilities, or something does not fit.

    References
    ----------
    .. [1] C. Zhao et al., "Static and Sequential Malicious Attacks in the Context of Selective
       Forgetting", NeurIPS 2023.
    .. [2] H. Hu et al., "A Duty to Forget, a Right to be Assured? Exposing Vulnerabilities in
       Machine Unlearning Services", NDSS 2024, https://arxiv.org/abs/2309.08230

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skunlearn import RetrainUnlearner
    >>> from skunlearn.forget_sets import damaging_forget_set
    >>> X, y = load_digits(return_X_y=True)
    >>> X, X_test, y, y_test = X[:900] / 16, X[900:] / 16, y[:900], y[900:]
    >>> unlearner = RetrainUnlearner(LogisticRegression(), random_state=0).fit(X, y)
    >>> target = X_test[y_test == 8], y_test[y_test == 8]
    >>> before = unlearner.score(*target)
    >>> request = damaging_forget_set(unlearner, *target, size=45)
    >>> bool(unlearner.unlearn(indices=request.indices).score(*target) < before - 0.1)
    True
    """
    if not isinstance(unlearner, BaseUnlearner):
        raise TypeError(f"damaging_forget_set needs an unlearner, got {unlearner!r}.")
    check_is_fitted(unlearner)
    model, targets, classes = ask_about(unlearner, X_target, y_target)
    if classes is None:
        raise TypeError("damaging_forget_set is about classifiers, this is a regressor.")
    need_one_class(classes, "damaging_forget_set", TypeError)
    record = unlearner._record
    positions, k = find_candidates(record, candidates, size)
    rows = record.view(positions)
    scores = np.full(len(record), -np.inf)
    scores[positions] = _alignment(model, rows, targets, classes)
    chosen = pick_top(scores, positions, k)
    return ForgetSet(
        as_mask(chosen, len(record)),
        "damaging",
        f"{k} of {len(positions)} rows whose deletion is to hurt {len(targets)} target rows.",
        {"scores": scores[chosen], "size": k},
    )


def _alignment(model, rows, targets, classes):
    """Dot product of each row's gradient with the targets' mean one, by the last layer.

    The gradient by weights W and biases of a softmax layer is (p − e_y) times (features, 1); one
    step of training without row i leaves its share of the targets' loss standing.
    """
    sides = []
    for given in (rows, targets):
        logits = observe(model, given, classes).logits
        if logits is None:
            raise TypeError(f"{type(model).__name__} gives no probabilities.")
        residual = softmax(logits.astype(np.float64), axis=1)
        residual[np.arange(len(given)), given.y] -= 1
        sides.append((residual, np.column_stack([features(model, given), np.ones(len(given))])))
    (ours, phi), (theirs, psi) = sides
    mean = theirs.T @ psi / len(theirs)
    return np.einsum("ic,cd,id->i", ours, mean, phi, optimize=True)
