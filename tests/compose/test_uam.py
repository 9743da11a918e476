"""UAM: where the gradients of a method are taken, around which methods, and where it leads."""

from functools import partial

import numpy as np
import pytest
from scipy.special import softmax
from skorch import NeuralNetClassifier
from torch import nn

from skunlearn import (
    AmnesiacUnlearner,
    FineTuneUnlearner,
    NegGradPlusUnlearner,
    NoisyFineTuneUnlearner,
    RandomLabelUnlearner,
    RetrainUnlearner,
    SSDUnlearner,
    UAMUnlearner,
)
from skunlearn.compose.uam import Climb
from skunlearn.exceptions import UnlearningError
from skunlearn.utils import unlearner_tags
from skunlearn.utils._check_tools import Snapshot
from tests.heart import check_nearer
from tests.small import FORGET, net

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
KEPT = np.arange(6, 60)


def linear(**params):
    """A linear net without a bias that takes one full-batch step an epoch."""
    given = {
        "module__in_features": 4, "module__out_features": 3, "module__bias": False, "lr": 0.1,
        "criterion": nn.CrossEntropyLoss, "max_epochs": 20, "batch_size": -1, "train_split": None,
        "verbose": 0,
    }  # fmt: skip
    return NeuralNetClassifier(nn.Linear, **(given | params))


def weight(unlearner):
    return unlearner.estimator_.module_.weight.detach().numpy().astype(np.float64)


def slope(W, X, y):
    """Gradient of the mean cross-entropy."""
    return (softmax(X @ W.T, axis=1) - np.eye(len(W))[y]).T @ X / len(X)


@pytest.mark.parametrize("rho", [0.01, 0.5])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_steps_are_those_of_the_formula(data, rho, momentum):
    """w - η∇L_r(w + ρ|w_o|·∇l_f/|∇l_f|), three times, by numpy."""
    X, y = data
    model = linear(optimizer__momentum=momentum)
    tuned = FineTuneUnlearner(model, max_epochs=3, schedule="constant")
    unlearner = UAMUnlearner(model, unlearner=tuned, rho=rho, random_state=0).fit(X, y)
    start = W = weight(unlearner)
    reach, carried = rho * np.linalg.norm(W), 0
    for _ in range(3):
        up = slope(W, X[FORGET], y[FORGET])
        carried = momentum * carried + slope(W + reach * up / np.linalg.norm(up), X[KEPT], y[KEPT])
        W = W - 0.1 * carried
    after = weight(unlearner.unlearn(indices=FORGET))
    assert after == pytest.approx(W, abs=1e-5)
    assert np.abs(after - start).max() > 1e-3


def test_the_way_up_falls_with_the_rate(data):
    """As that of the step before, which is the one that a schedule has set by then."""
    X, y = data
    model, found, on_computed = linear(), [], Climb.on_grad_computed
    unlearner = UAMUnlearner(model, unlearner=FineTuneUnlearner(model, max_epochs=4), rho=0.5)
    unlearner.set_params(random_state=0).fit(X, y)
    length = np.linalg.norm(weight(unlearner))

    def seen(self, net, **kwargs):
        ((p, start),) = self.start.items()
        found.append(float((p.detach() - start).norm()) / length)
        on_computed(self, net, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Climb, "on_grad_computed", seen)
        unlearner.unlearn(indices=FORGET)
    assert found == pytest.approx([0.5, 0.5, 0.375, 0.25], rel=1e-4)


@pytest.mark.parametrize(
    "method",
    [NegGradPlusUnlearner, partial(RandomLabelUnlearner, order="sequential")],
    ids=["NegGrad+", "random labels"],
)
def test_other_methods_than_fine_tuning(data, method):
    X, y = data
    alone = method(net(), random_state=0).fit(X, y).unlearn(indices=FORGET)
    inside = UAMUnlearner(net(), unlearner=method(net()), random_state=0).fit(X, y)
    inside.unlearn(indices=FORGET).unlearn(indices=[7])
    assert not np.allclose(alone.predict_proba(X), inside.predict_proba(X), atol=1e-3)
    assert not any(name == "skunlearn_uam" for name, _ in inside.estimator_.callbacks_)


def test_methods_that_train_nothing_are_refused_and_nothing_is_lost(data):
    X, y = data
    unlearner = UAMUnlearner(net(), unlearner=SSDUnlearner(net()), random_state=0).fit(X, y)
    before = Snapshot(unlearner, X)
    with pytest.raises(UnlearningError, match="SSDUnlearner takes none"):
        unlearner.unlearn(indices=np.flatnonzero(y == 1))
    before.check("a refusal")
    inside = AmnesiacUnlearner(net()), NoisyFineTuneUnlearner(net())
    for bad in (RetrainUnlearner(net()), *inside, "fine-tuning", 3):
        with pytest.raises(TypeError, match="unlearner must be an unlearner of nets"):
            UAMUnlearner(net(), unlearner=bad).fit(X, y)


def test_what_the_method_says_of_itself_holds_of_both():
    assert unlearner_tags(UAMUnlearner(net())).needs_forget
    assert not unlearner_tags(UAMUnlearner(net())).class_only
    inside = UAMUnlearner(net(), unlearner=SSDUnlearner(net()))
    assert unlearner_tags(inside).class_only
    assert inside._make_promises().edits_weights


def test_the_space_holds_that_of_the_method():
    inside = UAMUnlearner(net(), unlearner=NegGradPlusUnlearner(net()))
    space = inside.search_space("grid", n_points=2)
    assert set(space) == {"rho", *(f"unlearner__{p}" for p in ("lr", "max_epochs", "beta"))}
    inside.set_params(**{name: values[0] for name, values in space.items()})
    assert inside.unlearner.beta == 0.5


def test_rows_known_by_heart_come_nearer_to_a_retrained_net():
    check_nearer(partial(UAMUnlearner, random_state=0), way=0.4, moved=None)
