"""Fine-tuning after the first layer was negated."""

from dataclasses import replace

import torch

from skunlearn._torch import net_layers, skorch_nets
from skunlearn.exceptions import UnlearningError
from skunlearn.net_unlearner import NetUnlearner, share_where_short


class NoTUnlearner(NetUnlearner):
    """Negate the weights of the first layer, then fine-tune on the retained rows (NoT).

    Choose it where no forget row is at hand, and the net can be trained back in some epochs. It
    disturbs all that the net knows: give it enough epochs, which matter most with `lr`.

    Parameters
    ----------
    {estimator}
        The layer is the first convolution or linear layer in the order of the forward pass that
        learns; frozen ones are passed over, and where the last layer alone is left it refuses.
    lr : float or None, default=None
        Learning rate; None takes the net's own, from where it falls, and half of it where the
        recipe has less than 30 epochs and no callbacks that set it. On 3,000 images of CIFAR-10,
        with a recipe of 15, five epochs at the net's own rate left unseen rows 7.2 points less
        accurate than after a retraining, eight 4.4, and six at half of it 2.3 (one seed; of
        three 2.9).
    max_epochs : int or None, default=None
        Passes over the retained rows; None takes a fifth of the net's own, rounded up, and six at
        least, or two fifths of its own where that is less: what was taken apart has to be learnt
        again.
    {batch_size, schedule, random_state, memory, store_data, verbose}

    Attributes
    ----------
    {estimator_, classes_, deletions_}

    References
    ----------
    Y. Khalil et al., "NoT: Federated Unlearning via Weight Negation", CVPR 2025,
    https://arxiv.org/abs/2503.05657

    Examples
    --------
    >>> from skunlearn import NoTUnlearner
    >>> from skunlearn.datasets import load_digits_images
    >>> from skunlearn.nets import digits_classifier
    >>> X, y = load_digits_images(return_X_y=True)
    >>> unlearner = NoTUnlearner(digits_classifier(max_epochs=5), max_epochs=5, random_state=0)
    >>> unlearner.fit(X, y).unlearn(X[:20], y[:20]).deletions_[0]["rows"]
    20
    """

    _promises = replace(
        NetUnlearner._promises, reads_forget_rows=False, corrects=True, takes_positions=True
    )
    _fewest_epochs = 6
    _lr_share = share_where_short(0.5)

    def _first_model(self, rows):
        # Before a training that would be for nothing. What learns is seen at the request.
        net = skorch_nets.look_inside(skorch_nets.unwrap(self.estimator), self._seed)
        if not any(isinstance(m, net_layers.WEIGHTED) for m in net.module_.modules()):
            other = "Use another method, AutoUnlearner or ShrinkPerturbUnlearner say."
            raise ValueError(_say_none(net, f"it has no such layer. {other}"))
        return super()._first_model(rows)

    def _unlearn(self, net, retain, forget):
        order = net_layers.layers_in_order(net, retain)
        layers = [m for m in order if isinstance(m, net_layers.WEIGHTED)]
        moved = net_layers.list_moved_parameters(net)
        reached = net_layers.list_learning_parameters(net, retain)
        own = dict.fromkeys(map(net_layers.weight_parameter, layers))
        weights = [weight for weight in own if weight in reached or weight not in moved]
        learning = [weight for weight in weights if weight in reached]
        # A negated head alone turns every answer round, and has no features to learn again.
        if not learning or (len(weights) > 1 and learning[0] is weights[-1]):
            frozen = f"of {len(weights)} such layers {len(weights) - len(learning)} are frozen."
            raise UnlearningError(
                _say_none(net, f"{frozen} Let more layers learn, or use another method.")
            )
        with torch.no_grad():
            learning[0].neg_()
        self._run(net, retain)


def _say_none(net, why):
    return (
        "NoTUnlearner negates a convolution or linear layer in front of the last one, and trains "
        f"it back, but {type(skorch_nets.plain_module(net)).__name__} has none that learns: {why}"
    )
