"""Descent on retained rows with ascent on forget rows."""

from skunlearn._rows.constraints import SHARE
from skunlearn._torch.loop.learning_rates import scale_rates
from skunlearn._torch.loop.norms import moving_norms, prompt
from skunlearn._torch.loop.optimizer_steps import clip_gradients
from skunlearn.ascent._bound import BOUND_CONSTRAINTS, BoundedAscent, bound_losses
from skunlearn.ascent._stopping import STOP_CONSTRAINTS, StopsInTime
from skunlearn.net_unlearner import NetUnlearner
from skunlearn.search_spaces import Uniform


class NegGradPlusUnlearner(StopsInTime, BoundedAscent, NetUnlearner):
    r"""Descend on retained rows and climb on forget rows, batch by batch (NegGrad+).

    Choose it where fine-tuning forgets too slowly and retained rows are at hand. `beta` matters
    most: near one it is fine-tuning, and the smaller, the more the ascent wins.

    It minimises :math:`\beta\, CE(B_r) - (1 - \beta)\, CE(B_f)`, with a batch of forget rows for
    each batch of retained ones. A forget row whose loss has reached `bound` is left alone.

    Parameters
    ----------
    {estimator}
    beta : float in (0, 1] or None, default=None
        β; the paper searched 0.95 to 0.9999, without a bound on the ascent. None takes 0.7 for
        whole classes, which a retrained net never names, 0.85 for other rows, and 0.95 in
        regressions: the ascent of a squared error leads away from the label, on whichever side. On
        eight nets 0.85 ended farther from the retrained net than it had begun on five.
    {bound, max_norm}
    {stop}
    lr : float or None, default=None
        Learning rate; None takes the net's own, or three times that for whole classes where
        normalisation layers have running statistics, see `GradientAscentUnlearner`.
    {max_epochs, batch_size, schedule, random_state, memory, store_data, verbose}

    Attributes
    ----------
    {estimator_, classes_, deletions_}

    References
    ----------
    M. Kurmanji et al., "Towards Unbounded Machine Unlearning", NeurIPS 2023,
    https://arxiv.org/abs/2302.09880

    Examples
    --------
    >>> from skunlearn import NegGradPlusUnlearner
    >>> from skunlearn.datasets import load_digits_images
    >>> from skunlearn.nets import digits_classifier
    >>> X, y = load_digits_images(return_X_y=True)
    >>> unlearner = NegGradPlusUnlearner(digits_classifier(max_epochs=5), random_state=0)
    >>> unlearner.fit(X, y).unlearn(X[:20], y[:20]).deletions_[0]["rows"]
    20
    """

    _faster = 3

    _parameter_constraints = {
        **NetUnlearner._parameter_constraints,
        **STOP_CONSTRAINTS,
        **BOUND_CONSTRAINTS,
        "beta": [SHARE, None],
    }

    def __init__(
        self,
        estimator,
        *,
        beta=None,
        bound="chance",
        max_norm=1.0,
        stop=None,
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
        self.stop = stop
        self.beta = beta
        self.bound = bound
        self.max_norm = max_norm

    def _unlearn(self, net, retain, forget):
        bound, pairs = self._bound(retain), self._row_losses(net, forget)
        norms, beta = moving_norms(net), self.beta
        if beta is None:
            beta = self._default_beta(retain, forget)

        def loss(batch):
            gone, climbed = next(pairs)
            return beta * batch.loss() - (1 - beta) * gone.mean(bound_losses(climbed, bound))

        scale_rates(net, self._speed(retain, forget, norms))
        with prompt(norms):
            self._run(net, retain, [clip_gradients(self.max_norm)], loss=loss)

    def _default_beta(self, retain, forget):
        if self._classes is None:
            return 0.95
        return 0.7 if self._whole_classes(retain, forget) else 0.85

    def _space(self):
        return super()._space() | {"beta": Uniform(0.5, 0.999)}
