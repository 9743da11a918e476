"""Which training rows each member of a bagging ensemble was drawn."""

import numpy as np


class Draws:
    """One bit for each member and training row: is the row in the member's draw?

    Parameters
    ----------
    bits : uint8 array of shape (n_members, ceil(n / 8)), as of ``np.packbits``
    n : int
        Training rows, those that are forgotten counted in.
    """

    def __init__(self, bits, n):
        self.bits, self.n = bits, n

    @classmethod
    def of(cls, samples, n):
        """The table of draws given as positions, one array (with repeats) a member."""
        return cls(np.stack([_pack(drawn, n) for drawn in samples]), n)

    def mark_touched(self, positions):
        """Which members drew one of the rows, a bool array."""
        return self.counts(positions) > 0

    def counts(self, positions):
        """How many of the rows each member drew, repeats not counted."""
        positions = np.asarray(positions)
        mask = (128 >> (positions & 7)).astype(np.uint8)
        return np.count_nonzero(self.bits[:, positions >> 3] & mask, axis=1)

    def holds(self, member, positions):
        """Which of the rows one member drew, a bool array."""
        drawn = np.unpackbits(self.bits[member], count=self.n).astype(bool)
        return drawn[positions]

    def replace_draws(self, members, samples):
        """A table in which some members have new draws."""
        bits = self.bits.copy()
        for member, drawn in zip(members, samples, strict=True):
            bits[member] = _pack(drawn, self.n)
        return Draws(bits, self.n)


def _pack(positions, n):
    drawn = np.zeros(n, dtype=bool)
    drawn[positions] = True
    return np.packbits(drawn)
