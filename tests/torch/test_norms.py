"""Running statistics of normalisation: whose rows they hold after a request."""

import json
from functools import partial

import numpy as np
import pytest
import torch
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetClassifier
from torch import nn

from skunlearn import (
    AMUNUnlearner,
    BoundaryUnlearner,
    DELETEUnlearner,
    FCSUnlearner,
    FineTuneUnlearner,
    GradientAscentUnlearner,
    MUMisUnlearner,
    NegGradPlusUnlearner,
    NegMergeUnlearner,
    RandomLabelUnlearner,
    RetrainUnlearner,
    SalUnUnlearner,
    SCRUBUnlearner,
    SFRonUnlearner,
    ShardedUnlearner,
    SSDUnlearner,
    UAMUnlearner,
    UnlearningPipeline,
    UNSIRUnlearner,
)
from skunlearn._rows.views import Rows
from skunlearn._torch.loop.norms import renew_statistics
from skunlearn._unlearning import removal
from skunlearn.datasets import load_digits_images
from skunlearn.shadow import ShadowModels
from skunlearn.utils import all_unlearners
from skunlearn.utils._check_tools import generators, parameters, same_parameters
from skunlearn.utils._norm_checks import check_running_statistics
from tests.instances import SETTINGS, NormConv, NormNet, make_net, make_regressor_net
from tests.turns import in_turns

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def with_norm(name):
    net = make_net().set_params(module=NormConv if name == "CTUnlearner" else NormNet)
    return all_unlearners()[name](net, random_state=0, **SETTINGS.get(name, {}))


@pytest.mark.parametrize("name", in_turns(sorted(all_unlearners(nets=True)), 3))
def test_no_class_comes_back_with_other_statistics(name):
    check_running_statistics(with_norm(name))


def test_regressions_too():
    net = make_regressor_net().set_params(module=NormNet)
    check_running_statistics(SSDUnlearner(net, random_state=0))


def blobs(n=300, seed=0):
    """Three classes, 12 features; class 2 lies apart."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    centres = 1.5 * rng.normal(size=(3, 12))
    return (centres[y] + rng.normal(size=(n, 12))).astype(np.float32), y


def pull(norm, hidden, X, forget):
    """Where the running mean lies on the way from the kept rows' to the forgotten ones'."""
    with torch.no_grad():
        h = hidden(torch.from_numpy(X))
    kept = np.setdiff1d(np.arange(len(X)), forget)
    way = h[forget].mean(0) - h[kept].mean(0)
    return float((norm.running_mean - h[kept].mean(0)) @ way / (way @ way))


TRAINS_ON_FORGET_ROWS = {
    "AMUN": AMUNUnlearner,
    "AMUN, forget rows alone": partial(AMUNUnlearner, retained=False),
    "NegGrad+": NegGradPlusUnlearner,
    "random labels, in turn": partial(RandomLabelUnlearner, order="sequential"),
    "SalUn, in turn": partial(SalUnUnlearner, order="sequential"),
    "gradient ascent": GradientAscentUnlearner,
    "MU-Mis": MUMisUnlearner,
    "DELETE": DELETEUnlearner,
    "shrink": BoundaryUnlearner,
    "expand": partial(BoundaryUnlearner, kind="expand"),
    "SCRUB": SCRUBUnlearner,
    "SFR-on": SFRonUnlearner,
    "FCS": FCSUnlearner,
    "UAM": UAMUnlearner,
    "NegMerge": NegMergeUnlearner,
}


@pytest.mark.parametrize("method", in_turns(TRAINS_ON_FORGET_ROWS, 0, every=2))
def test_batches_of_forget_rows_move_no_statistics(method, monkeypatch):
    """Not even until the end of the request, when they are taken anew."""
    monkeypatch.setattr(removal, "renew_statistics", lambda *given: [])
    X, y = blobs()
    net = make_net(module__n_out=3).set_params(module=NormNet)
    forget = np.flatnonzero(y == 2)
    made = TRAINS_ON_FORGET_ROWS[method](net, random_state=0).fit(X, y)
    module = made.unlearn(indices=forget).estimator_.module_
    assert abs(pull(module.norm, module.hidden, X, forget)) < 0.15
    # 0.33 is the share of the class in the whole training, which the original's lie at.
    original = RetrainUnlearner(net, random_state=0).fit(X, y).estimator_.module_
    assert pull(original.norm, original.hidden, X, forget) > 0.25


class DigitsMLP(nn.Module):
    """64-256-64-10 with batch normalisation."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Linear(64, 256), nn.BatchNorm1d(256), nn.ReLU()),
            *(nn.Linear(256, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 10)),
        )

    def forward(self, X):
        return self.layers(X.flatten(1))


@pytest.fixture(scope="module")
def digits():
    """Digits, and a fitted net with batch normalisation that many methods can start from."""
    X, y = load_digits_images(return_X_y=True)
    net = NeuralNetClassifier(
        DigitsMLP, criterion=nn.CrossEntropyLoss, lr=0.05, optimizer__momentum=0.9, max_epochs=15,
        batch_size=64, iterator_train__shuffle=True, train_split=None, verbose=0,
    )  # fmt: skip
    fitted = RetrainUnlearner(net, random_state=0).fit(X, y)
    state = {k: v for k, v in vars(fitted).items() if k not in fitted.get_params(deep=False)}
    return X, y, net, state


@pytest.mark.parametrize(
    "cls",
    [
        NegGradPlusUnlearner,
        DELETEUnlearner,
        BoundaryUnlearner,
        partial(BoundaryUnlearner, kind="expand"),
        SCRUBUnlearner,
        AMUNUnlearner,
        SFRonUnlearner,
        FCSUnlearner,
        GradientAscentUnlearner,
        UNSIRUnlearner,
    ],
)
def test_a_forgotten_digit_stays_forgotten(digits, cls):
    """At the defaults: named 0.67 of the time, and 0.96 once statistics were taken anew."""
    X, y, net, state = digits
    unlearner = cls(net, random_state=0)
    vars(unlearner).update(state)
    forget, kept = np.flatnonzero(y == 8), np.flatnonzero(y != 8)
    unlearner.unlearn(indices=forget)
    named = unlearner.score(X[forget], y[forget])
    renew_statistics(unlearner.estimator_, Rows(X, y, kept[:200]), seed=5)
    assert unlearner.score(X[forget], y[forget]) <= named + 0.05
    assert named < 0.4
    assert unlearner.score(X[kept], y[kept]) > 0.965


def test_accuracy_stays(digits):
    """Taken anew over the rows that it was trained on, statistics leave a net as good as it was."""
    X, y, net, _ = digits
    train, test = np.arange(0, 1797, 2), np.arange(1, 1797, 2)
    made = RetrainUnlearner(net, random_state=0).fit(X[train], y[train])
    before = [made.score(X[rows], y[rows]) for rows in (train, test)]
    renew_statistics(made.estimator_, Rows(X, y, train), seed=0)
    after = [made.score(X[rows], y[rows]) for rows in (train, test)]
    assert all(new >= old - 0.005 for new, old in zip(after, before, strict=True)), (before, after)


# ------------------------------------------------------------------ one net at a time


class Norms(nn.Module):
    """A single norm of any kind in front of a linear layer."""

    def __init__(self, make):
        super().__init__()
        self.norm, self.out = make(), nn.LazyLinear(2)

    def forward(self, X):
        return self.out(self.norm(X).flatten(1))


def trained(make, X, y, module=Norms, **kwargs):
    kwargs = {"max_epochs": 2, "batch_size": 16} | kwargs
    net = make_net(module__make=make, **kwargs).set_params(module=module)
    return RetrainUnlearner(net, random_state=0).fit(X, y).estimator_


def images(ndim, n=40):
    rng = np.random.default_rng(0)
    X = 3 + 2 * rng.normal(size=(n, 3, *(4,) * ndim))
    return X.astype(np.float32), rng.integers(0, 2, n)


NORMS = [
    (1, partial(nn.BatchNorm1d, 3)),
    (2, partial(nn.BatchNorm2d, 3)),
    (2, partial(nn.BatchNorm2d, 3, momentum=None)),
    (2, partial(nn.BatchNorm2d, 3, affine=False)),
    (3, partial(nn.BatchNorm3d, 3)),
    (2, partial(nn.SyncBatchNorm, 3)),
    (1, partial(nn.InstanceNorm1d, 3, track_running_stats=True)),
    (2, partial(nn.InstanceNorm2d, 3, track_running_stats=True, momentum=0.3)),
]


@pytest.mark.parametrize("ndim, make", NORMS)
def test_the_mean_over_batches(ndim, make):
    """Every batch counts by its rows, and nothing of the old statistics is left."""
    X, y = images(ndim)
    net = trained(make, X, y, batch_size=16)
    norm, momentum = net.module_.norm, net.module_.norm.momentum
    norm.running_mean.fill_(1e4)
    norm.running_var.fill_(1e8)
    assert renew_statistics(net, Rows(X, y, np.arange(10, 40)), seed=0) == []
    rows = X[10:].transpose(1, 0, *range(2, ndim + 2)).reshape(3, -1)
    assert norm.running_mean.numpy() == pytest.approx(rows.mean(axis=1), rel=1e-4)
    spread = rows.var(axis=1)
    if isinstance(norm, nn.modules.instancenorm._InstanceNorm):  # within each row
        spread = X[10:].reshape(30, 3, -1).var(axis=2, ddof=1).mean(axis=0)
    assert norm.running_var.numpy() == pytest.approx(spread, rel=0.1)
    assert norm.momentum == momentum
    assert norm.num_batches_tracked == 2
    assert not net.module_.training
    assert not norm._forward_pre_hooks


def test_only_the_given_rows_are_read():
    X, y = images(2)
    X[:10] = 1e6
    net = trained(partial(nn.BatchNorm2d, 3), X, y)
    renew_statistics(net, Rows(X, y, np.arange(10, 40)), seed=0)
    assert net.module_.norm.running_mean.abs().max() < 5


def test_the_seed_repeats_and_generators_stay():
    X, y = blobs()
    net = trained(partial(nn.BatchNorm1d, 12), X, y % 2)
    found = []
    for seed in (0, 0, 1):
        before = generators()
        renew_statistics(net, Rows(X, y, np.arange(len(y))), seed)
        assert generators() == before
        found.append(net.module_.norm.running_var.numpy().copy())
    assert np.array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])


@pytest.mark.parametrize("n", [2, 17, 33])
def test_a_batch_of_one_row_is_left_out(n):
    """It has no spread, and torch refuses it."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(64, 3)).astype(np.float32), rng.integers(0, 2, 64)
    net = trained(partial(nn.BatchNorm1d, 3), X, y)
    assert renew_statistics(net, Rows(X, y, np.arange(n)), seed=0) == []


def test_a_single_retained_row_is_no_statistic(data):
    X, y = data
    net = make_net(module__n_out=3, max_epochs=2, batch_size=16).set_params(module=NormNet)
    unlearner = SSDUnlearner(net, random_state=0).fit(X, y)
    before = parameters(unlearner.estimator_)
    unlearner.unlearn(indices=np.arange(59))
    after = parameters(unlearner.estimator_)
    assert np.array_equal(before["module.norm.running_mean"], after["module.norm.running_mean"])
    assert unlearner.deletions_[0]["statistics_kept"] == ["module.norm"]
    note, _ = json.loads(unlearner.certificate())["notes"]  # the other: nothing was compared
    assert note.startswith("Running statistics of module.norm are those from before the request")


class Frozen(Norms):
    """A pretrained backbone's norm: training never moves its statistics."""

    def __init__(self, make):
        super().__init__(make)
        self.norm.running_mean.fill_(0.7)

    def train(self, mode=True):
        super().train(mode)
        self.norm.eval()
        return self


class FrozenInForward(Norms):
    def __init__(self, make):
        super().__init__(make)
        self.norm.running_mean.fill_(0.7)

    def forward(self, X):
        self.norm.eval()
        return super().forward(X)


class FunctionallyFrozen(Norms):
    """Torchvision's frozen norm is of this kind: buffers, and no layer of torch's."""

    def __init__(self, make):
        super().__init__(make)
        self.norm = nn.Module()
        self.norm.register_buffer("running_mean", torch.full((3,), 0.7))

    def forward(self, X):
        return self.out((X - self.norm.running_mean[:, None, None]).flatten(1))


@pytest.mark.parametrize("module", [Frozen, FrozenInForward, FunctionallyFrozen])
def test_frozen_statistics_hold_no_row_and_stay(module):
    X, y = images(2)
    make = partial(nn.BatchNorm2d, 3)
    net = make_net(module__make=make, max_epochs=2, batch_size=16).set_params(module=module)
    unlearner = FineTuneUnlearner(net, random_state=0).fit(X, y)
    unlearner.unlearn(indices=np.arange(8))
    assert (unlearner.estimator_.module_.norm.running_mean == 0.7).all()
    assert not unlearner.deletions_[0].get("statistics_kept")
    assert "Running statistics" not in str(json.loads(unlearner.certificate())["notes"])


class Untracked(Norms):
    def __init__(self, make):
        super().__init__(partial(make, track_running_stats=False))


def test_nets_without_running_statistics_are_left_alone(data, monkeypatch):
    """Their requests cost nothing more: no forward pass, no draw."""
    X, y = images(2)
    for net in (trained(partial(nn.BatchNorm2d, 3), X, y, module=Untracked), None):
        if net is None:
            X, y = data
            net = RetrainUnlearner(make_net(max_epochs=1), random_state=0).fit(X, y).estimator_
        before, state = parameters(net), torch.get_rng_state()
        monkeypatch.setattr(type(net), "infer", None)
        assert renew_statistics(net, Rows(X, y, np.arange(len(y))), seed=0) is None
        monkeypatch.undo()
        assert same_parameters(parameters(net), before)
        assert torch.equal(torch.get_rng_state(), state)
    unlearner = FineTuneUnlearner(make_net(module__n_out=3, max_epochs=1), random_state=0)
    unlearner.fit(X, y).unlearn(indices=np.arange(8))
    assert "statistics_kept" not in unlearner.deletions_[0]


class MovingMean(nn.Module):
    """A norm of somebody's own, which nobody knows how to take anew."""

    def __init__(self):
        super().__init__()
        self.register_buffer("average", torch.zeros(3))

    def forward(self, X):
        if self.training:
            self.average = 0.9 * self.average + 0.1 * X.detach().mean(dim=(0, 2, 3))
        return X - self.average[:, None, None]


def test_a_norm_of_another_kind_is_named_in_the_certificate():
    X, y = images(2)
    net = make_net(module__make=MovingMean, max_epochs=2, batch_size=16).set_params(module=Norms)
    unlearner = SSDUnlearner(net, random_state=0).fit(X, y)
    before = unlearner.estimator_.module_.norm.average.clone()
    unlearner.unlearn(indices=np.arange(8))
    assert torch.equal(unlearner.estimator_.module_.norm.average, before)
    assert unlearner.deletions_[0]["statistics_kept"] == ["module.norm"]
    assert "module.norm" in json.loads(unlearner.certificate())["notes"][0]


class Shared(Norms):
    """One norm for two places of the net."""

    def forward(self, X):
        return self.out(self.norm(self.norm(X) + 10).flatten(1))


def test_a_norm_in_two_places_has_the_mean_of_both():
    X, y = images(2)
    net = trained(partial(nn.BatchNorm2d, 3, affine=False), X, y, module=Shared, batch_size=-1)
    renew_statistics(net, Rows(X, y, np.arange(40)), seed=0)
    # The rows themselves, and their normalised values moved by ten.
    expected = (X.mean(axis=(0, 2, 3)) + 10) / 2
    assert net.module_.norm.running_mean.numpy() == pytest.approx(expected, rel=1e-3)


def test_spectral_norm_follows_weights_and_is_no_statistic():
    X, y = images(2)

    def make():
        return nn.utils.parametrizations.spectral_norm(nn.Conv2d(3, 3, 3))

    net = trained(make, X, y)
    assert renew_statistics(net, Rows(X, y, np.arange(40)), seed=0) is None


# ------------------------------------------------------------------ every way to a request


def test_exact_methods_keep_the_statistics_of_their_training(data):
    X, y = data
    net = make_net(module__n_out=3, max_epochs=2, batch_size=16).set_params(module=NormNet)
    for made in (RetrainUnlearner(net, random_state=0), ShardedUnlearner(net, random_state=0)):
        made.fit(X, y).unlearn(indices=np.arange(6))
        assert "statistics_kept" not in made.deletions_[0]
    retrained = RetrainUnlearner(net, random_state=0).fit(X, y).unlearn(indices=np.arange(6))
    fitted = RetrainUnlearner(net, random_state=0).fit(X[6:], y[6:])
    assert same_parameters(parameters(retrained.estimator_), parameters(fitted.estimator_))


def test_pipelines_and_shadow_models_too(data, monkeypatch):
    X, y = data
    net = make_net(module__n_out=3, max_epochs=2, batch_size=16).set_params(module=NormNet)
    pipeline = UnlearningPipeline(
        make_pipeline(StandardScaler(), SSDUnlearner(net, random_state=0)).steps
    ).fit(X, y)
    assert pipeline.unlearn(indices=np.arange(6)).deletions_[0]["statistics_kept"] == []
    seen = []
    plain = renew_statistics
    monkeypatch.setattr(removal, "renew_statistics", lambda *given: seen.append(1) or plain(*given))
    shadows = ShadowModels(SSDUnlearner(net), n_models=4, random_state=0)
    shadows.fit(X, y, candidates=np.arange(60) < 8)
    assert len(seen) >= 2


def test_an_error_leaves_the_original_statistics(data, monkeypatch):
    X, y = data
    net = make_net(module__n_out=3, max_epochs=2, batch_size=16).set_params(module=NormNet)
    unlearner = SSDUnlearner(net, random_state=0).fit(X, y)
    before = parameters(unlearner.estimator_)

    def fails(*given):
        renew_statistics(*given)
        raise KeyboardInterrupt

    monkeypatch.setattr(removal, "renew_statistics", fails)
    with pytest.raises(KeyboardInterrupt):
        unlearner.unlearn(indices=np.arange(6))
    assert same_parameters(parameters(unlearner.estimator_), before)
    assert unlearner.deletions_ == []
