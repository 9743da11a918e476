"""Fine-tuning towards sparse weights."""

from dataclasses import replace

import torch
from skorch.callbacks import Callback

from skunlearn._rows.constraints import NOT_NEGATIVE
from skunlearn._torch import net_layers
from skunlearn._torch.pieces import in_pieces
from skunlearn.exceptions import UnlearningError
from skunlearn.net_unlearner import NetUnlearner, share_above
from skunlearn.search_spaces import LogUniform

_SHRINKAGE = 1.5  # of an unused weight, in units of the mean absolute weight


class L1SparseUnlearner(NetUnlearner):
    r"""Fine-tune on the retained rows with an L1 penalty that fades out.

    Choose it where fine-tuning forgets too slowly: weights that retained rows do not need shrink
    to zero, and with them what only the forgotten rows needed. `gamma` matters most: too large,
    and retained accuracy goes as well.

    It minimises :math:`CE(D_r) + \gamma_t \|\theta\|_1` with :math:`\gamma_t = \gamma (1 - t/E)` in
    epoch t of E.

    Parameters
    ----------
    {estimator}
    gamma : float or None, default=None
        γ; the paper searched 1e-5 to 1e-2 around one recipe. How far it shrinks a weight depends on
        learning rate, momentum and number of steps: None takes the γ that would shrink an
        unused weight by 1.5 times the mean size of the weights over the whole run, or 5e-4, the
        paper's, with other optimizers than SGD, whose steps do not grow with γ.
    exclude : str or sequence of str, default=()
        Parameters without the penalty: "head", "norm", "bias" or shell patterns, see
        `ProximalUnlearner`. The paper penalises all.
    lr : float or None, default=None
        Learning rate; None takes three times the net's own, from where it falls, or its own where
        callbacks of the net set it. What was learnt of single rows by heart is let go of at a high
        rate, while γ shrinks as much: at the net's own rate the worst AUC of five attacks was
        0.136, 0.092 and 0.146 from that of retrained nets on classes of digits (an MLP) and of a
        table, and of a convolutional net for digits, and is 0.089, 0.066 and 0.086, with as much
        accuracy. Of regressions the errors come nearer to those of retrained nets, too.
    max_epochs : int or None, default=None
        Passes over the retained rows; None takes a fifth of the net's own, rounded up, and six at
        least, or two fifths of its own where that is less: what shrank has to be learnt again.
    {batch_size, schedule, random_state, memory, store_data, verbose}

    Attributes
    ----------
    {estimator_, classes_, deletions_}

    References
    ----------
    J. Jia et al., "Model Sparsity Can Simplify Machine Unlearning", NeurIPS 2023,
    https://arxiv.org/abs/2304.04934

    Examples
    --------
    >>> from skunlearn import L1SparseUnlearner
    >>> from skunlearn.datasets import load_digits_images
    >>> from skunlearn.nets import digits_classifier
    >>> X, y = load_digits_images(return_X_y=True)
    >>> unlearner = L1SparseUnlearner(digits_classifier(max_epochs=5), random_state=0)
    >>> unlearner.fit(X, y).unlearn(X[:20], y[:20]).deletions_[0]["rows"]
    20
    """

    _promises = replace(
        NetUnlearner._promises, reads_forget_rows=False, corrects=True, takes_positions=True
    )
    _lr_share = share_above(3.0)
    _fewest_epochs = 6

    _parameter_constraints = {
        **NetUnlearner._parameter_constraints,
        "gamma": [NOT_NEGATIVE, None],
        "exclude": [str, "array-like"],
    }

    def __init__(
        self,
        estimator,
        *,
        gamma=None,
        exclude=(),
        lr=None,
        max_epochs=None,
        batch_size=None,
        schedule="linear",
        random_state=None,
        memory=None,
        store_data=True,
        verbose=0,
    ):
        super().__init__(
            estimator,
            lr=lr,
            max_epochs=max_epochs,
            batch_size=batch_size,
            schedule=schedule,
            random_state=random_state,
            memory=memory,
            store_data=store_data,
            verbose=verbose,
        )
        self.gamma = gamma
        self.exclude = exclude

    def _unlearn(self, net, retain, forget):
        if any(isinstance(getattr(net, f"{n}_"), torch.optim.SparseAdam) for n in net._optimizers):
            raise UnlearningError(
                "SparseAdam moves the rows of an embedding that a batch reads, and no others: it "
                "takes no penalty on all of them, and L1SparseUnlearner is nothing without one. "
                "Use SGD, Adagrad or another method."
            )
        params = net_layers.list_penalised_parameters(net, retain, self.exclude)
        gamma = self._adapt(net, retain, params) if self.gamma is None else self.gamma
        self._run(net, retain, [("skunlearn_l1", FadingL1(params, gamma))])

    def _adapt(self, net, retain, params):
        if not isinstance(net.optimizer_, torch.optim.SGD):
            return 5e-4
        size = sum(p.detach().abs().sum() for p in params) / sum(p.numel() for p in params)
        # Mean over the run of the fading γ, times that of the learning rate where it falls too.
        faded = 1 / 3 if self.schedule == "linear" else 1 / 2
        return float(_SHRINKAGE * size / self._reach(net, retain, faded))

    def _space(self):
        return super()._space() | {"gamma": LogUniform(1e-5, 1e-2)}


class FadingL1(Callback):
    """Add the gradient of γ(1 − t/E)‖θ‖₁ in epoch t of E.

    Parameters
    ----------
    params : list of parameters
    gamma : float
    """

    def __init__(self, params, gamma):
        self.params, self.gamma = params, gamma

    def on_train_begin(self, net, **kwargs):
        """Start at the first epoch."""
        self.epoch_ = 0

    @torch.no_grad()
    def on_grad_computed(self, net, training=False, **kwargs):
        """Add it."""
        held = [p for p in self.params if p.grad is not None]
        if training and held:
            weight = self.gamma * (1 - self.epoch_ / net.max_epochs)
            for p in held:
                if p.grad.is_sparse:  # the penalty pulls at rows without a gradient, too
                    p.grad = p.grad.to_dense()
                for grad, part in in_pieces(p.grad, p):
                    grad.add_(part.sign(), alpha=weight)

    def on_epoch_end(self, net, **kwargs):
        """Fade."""
        self.epoch_ += 1
