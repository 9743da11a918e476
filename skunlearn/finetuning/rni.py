"""Fine-tuning of a few weights at a time, which get noise first."""

from dataclasses import replace

import numpy as np
import torch

from skunlearn._rows.constraints import NOT_NEGATIVE, SHARE
from skunlearn._rows.seeding import derive_seed
from skunlearn._torch import net_layers
from skunlearn._torch.loop.optimizer_steps import only_trained
from skunlearn._unlearning.phases import Phases
from skunlearn.exceptions import UnlearningError
from skunlearn.net_unlearner import NetUnlearner
from skunlearn.search_spaces import LogUniform, Uniform

_WHOLE = 4 / 9  # of the passes, which train all weights (the winner's four of nine)


class RNIUnlearner(NetUnlearner):
    """Add noise to weights picked at random and train these alone, again and again (RNI).

    Choose it when the forget rows are already deleted and some epochs over the retained ones can
    be afforded. `noise` and `max_epochs` matter most.

    It took the seventh place in the NeurIPS 2023 challenge [1]_ (RNI in [2]_). The last layer is
    initialised again. In each of the first five ninths of the passes over the retained rows a
    `share` of the net's weight tensors and biases is picked, which are trained with all
    normalisation layers while the others rest; from the second pass on, `noisy_share` of those
    that were picked get Gaussian noise before. The remaining passes train all.

    Retraining for the same budget, the floor, was not beaten but on a class of a convolutional net
    for digits, as near as it (worst AUC of five attacks 0.068 and 0.074 from that of retrained
    nets, the original 0.274): on rows of that net it was 0.056, the floor 0.032, on rows and on a
    class of an MLP 0.033 and 0.062, the floor 0.026 and 0.044, on rows of a table 0.071 and 0.047.
    Its accuracy was up to 5 points above the floor's. After fifteen epochs of CIFAR-10 it was 0.280
    apart on rows, and warned, and 0.049 on a class; the floor's 0.019 and 0.026 cost 13 and 10
    points of accuracy there (``benchmarks/bench_defaults.py``, means over three seeds).

    Parameters
    ----------
    {estimator}
    noise : float, default=1.0
        Standard deviation of the noise in the second pass, as a multiple of the root mean square
        of the tensor; it falls linearly over the passes that pick. The winner's is 0.04 for all,
        where a ResNet-18 begins with 0.02 to 0.06, and does not fall.
    share : float, default=0.32
        Share of the tensors that a pass picks, one at least: nine of the 28 of the winner's net, a
        ResNet-18.
    noisy_share : float, default=0.7
        Share of the picked ones that get noise (the winner's); 0 adds none.
    {lr}
    max_epochs : int or None, default=None
        Passes over the retained rows; None takes a fifth of the net's own, rounded up, and nine
        (the winner's) at least, or two fifths of its own where that is less.
    schedule : {"linear", "constant", "net"}, default="linear"
        Learning rate over all passes: falling to zero with every batch, constant, or left to the
        LRScheduler among the net's callbacks. Of the winner's four passes that train all weights
        the last has five times the rate of all before, in the code of [2]_.
    {batch_size, random_state, memory, store_data, verbose}

    Attributes
    ----------
    {estimator_, classes_, deletions_}

    See Also
    --------
    ShrinkPerturbUnlearner : Moves all weights towards new ones at once.

    Notes
    -----
    The winner adds noise of one size, 0.04, to all tensors, and to each only when it is picked for
    the first time. Rows stayed then: in a table with 20 columns the worst AUC of five attacks was
    0.15 from that of retrained nets, 0.10 with noise of the size of the tensor, and 0.04 with that
    each time (two seeds). Noise that does not fall left nets for faces, digits and tables 1.0 to
    1.8 points less accurate (six tasks of the benchmark, three seeds).

    References
    ----------
    .. [1] E. Triantafillou et al., "Are we making progress in unlearning? Findings from the first
       NeurIPS unlearning competition", https://arxiv.org/abs/2406.09073
    .. [2] X. Cadet et al., "Deep Unlearn: Benchmarking Machine Unlearning",
       https://arxiv.org/abs/2410.01276

    Examples
    --------
    >>> from skunlearn import RNIUnlearner
    >>> from skunlearn.datasets import load_digits_images
    >>> from skunlearn.nets import digits_classifier
    >>> X, y = load_digits_images(return_X_y=True)
    >>> unlearner = RNIUnlearner(digits_classifier(max_epochs=5), random_state=0)
    >>> unlearner.fit(X, y).unlearn(X[:20], y[:20]).deletions_[0]["rows"]
    20
    """

    _promises = replace(NetUnlearner._promises, reads_forget_rows=False)
    _fewest_epochs = 9

    _parameter_constraints = {
        **NetUnlearner._parameter_constraints,
        "noise": [NOT_NEGATIVE],
        "share": [SHARE],
        "noisy_share": [SHARE],
    }

    def __init__(
        self,
        estimator,
        *,
        noise=1.0,
        share=0.32,
        noisy_share=0.7,
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
        self.noise = noise
        self.share = share
        self.noisy_share = noisy_share

    def _unlearn(self, net, retain, forget):
        weights, norms, padding = self._prepare(net, retain)
        rng = np.random.default_rng(derive_seed(self._seed, 21, len(self.deletions_)))
        turns, count = self._count_turns(net), max(1, round(self.share * len(weights)))
        phases = Phases(net, self.schedule, at_least=turns + 1)
        for epoch in phases:
            if epoch >= turns:
                phases.train(retain)
                continue
            picked = [weights[i] for i in rng.permutation(len(weights))[:count]]
            if epoch:
                # What comes late has few steps left in which it is trained back.
                noise = self.noise * (turns - epoch) / (turns - 1)
                self._add_noise(picked[: round(self.noisy_share * count)], noise, padding)
            with only_trained(net, [*picked, *norms]):
                phases.train(retain)

    def _count_turns(self, net):
        """Passes that train a part of the weights; the last one never does."""
        return min(net.max_epochs - 1, round((1 - _WHOLE) * net.max_epochs))

    def _prepare(self, net, retain):
        """Draw the last layer anew; the tensors to pick from, those of norms, rows of padding."""
        learning = net_layers.list_learning_parameters(net, retain)
        order = net_layers.layers_in_order(net, retain)
        norms = [m for m in order if net_layers.is_norm(m)]
        layers = [m for m in order if not net_layers.is_norm(m)]
        heads = [
            m
            for m in layers
            if isinstance(m, net_layers.WEIGHTED) and not net_layers.say_why_not_reset(m, learning)
        ]
        weights = [p for p in dict.fromkeys(net_layers.own_parameters(layers)) if p in learning]
        if not weights:
            raise UnlearningError(
                "RNIUnlearner adds noise to weights and trains them back, but outside of "
                "normalisation layers the net has none that learns. Let one learn "
                "(requires_grad_()), or use FineTuneUnlearner."
            )
        net_layers.reset(heads[-1:], learning)
        tables = [m for m in layers if isinstance(m, torch.nn.Embedding | torch.nn.EmbeddingBag)]
        padding = {m.weight: m.padding_idx for m in tables if m.padding_idx is not None}
        return weights, net_layers.own_parameters(norms), padding

    @torch.no_grad()
    def _add_noise(self, weights, noise, padding=()):
        for p in weights:
            spread = noise * p.float().norm() / p.numel() ** 0.5
            added = spread.to(p) * torch.randn_like(p)
            if p in padding:  # no gradient reaches this row, which would keep its noise
                added[padding[p]] = 0
            p.add_(added)

    def _space(self):
        return super()._space() | {
            "noise": LogUniform(0.3, 10.0),
            "share": Uniform(0.1, 1.0),
        }
