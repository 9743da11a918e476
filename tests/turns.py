"""Long lists of parameters that tests take in turns: the others are run by `make test-long`."""

import pytest


def in_turns(values, turn, every=2):
    """The values as parameters, all but one of `every` so many marked as `long`.

    Tests of the same list begin at other turns, so that each value is met by some of them.
    """
    return [
        value if i % every == turn else pytest.param(value, marks=pytest.mark.long)
        for i, value in enumerate(values)
    ]
