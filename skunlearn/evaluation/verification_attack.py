"""Verification: does an embedding still tell the forgotten apart from everybody else?"""

import numpy as np
from sklearn.metrics import pairwise_distances
from sklearn.utils.validation import check_is_fitted

from skunlearn._fitted_model import model_of
from skunlearn._rows.checking import check_models
from skunlearn._rows.containers import n_rows
from skunlearn._rows.views import Rows
from skunlearn._torch import skorch_nets
from skunlearn._torch.embedding import embedding
from skunlearn._unlearning.validation import check_X
from skunlearn.base import BaseUnlearner
from skunlearn.metrics._statistics.intervals import auc
from skunlearn.metrics._statistics.matching import check_labels

__all__ = ["verification_attack"]


def verification_attack(
    models, X_forgotten, identity, X_others, *, metric="cosine", retrained="retrained"
):
    """Tell pairs of one forgotten identity from pairs of it and somebody else, by the embedding.

    A recogniser that no longer *names* a person may still map their photographs to one place:
    whoever compares embeddings, as face verification does, recognises them all the same. A
    retrained net tells strangers apart as well, so that its figure, not 0.5, is what forgetting
    aims at.

    Parameters
    ----------
    models : dict of str to skorch net or unlearner of one
        None is changed; each is asked for its embedding alone.
    X_forgotten : rows of the forgotten identities
        Better rows that no model has seen: of rows that were trained on, the attack sees the
        membership too.
    identity : array-like of shape (n,)
        Whose row it is; each needs two rows or more.
    X_others : rows of other identities
        From the same source, such as unseen rows of people that are retained.
    metric : str or callable, default="cosine"
        Distance of two embeddings, see :func:`sklearn.metrics.pairwise_distances`. The embedding
        is what the last weighted layer of the forward pass is given.
    retrained : str, default="retrained"
        Name among `models` of the one to compare with (which may be missing). Several retrained
        nets under other names show how far they differ among themselves.

    Returns
    -------
    results : pandas.DataFrame
        Index model, columns

        - "AUC": probability that two rows of one forgotten identity lie nearer to each other than
          a row of it and one of `X_others`; ties count half.
        - "difference": to the retrained model's AUC. Above 0 the embedding still knows the
          identity; below 0 its rows were scattered, which sets them apart as well. Only with a
          retrained one.
        - "pairs": pairs of one identity.

    Raises
    ------
    TypeError
        When a model is no skorch net.
    ValueError
        When no identity has two rows.

    References
    ----------
    A. Golatkar, A. Achille, S. Soatto, "Eternal Sunshine of the Spotless Net: Selective Forgetting
    in Deep Networks", CVPR 2020, https://arxiv.org/abs/1911.04933, which reads what is left from
    weights and activations rather than from the output.

    Examples
    --------
    >>> from skunlearn.datasets import load_digits_images
    >>> from skunlearn.nets import digits_classifier
    >>> from skunlearn.evaluation import verification_attack
    >>> X, y = load_digits_images(return_X_y=True)
    >>> net = digits_classifier(max_epochs=3, verbose=0).fit(X[:600], y[:600])
    >>> X, y = X[600:], y[600:]
    >>> results = verification_attack({"net": net}, X[y == 8], y[y == 8], X[y != 8])
    >>> bool(results.loc["net", "AUC"] > 0.5)
    True
    """
    import pandas as pd

    check_models(models)
    identity = check_labels(identity, "identity")
    found = {}
    for name, model in models.items():
        check_is_fitted(model)
        net = model_of(model)
        if not skorch_nets.is_net(net):
            raise TypeError(f"{name!r} is no skorch net, but {type(net).__name__}.")
        ours, theirs = (_embed(model, net, X) for X in (X_forgotten, X_others))
        if len(ours) != len(identity):
            raise ValueError(f"X_forgotten has {len(ours)} rows, but identity {len(identity)}.")
        same = np.triu(identity[:, None] == identity[None, :], 1)
        if not same.any():
            raise ValueError("No identity has two rows: there is no pair to verify.")
        near = pairwise_distances(ours, metric=metric)[same]
        far = pairwise_distances(ours, theirs, metric=metric)
        found[name] = {"AUC": auc(-near, -far.ravel()), "pairs": int(same.sum())}
    results = pd.DataFrame(found).T.astype({"pairs": int})
    results.index.name = "model"
    if retrained in models:
        results.insert(1, "difference", results["AUC"] - results.loc[retrained, "AUC"])
    return results


def _embed(model, net, X):
    X = check_X(model, X) if isinstance(model, BaseUnlearner) else X
    n = n_rows(X)
    # The data sets of nets hold targets beside rows; these are not read.
    return embedding(net, Rows(X, np.zeros(n, np.int64), np.arange(n)))
