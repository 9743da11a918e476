"""The weights that a request starts from, kept from callbacks that would make others."""

from skorch import NeuralNet
from skorch.callbacks import Callback, ParamMapper

from skunlearn._torch.parts.net_state import holds, set_weights, weights
from skunlearn.exceptions import UnlearningError

_EVENTS = ("on_train_begin", "on_epoch_begin")
_KNOWN = ("skorch", "skunlearn")  # where callbacks leave the weights alone


def shapes_start(net):
    """Whether the net or a callback of the user's may change weights before the first batch."""
    return any(
        getattr(type(net), event) is not getattr(NeuralNet, event)
        and _is_foreign(getattr(type(net), event).__module__)
        for event in _EVENTS
    ) or any(_may_change(callback) for _, callback in net.callbacks_)


def _may_change(callback):
    hears = any(
        event in vars(callback)
        or getattr(type(callback), event, None) is not getattr(Callback, event)
        for event in _EVENTS
    )
    known = not _is_foreign(type(callback).__module__) and not isinstance(callback, ParamMapper)
    return hears and not known


def _is_foreign(module):
    return module.partition(".")[0] not in _KNOWN


class KeptStart(Callback):
    """Put back what callbacks before this one have done to the weights before the first batch.

    A user's own initialisation, or pretrained weights loaded when a training begins, are for
    trainings from scratch.

    Parameters
    ----------
    net : skorch net, as it is to start
    """

    def __init__(self, net):
        self.attributes = {
            f"{name}_": getattr(net, f"{name}_")
            for name in (*net._modules, *net._criteria, *net._optimizers)
        }
        self.state = weights(net)

    def on_train_begin(self, net, **kwargs):
        """Put the weights back."""
        # A module built anew comes with an optimizer of its own.
        vars(net).update(self.attributes)
        if holds(net, self.state):
            return
        try:
            set_weights(net, self.state)
        except RuntimeError as error:
            raise UnlearningError(
                "A callback has changed the net's layers at the beginning of a request, which "
                f"starts from the net as it is: {error} Let the module's __init__ make them."
            ) from error

    def on_epoch_begin(self, net, **kwargs):
        """Put them back, before the first epoch."""
        if self.state is not None:
            self.on_train_begin(net)
            self.state = None
