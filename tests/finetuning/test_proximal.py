"""ProximalUnlearner against closed forms."""

import numpy as np
import pytest
import torch
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import RandomizedSearchCV
from skorch import NeuralNetBinaryClassifier, NeuralNetClassifier, NeuralNetRegressor
from torch import nn
from torch.nn.functional import cross_entropy, log_softmax

from skunlearn import (
    CoUnUnlearner,
    FineTuneUnlearner,
    ProximalUnlearner,
    ShrinkPerturbUnlearner,
    base,
)
from skunlearn._torch import skorch_nets
from skunlearn._torch.batches.training_batch import Batch
from skunlearn._torch.gradients.fisher import diagonal_fisher
from skunlearn._torch.loop.task_loss import TaskLoss
from skunlearn._torch.net_layers import layers_in_order, penalised_parameters
from skunlearn.callbacks import HeldOutStopping, MeanWeights, ProximalStep
from skunlearn.exceptions import UnlearningError
from skunlearn.finetuning._smoothing import soften_loss
from skunlearn.metrics import MIAScorer
from skunlearn.model_selection import ForgetSplit, one_standard_error
from skunlearn.utils._check_tools import parameters, same_parameters
from tests.heart import check_nearer, noisy_digits, told_apart
from tests.instances import make_binary_net, make_net, make_regressor_net

# What the methods say about toy data is not what is tested here.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


class Line(nn.Module):
    """y = X w, whose penalised least squares have a closed form."""

    def __init__(self, n_in=3, n_out=1):
        super().__init__()
        self.w = nn.Linear(n_in, n_out, bias=False)

    def forward(self, X):
        return self.w(X)


@pytest.fixture
def quadratic():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 3))
    y = X @ [1.0, -2.0, 3.0] + rng.normal(size=40)
    y[:8] += 10
    return X, y


def line(**kwargs):
    params = {"lr": 0.2, "max_epochs": 100, "batch_size": -1, "train_split": None}
    # float64, so that the fixed point can be told from its neighbours.
    return NeuralNetRegressor(DoubleLine, **(params | kwargs))


class DoubleLine(Line):
    def __init__(self, n_in=3):
        super().__init__(n_in)
        self.double()


def ridge(X, y, anchor, penalty, weights):
    """Minimiser of mean (y - Xw)² + λ/2 Σ F (w - a)²."""
    hessian = 2 * X.T @ X / len(X) + penalty * np.diag(weights)
    return np.linalg.solve(hessian, 2 * X.T @ y / len(X) + penalty * weights * anchor)


def w(unlearner):
    return unlearner.estimator_.module_.w.weight.detach().numpy().ravel().copy()


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("norm", ["l2", "fisher"])
@pytest.mark.parametrize("penalty", [0.1, 3.0])
def test_fixed_point_is_the_penalised_minimiser(quadratic, momentum, norm, penalty):
    X, y = quadratic
    net = line(optimizer__momentum=momentum, lr=0.2 * (1 - momentum))
    unlearner = ProximalUnlearner(
        net, penalty=penalty, norm=norm, max_epochs=500, schedule="constant", random_state=0
    ).fit(X, y)
    anchor = w(unlearner)
    unlearner.unlearn(indices=np.arange(8))
    weights = np.ones(3)
    if norm == "fisher":  # of a Gaussian of unit variance: the squared score, row by row
        scores = (y[8:] - X[8:] @ anchor)[:, None] * X[8:]
        weights = (scores**2).mean(axis=0)
        weights /= weights.mean()
    target = np.float32(y[8:]).astype(float)  # regression targets are float32
    expected = ridge(X[8:], target, anchor, penalty, weights)
    np.testing.assert_allclose(w(unlearner), expected, rtol=1e-6)
    assert np.abs(expected - anchor).max() > 0.1  # or the test could not fail


@pytest.mark.parametrize("norm", ["l2", "fisher"])
@pytest.mark.parametrize("penalty", [1e6, 1e30, 1e38, 1e300])
def test_huge_penalty_stays_at_the_anchor(quadratic, norm, penalty):
    X, y = quadratic
    unlearner = ProximalUnlearner(line(max_epochs=50), penalty=penalty, norm=norm).fit(X, y)
    anchor = w(unlearner)
    unlearner.unlearn(indices=np.arange(8))
    np.testing.assert_allclose(w(unlearner), anchor, atol=1e-4)


@pytest.mark.parametrize("penalty", [3e38, 1e300])
def test_huge_fisher_penalty_is_stable_in_float32(penalty):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 4)).astype(np.float32), rng.integers(0, 3, 60)
    X[:, 2] = 0  # no Fisher information: 0 · ∞ must not arise
    unlearner = ProximalUnlearner(
        make_net(module__n_out=3, max_epochs=3), penalty=penalty, norm="fisher", random_state=0
    ).fit(X, y)
    before = parameters(unlearner.estimator_)
    after = parameters(unlearner.unlearn(indices=[1, 2]).estimator_)
    moved = [np.abs(after[key] - before[key]).max() for key in before]
    assert max(moved) < 0.1


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 6)).astype(np.float32)
    return X, rng.integers(0, 3, 80)


class Convolutional(nn.Module):
    """The head is registered first; one normalisation layer, one unused layer."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(8, 3)
        self.body = nn.Linear(6, 8)
        self.norm = nn.BatchNorm1d(8)
        self.frozen = nn.Linear(8, 8).requires_grad_(False)

    def forward(self, X):
        return self.head(self.frozen(torch.relu(self.norm(self.body(X)))))


def convolutional(**kwargs):
    return make_net(max_epochs=3, **kwargs).set_params(module=Convolutional)


def test_no_penalty_equals_fine_tuning_bitwise(data):
    X, y = data
    params = {"max_epochs": 3, "random_state": 0}
    fine = FineTuneUnlearner(convolutional(), **params).fit(X, y).unlearn(indices=np.arange(9))
    prox = ProximalUnlearner(convolutional(), penalty=0, **params).fit(X, y)
    prox.unlearn(indices=np.arange(9))
    assert same_parameters(parameters(fine.estimator_), parameters(prox.estimator_))
    other = ProximalUnlearner(convolutional(), penalty=0.1, **params).fit(X, y)
    other.unlearn(indices=np.arange(9))
    assert not same_parameters(parameters(fine.estimator_), parameters(other.estimator_))


ALL = {"head.weight", "head.bias", "body.weight", "body.bias", "norm.weight", "norm.bias"}


@pytest.mark.parametrize("schedule", ["linear", "constant"])
@pytest.mark.parametrize("recipe", [{}, {"lr": 0.01}, {"max_epochs": 7}, {"batch_size": 5}])
def test_default_penalty_adapts_to_the_recipe(data, monkeypatch, schedule, recipe):
    """λ times the sum of the rates is a quarter: the pull alone undoes 1 − exp(−0.25)."""
    X, y = data
    penalties, rates = [], []
    plain = ProximalStep.on_batch_end

    def on_batch_end(self, net, training=False, **kwargs):
        if training:
            penalties.append(self.penalty)
            rates.append(net.optimizer_.param_groups[0]["lr"] / (1 - 0.9))
        plain(self, net, training=training, **kwargs)

    monkeypatch.setattr(ProximalStep, "on_batch_end", on_batch_end)
    net = make_net(module__n_out=3, max_epochs=30, batch_size=8).set_params(**recipe)
    ProximalUnlearner(net, schedule=schedule, random_state=0).fit(X, y).unlearn(indices=[0, 1])
    assert penalties[0] * sum(rates) == pytest.approx(0.25, rel=0.1)


@pytest.mark.parametrize(
    "exclude, left_out",
    [
        ((), set()),
        ("head", {"head.weight", "head.bias"}),
        ("norm", {"norm.weight", "norm.bias"}),
        ("bias", {"head.bias", "body.bias", "norm.bias"}),
        ("body.*", {"body.weight", "body.bias"}),
        (["norm", "*.bias"], {"norm.weight", "norm.bias", "head.bias", "body.bias"}),
        ("*", ALL),
    ],
)
def test_exclude(data, exclude, left_out):
    X, y = data
    unlearner = ProximalUnlearner(convolutional(), random_state=0).fit(X, y)
    net, rows = unlearner.estimator_, unlearner._record.view(np.arange(80))
    names = {id(p): name for name, p in net.module_.named_parameters()}
    penalised = {names[id(p)] for p in penalised_parameters(net, rows, exclude)}
    assert penalised == ALL - left_out
    assert [type(m) for m in layers_in_order(net, rows)][-1] is nn.Linear
    assert layers_in_order(net, rows)[-1] is net.module_.head


def test_excluded_parameters_move_and_others_do_not(data):
    X, y = data
    unlearner = ProximalUnlearner(
        convolutional(), penalty=1e30, norm="l2", exclude="head", max_epochs=2, random_state=0
    ).fit(X, y)
    before = parameters(unlearner.estimator_)
    after = parameters(unlearner.unlearn(indices=[0, 1]).estimator_)
    assert np.allclose(after["module.body.weight"], before["module.body.weight"], atol=1e-5)
    assert not np.allclose(after["module.head.weight"], before["module.head.weight"], atol=1e-3)
    assert np.array_equal(after["module.frozen.weight"], before["module.frozen.weight"])


def test_excluding_everything_is_fine_tuning(data):
    X, y = data
    for norm in ("l2", "fisher"):
        unlearner = ProximalUnlearner(convolutional(), norm=norm, exclude="*", random_state=0)
        unlearner.fit(X, y).unlearn(indices=[0])
        fine = FineTuneUnlearner(convolutional(), random_state=0).fit(X, y).unlearn(indices=[0])
        assert same_parameters(parameters(fine.estimator_), parameters(unlearner.estimator_))


def test_unknown_pattern_is_an_error(data):
    X, y = data
    unlearner = ProximalUnlearner(convolutional(), exclude=["bias", "conv9.*"]).fit(X, y)
    with pytest.raises(ValueError, match=r"conv9.*head\.weight"):
        unlearner.unlearn(indices=[0])
    assert unlearner.deletions_ == []


class Logistic(nn.Module):
    def __init__(self, n_in=6, n_out=3):
        super().__init__()
        self.w = nn.Linear(n_in, n_out)

    def forward(self, X):
        return self.w(X)


def fitted(net, X, y):
    unlearner = FineTuneUnlearner(net, random_state=0).fit(X, y)
    return unlearner, unlearner.estimator_, unlearner._record.view(np.arange(len(X)))


def test_fisher_is_the_per_row_closed_form(data):
    X, y = data
    net = NeuralNetClassifier(Logistic, criterion=nn.CrossEntropyLoss, lr=0.1, train_split=None)
    unlearner, net, rows = fitted(net, X, y)
    weight = net.module_.w.weight
    fisher = diagonal_fisher(net, rows, [weight], unlearner.classes_)[weight].numpy()
    score = np.eye(3)[y] - unlearner.predict_proba(X)  # ∂ log p(y|x) / ∂ logits
    per_row = np.einsum("ni,nj->nij", score, X)
    expected = (per_row**2).mean(axis=0)
    np.testing.assert_allclose(fisher, expected / expected.mean(), rtol=1e-4)
    of_the_mean = per_row.mean(axis=0) ** 2
    assert not np.allclose(fisher, of_the_mean / of_the_mean.mean(), rtol=0.1)
    # Much smaller, too: without the scaling the two would differ in size.
    assert of_the_mean.mean() < 0.1 * expected.mean()


@pytest.mark.parametrize("kind", ["NLLLoss", "BCEWithLogitsLoss", "BCELoss"])
def test_fisher_of_other_criteria(data, kind):
    X, y = data
    y = y % 2
    if kind == "NLLLoss":

        class Probabilities(Logistic):
            def forward(self, X):
                return torch.softmax(super().forward(X), dim=1)

        net = NeuralNetClassifier(Probabilities, module__n_out=2, train_split=None)
    elif kind == "BCEWithLogitsLoss":
        net = NeuralNetBinaryClassifier(Logistic, module__n_out=1, train_split=None)
    else:

        class Probability(Logistic):
            def forward(self, X):
                return torch.sigmoid(super().forward(X))

        net = NeuralNetBinaryClassifier(
            Probability, module__n_out=1, criterion=nn.BCELoss, train_split=None
        )
    unlearner, net, rows = fitted(net, X, y)
    weight = net.module_.w.weight
    fisher = diagonal_fisher(net, rows, [weight], unlearner.classes_)[weight].numpy()
    p = unlearner.predict_proba(X)
    score = (np.eye(2)[y] - p) if len(weight) == 2 else (y - p[:, 1])[:, None]
    expected = (np.einsum("ni,nj->nij", score, X) ** 2).mean(axis=0)
    np.testing.assert_allclose(fisher, expected / expected.mean(), rtol=1e-3)


def test_fisher_leaves_batch_norm_and_dropout_alone(data):
    X, y = data
    unlearner, net, rows = fitted(convolutional(), X, y)
    before = parameters(net)
    params = [net.module_.body.weight]
    one = diagonal_fisher(net, rows, params, unlearner.classes_)
    assert same_parameters(parameters(net), before)
    # In training mode BatchNorm would normalise a batch of one row by itself.
    net.module_.eval()
    log_p = torch.log_softmax(net.module_(torch.from_numpy(X[:5])), dim=1)[range(5), y[:5]]
    grads = [torch.autograd.grad(value, params, retain_graph=True)[0] for value in log_p]
    expected = sum(grad**2 for grad in grads)
    few = diagonal_fisher(net, rows.take(np.arange(5)), params, unlearner.classes_)[params[0]]
    torch.testing.assert_close(few, expected / expected.mean(), rtol=1e-3, atol=1e-5)
    assert not torch.equal(one[params[0]], few)


def test_fisher_needs_a_likelihood(data):
    X, y = data
    net = make_net(module__n_out=3, max_epochs=2, criterion=nn.MultiMarginLoss)
    unlearner = ProximalUnlearner(net, norm="fisher").fit(X, y)
    with pytest.raises(UnlearningError, match="MultiMarginLoss"):
        unlearner.unlearn(indices=[0])
    unlearner.set_params(norm="l2").unlearn(indices=[0])


def test_fisher_over_a_torch_dataset(data):
    X, y = data
    params = {"norm": "fisher", "max_epochs": 2, "random_state": 0}
    plain = ProximalUnlearner(convolutional(), **params).fit(X, y)
    data = torch.utils.data.TensorDataset(torch.from_numpy(X), torch.from_numpy(y))
    whole = ProximalUnlearner(convolutional(), **params).fit(data)
    fishers = []
    for unlearner in (plain, whole):
        net = skorch_nets.copy_net(plain.estimator_)
        rows = unlearner._record.view(np.arange(80))
        p = net.module_.body.weight
        fishers.append(diagonal_fisher(net, rows, [p], plain.classes_)[p])
    assert torch.equal(*fishers)
    whole.unlearn(indices=[0, 1])


@pytest.mark.parametrize("kind", ["label_smoothing", "confidence"])
def test_softening_terms(data, kind):
    X, y = data
    unlearner, net, _ = fitted(make_net(module__n_out=3, max_epochs=1), X, y)
    out = net.infer(torch.from_numpy(X)).detach()
    target = torch.from_numpy(y)
    plain = net.get_loss(out, target, training=True)
    batch = Batch(torch.from_numpy(X), target)
    batch.whole, batch.task = out, TaskLoss(net)
    loss = soften_loss(net, kind, 0.2, unlearner.classes_)(batch)
    assert torch.equal(net.get_loss(out, target, training=False), plain)
    if kind == "label_smoothing":
        expected = cross_entropy(out, target, label_smoothing=0.2)
    else:
        log_p = log_softmax(out, dim=1)
        entropy = -(log_p.exp() * log_p).sum(dim=1).mean()
        expected = plain - 0.2 * entropy
    torch.testing.assert_close(loss, expected)
    assert abs(loss - plain) > 1e-3
    assert "get_loss" not in vars(net)


def test_softening_keeps_predictions_less_certain(data):
    X, y = data
    net = make_net(module__n_out=3, max_epochs=40)
    certainty = {}
    for kind in (None, "label_smoothing", "confidence"):
        unlearner = ProximalUnlearner(
            net, penalty=0, softening=kind, softening_strength=0.5, max_epochs=20, random_state=0
        ).fit(X, y)
        p = unlearner.unlearn(indices=np.arange(9)).predict_proba(X[9:])
        certainty[kind] = p.max(axis=1).mean()
    assert certainty["label_smoothing"] < certainty[None] - 0.02
    assert certainty["confidence"] < certainty[None] - 0.02


def test_softening_of_binary_nets_and_regressors(data):
    X, y = data
    binary = ProximalUnlearner(make_binary_net(), softening="label_smoothing").fit(X, y % 2)
    binary.unlearn(indices=[0])
    regressor = ProximalUnlearner(make_regressor_net(), softening="confidence").fit(X, y * 1.0)
    with pytest.raises(ValueError, match="regression"):
        regressor.unlearn(indices=[0])


def test_smoothing_cannot_be_stronger_than_one():
    net = make_net()
    with pytest.raises(ValueError, match="softening_strength"):
        ProximalUnlearner(net, softening="label_smoothing", softening_strength=1.5).fit(
            np.eye(4), [0, 1, 0, 1]
        )


def test_early_stopping_restores_the_best_epoch(data, monkeypatch):
    X, y = data
    states = []

    plain = HeldOutStopping.on_epoch_end

    def spy(self, net, **kwargs):
        try:
            plain(self, net, **kwargs)
        finally:
            states.append((net.history[-1, "held_out_loss"], parameters(net)))

    monkeypatch.setattr(HeldOutStopping, "on_epoch_end", spy)
    unlearner = FineTuneUnlearner(
        make_net(module__n_out=3, max_epochs=40),
        early_stopping=True,
        n_iter_no_change=3,
        validation_fraction=0.2,
        max_epochs=60,
        lr=0.3,
        schedule="constant",
        random_state=0,
    ).fit(X, y)
    unlearner.unlearn(indices=np.arange(9))
    losses = [loss for loss, _ in states]
    best = int(np.argmin(losses))
    assert len(losses) == best + 4 < 60  # stopped three epochs after the best
    assert same_parameters(parameters(unlearner.estimator_), states[best][1])
    assert not same_parameters(parameters(unlearner.estimator_), states[-1][1])


def test_rows_held_out_are_stratified_and_not_trained_on(data):
    X, y = data
    unlearner = FineTuneUnlearner(
        make_net(module__n_out=3, max_epochs=1), early_stopping=True, validation_fraction=0.25
    ).fit(X, y)
    rows = unlearner._record.view(np.arange(80))
    train, held_out = unlearner._hold_out(rows)
    assert not set(train.index) & set(held_out.index)
    assert sorted([*train.index, *held_out.index]) == list(range(80))
    for label in range(3):
        n = np.sum(y == label)
        assert np.sum(held_out.y == label) == round(0.25 * n)


class Normalised(nn.Sequential):
    def __init__(self):
        super().__init__(nn.BatchNorm1d(6), nn.Linear(6, 3))


@pytest.mark.parametrize("cls", [FineTuneUnlearner, ProximalUnlearner, CoUnUnlearner])
def test_average_weights_ends_with_the_mean_over_all_batches(data, cls, monkeypatch):
    X, y = data
    states = []
    plain = MeanWeights.on_batch_end

    def spy(self, net, training=False, **kwargs):
        states.append(parameters(net))
        plain(self, net, training=training, **kwargs)

    monkeypatch.setattr(MeanWeights, "on_batch_end", spy)
    params = {"max_epochs": 3, "lr": 0.3, "random_state": 0}
    net = make_net(module__n_out=3, max_epochs=5)
    averaged = cls(net, average_weights=True, **params).fit(X, y).unlearn(indices=np.arange(9))
    last = cls(net, **params).fit(X, y).unlearn(indices=np.arange(9))
    assert len(states) == 6  # two batches an epoch
    for key, mean in parameters(averaged.estimator_).items():
        assert np.allclose(np.mean([state[key] for state in states], axis=0), mean, atol=1e-6)
    # It changes what is kept, and nothing on the way.
    assert same_parameters(states[-1], parameters(last.estimator_))
    assert not same_parameters(parameters(averaged.estimator_), states[-1])


def test_average_weights_covers_batch_normalisation(data, monkeypatch):
    X, y = data
    # At the end of a request they would be taken anew.
    monkeypatch.setattr(base, "renew_statistics", lambda net, rows, seed: None)
    net = NeuralNetClassifier(
        Normalised, criterion=torch.nn.CrossEntropyLoss, train_split=None, batch_size=200
    )
    norms = [
        FineTuneUnlearner(net, average_weights=average, max_epochs=2, random_state=0)
        .fit(X, y)
        .unlearn(indices=np.arange(9))
        .estimator_.module_[0]
        for average in (True, False)
    ]
    assert norms[0].num_batches_tracked == norms[1].num_batches_tracked > 0
    assert not torch.equal(norms[0].running_mean, norms[1].running_mean)


def test_average_weights_and_early_stopping_exclude_each_other(data):
    with pytest.raises(ValueError, match="use one"):
        FineTuneUnlearner(make_net(), average_weights=True, early_stopping=True).fit(*data)


# ------------------------------------------------------------------ the anchor


def test_a_share_of_the_weights_without_a_penalty_is_shrink_and_perturb(data):
    X, y = data
    for share in (0.0, 0.4):
        ours = ProximalUnlearner(convolutional(), penalty=0, anchor=share, random_state=0)
        other = ShrinkPerturbUnlearner(convolutional(), shrink=share, random_state=0)
        for unlearner in (ours, other):
            unlearner.fit(X, y).unlearn(indices=np.arange(9))
        assert same_parameters(parameters(ours.estimator_), parameters(other.estimator_))


def test_the_anchor_is_a_point_between_the_original_and_new_weights(data):
    """A huge penalty stays where it starts: at a θᵒ + (1 − a) θⁿᵉʷ, whatever θᵒ is."""
    X, y = data
    held = {}
    for share in (1.0, 0.25, 0.0):
        for lr in (0.1, 0.01):
            unlearner = ProximalUnlearner(
                convolutional(lr=lr), penalty=1e30, anchor=share, max_epochs=1, random_state=0
            ).fit(X, y)
            unlearner.unlearn(indices=[0, 1])
            held[share, lr] = parameters(unlearner.estimator_)
    for key in ALL:
        new, *mixed = (held[at][f"module.{key}"] for at in ((0.0, 0.1), (0.25, 0.1), (0.25, 0.01)))
        np.testing.assert_allclose(new, held[0.0, 0.01][f"module.{key}"], atol=1e-5)
        for found, lr in zip(mixed, (0.1, 0.01)):
            expected = 0.25 * held[1.0, lr][f"module.{key}"] + 0.75 * new
            np.testing.assert_allclose(found, expected, atol=1e-5)
    # Or the test could not fail.
    assert not np.allclose(held[1.0, 0.1]["module.head.weight"], new, atol=0.05)


def test_the_fixed_point_is_that_of_the_penalty_to_this_anchor(quadratic):
    X, y = quadratic
    params = {"anchor": 0.4, "schedule": "constant", "random_state": 0}
    held = ProximalUnlearner(line(), penalty=1e30, max_epochs=1, **params).fit(X, y)
    anchor = w(held.unlearn(indices=np.arange(8)))
    free = ProximalUnlearner(line(), penalty=0.5, max_epochs=500, **params).fit(X, y)
    free.unlearn(indices=np.arange(8))
    expected = ridge(X[8:], np.float32(y[8:]).astype(float), anchor, 0.5, np.ones(3))
    np.testing.assert_allclose(w(free), expected, rtol=1e-5)


def test_only_a_shrunk_anchor_needs_a_net_built_anew(data):
    X, y = data
    trained = convolutional().fit(X, y)
    trained.module_.head = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 3))
    unlearner = ProximalUnlearner(FrozenEstimator(trained), random_state=0).fit(X, y)
    assert not unlearner._make_promises().trains_from_scratch
    unlearner.unlearn(indices=[0])
    unlearner.set_params(anchor=0.3)
    assert unlearner._make_promises().trains_from_scratch
    with pytest.raises(UnlearningError, match="changed after they were built"):
        unlearner.unlearn(indices=[1])
    assert len(unlearner.deletions_) == 1
    for wrong in (-0.1, 1.1, "original"):
        with pytest.raises(ValueError, match="anchor"):
            ProximalUnlearner(make_net(), anchor=wrong).fit(X, y)


@pytest.mark.filterwarnings("ignore::skunlearn.exceptions.ModelDamagedWarning")
def test_rows_known_by_heart_are_forgotten_at_a_shrunk_anchor():
    check_nearer(
        lambda net: ProximalUnlearner(net, anchor=0.3, random_state=0), way=0.75, moved=0.05
    )


def test_a_search_finds_a_setting_that_forgets_rows_known_by_heart(tmp_path):
    X, y, unseen, gone, net, state, before, wanted = noisy_digits()
    forget = np.isin(np.arange(len(y)), gone)
    unlearner = ProximalUnlearner(net, random_state=0, memory=str(tmp_path))
    search = RandomizedSearchCV(
        unlearner, unlearner.search_space(), n_iter=3, random_state=0, refit=one_standard_error,
        cv=ForgetSplit(2, forget=forget, random_state=0),
        scoring={"accuracy": "accuracy", "forgetting": MIAScorer(reference="short")},
    )  # fmt: skip
    search.fit(X, y, forget=forget)
    found = told_apart(search, (X[gone], y[gone]), unseen)
    for here, original, retrained in zip(found, before, wanted):
        assert abs(here - retrained) < 0.25 * abs(original - retrained), (found, before, wanted)
    assert search.best_estimator_.score(*unseen) > state["_fitted"].model.score(*unseen)
