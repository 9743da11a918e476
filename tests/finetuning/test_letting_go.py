"""Defaults of methods that let go of what was learnt by heart, or have to learn it again."""

from functools import partial

import pytest

from skunlearn import (
    CTUnlearner,
    FCSUnlearner,
    FineTuneUnlearner,
    L1SparseUnlearner,
    MSGUnlearner,
    NoTUnlearner,
)
from tests.heart import check_nearer
from tests.instances import make_net


def test_sparse_weights_let_go_of_rows_known_by_heart():
    """At the net's own rate they go half of the way to a retrained net, and 0.87 at three times."""
    check_nearer(partial(L1SparseUnlearner, random_state=0), way=0.7, moved=None)


@pytest.mark.parametrize(
    ("method", "least"), [(CTUnlearner, 6), (FCSUnlearner, 5), (MSGUnlearner, 5), (NoTUnlearner, 6)]
)
@pytest.mark.parametrize(("recipe", "epochs"), [(60, 12), (15, None), (12, 5), (2, 1)])
def test_what_is_taken_apart_has_some_epochs_to_be_learnt_again(method, least, recipe, epochs):
    assert method(make_net(max_epochs=recipe))._epochs() == (epochs or least)
    assert method(make_net(max_epochs=recipe), max_epochs=2)._epochs() == 2


def test_what_is_only_tuned_takes_a_fifth_of_any_recipe():
    assert FineTuneUnlearner(make_net(max_epochs=15))._epochs() == 3
