"""Selective synaptic dampening without labels."""

from skunlearn import _skorch
from skunlearn.editing.ssd import SSDUnlearner


class LFSSDUnlearner(SSDUnlearner):
    """`SSDUnlearner` without labels: importance for the length of the output (LFSSD).

    Choose it like `SSDUnlearner`, when the labels of the forget rows are missing or not to be
    trusted. `alpha` matters most.

    Parameters
    ----------
    estimator : skorch net or FrozenEstimator of one
        See `FineTuneUnlearner`.
    alpha, dampening, importance_rows
        See `SSDUnlearner`.
    random_state, memory, store_data, verbose
        See `FineTuneUnlearner`.

    Attributes
    ----------
    estimator_, classes_, deletions_
        See `FineTuneUnlearner`.

    References
    ----------
    J. Foster et al., "Loss-Free Machine Unlearning", ICLR 2024 (tiny papers),
    https://arxiv.org/abs/2402.19308

    Examples
    --------
    >>> import warnings
    >>> from skunlearn import LFSSDUnlearner
    >>> from skunlearn.datasets import load_digits_images
    >>> from skunlearn.exceptions import ClassForgottenWarning
    >>> from skunlearn.nets import digits_classifier
    >>> X, y = load_digits_images(return_X_y=True)
    >>> unlearner = LFSSDUnlearner(digits_classifier(max_epochs=10), random_state=0)
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore", ClassForgottenWarning)
    ...     unlearner = unlearner.fit(X, y).unlearn(X[y == 8], y[y == 8])
    >>> unlearner.deletions_[0]["classes_forgotten"]
    [8]
    """

    _needs_labels = False

    def _check_loss(self, net):
        pass

    def _row_loss(self, net, batch):
        return (_skorch.infer(net, batch[0]) ** 2).sum(dim=-1).mean()
