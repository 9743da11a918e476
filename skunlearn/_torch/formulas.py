"""Weights that a formula gives: positions as sines, cosine transforms, ramps, small filters."""

import math

import torch

_LONG = 8  # numbers of a sequence from which two that go before say something
_CLOSE = 2e-3  # of the bends of a sequence
_ROUNDING = 5e-7  # of float32
_LARGE = 2**14  # numbers from which a corner is looked at first
_LARGEST = 2**22  # numbers of a weight that is looked at
_SOME = 8  # columns that are tried before all are
_SMALL = 25  # numbers of a filter
_STEPS = 32  # multiples of its smallest number


def is_formula(weight):
    """Whether a tensor is one of the matrices that are known to all, which nobody learnt.

    Each number of its columns, or of their exponentials, follows from the two before it as in
    ramps, sines and powers; or it is a small filter of whole multiples. Slices that repeat, those
    of a filter of each channel, count once. A grid of positions, with a token of zeros before it or
    not, is looked at along its sides.
    """
    if not weight.is_floating_point() or weight.is_sparse or weight.numel() > _LARGEST:
        return False
    weight = weight.detach()
    if weight.numel() > _LARGE and not any(map(_is_formula, _list_corners(weight))):
        return False  # in less time
    return _is_formula(weight)


def _list_corners(weight):
    """The first numbers along each axis; those of one side of a grid after a token."""
    axes = [slice(None, 2 * _LONG)] * weight.ndim
    yield weight[tuple(axes)]
    for axis in range(weight.ndim):
        yield weight[(*axes[:axis], slice(1, _LONG + 1), *axes[axis + 1 :])]


def _is_formula(weight):
    values = _drop_repeats(weight.cpu().double())
    if not values.numel() or not values.isfinite().all():
        return False
    spread = values.max() - values.min()
    exponents = spread > 0.5 and values.abs().max() < 30
    return (
        _follows(values)
        or (bool(exponents) and _follows(values.exp()))
        or _is_filter(values)
        or _is_grid(values)
    )


def _drop_repeats(values):
    """The first of slices that are all equal, along every axis; of a diagonal, its one slice."""
    if values.ndim >= 3 and values.shape[0] == values.shape[1] > 1:
        slices = values.diagonal(dim1=0, dim2=1).movedim(-1, 0)
        apart = values.clone()
        apart[range(len(values)), range(len(values))] = 0.0
        if not apart.any():
            values = slices
    for axis in range(values.ndim):
        first = values.narrow(axis, 0, min(1, values.shape[axis]))
        if torch.equal(first.expand_as(values), values):
            values = first
    return values.squeeze()


def _is_filter(values):
    """Whether a square of numbers, or what it is a product of, are whole multiples of the least."""
    if values.ndim != 2 or values.shape[0] != values.shape[1]:
        return False
    row, column = divmod(int(values.abs().argmax()), len(values))
    sides = values[row], values[:, column]
    product = torch.outer(sides[1], sides[0]) / values[row, column]
    if values.abs().max() > 0 and ((product - values).abs() < 1e-6 * values.abs().max()).all():
        return all(len(side) <= _SMALL and _are_multiples(side) for side in sides)
    return values.numel() <= _SMALL and _are_multiples(values)


def _are_multiples(values):
    sizes = values.abs()
    ratios = sizes / sizes[sizes > 0].min()
    return bool((ratios <= _STEPS).all() and ((ratios - ratios.round()).abs() < 1e-4).all())


def _follows(values):
    """Whether along one axis every sequence goes on as its first numbers do."""
    return any(
        values.shape[axis] >= _LONG
        and _is_recurrent(values.movedim(axis, 0).reshape(values.shape[axis], -1))
        for axis in range(values.ndim)
    )


def _is_recurrent(columns):
    """Whether x[t] = a x[t - 1] + b x[t - 2] in each column, with an a and b of its own."""
    some = columns[:, :: max(1, columns.shape[1] // _SOME)]
    return _are_recurrent(some) and (some.shape == columns.shape or _are_recurrent(columns))


def _are_recurrent(columns):
    columns = columns / columns.abs().amax(dim=0).clamp_min(1e-30)
    before = torch.stack([columns[1:-1], columns[:-2]], dim=-1).movedim(1, 0)
    after = columns[2:].movedim(1, 0)[..., None]
    # Constants and zeros leave a choice.
    fit = torch.linalg.lstsq(before, after, driver="gelsd").solution
    missed = (before @ fit - after).abs().amax(dim=(1, 2))
    # Rows of measured spectra are smooth as well: what counts is how they bend, down to the
    # rounding of the angles of sines, which grows with their turns.
    bent = columns.diff(n=2, dim=0).abs().amax(dim=0)
    turns = columns.diff(dim=0).abs().sum(dim=0)
    return bool((missed < _CLOSE * bent + _ROUNDING * (4 + turns)).all())


def _is_grid(values):
    """Whether rows are positions of a square grid, each column of which follows one side."""
    if values.ndim != 2:
        return False
    for rows in (values, values[1:] if not values[0].any() else values[:0]):
        side = math.isqrt(len(rows))
        if side >= _LONG and side * side == len(rows):
            grid = rows.reshape(side, side, -1)
            down = (grid == grid[:, :1]).all(dim=1).all(dim=0)
            across = (grid == grid[:1]).all(dim=0).all(dim=0)
            if (down | across).all():
                sides = torch.cat([grid[:, 0, down], grid[0][:, across & ~down]], dim=1)
                return _is_recurrent(sides)
    return False
