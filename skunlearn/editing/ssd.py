"""Selective synaptic dampening."""

from dataclasses import replace

import torch

from skunlearn._rows import checking
from skunlearn._rows.constraints import COUNT, NOT_NEGATIVE
from skunlearn._torch import inference, net_checks
from skunlearn._torch.gradients.fisher import sizes_of_each
from skunlearn._torch.pieces import in_pieces
from skunlearn.editing._weight_editor import WeightEditor
from skunlearn.exceptions import UnsuitableMethodWarning
from skunlearn.search_spaces import LogUniform


class SSDUnlearner(WeightEditor):
    """Dampen the weights that matter to the forget rows far more than to all rows (SSD).

    Choose it for whole classes when there is no time to train: it reads some rows and edits the
    weights once. On single rows of classes that stay it does next to nothing, and warns. `alpha`
    matters most.

    Where the importance I_f of a weight for the forget rows exceeds α times its importance I for
    all rows, the weight is multiplied by min(λ I / I_f, 1); importance is the mean squared
    gradient of log p(y|x), row by row.

    Parameters
    ----------
    {estimator}
    alpha : float or None, default=None
        α. The ratio I_f / I cannot exceed the number of all rows over that of forget rows; None
        takes half of that. The paper's 10 was for classes of a hundredth of the rows.
    dampening : float, default=1.0
        λ, the paper's.
    importance_rows : int, default=1000
        Rows, of the forget set and of all rows, from which importances are estimated, one
        gradient each. The paper takes all.
    {random_state, memory, store_data, verbose}

    Attributes
    ----------
    {estimator_, classes_, deletions_}

    References
    ----------
    J. Foster, S. Schoepf, A. Brintrup, "Fast Machine Unlearning Without Retraining Through
    Selective Synaptic Dampening", AAAI 2024, https://arxiv.org/abs/2308.07707

    Examples
    --------
    >>> import warnings
    >>> from skunlearn import SSDUnlearner
    >>> from skunlearn.datasets import load_digits_images
    >>> from skunlearn.exceptions import ClassForgottenWarning, NotForgottenWarning
    >>> from skunlearn.nets import digits_classifier
    >>> X, y = load_digits_images(return_X_y=True)
    >>> unlearner = SSDUnlearner(digits_classifier(max_epochs=5), random_state=0)
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore", ClassForgottenWarning)
    ...     warnings.simplefilter("ignore", NotForgottenWarning)  # of traces in the logits
    ...     unlearner = unlearner.fit(X, y).unlearn(X[y == 8], y[y == 8])
    >>> unlearner.deletions_[0]["classes_forgotten"]
    [8]
    """

    _promises = replace(WeightEditor._promises, class_only=True)

    _parameter_constraints = {
        **WeightEditor._parameter_constraints,
        "alpha": [NOT_NEGATIVE, None],
        "dampening": [NOT_NEGATIVE],
        "importance_rows": [COUNT],
    }

    def __init__(
        self,
        estimator,
        *,
        alpha=None,
        dampening=1.0,
        importance_rows=1000,
        random_state=None,
        memory=None,
        store_data=True,
        verbose=0,
    ):
        super().__init__(
            estimator,
            random_state=random_state,
            memory=memory,
            store_data=store_data,
            verbose=verbose,
        )
        self.alpha = alpha
        self.dampening = dampening
        self.importance_rows = importance_rows

    def _unlearn(self, net, retain, forget):
        if self._classes is not None and not self._whole_classes(retain, forget):
            checking.warn(
                f"{type(self).__name__} is made for whole classes: single rows matter to the same "
                "weights as the others of their class, so that it changes next to nothing.",
                UnsuitableMethodWarning,
            )
        self._check_loss(net)
        params = [p for p in net.module_.parameters() if p.requires_grad]
        everything = retain.union(forget)
        samples = [rows.sample(self.importance_rows, self._seed) for rows in (everything, forget)]
        all_, ours = sizes_of_each(
            net, samples, params, self._row_loss, squared=self._takes_squares()
        )
        alpha = self.alpha
        if alpha is None:
            alpha = self._default_alpha(len(everything) / len(forget))
        dampen(params, ours, all_, alpha, self.dampening)

    def _takes_squares(self):
        return True

    def _default_alpha(self, largest):
        """Threshold of the ratio of two importances, which is at most `largest`."""
        return largest / 2

    def _check_loss(self, net):
        net_checks.check_likelihood(net)

    def _row_loss(self, net, batch):
        return inference.log_likelihoods(net, batch, self._classes).sum()

    def _space(self):
        return {"alpha": LogUniform(0.5, 100.0), "dampening": LogUniform(0.1, 5.0)}


@torch.no_grad()
def dampen(params, ours, all_, alpha, strength):
    """Multiply weights by min(λ I / I_f, 1) where I_f > α I."""
    for whole in zip(params, ours, all_, strict=True):
        for p, f, d in in_pieces(*whole):
            factor = (strength * d).div_(f.clamp_min(torch.finfo(f.dtype).tiny)).clamp_(max=1.0)
            p.copy_(torch.where(f > alpha * d, factor.mul_(p), p))
