"""Files, checkpoints and caches hold all of a net, or say what they do not."""

import warnings
from unittest import mock

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from skorch.callbacks import Callback, Freezer

from skunlearn import (
    FineTuneUnlearner,
    RetrainUnlearner,
    ShardedUnlearner,
)
from skunlearn._recipe import training as _training
from skunlearn._rows.views import Rows
from skunlearn._torch.portable import name_lost
from skunlearn.exact import _shards
from skunlearn.exceptions import IncompleteFileWarning, UnlearningError
from skunlearn.production import DeletionQueue, DeletionWorker
from skunlearn.shadow import ShadowModels
from skunlearn.utils._check_tools import generators, parameters, same_parameters
from tests.instances import make_net
from tests.odd_nets import MLP, ODD, BatchNormed, RandomFeatures, RunningMean, odd_net, rows
from tests.small import quiet

kinds = pytest.mark.parametrize("kind", ODD)


# ------------------------------------------------------------------ files


LOST = {  # and what of it a file names
    "random features in numpy": "module.drawn",
    "dropout changed": "module.drop.p",
    "temperature set": "module.temperature",
    "pruned": "module.hidden",
    "head replaced": "module.out",
    "extra state": "module.shift",
    "batch norm changed": "module.norm.eps",
    "criterion changed": "criterion",
}


@kinds
@quiet
@pytest.mark.parametrize("with_rows", [True, False])
def test_files_say_what_they_do_not_hold(kind, with_rows, tmp_path):
    X, y = rows()
    net = odd_net(kind)
    unlearner = FineTuneUnlearner(FrozenEstimator(net), max_epochs=1, random_state=0).fit(X, y)
    unlearner.unlearn(indices=[0])
    if not with_rows:
        unlearner.detach()
    said, path = unlearner.predict_proba(X), tmp_path / "model"
    recipe = FineTuneUnlearner(clone(net))
    if kind in LOST:
        with pytest.warns(IncompleteFileWarning, match=LOST[kind]):
            unlearner.save(path)
        if kind in ("pruned", "head replaced", "criterion changed"):
            with pytest.raises(ValueError, match=r"does not fit.*FrozenEstimator\(net\)"):
                recipe.load(path)
        else:
            with pytest.warns(IncompleteFileWarning, match=LOST[kind]):
                recipe.load(path)
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("error", IncompleteFileWarning)
            unlearner.save(path)
            recipe.load(path)
        assert np.array_equal(recipe.predict_proba(X), said)
    with_same_changes = FineTuneUnlearner(FrozenEstimator(net)).load(path)
    assert np.array_equal(with_same_changes.predict_proba(X), said)


def test_a_parameter_of_the_module_that_was_set_since(tmp_path):
    """Not the layers were changed, but the recipe that they were built by."""
    X, y = rows()
    unlearner = FineTuneUnlearner(make_net(max_epochs=1), random_state=0).fit(X, y)
    path = tmp_path / "model"
    unlearner.save(path)
    wide = FineTuneUnlearner(make_net(module__hidden=99))
    with pytest.raises(ValueError, match="Make it with the parameters of the one"):
        wide.load(path)
    unlearner.set_params(estimator__module__hidden=99)
    unlearner.save(path)  # it is whole: warnings are errors here
    loaded = FineTuneUnlearner(make_net()).load(path)
    assert np.array_equal(loaded.predict_proba(X), unlearner.predict_proba(X))


@quiet
def test_files_keep_what_is_frozen_and_its_dtype(tmp_path):
    X, y = rows()
    net = odd_net("layers in another order")
    FineTuneUnlearner(FrozenEstimator(net)).fit(X, y).save(tmp_path / "model")
    loaded = FineTuneUnlearner(clone(net)).load(tmp_path / "model").estimator_.module_
    assert loaded.hidden.weight.dtype == torch.float64
    assert not loaded.hidden.bias.requires_grad
    assert loaded.hidden.weight.requires_grad


class Counted(MLP):
    """Counts its calls, and keeps what it computed last; neither changes what it says."""

    calls, last = 0, None

    def forward(self, X):
        self.calls, self.last = self.calls + 1, super().forward(X)
        return self.last


@pytest.mark.parametrize("with_rows", [True, False])
def test_no_false_warning_for_what_changes_nothing(with_rows, tmp_path):
    X, y = rows()
    net = make_net(max_epochs=1).set_params(module=Counted)
    unlearner = FineTuneUnlearner(net, random_state=0).fit(X, y)
    if not with_rows:
        unlearner.detach()
    unlearner.save(tmp_path / "model")  # warnings are errors here
    loaded = FineTuneUnlearner(net).load(tmp_path / "model")
    assert np.array_equal(loaded.predict_proba(X), unlearner.predict_proba(X))


class Anneal(Callback):
    """Lowers the dropout rate from epoch to epoch, on the module itself."""

    def on_epoch_end(self, net, **kwargs):
        net.module_.drop.p /= 2


def annealed(**kwargs):
    net = make_net(
        module__dropout=0.8, callbacks=[("anneal", Anneal())], max_epochs=2, batch_size=16
    )
    return net.set_params(module=MLP, **kwargs)


@quiet
def test_checkpoints_of_shards_hold_the_net_or_are_refused(tmp_path):
    X, y = rows()
    with pytest.raises(UnlearningError, match=r"n_slices=2.*module\.drop\.p.*n_slices=1"):
        ShardedUnlearner(annealed(), n_shards=2, n_slices=2, random_state=0).fit(X, y)
    ShardedUnlearner(annealed(), n_shards=2, random_state=0).fit(X, y)


@quiet
@pytest.mark.parametrize("module", [RandomFeatures, RunningMean, BatchNormed])
def test_shards_go_on_from_a_checkpoint_as_without_one(module, tmp_path):
    X, y = rows()
    freezer = [("freeze", Freezer("hidden.*"))]
    recipe = make_net(max_epochs=2, batch_size=16, callbacks=freezer).set_params(module=module)
    shard = _shards.Shard(Rows(X, y, np.arange(60)), np.arange(60) % 2, 2, 0, np.arange(3))
    whole = _shards.train_shard(recipe, shard, str(tmp_path))
    again = _shards.train_shard(recipe, shard, str(tmp_path), 1, whole.files)
    assert again.row_epochs < whole.row_epochs
    assert same_parameters(parameters(whole.model), parameters(again.model))
    assert np.array_equal(whole.model.predict_proba(X), again.model.predict_proba(X))
    assert not again.model.module_.hidden.weight.requires_grad


@quiet
@pytest.mark.parametrize("module", [RandomFeatures, RunningMean])
def test_caches_give_the_net_back(module, tmp_path):
    X, y = rows()
    recipe = make_net(max_epochs=2).set_params(module=module)
    unlearner = FineTuneUnlearner(recipe, memory=str(tmp_path), random_state=0)
    first = clone(unlearner).fit(X, y)
    with mock.patch.object(_training, "_train") as trained:
        again = clone(unlearner).fit(X, y)
    assert not trained.called
    assert np.array_equal(first.predict_proba(X), again.predict_proba(X))
    assert same_parameters(parameters(first.estimator_), parameters(again.estimator_))
    plain = clone(unlearner).set_params(memory=None).fit(X, y).unlearn(indices=[0])
    again.unlearn(indices=[0])
    assert np.array_equal(plain.predict_proba(X), again.predict_proba(X))


def test_caches_do_not_take_what_they_cannot_hold(tmp_path):
    X, y = rows()
    unlearner = RetrainUnlearner(annealed(), memory=str(tmp_path), random_state=0)
    for _ in range(2):
        with pytest.warns(UserWarning, match=r"does not keep this net.*module\.drop\.p"):
            fitted = clone(unlearner).fit(X, y)
        assert fitted.estimator_.module_.drop.p == 0.2


@quiet
def test_model_versions_hold_the_net_or_are_refused(tmp_path):
    X, y = rows()
    queue = DeletionQueue(tmp_path / "queue", batch_size=1)
    worker = DeletionWorker(queue, FineTuneUnlearner(annealed(), random_state=0), X + 1, y)
    with pytest.raises(TypeError, match=r"After a restart.*module\.drop\.p"):
        worker.start(X, y)
    recipe = make_net(max_epochs=2).set_params(module=RunningMean)
    queue = DeletionQueue(tmp_path / "other", batch_size=1)
    unlearner = FineTuneUnlearner(recipe, random_state=0)
    worker = DeletionWorker(queue, unlearner, X + 1, y).start(X, y)
    queue.submit("a", indices=[3])
    worker.run_once()
    again = DeletionWorker(queue, clone(unlearner), X + 1, y).start(X, y)
    assert np.array_equal(again.unlearner.predict_proba(X), worker.unlearner.predict_proba(X))


def test_stacked_shadow_models_have_features_of_their_own():
    X, y = rows()
    recipe = make_net(max_epochs=1).set_params(module=RandomFeatures)
    with pytest.raises(ValueError, match=r"draws module\.drawn in its constructor"):
        ShadowModels(recipe, n_models=4, backend="stacked", random_state=0).fit(X, y)
    alone = ShadowModels(recipe, n_models=4, backend="sequential", random_state=0).fit(X, y)
    auto = ShadowModels(recipe, n_models=4, random_state=0).fit(X, y)
    assert np.array_equal(auto.margins_, alone.margins_)


def test_the_check_of_a_file_draws_nothing_from_the_global_generators(tmp_path):
    X, y = rows()
    net = make_net(max_epochs=1, module__dropout=0.5).set_params(module=MLP)
    unlearner = FineTuneUnlearner(net, random_state=0).fit(X, y)
    for step in (lambda: unlearner, unlearner.detach):
        made, before = step(), generators()
        made.save(tmp_path / "model")
        assert generators() == before
    assert name_lost(unlearner.estimator_, net, 0, None) == []
