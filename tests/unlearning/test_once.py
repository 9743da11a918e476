"""Forward passes that are taken once."""

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset

from skunlearn import BadTeacherUnlearner, DELETEUnlearner, SCRUBUnlearner
from skunlearn.distillation import _teacher
from skunlearn.evaluation import audit
from skunlearn.utils._check_tools import outcome
from tests.instances import MLP
from tests.small import FORGET, net, quiet


class Noisy(Dataset):
    """Other rows in every epoch."""

    def __init__(self, X, y):
        self.X, self.y = X, y

    def __len__(self):
        return len(self.X)

    def __getitem__(self, i):
        return self.X[i] + 0.1 * torch.randn(4).numpy(), self.y[i]


@pytest.fixture
def asked(monkeypatch):
    """Rows that any teacher was asked about."""
    counts = []
    plain = _teacher.Teacher.__call__

    def counted(self, x):
        counts.append(len(x))
        return plain(self, x)

    monkeypatch.setattr(_teacher.Teacher, "__call__", counted)
    return counts


@quiet
@pytest.mark.parametrize(
    "cls, passes",
    [(SCRUBUnlearner, 60), (BadTeacherUnlearner, 2 * (6 + 16) + 1), (DELETEUnlearner, 6)],
)
def test_teachers_are_asked_once_about_a_row(data, cls, passes, asked):
    X, y = data
    options = {"max_epochs": 4, "random_state": 0}
    once = cls(net(), **options).fit(X, y).unlearn(indices=FORGET)
    assert sum(asked) == passes
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_teacher, "_MOST", 0)
        asked.clear()
        always = cls(net(), **options).fit(X, y).unlearn(indices=FORGET)
    assert sum(asked) > 2 * passes
    assert np.allclose(outcome(once, X), outcome(always, X), atol=1e-5)


@quiet
def test_rows_that_change_are_asked_about_again(data, asked):
    SCRUBUnlearner(net(), max_epochs=3, random_state=0).fit(Noisy(*data)).unlearn(indices=FORGET)
    assert sum(asked) > 3 * 54


@quiet
def test_a_report_costs_one_pass_over_each_set(data):
    seen = []

    class Counting(MLP):
        def forward(self, X):
            if not self.training:
                seen.append(len(X))
            return super().forward(X)

    X, y = data
    unlearner = SCRUBUnlearner(net(max_epochs=2), random_state=0).set_params(
        estimator__module=Counting
    )
    unlearner.fit(X[:40], y[:40]).unlearn(indices=FORGET)
    reference = unlearner.estimator_
    seen.clear()
    report = audit(unlearner, X[40:], y[40:], retrained=reference, random_state=0)
    assert len(report.table()) >= 10
    # Two models, each asked once about the 34 retained, 6 forgotten and 20 unseen rows.
    assert sum(seen) == 2 * 60
