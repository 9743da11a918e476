"""stop="reference" in queues and compositions, with several labels, and through interrupts."""

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback
from skorch.helper import predefined_split

from skunlearn import (
    NegGradPlusUnlearner,
    RandomLabelUnlearner,
    RUMUnlearner,
    SalUnUnlearner,
    SCRUBUnlearner,
    UAMUnlearner,
)
from skunlearn._torch.parts.net_state import weights
from skunlearn.ascent._stopping import Likeness, largest
from skunlearn.production import DeletionQueue, DeletionWorker
from skunlearn.utils._check_tools import Snapshot
from tests.label_nets import FORGET as LABELLED
from tests.label_nets import labelled, plain_net
from tests.production_task import IDS, N_TRAIN, rows
from tests.small import as_dataset, net, quiet

pytestmark = quiet
FORGET = np.arange(10)


@pytest.fixture
def task():
    """Rows of three classes, and others of the same."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 4)).astype(np.float32)
    return X[:60], np.arange(60) % 3, {"X_val": X[60:], "y_val": np.arange(60) % 3}


def kept_in(log):
    """The looks of a request, of which the nearest was kept."""
    assert log["judged"]
    kept = [largest(look) for look, kept in zip(log["looks"], log["accurate"], strict=True) if kept]
    assert largest(log["looks"][log["chosen"]]) == min(kept)
    return log["looks"]


def test_the_worker_of_a_queue_shows_its_test_rows(tmp_path):
    X, y, X_test, y_test = rows()
    small = net(module__n_out=2, module__hidden=4)
    method = SalUnUnlearner(small, stop="reference", random_state=0)
    queue = DeletionQueue(tmp_path, batch_size=1)
    worker = DeletionWorker(queue, method, X_test, y_test).start(X, y, ids=IDS)
    queue.submit("a", ids=IDS[:8])
    batch = worker.run_once()
    assert (batch["state"], worker.version) == ("applied", 1)
    log = worker.unlearner.deletions_[0]
    assert log["stop"]["unseen_rows"] == len(y_test)
    kept_in(log["stop"])
    assert "unseen" in log
    again = DeletionWorker(queue, method, X_test, y_test)
    again.start(X[8:], y[8:], ids=IDS[8:])
    assert again.unlearner.deletions_ == worker.unlearner.deletions_
    assert again.unlearner._record.retained.sum() == N_TRAIN - 8


def test_parts_of_rum_stop_by_themselves(task):
    X, y, unseen = task
    methods = [RandomLabelUnlearner(net(), stop="reference"), SCRUBUnlearner(net())]
    unlearner = RUMUnlearner(net(), unlearners=methods, random_state=0).fit(X, y)
    assert unlearner._make_promises().reads_validation_rows
    assert unlearner._make_promises().trains_from_scratch
    unlearner.unlearn(indices=FORGET, **unseen)
    first, second = unlearner.deletions_[0]["parts"]
    assert first["method"] == "RandomLabelUnlearner"
    assert first["stop"]["unseen_rows"] == 60
    kept_in(first["stop"])
    assert second == {"method": "SCRUBUnlearner"}
    unlearner.unlearn(indices=[30])  # too few to be judged
    assert unlearner.deletions_[1]["parts"][0]["stop"] == {"judged": False, "looks": []}


def test_uam_around_a_method_that_stops(task):
    X, y, unseen = task
    inner = NegGradPlusUnlearner(net(), stop="reference")
    unlearner = UAMUnlearner(net(), unlearner=inner, random_state=0).fit(X, y)
    assert unlearner._make_promises().reads_validation_rows
    seen, plain = [], Likeness.__init__

    def note(self, *args):
        plain(self, *args)
        seen.append(self.n_unseen)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Likeness, "__init__", note)
        unlearner.unlearn(indices=FORGET, **unseen)
    assert seen == [60]


@pytest.mark.parametrize("unseen", [True, False])
@pytest.mark.parametrize("cls", [RandomLabelUnlearner, NegGradPlusUnlearner])
def test_several_labels(cls, unseen):
    X, y = labelled()
    X_new, y_new = labelled(60, seed=1, random=slice(0, 20))
    unlearner = cls(plain_net(max_epochs=20), stop="reference", random_state=0).fit(X, y)
    more = {"X_val": X_new, "y_val": y_new} if unseen else {}
    unlearner.unlearn(indices=LABELLED, **more)
    log = unlearner.deletions_[0]["stop"]
    assert log["unseen_rows"] == (60 if unseen else 0)
    looks = kept_in(log)
    assert set(looks[0]) == {"margin", "entropy", "modified_entropy"}
    assert 0 < largest(looks[0]) < 0.5


def test_rows_of_a_predefined_split_are_looked_at(task):
    X, y, unseen = task
    split = predefined_split(as_dataset(unseen["X_val"], unseen["y_val"]))
    recipe = net(train_split=split)
    unlearner = SalUnUnlearner(recipe, stop="reference", random_state=0).fit(X, y)
    unlearner.unlearn(indices=FORGET)
    assert unlearner.deletions_[0]["stop"]["unseen_rows"] == 60


class Interrupts(Callback):
    """Raises in the middle of an epoch of the request."""

    def __init__(self, error=KeyboardInterrupt, at=6):
        self.error, self.at = error, at

    def on_train_begin(self, net, **kwargs):
        self.left_ = self.at

    def on_batch_end(self, net, training=False, **kwargs):
        self.left_ -= training
        if self.left_ == 0:
            raise self.error


@pytest.mark.parametrize("where", ["reference", "look", "training"])
def test_an_interrupt_leaves_all_as_it_was(task, where):
    X, y, unseen = task
    unlearner = RandomLabelUnlearner(net(), stop="reference", random_state=0).fit(X, y)
    whole = RandomLabelUnlearner(net(), stop="reference", random_state=0).fit(X, y)
    state, attributes = Snapshot(unlearner, X), set(vars(unlearner))
    target = {
        "reference": "skunlearn.ascent._stopping.training.train",
        "look": "skunlearn.ascent._stopping.Likeness.distances",
        "training": "skunlearn.ascent._stopping.set_weights",  # after the last step
    }[where]

    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(target, interrupt)
        with pytest.raises(KeyboardInterrupt):
            unlearner.unlearn(indices=FORGET, **unseen)
    state.check(where)
    assert set(vars(unlearner)) == attributes
    for each in (unlearner, whole):
        each.unlearn(indices=FORGET, **unseen)
    ours, theirs = (weights(each.estimator_) for each in (unlearner, whole))
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_a_callback_that_ends_the_training_leaves_the_nearest_state(task):
    """It ends it in good order: what was seen until then is chosen from."""
    X, y, unseen = task
    recipe = net(max_epochs=20)
    unlearner = RandomLabelUnlearner(recipe, stop="reference", random_state=0).fit(X, y)
    unlearner.estimator_.callbacks = [("stop", Interrupts())]
    unlearner.unlearn(indices=FORGET, **unseen)
    looks = kept_in(unlearner.deletions_[0]["stop"])
    assert 2 <= len(looks) < 10
    names = [name for name, _ in unlearner.estimator_.callbacks_]
    assert "skunlearn_nearest" not in names
