"""Random deletions and corrections against a fresh fit: a few here, hundreds in tests/long."""

import pytest

from tests.fuzz_exact_cases import CASES
from tests.small import quiet

pytestmark = quiet


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if not case.slow])
def test_after_every_request_the_model_is_that_of_what_remains(name):
    case = CASES[name]
    assert case.trial(0).run(10) <= case.promised
