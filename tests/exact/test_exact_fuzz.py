"""Random deletions and corrections against a fresh fit: a few here, hundreds in tests/long."""

import pytest

from tests import fuzz_exact_kinds, fuzz_exact_queues
from tests.fuzz_exact_cases import CASES
from tests.small import quiet
from tests.turns import in_turns

pytestmark = quiet


@pytest.mark.parametrize(
    "name", in_turns([name for name, case in CASES.items() if not case.slow], 0, 2)
)
def test_after_every_request_the_model_is_that_of_what_remains(name):
    case = CASES[name]
    assert case.trial(0).run(10) <= case.promised


@pytest.mark.parametrize(
    "name", in_turns([n for n, case in fuzz_exact_kinds.CASES.items() if not case.slow], 1)
)
def test_in_other_containers_with_other_labels_and_in_compositions(name):
    case = fuzz_exact_kinds.CASES[name]
    assert case.trial(0, n=60).run(3) <= case.promised


@pytest.mark.parametrize("name", in_turns(fuzz_exact_queues.CASES, 0, every=2))
def test_through_a_queue_and_its_worker(name):
    case = fuzz_exact_queues.CASES[name]
    assert case.trial(0, n=45).run(4) <= case.promised
