"""Large tensors piece by piece, so that no step of a calculation is as large as a layer."""

_NUMBERS = 2**18  # in a piece


def in_pieces(*tensors):
    """Matching parts of tensors of one shape, as views, of some hundred thousand numbers each.

    What is calculated number by number comes out the same, and in between takes the memory of a
    part.
    """
    first = tensors[0]
    if first.numel() <= _NUMBERS:
        yield tensors
        return
    dim = max(range(first.ndim), key=first.shape.__getitem__)
    size = max(1, _NUMBERS * first.shape[dim] // first.numel())
    yield from zip(*(tensor.split(size, dim) for tensor in tensors), strict=True)
