"""How often a model is asked about rows before and after a request."""

import pickle

import numpy as np
import pytest
import torch

import skunlearn._unlearning.removal as removal
from skunlearn import FineTuneUnlearner
from tests.small import net, quiet

pytestmark = quiet


@pytest.fixture
def looks(monkeypatch):
    """Numbers of rows of all looks."""
    found = []

    def count(plain):
        def observe(model, rows, classes):
            found.append(len(rows))
            return plain(model, rows, classes)

        return observe

    for name in ("observe", "observe_forgotten"):
        monkeypatch.setattr(removal, name, count(getattr(removal, name)))
    return found


@pytest.fixture
def fitted(data, monkeypatch):
    monkeypatch.setattr(removal, "_FEW", 10)
    return FineTuneUnlearner(net(), random_state=0, max_epochs=1).fit(*data)


def measured(unlearner, when):
    entry = unlearner.deletions_[-1]["measured"]
    return entry[f"retain_{when}"]


def test_the_last_look_at_retained_rows_is_kept_until_the_next_request(fitted, looks):
    size = max(10, round(0.2 * len(fitted._record)))
    fitted.unlearn(indices=[0])
    assert len(looks) == 4
    assert looks[0] == looks[2] == 1
    assert size - 1 <= looks[1] == looks[3] <= size
    after = measured(fitted, "after")
    looks.clear()
    gone = int(fitted._looked[0][0])  # one of the sample
    fitted.unlearn(indices=[next(i for i in range(1, 60) if i not in fitted._looked[0])])
    assert len(looks) == 3  # not at the retained rows before
    assert measured(fitted, "before") == after
    looks.clear()
    fitted.unlearn(indices=[gone])
    assert len(looks) == 3
    assert gone not in fitted._looked[0]
    assert looks[2] == len(fitted._looked[0])


def test_what_was_seen_of_another_model_does_not_count(fitted, looks):
    fitted.unlearn(indices=[0])
    twin = pickle.loads(pickle.dumps(fitted))
    looks.clear()
    with torch.no_grad():
        next(fitted.estimator_.module_.parameters()).mul_(0.5)
    fitted.unlearn(indices=[1])
    assert len(looks) == 4
    looks.clear()
    twin.unlearn(indices=[1])  # its pickle says nothing of rows
    assert len(looks) == 4
    assert measured(twin, "before")["loss"] != measured(fitted, "before")["loss"]


def test_a_limit_on_lost_accuracy_is_measured_on_more_rows(fitted, looks):
    fitted.unlearn(indices=[0], max_accuracy_drop=1.0)
    assert looks[1] == fitted._record.retained.sum()
    assert np.all(np.diff(fitted._looked[0]) > 0)
