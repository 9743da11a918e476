"""Long lists of parameters that tests take in turns: the others are run by `make test-long`."""

import itertools

import pytest


def in_turns(values, turn, every=4):
    """The values as parameters, all but one of `every` so many marked as `long`.

    Tests of the same list begin at other turns, so that each value is met by some of them.
    """
    return [
        value if i % every == turn else pytest.param(value, marks=pytest.mark.long)
        for i, value in enumerate(values)
    ]


def crossed_in_turns(*lists, every=4):
    """Every value of one list with each of the others', as parameters in turns.

    `every` must have no divisor in common with the length of the last list, so that all of its
    values are met.
    """
    return [
        crossed if i % every == 0 else pytest.param(*crossed, marks=pytest.mark.long)
        for i, crossed in enumerate(itertools.product(*lists))
    ]
