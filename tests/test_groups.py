"""The tests of a file run in one process."""

import os

import pytest


@pytest.mark.parametrize("turn", range(6))
def test_a_file_is_dealt_to_one_process(turn, request, tmp_path_factory):
    """Where xdist deals out the tests; those of a file would go to all of its workers otherwise."""
    if not getattr(request.config.option, "loadgroup", True):
        pytest.skip("the tests are dealt out by another --dist than loadgroup")
    worker, folder = os.environ.get("PYTEST_XDIST_WORKER"), tmp_path_factory.getbasetemp()
    met = (folder if worker is None else folder.parent) / "skunlearn-groups"
    met.mkdir(exist_ok=True)
    (met / str(worker)).touch()
    assert os.listdir(met) == [str(worker)]
