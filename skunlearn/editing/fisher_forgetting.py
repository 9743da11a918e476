"""Fisher forgetting: noise where the retained rows do not mind."""

from dataclasses import replace

import torch

from skunlearn._rows.constraints import COUNT, NOT_NEGATIVE
from skunlearn._torch import inference, net_checks
from skunlearn._torch.gradients.fisher import gradient_sizes
from skunlearn._torch.pieces import in_pieces
from skunlearn.editing._weight_editor import WeightEditor
from skunlearn.exceptions import UnlearningError
from skunlearn.search_spaces import LogUniform


class FisherForgettingUnlearner(WeightEditor):
    """Add noise to the weights, most where the retained rows hold them least (Fisher forgetting).

    Choose it for small nets, when no forget row is at hand and there is no time to train. It never
    looks at the forget rows, and costs retained accuracy long before it reaches them: where these
    lose no more than the retained ones it warns. `alpha` matters most.

    The weights get Gaussian noise of variance α / F, with F the mean over retained rows of the
    squared gradient of log p(y|x). Both are taken in the net's own units, so that the same α means
    the same for every net: on one that knows its rows by heart F is nearly 0 throughout.

    Parameters
    ----------
    {estimator}
    alpha : float, default=0.1
        α, where F is scaled to a mean of one over all weights, and the variance is in units of the
        mean square of the weights of its tensor. The paper's 1e-7 to 1e-6 were for F and weights
        as they are, of its net.
    limit : float, default=1.0
        Largest standard deviation of the noise, in units of the root mean square of the weights
        of its tensor: F is nearly 0 for weights that no row uses.
    importance_rows : int, default=1000
        Retained rows from which F is estimated, one gradient each.
    {random_state, memory, store_data, verbose}

    Attributes
    ----------
    {estimator_, classes_, deletions_}

    Notes
    -----
    F is that of the labels in the training. The authors' code averages over labels that the net
    itself gives, smooths the variance over the inputs of a unit, takes ten times as much for the
    last layer and normalisation layers, and sets the last layer's weights of a class that goes to
    zero.

    References
    ----------
    A. Golatkar, A. Achille, S. Soatto, "Eternal Sunshine of the Spotless Net: Selective Forgetting
    in Deep Networks", CVPR 2020, https://arxiv.org/abs/1911.04933

    Examples
    --------
    >>> import warnings
    >>> from skunlearn import FisherForgettingUnlearner
    >>> from skunlearn.datasets import load_digits_images
    >>> from skunlearn.exceptions import NotForgottenWarning
    >>> from skunlearn.nets import digits_classifier
    >>> X, y = load_digits_images(return_X_y=True)
    >>> unlearner = FisherForgettingUnlearner(digits_classifier(max_epochs=5), random_state=0)
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore", NotForgottenWarning)
    ...     unlearner = unlearner.fit(X, y).unlearn(X[:20], y[:20])
    >>> unlearner.deletions_[0]["rows"]
    20
    """

    _promises = replace(WeightEditor._promises, reads_forget_rows=False, adds_noise=True)

    _parameter_constraints = {
        **WeightEditor._parameter_constraints,
        "alpha": [NOT_NEGATIVE],
        "limit": [NOT_NEGATIVE],
        "importance_rows": [COUNT],
    }

    def __init__(
        self,
        estimator,
        *,
        alpha=0.1,
        limit=1.0,
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
        self.limit = limit
        self.importance_rows = importance_rows

    def _unlearn(self, net, retain, forget):
        net_checks.check_likelihood(net)
        params = [p for p in net.module_.parameters() if p.requires_grad]
        sample = retain.sample(self.importance_rows, self._seed)
        held = gradient_sizes(
            net,
            sample,
            params,
            lambda net, batch: inference.log_likelihoods(net, batch, self._classes).sum(),
        )
        mean = sum(f.sum() for f in held) / sum(f.numel() for f in held)
        if not mean > 0:
            raise UnlearningError(
                "The Fisher information is zero: the net fits its rows so closely that no gradient "
                "is left in float32, and nothing says where noise would do no harm."
            )
        with torch.no_grad():
            for p, f in zip(params, held, strict=True):
                size = p.square().mean().sqrt()
                for part, noise, fisher in in_pieces(p, torch.randn_like(p), f):
                    spread = self.alpha * mean / fisher.clamp_min(torch.finfo(f.dtype).tiny)
                    spread = spread.sqrt_().clamp_(max=self.limit)
                    part.add_(noise.mul_(size).mul_(spread))

    def _space(self):
        return {"alpha": LogUniform(1e-3, 3.0)}
