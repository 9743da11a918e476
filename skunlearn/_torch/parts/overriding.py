"""Attributes of a net that are replaced for a while."""

from contextlib import contextmanager

_MISSING = object()


@contextmanager
def overridden(net, **changed):
    """Let `net` have these attributes of its own inside the block; afterwards those of before."""
    before = {name: vars(net).get(name, _MISSING) for name in changed}
    vars(net).update(changed)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is _MISSING:
                vars(net).pop(name, None)
            else:
                vars(net)[name] = value
