"""Nets that were trained in plain PyTorch, under every method and reference."""

import copy
import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import cross_val_score
from skorch import NeuralNetClassifier

from skunlearn import (
    AmnesiacUnlearner,
    FineTuneUnlearner,
    NegGradPlusUnlearner,
    RetrainUnlearner,
    RewindUnlearner,
    ShardedUnlearner,
    from_torch,
)
from skunlearn.evaluation import audit, compare
from skunlearn.metrics import MIAScorer
from skunlearn.shadow import ShadowModels
from skunlearn.utils import all_unlearners
from tests.small import quiet
from tests.torch_loop import EPOCHS, Digits, Net, trained
from tests.turns import in_turns

UNSEEN, FORGET = slice(300, 600), np.arange(10)


FACTORY = {"factory": Net, "module__width": 8}


AFRESH = {
    "AutoUnlearner",
    "BadTeacherUnlearner",
    "NoisyFineTuneUnlearner",
    "OracleMatchingUnlearner",
    "RetrainUnlearner",
    "ShrinkPerturbUnlearner",
}


FROM_THE_START = {"AmnesiacUnlearner", "RewindUnlearner", "ShardedUnlearner"}


@pytest.fixture(scope="module")
def parts():
    """A trained net and all that it was trained with."""
    return trained()


@pytest.fixture(scope="module")
def plain():
    """The same rows without augmentation."""
    return Digits(slice(0, 300))


def state(module):
    return {key: value.clone() for key, value in module.state_dict().items()}


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


# ------------------------------------------------------------------ what comes of it


def test_the_net_is_the_module_that_was_trained(parts):
    net = from_torch(**parts)
    X = Digits(UNSEEN).X
    with torch.no_grad():
        logits = parts["module"](X)
    np.testing.assert_allclose(net.predict_proba(X.numpy()), logits.softmax(1), atol=1e-6)
    assert isinstance(net, FrozenEstimator)
    assert isinstance(net.estimator, NeuralNetClassifier)
    assert net.estimator.module_ is not parts["module"]


def test_the_recipe_is_that_of_the_loop(parts):
    net = from_torch(**parts).estimator
    (callback,) = net.callbacks
    assert (net.lr, net.batch_size, net.max_epochs, net.train_split) == (0.1, 32, EPOCHS, None)
    assert (callback.policy, callback.T_max) == (torch.optim.lr_scheduler.CosineAnnealingLR, EPOCHS)
    assert (net.optimizer, net.optimizer__momentum) == (torch.optim.SGD, 0.9)
    assert net.iterator_train__shuffle
    assert net.criterion.label_smoothing == 0.01


@quiet
@pytest.mark.parametrize("cls", in_turns(all_unlearners(nets=True).values(), 3))
@pytest.mark.parametrize("factory", [{}, FACTORY], ids=["instance", "factory"])
def test_every_method_goes_on_or_says_that_it_needs_a_factory(parts, plain, cls, factory):
    net = from_torch(**parts, **factory)
    unlearner = cls(net, random_state=0)
    data = parts["loader"].dataset
    if cls.__name__ in FROM_THE_START:
        with pytest.raises(TypeError, match="already trained"):
            unlearner.fit(data, measure_on=plain)
        return
    if cls.__name__ in AFRESH and not factory:
        with pytest.raises(TypeError, match=r"trains from scratch.*factory= of from_torch"):
            unlearner.fit(data, measure_on=plain)
        return
    before = state(parts["module"])
    unlearner.fit(data, measure_on=plain)
    assert equal(state(unlearner.estimator_.module_), before)  # nothing was trained in fit
    unlearner.unlearn(indices=np.flatnonzero(plain.y == 3))  # some methods are made for classes
    assert not equal(state(unlearner.estimator_.module_), before)
    assert equal(state(parts["module"]), before)
    assert 0 <= unlearner.score(Digits(UNSEEN)) <= 1


@quiet
@pytest.mark.parametrize("cls", [ShardedUnlearner, AmnesiacUnlearner, RewindUnlearner])
def test_what_must_see_the_training_takes_the_net_inside(parts, plain, cls):
    net = from_torch(**parts, **FACTORY).estimator
    how = {"sensitive": np.arange(300) < 20} if cls is AmnesiacUnlearner else {}
    unlearner = cls(net, random_state=0).fit(parts["loader"].dataset, measure_on=plain, **how)
    assert unlearner.unlearn(indices=FORGET).deletions_[0]["rows"] == 10
    with pytest.raises(TypeError, match="factory= of from_torch"):
        cls(from_torch(**parts).estimator).fit(parts["loader"].dataset, measure_on=plain)


@quiet
def test_the_users_objects_are_untouched(plain):
    parts = trained()
    module, optimizer = parts["module"], parts["optimizer"]
    module.train()
    module.conv.weight.register_hook(lambda gradient: gradient)
    before = {
        "weights": state(module),
        "gradients": {k: p.grad.clone() for k, p in module.named_parameters()},
        "optimizer": copy.deepcopy(optimizer.state_dict()),
        "scheduler": dict(parts["scheduler"].state_dict()),
    }
    identities = [id(p) for p in module.parameters()]
    draws = torch.get_rng_state()
    net = from_torch(**parts, **FACTORY)
    assert torch.equal(torch.get_rng_state(), draws)
    for cls in (FineTuneUnlearner, NegGradPlusUnlearner, RetrainUnlearner):
        unlearner = cls(net, random_state=0).fit(parts["loader"].dataset, measure_on=plain)
        unlearner.unlearn(indices=FORGET)
    assert equal(state(module), before["weights"])
    assert equal({k: p.grad for k, p in module.named_parameters()}, before["gradients"])
    assert [id(p) for p in module.parameters()] == identities
    assert module.training
    assert len(module.conv.weight._backward_hooks) == 1
    assert parts["scheduler"].state_dict() == before["scheduler"]
    now = optimizer.state_dict()
    assert now["param_groups"] == before["optimizer"]["param_groups"]
    for key, held in before["optimizer"]["state"].items():
        assert torch.equal(now["state"][key]["momentum_buffer"], held["momentum_buffer"])


@quiet
@pytest.mark.parametrize("factory", [{}, FACTORY], ids=["instance", "factory"])
def test_nothing_of_the_weights_before_is_left(parts, plain, factory):
    unlearner = FineTuneUnlearner(from_torch(**parts, **factory), random_state=0)
    unlearner.fit(parts["loader"].dataset, measure_on=plain).unlearn(indices=FORGET)
    held = pickle.dumps(unlearner)
    assert parts["module"].conv.weight.detach().numpy().tobytes() not in held
    assert unlearner.estimator_.module_.conv.weight.detach().numpy().tobytes() in held


@quiet
def test_files_and_second_requests(parts, plain, tmp_path):
    net = from_torch(**parts)
    unlearner = FineTuneUnlearner(net, random_state=0).fit(
        parts["loader"].dataset, measure_on=plain
    )
    unlearner.unlearn(indices=FORGET).save(tmp_path / "net.safetensors")
    loaded = FineTuneUnlearner(from_torch(**parts)).load(tmp_path / "net.safetensors")
    rows = Digits(UNSEEN)
    np.testing.assert_array_equal(loaded.predict(rows), unlearner.predict(rows))
    assert unlearner.unlearn(indices=[20, 21]).deletions_[1]["rows"] == 2


# ------------------------------------------------------------------ references start afresh


@pytest.fixture(scope="module")
def slow():
    """A net whose retraining leaves the weights where they began."""
    return trained() | {"lr": 1e-9, "scheduler": None}


def chance(model, rows=UNSEEN):
    """Whether a model does no better than one that was never trained."""
    data = Digits(rows)
    return (model.predict(data) == data.y).mean() < 0.3


@quiet
def test_retraining_starts_from_fresh_weights(slow, plain):
    net = from_torch(**slow, **FACTORY)
    assert not chance(net)
    data = slow["loader"].dataset
    unlearner = RetrainUnlearner(net, random_state=0).fit(data, measure_on=plain)
    assert not chance(unlearner)
    assert chance(unlearner.unlearn(indices=FORGET))
    assert unlearner.deletions_[0]["exact"]


@quiet
def test_references_start_from_fresh_weights(slow, plain):
    net, data = from_torch(**slow, **FACTORY), slow["loader"].dataset
    unlearner = FineTuneUnlearner(net, lr=1e-3, max_epochs=1, random_state=0)
    unlearner.fit(data, measure_on=plain).unlearn(indices=FORGET)
    assert not chance(unlearner)
    unseen = Digits(UNSEEN)
    scorer = MIAScorer(reference="retrain")
    assert chance(scorer._reference_model(unlearner).model)
    scorer(unlearner, unseen, unseen.y)
    scores = audit(unlearner, unseen, unseen.y, retrained="train").wide.filter(like="test")
    assert max(scores.loc["retrained"]) < 0.3 < 0.6 < min(scores.loc["FineTuneUnlearner"])


@quiet
def test_comparing_starts_from_the_trained_net(slow, plain):
    net, data = from_torch(**slow, **FACTORY), slow["loader"].dataset
    unseen = Digits(UNSEEN)
    report = compare(
        {"tuned": FineTuneUnlearner(net, lr=1e-3, max_epochs=1)},
        data,
        plain.y,
        forget=np.arange(300) < 30,
        X_test=unseen,
        y_test=unseen.y,
        measure_on=plain,
    )
    scores = report.wide.filter(like="test")
    assert max(scores.loc["retrained"]) < 0.3
    assert scores.loc[["original", "tuned"]].to_numpy().min() > 0.6


@quiet
@pytest.mark.parametrize(
    "train",
    [
        lambda u, rows: MIAScorer(reference="retrain")(u, rows, rows.y),
        lambda u, rows: audit(u, rows, rows.y, retrained="train"),
        lambda u, rows: ShadowModels(u.estimator.estimator, n_models=4).fit(rows, rows.y),
    ],
    ids=["MIAScorer", "audit", "ShadowModels"],
)
def test_references_of_a_module_alone_are_refused(parts, plain, train):
    unlearner = FineTuneUnlearner(from_torch(**parts), max_epochs=1, random_state=0)
    unlearner.fit(parts["loader"].dataset, measure_on=plain).unlearn(indices=FORGET)
    with pytest.raises(TypeError, match="module instance"):
        train(unlearner, Digits(UNSEEN))


@quiet
def test_searches_train_the_net_inside(plain):
    parts = trained(transform=None)
    net = from_torch(**parts, **FACTORY)
    data = parts["loader"].dataset
    X, y = data.X.numpy(), data.y
    with pytest.raises(ValueError, match="Pass the net itself instead of"):
        cross_val_score(FineTuneUnlearner(net), X, y, cv=2, error_score="raise")
    assert len(cross_val_score(FineTuneUnlearner(net.estimator), X, y, cv=2)) == 2
    assert not clone(net.estimator).initialized_
