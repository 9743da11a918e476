"""What is said after a request, counted on hundreds of nets of many kinds."""

import pytest

from tests.varied_nets import count_accused, count_silent


def test_nets_trained_anew_are_hardly_ever_accused():
    said, n = count_accused(range(4000, 4120))
    assert n >= 200
    assert max(said) <= 0.03 * n  # 2 % are meant


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_nets_that_know_the_rows_as_before_are():
    silent, n = count_silent(range(4000, 4050))
    assert n >= 180
    # 5 % are meant; 5 and 8 % were found. Unseen rows may happen to be known as well.
    assert max(silent) <= 0.1 * n
