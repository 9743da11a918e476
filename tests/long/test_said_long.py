"""What is said after a request, counted on hundreds of nets of many kinds."""

import os

import pytest

from tests.varied_nets import OTHER_KINDS, count_accused, count_silent

KINDS = ["regression", *OTHER_KINDS]


@pytest.fixture(params=KINDS)
def kind(request):
    if request.param == "faces" and not os.environ.get("SKUNLEARN_DATA"):
        pytest.skip("the faces are not at hand: SKUNLEARN_DATA")
    return request.param


def test_nets_trained_anew_are_hardly_ever_accused():
    said, n = count_accused(range(4000, 4120))
    assert n >= 200
    assert max(said) <= 0.03 * n  # 2 % are meant; 1.7 and 0 % were found on 117 others


def test_nor_are_those_of_other_kinds(kind):
    said, n = count_accused(range(4000, 4025), kind)
    assert n >= 20
    assert max(said) <= max(3, 0.06 * n)  # of faces 6 % were found, of regressions 4 and 8 %


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_nets_that_know_the_rows_as_before_are():
    silent, n = count_silent(range(4000, 4050))
    assert n >= 180
    assert max(silent) <= 0.05 * n  # 0.5 and 0 % were found


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_nets_that_have_learnt_the_rows_are():
    silent, n = count_silent(range(4000, 4050), learnt=True)
    assert n >= 120
    assert max(silent) <= 0.05 * n  # none was found


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_so_are_those_of_other_kinds(kind):
    silent, n = count_silent(range(4000, 4015), kind, learnt=True)
    assert n >= 4
    assert max(silent) <= max(2, 0.05 * n)  # of handfuls and regressions none
