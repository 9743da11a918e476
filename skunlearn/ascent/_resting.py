"""Ascent that rests while the rows that stay are losing by it."""

_ALLOWED = 0.2  # of what lies between the first losses and that of chance, which may be lost
_LEAST = 0.02  # of the loss of chance, for nets that are hardly better
_ROWS = 256  # over which losses of retained rows are averaged


class Rest:
    """Tells of each batch of retained rows whether the forget rows beside it may be climbed.

    Not where the losses of retained rows are above those of the first ones: a rate or a weight that
    forgets in a few dozen steps on one net takes another apart before it has looked once. Nothing
    leaves the device.

    Parameters
    ----------
    chance : float
        Loss of a model that has learnt nothing.
    batch_size : int
    """

    def __init__(self, chance, batch_size):
        self.chance = chance
        self.weight = min(1.0, batch_size / _ROWS)
        self.still_first = -(-_ROWS // batch_size)
        self.level = self.first = None

    def share(self, loss):
        """Weight of the ascent beside a batch with the loss: 1, or 0 while it rests."""
        loss = loss.detach()
        self.level = loss if self.level is None else self.level.lerp(loss, self.weight)
        if self.still_first > 0:
            self.first = self.level
            self.still_first -= 1
        lost = self.level - self.first
        allowed = (_ALLOWED * (self.chance - self.first)).clamp(min=_LEAST * self.chance)
        return (lost <= allowed).to(loss.dtype)
