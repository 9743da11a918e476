"""What is said after a request, of a few nets of many kinds; tests/long has more of them."""

import pytest

from tests.varied_nets import Case, count_accused, count_silent


def test_nets_trained_anew_are_hardly_ever_accused():
    """Of memory, or of damage: some of these nets were still learning when their training ended."""
    said, n = count_accused(range(3000, 3010))
    assert n >= 15
    assert max(said) == 0


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_nets_that_know_the_rows_as_before_are():
    silent, n = count_silent(range(3000, 3004))
    assert n >= 15
    assert max(silent) <= 2


def test_a_regression_that_is_as_good_as_before_on_unseen_rows_is_not_accused():
    case = Case(5027, kind="regression")
    forget = case.requests["rows"]
    assert case.hear(case.train_anew(forget), forget, True) == []


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("seed", "kind", "how"),
    [
        (5032, "few", "unchanged"),  # but for running statistics
        (5033, "handful", "labels"),  # three rows, moved by a fortieth, that neighbours do not name
    ],
)
def test_a_net_that_has_hardly_changed_is_told_of(seed, kind, how):
    case = Case(seed, by_heart=True, kind=kind)
    forget = case.requests["rows"]
    assert case.hear(case.hardly_change(forget)[how], forget, False)
