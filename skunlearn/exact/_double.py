"""Numbers of twice the precision, as unevaluated sums of two float64 arrays (Dekker, 1971)."""

import numpy as np

_SPLIT = 2.0**27 + 1


def two_sum(a, b):
    """a + b without an error, as (sum, rest)."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def two_product(a, b):
    """a · b without an error, as (product, rest); magnitudes must stay below 1e290."""
    product = a * b
    (a1, a2), (b1, b2) = _split(a), _split(b)
    return product, ((a1 * b1 - product) + a1 * b2 + a2 * b1) + a2 * b2


def _split(a):
    c = _SPLIT * a
    high = c - (c - a)
    return high, a - high


def add(x, y):
    """Sum of two pairs."""
    high, low = two_sum(x[0], y[0])
    return two_sum(high, low + (x[1] + y[1]))


def subtract(x, y):
    """Difference of two pairs."""
    return add(x, (-y[0], -y[1]))


def multiply(x, y):
    """Product of two pairs."""
    high, low = two_product(x[0], y[0])
    return two_sum(high, low + (x[0] * y[1] + x[1] * y[0]))


def divide(x, n):
    """Quotient of a pair and a float array."""
    first = x[0] / n
    rest = subtract(x, two_product(first, n))
    return two_sum(first, (rest[0] + rest[1]) / n)


def of_integers(parts, bits):
    """Σ parts[i] · 2^(bits · (len(parts) − 1 − i)) for int64 arrays, as a pair."""
    total = np.zeros(parts[0].shape), np.zeros(parts[0].shape)
    for i, part in enumerate(parts):
        high = part.astype(np.float64)
        # An int64 may have more bits than a float64 holds; the rest does fit.
        low = (part - high.astype(np.int64)).astype(np.float64)
        scale = 2.0 ** (bits * (len(parts) - 1 - i))
        total = add(total, (high * scale, low * scale))
    return total
