"""Audits of modules that draw in evaluation mode as well."""

import copy

import numpy as np
import pandas as pd
import pytest
import torch
from skorch import NeuralNetClassifier

from skunlearn import FineTuneUnlearner
from skunlearn.evaluation import audit


class Sampling(torch.nn.Module):
    """Draws in evaluation mode as well, as a dropout that measures uncertainty and a VAE do."""

    def __init__(self):
        super().__init__()
        self.hidden, self.out = torch.nn.Linear(4, 64), torch.nn.Linear(64, 3)

    def forward(self, X):
        return self.out(torch.nn.functional.dropout(self.hidden(X), 0.5, training=True))


@pytest.mark.filterwarnings("ignore::skunlearn.exceptions.NotForgottenWarning")
def test_a_module_that_samples_is_measured_on_the_same_draws():
    """Two audits agree, and a model beside its own copy is no other model."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(160, 4)).astype(np.float32), np.arange(160) % 3
    net = NeuralNetClassifier(
        Sampling, criterion=torch.nn.CrossEntropyLoss, max_epochs=2, train_split=None, verbose=0
    )
    unlearner = FineTuneUnlearner(net, random_state=0).fit(X[:80], y[:80])
    unlearner.unlearn(indices=range(20))
    torch.manual_seed(5)
    first = audit(unlearner, X[80:], y[80:], retrained=unlearner.estimator_)
    state = torch.get_rng_state()
    again = audit(unlearner, X[80:], y[80:], retrained=copy.deepcopy(unlearner.estimator_))
    pd.testing.assert_frame_equal(first.frame, again.frame)
    assert torch.equal(state, torch.get_rng_state())
    assert set(first.frame.query("metric == 'AUC difference'")["value"]) == {0.0}
