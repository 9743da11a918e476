"""Callbacks that cannot be copied."""

import pickle
import threading

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import Callback, Initializer, LRScheduler, TensorBoard

from skunlearn import FineTuneUnlearner, RetrainUnlearner, ShardedUnlearner
from skunlearn._torch.skorch_nets import copy_net
from skunlearn.model_selection import ForgetSplit
from skunlearn.utils._check_tools import parameters, same_parameters
from tests.instances import make_net
from tests.small import FORGET, net, quiet
from tests.torch.callback_tools import Pressed, ones

pytestmark = quiet


class Locked(Callback):
    """Holds a lock, and counts in an attribute that no parameter of its constructor stands for."""

    def __init__(self):
        self.lock, self.count, self.seen = threading.Lock(), 0, []

    def on_epoch_end(self, net, **kwargs):
        with self.lock:
            self.count += 1
            self.seen.append(len(net.history))


class Writer:
    """Stands for a SummaryWriter of TensorBoard, which holds locks and a thread."""

    def __init__(self):
        self.lock, self.written, self.closed = threading.Lock(), [], 0

    def add_scalar(self, tag, scalar_value, global_step):
        with self.lock:
            self.written.append((tag, global_step))

    def close(self):
        self.closed += 1


class Pressing(Callback):
    """Refuses every kind of copy."""

    def __init__(self):
        self.lock = threading.Lock()

    def __reduce_ex__(self, protocol):
        raise TypeError("no second of me")


def test_callbacks_that_cannot_be_copied(data):
    X, y = data
    writer, own = Writer(), Locked()
    callbacks = [("board", TensorBoard(writer)), ("own", own), ("press", Pressing()), Locked]
    model = net(callbacks=callbacks, max_epochs=3)
    unlearner = FineTuneUnlearner(model, max_epochs=2, random_state=0).fit(X, y)
    fitted = dict(unlearner.estimator_.callbacks_)["own"]
    assert fitted.seen == [1, 2, 3]
    written = len(writer.written)
    assert written >= 3
    unlearner.unlearn(indices=FORGET)
    now = dict(unlearner.estimator_.callbacks_)["own"]
    assert len(writer.written) > written  # the writer is one
    assert writer.closed == 2
    assert (fitted.count, own.count) == (3, 0)  # while counts are each their own
    assert now.lock is fitted.lock is own.lock
    assert not same_parameters(
        parameters(unlearner.estimator_), parameters(clone(unlearner).fit(X, y).estimator_)
    )


class Shared(Writer):
    """Stands for itself where it is copied."""

    def __deepcopy__(self, memo):
        return self


def test_slices_of_shards_take_them(data):
    X, y = data
    writer = Writer()
    model = net(callbacks=[("board", TensorBoard(writer))], max_epochs=2)
    ShardedUnlearner(model, n_shards=2, n_slices=2, random_state=0).fit(X, y).unlearn(indices=[0])
    assert writer.closed >= 5


def test_inside_other_estimators_they_are_named(data):
    """Which scikit-learn clones by itself."""
    X, y = data

    def unlearner(writer):
        model = net(callbacks=[("board", TensorBoard(writer))], max_epochs=1)
        return RetrainUnlearner(Pipeline([("scale", StandardScaler()), ("net", model)]))

    with pytest.raises(TypeError, match=r"Pipeline cannot be cloned.*lock.*__deepcopy__"):
        unlearner(Writer()).fit(X, y)
    shared = Shared()
    unlearner(shared).fit(X, y).unlearn(indices=FORGET)
    assert shared.closed == 2


def test_searches_and_clones_take_them(data):
    X, y = data
    forget = np.arange(60) % 4 == 0
    model = net(callbacks=[("own", Locked()), ("board", TensorBoard(Writer()))], max_epochs=1)
    search = GridSearchCV(
        FineTuneUnlearner(model, random_state=0),
        {"lr": [0.1, 0.2]},
        cv=ForgetSplit(2, forget=forget, random_state=0),
        error_score="raise",
    )
    search.fit(X, y, forget=forget)
    again = clone(search.best_estimator_)
    assert again.estimator is not search.best_estimator_.estimator
    assert again.get_params(deep=False).keys() == search.best_estimator_.get_params(False).keys()


def test_files_do_not_mind_them_and_pickles_name_them(data, tmp_path):
    X, y = data
    model = net(callbacks=[("own", Locked())], max_epochs=1)
    unlearner = FineTuneUnlearner(model, random_state=0).fit(X, y).unlearn(indices=FORGET)
    unlearner.save(tmp_path / "model")
    loaded = FineTuneUnlearner(model).load(tmp_path / "model")
    assert np.array_equal(loaded.predict_proba(X), unlearner.predict_proba(X))
    with pytest.raises(TypeError, match="lock"):
        pickle.dumps(unlearner)


def test_copies_keep_the_parameters_and_start_without_a_past(data):
    X, y = data
    scheduler = LRScheduler("StepLR", step_size=1, gamma=0.5)
    callbacks = [("rate", scheduler), ("init", Initializer("*.bias", fn=ones))]
    model = make_net(callbacks=callbacks, max_epochs=3, verbose=0, module__how=None)
    model.set_params(module=Pressed).fit(X, y)
    new = copy_net(model)
    rate = dict(new.callbacks_)["rate"]
    assert rate is not scheduler
    assert (rate.step_size, rate.gamma, rate.lr_scheduler_) == (1, 0.5, None)
    # The recipe keeps all of them, for a training from scratch.
    assert [name for name, _ in new.callbacks] == ["rate", "init"]
    assert [name for name, _ in new.callbacks_ if name in ("rate", "init")] == ["rate"]
