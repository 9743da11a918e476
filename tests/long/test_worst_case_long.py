"""Worst-case forget sets are harder than random ones, for every method and seed tried."""

import pytest

from skunlearn import (
    FineTuneUnlearner,
    L1SparseUnlearner,
    NegGradPlusUnlearner,
    RandomLabelUnlearner,
    SalUnUnlearner,
    SCRUBUnlearner,
)
from skunlearn.datasets import load_digits_images
from skunlearn.forget_sets import random_forget_set, worst_case_forget_set
from skunlearn.nets import digits_classifier
from tests.forget_sets.test_worst_case import still_fitted
from tests.small import quiet

METHODS = (FineTuneUnlearner, L1SparseUnlearner, NegGradPlusUnlearner, SCRUBUnlearner)
# What they leave on forget rows is the random labels' doing; the cheap proxy does not find the
# rows that resist it: 0.67 to 0.99 of the loss on the hardest of the random sets.
RELABELLING = (RandomLabelUnlearner, SalUnUnlearner)


@pytest.fixture(scope="module", params=[0, 1, 2])
def task(request):
    X, y = load_digits_images(return_X_y=True)
    net = digits_classifier(max_epochs=15)
    return FineTuneUnlearner(net, random_state=request.param).fit(X, y), X, y


@quiet
@pytest.mark.parametrize("method", ["bilevel", "loss"])
def test_harder_than_any_of_five_random_sets(task, method):
    unlearner, X, y = task
    worst = worst_case_forget_set(unlearner, X, y, 180, method=method, random_state=0)
    for forgets in METHODS + (RELABELLING if method == "bilevel" else ()):
        found = still_fitted(unlearner, forgets, worst.mask)
        others = [
            still_fitted(unlearner, forgets, random_forget_set(y, 180, random_state=s).mask)
            for s in range(5)
        ]
        assert found < (0.5 if forgets in METHODS else 1.0) * min(others)
