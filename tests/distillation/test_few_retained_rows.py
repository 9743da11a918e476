"""What the docs advise where hardly a retained row is at hand: it holds on digits."""

import numpy as np
import pytest

from skunlearn import DELETEUnlearner
from skunlearn.datasets import load_digits_images
from skunlearn.nets import digits_classifier


@pytest.mark.filterwarnings("ignore::skunlearn.exceptions.ClassForgottenWarning")
# Of what ranks tell beyond the name of the class nothing is advised.
@pytest.mark.filterwarnings("ignore:.*still speak for their class")
@pytest.mark.parametrize("digit", [3, 8])
def test_a_class_goes_and_the_others_stay(digit):
    """With two retained rows of each class, and no warning that it is still named."""
    X, y = load_digits_images(return_X_y=True)
    net = digits_classifier(max_epochs=5)
    unlearner = DELETEUnlearner(net, random_state=0).fit(X[:1200], y[:1200])
    others = np.arange(len(X)) >= 1200
    gone, others = others & (y == digit), others & (y != digit)
    assert unlearner.score(X[gone], y[gone]) > 0.7
    before = unlearner.score(X[others], y[others])
    forget = np.flatnonzero(y[:1200] == digit)
    few = np.concatenate([np.flatnonzero(y == k)[:2] for k in range(10) if k != digit])
    given = {"X_forget": X[forget], "y_forget": y[forget], "X_retain": X[few], "y_retain": y[few]}
    unlearner.detach().unlearn(**given)
    assert unlearner.score(X[gone], y[gone]) < 0.02
    assert unlearner.score(X[others], y[others]) > before - 0.02
