"""The bound that keeps an ascent from running away."""

from numbers import Real

import torch

from skunlearn import _validation
from skunlearn._losses import chance_loss


class BoundedAscent:
    """Mixin of methods with the parameters `bound` and `max_norm`."""

    def _bound(self, retain):
        """Loss of a row above which it is left alone."""
        return chance_loss(retain, self._classes) if self.bound == "chance" else float(self.bound)

    def _check_bound(self):
        if self.bound != "chance":
            _validation.check_number(self, "bound", Real, low=0.0, exclusive=True)
        _validation.check_number(self, "max_norm", Real, low=0.0, exclusive=True)


def bounded(losses, bound):
    """Losses that stop growing at the bound, and have no gradient beyond it."""
    return torch.clamp(losses, max=bound)
