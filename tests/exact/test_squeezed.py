"""RetrainUnlearner for fewer epochs than the recipe's: the floor for every other method."""

import json

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback, LRScheduler
from torch import nn
from torch.optim import lr_scheduler

from skunlearn import RetrainUnlearner
from skunlearn.callbacks import LinearDecay
from skunlearn.utils._check_tools import parameters, same_parameters

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(40, 4)).astype(np.float32), RNG.integers(0, 2, 40)
LR = 0.5


class Rates(Callback):
    seen = []

    def on_grad_computed(self, net, training=False, **kwargs):
        if training:
            Rates.seen.append([group["lr"] for group in net.optimizer_.param_groups])


def net(*callbacks, max_epochs=20, **changed):
    return NeuralNetClassifier(
        nn.Linear, module__in_features=4, module__out_features=2, criterion=nn.CrossEntropyLoss,
        lr=LR, max_epochs=max_epochs, batch_size=10, train_split=None, verbose=0,
        callbacks=[*callbacks, ("rates", Rates())], **changed,
    )  # fmt: skip


def rates_of(*callbacks, max_epochs=5, **changed):
    """Of the batches of a retraining: three an epoch."""
    unlearner = RetrainUnlearner(net(*callbacks, **changed), max_epochs=max_epochs, random_state=0)
    unlearner.fit(X, Y)
    Rates.seen.clear()
    unlearner.unlearn(indices=np.arange(10))
    return np.array(Rates.seen), unlearner


def scheduler(policy, **kwargs):
    return "rate", LRScheduler(policy, **kwargs)


def test_a_cosine_runs_its_whole_course():
    found, _ = rates_of(scheduler(lr_scheduler.CosineAnnealingLR, T_max=20))
    # Batch i of 15 stands for epoch 4 i / 3 of twenty, whose rate is lr (1 + cos(pi e / 20)) / 2.
    epochs = np.arange(15) * 60 // 15 // 3
    expected = LR * (1 + np.cos(np.pi * epochs / 20)) / 2
    np.testing.assert_allclose(found[:, 0], expected, rtol=1e-6)
    whole, _ = rates_of(scheduler(lr_scheduler.CosineAnnealingLR, T_max=20), max_epochs=None)
    assert len(whole) == 60
    np.testing.assert_allclose(found[:, 0], whole[::4, 0], rtol=1e-6)


def test_a_step_comes_at_the_same_share_of_the_way():
    found, _ = rates_of(scheduler(lr_scheduler.StepLR, step_size=10, gamma=0.1), max_epochs=4)
    np.testing.assert_allclose(found[:, 0], np.repeat([LR, LR / 10], 6))


def test_schedules_of_batches():
    found, _ = rates_of(
        scheduler(lr_scheduler.OneCycleLR, step_every="batch", max_lr=1.0, total_steps=80)
    )
    whole, _ = rates_of(
        scheduler(lr_scheduler.OneCycleLR, step_every="batch", max_lr=1.0, total_steps=80),
        max_epochs=None,
    )
    np.testing.assert_allclose(found[:, 0], whole[::4, 0], rtol=1e-6)
    assert found.argmax() not in (0, 14)


def test_groups_keep_their_rates():
    groups = {"optimizer__param_groups": [("bias", {"lr": 0.1})]}
    found, _ = rates_of(scheduler(lr_scheduler.ExponentialLR, gamma=0.9), **groups)
    ratio = found[:, 0] / found[:, 1]
    np.testing.assert_allclose(ratio, ratio[0])
    assert ratio[0] != 1
    assert found[-1, 0] < found[0, 0] / 5


def test_what_has_no_course_is_left_alone():
    constant, _ = rates_of()
    assert np.unique(constant).tolist() == [LR]
    plateau, _ = rates_of(
        scheduler(lr_scheduler.ReduceLROnPlateau, monitor="train_loss", patience=100)
    )
    assert np.unique(plateau).tolist() == [LR]
    falling, _ = rates_of(("rate", LinearDecay()))
    np.testing.assert_allclose(falling[:, 0], LR * (1 - np.arange(15) / 15))


def test_more_epochs_than_the_recipe_has_change_no_rate():
    found, _ = rates_of(scheduler(lr_scheduler.StepLR, step_size=10, gamma=0.1), max_epochs=30)
    np.testing.assert_allclose(found[:, 0], LR * 0.1 ** np.repeat(np.arange(3), 30))


def test_it_is_a_training_of_the_retained_rows_for_that_long():
    _, unlearner = rates_of(("rate", LinearDecay()))
    kept = np.arange(10, 40)
    again = RetrainUnlearner(net(("rate", LinearDecay()), max_epochs=5), random_state=0)
    again.fit(X[kept], Y[kept])
    assert same_parameters(parameters(unlearner.estimator_), parameters(again.estimator_))
    assert unlearner.estimator_.max_epochs == 20
    assert unlearner.set_params(max_epochs=None).unlearn(indices=[12]).estimator_.max_epochs == 20
    assert len(unlearner.estimator_.history) == 20


def test_certificate_and_log_say_so():
    _, unlearner = rates_of()
    said = json.loads(unlearner.certificate())
    assert said["guarantee"] == "retrained without the rows, for 5 of the recipe's 20 epochs"
    assert said["deletions"][0]["epochs"] == [5, 20]
    assert said["deletions"][0]["exact"]
    _, whole = rates_of(max_epochs=None)
    assert json.loads(whole.certificate())["guarantee"] == "retrained without the rows"
    # The last request says what the present model is.
    unlearner.set_params(max_epochs=None).unlearn(indices=[12])
    assert json.loads(unlearner.certificate())["guarantee"] == "retrained without the rows"


def test_what_has_no_epochs():
    with pytest.raises(TypeError, match="has no epochs"):
        RetrainUnlearner(LogisticRegression(), max_epochs=3).fit(X, Y)
    with pytest.raises(ValueError, match="max_epochs"):
        RetrainUnlearner(net(), max_epochs=0).fit(X, Y)
