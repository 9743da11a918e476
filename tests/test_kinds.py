"""Nets as people have them under methods of every family: they work, or refuse in words.

Here a kind meets one method of each family, another one at the next kind; tests/long has them all.
"""

import pytest

from skunlearn.utils import all_unlearners
from tests.crossing import cross, starts_from_a_trained_net
from tests.kinds import EVERY, KINDS

FAMILIES = {}
for method in EVERY:
    FAMILIES.setdefault(all_unlearners()[method].__module__.split(".")[1], []).append(method)
CASES = [
    (kind, methods[i % len(methods)])
    for i, kind in enumerate(KINDS)
    for methods in FAMILIES.values()
]


def test_every_method_and_every_kind_is_met():
    assert {method for _, method in CASES} == set(EVERY)
    assert {kind for kind, _ in CASES} == set(KINDS)
    assert all(set(make.refused) <= set(EVERY) for make in KINDS.values())


@pytest.mark.parametrize("kind, method", CASES)
def test_works_or_refuses_in_words(kind, method, tmp_path):
    frozen = starts_from_a_trained_net(method) and len(method) % 2 == 0
    cross(kind, method, tmp_path, frozen=frozen)
