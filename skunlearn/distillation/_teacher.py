"""A frozen copy of a net that answers for itself."""

import torch

from skunlearn import _skorch
from skunlearn.exceptions import UnlearningError


class Teacher:
    """Logits of a copy of `net`, in evaluation mode and without gradients.

    It sees the very batch that the student sees, augmentation included.

    Parameters
    ----------
    net : skorch net
    classes : ndarray
    """

    def __init__(self, net, classes):
        if classes is None:
            raise UnlearningError("distillation here is for classifiers; this is a regression.")
        self.net, self.n_classes = net, len(classes)
        self.net._set_training(False)

    @torch.no_grad()
    def __call__(self, x):
        out = _skorch.infer(self.net, x)
        return _skorch.class_logits(self.net, out, self.n_classes).float()


def copied(net, classes):
    """A teacher with the weights of `net` as they are now; it shares none of them."""
    return Teacher(_skorch.copy_net(net), classes)


def untrained(net, classes):
    """A teacher with new random weights."""
    return Teacher(_skorch.fresh_net(net, verbose=0), classes)
