"""Ten thousand random tasks with requests, and as many calls with arguments of any kind.

Other cases in every run; a failure prints the ``@reproduce_failure`` line that brings it back.
"""

import tempfile
from pathlib import Path

import pytest

pytest.importorskip("hypothesis", reason="hypothesis is not installed")
from hypothesis import HealthCheck, given, settings

from tests.fuzz import live
from tests.fuzz_garbage import calls, survive
from tests.fuzz_tasks import tasks


def many(n):
    return settings(
        max_examples=n,
        deadline=None,
        database=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )


SHARE = {"net": 3500, "linear": 2000, "regression": 1500, "binary": 1500, "dict": 1500}


@pytest.mark.parametrize("kind, n", SHARE.items())
def test_ten_thousand_tasks(kind, n):
    @many(n)
    @given(tasks(kinds=(kind,)))
    def case(task):
        with tempfile.TemporaryDirectory() as folder:
            live(task, Path(folder))

    case()


@many(10_000)
@given(calls())
def test_ten_thousand_calls(call):
    survive(call)
