"""Fine-tuning after the kernels were transposed."""

from dataclasses import replace

import torch
from torch import nn

from skunlearn._torch import net_layers, skorch_nets
from skunlearn.exceptions import UnlearningError
from skunlearn.net_unlearner import NetUnlearner, share_where_short


class CTUnlearner(NetUnlearner):
    """Transpose the kernels of all convolutions, then fine-tune on the retained rows (CT).

    Choose it for convolutional nets, for single rows as well as for classes: Cadet et al. found it
    and MSG consistently good over their data sets and nets. `lr` and `max_epochs` matter most.

    Parameters
    ----------
    {estimator}
        It needs convolutions with square kernels larger than 1; frozen ones are left alone.
    lr : float or None, default=None
        Learning rate; None takes the net's own, from where it falls, and half of it where the
        recipe has less than 30 epochs and no callbacks that set it. On 3,000 images of CIFAR-10,
        with a recipe of 15, five epochs at the net's own rate left unseen rows 4.4 points less
        accurate than after a retraining, eight 3.9, and six at half of it 2.3 (one seed; the
        mean of three, too).
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
    X. Cadet et al., "Deep Unlearn: Benchmarking Machine Unlearning",
    https://arxiv.org/abs/2410.01276

    Examples
    --------
    >>> from skunlearn import CTUnlearner
    >>> from skunlearn.datasets import load_digits_images
    >>> from skunlearn.nets import digits_classifier
    >>> X, y = load_digits_images(return_X_y=True)
    >>> unlearner = CTUnlearner(digits_classifier(max_epochs=5), random_state=0)
    >>> unlearner.fit(X, y).unlearn(X[:20], y[:20]).deletions_[0]["rows"]
    20
    """

    _promises = replace(NetUnlearner._promises, reads_forget_rows=False)
    _fewest_epochs = 6
    _lr_share = share_where_short(0.5)

    def _first_model(self, rows):
        # Before a training that would be for nothing. What learns is seen at the request.
        net = skorch_nets.look_inside(skorch_nets.unwrap(self.estimator), self._seed)
        if not any(map(_is_square, _list_layers(net))):
            raise ValueError(_NO_KERNEL.format(type(skorch_nets.plain_module(net)).__name__))
        return super()._first_model(rows)

    def _unlearn(self, net, retain, forget):
        learning = net_layers.list_learning_parameters(net, retain)
        layers = filter(_is_square, _list_layers(net))
        kernels = [
            kernel
            for kernel in dict.fromkeys(map(net_layers.weight_parameter, layers))  # may be shared
            if kernel in learning
        ]
        if not kernels:
            raise UnlearningError(_NO_KERNEL.format(type(skorch_nets.plain_module(net)).__name__))
        with torch.no_grad():
            for kernel in kernels:
                kernel.copy_(kernel.transpose(-2, -1).clone())
        self._run(net, retain)


_NO_KERNEL = (
    "CTUnlearner transposes square kernels of convolutions that learn, larger than 1, of which {} "
    "has none. Use another method, NoTUnlearner or MSGUnlearner say."
)


def _list_layers(net):
    return [m for m in net.module_.modules() if isinstance(m, nn.modules.conv._ConvNd)]


def _is_square(layer):
    """Whether the last two sides of a convolution's kernel are alike; a lazy one knows them too."""
    sides = layer.kernel_size[-2:]
    return len(sides) == 2 and sides[0] == sides[1] > 1
