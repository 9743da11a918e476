"""Descent on retained rows with ascent on forget rows."""

from dataclasses import replace
from math import ceil

from skunlearn._rows.constraints import SHARE
from skunlearn._torch.batches.batching import n_batches
from skunlearn._torch.loop.learning_rates import scale_rates
from skunlearn._torch.loop.norms import moving_norms, prompt
from skunlearn._torch.loop.optimizer_steps import clip_gradients
from skunlearn._torch.row_losses import guess_training_loss, has_own_error
from skunlearn.ascent._bound import BOUND_CONSTRAINTS, BoundedAscent, bound_losses
from skunlearn.ascent._resting import Rest
from skunlearn.ascent._stopping import STOP_CONSTRAINTS, StopsInTime
from skunlearn.net_unlearner import NetUnlearner, share_above
from skunlearn.search_spaces import Uniform

_NEVER_MET = 5  # times the loss of chance, that of rows of a class that a net never met
_LONGEST = 5.0  # gradient of a batch, for whole classes


class NegGradPlusUnlearner(StopsInTime, BoundedAscent, NetUnlearner):
    r"""Descend on retained rows and climb on forget rows, batch by batch (NegGrad+).

    Choose it where fine-tuning forgets too slowly and retained rows are at hand. `beta` matters
    most: near one it is fine-tuning, and the smaller, the more the ascent wins.

    It minimises :math:`\beta\, CE(B_r) - (1 - \beta)\, CE(B_f)`, with a batch of forget rows for
    each batch of retained ones. A forget row whose loss has reached `bound` is left alone, and all
    are while retained rows have lost more than a fifth of the way to the loss of chance: where a
    class of 3,000 images of CIFAR-10 was forgotten, unseen rows were 39 points less accurate than
    after a retraining without that rule, and as accurate with it
    (``benchmarks/bench_defaults.py --tasks cifar-class``, means over three seeds).

    Parameters
    ----------
    {estimator}
    beta : float in (0, 1] or None, default=None
        β; the paper searched 0.95 to 0.9999, without a bound on the ascent. None takes 0.7 for
        whole classes, which a retrained net never names, 0.93 for other rows, or 0.85 where the
        rate is not three times the net's own. In regressions, where the ascent leads away from the
        label on whichever side, it takes 0.9, and 0.75 with ``L1Loss``, ``SmoothL1Loss`` and
        ``HuberLoss``, whose slopes do not grow on the way.
    bound : "chance", float or None, default=None
        Loss at which a row counts as forgotten. "chance" is that of a model that has learnt
        nothing, ln C, or that of a constant, by the squared error or by those three criteria. None
        takes that, and five times it for whole classes: a net that never met a class finds it far
        less likely than a guess does.
    max_norm : float or None, default=None
        Length to which the gradient of a batch is clipped; None takes 1, and 5 for whole classes.
    {stop}
    lr : float or None, default=None
        Learning rate; None takes three times the net's own, from where it falls, and the net's own
        in regressions and where callbacks of the net set it. Descent at a high rate loosens what
        was learnt by heart, and the ascent needs less weight. At the net's own, with a `beta` of
        0.85, `bound` "chance" and a `max_norm` of 1, the worst AUC of five attacks was 0.210 and
        0.153 from that of retrained nets on classes of digits (an MLP, a convolutional net) and is
        0.056 and 0.088; on rows of these and of a table 0.054, 0.128 and 0.057, and is 0.029, 0.085
        and 0.040.
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

    _promises = replace(NetUnlearner._promises, takes_positions=True)
    _lr_share = share_above(3.0)

    _parameter_constraints = {
        **NetUnlearner._parameter_constraints,
        **STOP_CONSTRAINTS,
        "bound": [*BOUND_CONSTRAINTS["bound"], None],
        "max_norm": [*BOUND_CONSTRAINTS["max_norm"], None],
        "beta": [SHARE, None],
    }

    def __init__(
        self,
        estimator,
        *,
        beta=None,
        bound=None,
        max_norm=None,
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
        whole = self._classes is not None and self._whole_classes(retain, forget)
        chance = guess_training_loss(net, retain.y, self._row_reader.seen_classes)
        bound = self._bound(retain) * (_NEVER_MET if self.bound is None and whole else 1)
        rest = Rest(chance, ceil(len(retain) / max(1, n_batches(net, len(retain)))))
        pairs, norms, beta = self._row_losses(net, forget), moving_norms(net), self.beta
        if beta is None:
            beta = self._default_beta(net, whole)
        longest = (_LONGEST if whole else 1.0) if self.max_norm is None else self.max_norm

        def loss(batch):
            kept = batch.loss()
            yield beta * kept
            gone, climbed = next(pairs)
            pushed = gone.mean(bound_losses(climbed, bound))
            yield -(1 - beta) * rest.share(kept) * pushed

        if self._classes is None and self.lr is None:
            scale_rates(net, 1 / self._lr_share)
        with prompt(norms):
            self._run(net, retain, [clip_gradients(longest)], loss=loss)

    def _default_beta(self, net, whole):
        if self._classes is None:
            return 0.75 if has_own_error(net) else 0.9
        if whole:
            return 0.7
        return 0.93 if self.lr is None and self._lr_share > 1 else 0.85

    def _space(self):
        return super()._space() | {"beta": Uniform(0.5, 0.999)}
