"""Random rows, labels, methods and requests: a few here, thousands in tests/long."""

import tempfile
from pathlib import Path

import pytest

pytest.importorskip("hypothesis", reason="hypothesis is not installed")
from hypothesis import HealthCheck, given, settings

from tests.fuzz import live
from tests.fuzz_garbage import calls, survive
from tests.fuzz_tasks import tasks

# The same cases in every run; tests/long draws many more.
few = settings(
    max_examples=24,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize("kind", ["net", "linear", "regression", "binary", "dict"])
def test_whatever_is_asked(kind):
    @few
    @given(tasks(kinds=(kind,)))
    def case(task):
        with tempfile.TemporaryDirectory() as folder:
            live(task, Path(folder))

    case()


@few
@given(calls())
def test_whatever_is_passed_in(call):
    survive(call)
