"""Nets as people have them under every method, trained before and not."""

import pytest

from tests.crossing import cross, starts_from_a_trained_net
from tests.kinds import EVERY, KINDS


@pytest.mark.parametrize("frozen", [False, True], ids=["fresh", "frozen"])
@pytest.mark.parametrize("method", EVERY)
@pytest.mark.parametrize("kind", KINDS)
def test_works_or_refuses_in_words(kind, method, frozen, tmp_path):
    if frozen and not starts_from_a_trained_net(method):
        pytest.skip("it starts from no trained net")
    cross(kind, method, tmp_path, frozen=frozen)
