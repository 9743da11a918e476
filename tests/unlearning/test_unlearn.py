"""Already trained nets, seeds, refits and the warnings of `unlearn`."""

import copy
import warnings

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import DataConversionWarning
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from skorch import NeuralNetClassifier
from torch import nn
from torch.nn.parameter import is_lazy

from skunlearn import (
    AmnesiacUnlearner,
    AutoUnlearner,
    FineTuneUnlearner,
    NegGradPlusUnlearner,
    NetUnlearner,
    ProximalUnlearner,
    RetrainUnlearner,
    ShardedUnlearner,
    SSDUnlearner,
)
from skunlearn._unlearning.accuracy_guard import advise_less
from skunlearn.exceptions import (
    ModelDamagedWarning,
    NotForgottenWarning,
    UnlearningError,
    UntrainedNetWarning,
)
from skunlearn.utils._check_tools import outcome, parameters, same_parameters
from tests.instances import make_binary_net, make_net, make_regressor_net
from tests.small import FORGET, as_dataset, methods, net, quiet


def trained(X, y, **kwargs):
    return RetrainUnlearner(net(**kwargs), random_state=0).fit(X, y).estimator_


@quiet
@methods
def test_frozen_nets_are_copied(data, cls):
    X, y = data
    model = trained(X, y)
    before, attributes = parameters(model), {k: id(v) for k, v in vars(model).items()}
    callbacks = copy.deepcopy([vars(cb) for _, cb in model.callbacks_])
    unlearner = cls(FrozenEstimator(model), random_state=0).fit(X, y)
    assert np.array_equal(outcome(unlearner, X), model.predict_proba(X))
    unlearner.unlearn(indices=FORGET)
    assert same_parameters(parameters(model), before)
    assert {k: id(v) for k, v in vars(model).items()} == attributes
    assert repr(callbacks) == repr([vars(cb) for _, cb in model.callbacks_])
    assert not same_parameters(parameters(unlearner.estimator_), before)


def test_frozen_nets_of_skorch_itself(data):
    X, y = data
    model = net(train_split=None).fit(X, y.astype(np.int64))
    unlearner = ProximalUnlearner(FrozenEstimator(model), max_epochs=5, random_state=0).fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        unlearner.unlearn(X[FORGET])
    assert len(unlearner.deletions_) == 1


def test_row_counts_that_do_not_match_the_history(data):
    X, y = data
    model = trained(X, y)
    with pytest.raises(ValueError, match="has seen 60 rows, but fit was given 50"):
        FineTuneUnlearner(FrozenEstimator(model)).fit(X[:50], y[:50])
    with pytest.raises(ValueError, match="Pass exactly the rows"):
        FineTuneUnlearner(FrozenEstimator(model)).fit(np.vstack([X, X]), np.append(y, y))


def test_frozen_nets_are_refused_in_cross_validation(data):
    X, y = data
    unlearner = FineTuneUnlearner(FrozenEstimator(trained(X, y)), random_state=0)
    with pytest.raises(ValueError, match="clone around an already trained"):
        cross_val_score(unlearner, X, y, cv=2, error_score="raise")
    search = GridSearchCV(unlearner, {"lr": [0.1]}, cv=2, error_score="raise")
    with pytest.raises(ValueError, match="clone around an already trained"):
        search.fit(X, y)
    unlearner.fit(X, y)  # the one that the user made is fine


def test_labels_of_frozen_nets_are_their_columns(data):
    X, y = data
    model = trained(X, y)
    with pytest.raises(ValueError, match="column numbers"):
        FineTuneUnlearner(FrozenEstimator(model)).fit(X, y.astype(str))
    with pytest.raises(ValueError, match="not among the classes"):
        FineTuneUnlearner(FrozenEstimator(model)).fit(X, y + 1)
    few = FineTuneUnlearner(FrozenEstimator(model)).fit(X, np.minimum(y, 1))
    assert few.classes_.tolist() == [0, 1, 2]


def test_frozen_scikit_learn_models_keep_their_classes(data):
    X, y = data
    model = LogisticRegression().fit(X, y)
    unlearner = RetrainUnlearner(FrozenEstimator(model)).fit(X[y > 0], y[y > 0])
    assert unlearner.classes_.tolist() == [0, 1, 2]
    unlearner.unlearn(indices=[0])
    assert unlearner.predict_proba(X).shape == (60, 3)


@quiet
def test_requests_to_frozen_nets_keep_their_number_of_epochs(data):
    """A fifth of the net's own epochs, for each request, not a fifth of a fifth."""
    X, y = data
    model = trained(X, y, max_epochs=20)
    unlearner = FineTuneUnlearner(FrozenEstimator(model), random_state=0).fit(X, y)
    for row in (0, 1, 2):
        unlearner.unlearn(indices=[row])
        assert len(unlearner.estimator_.history) == 4


@quiet
def test_dtype_memory_format_and_frozen_layers_are_kept(data):
    class Images(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(2, 4, 2)
            self.out = nn.Linear(4, 3)

        def forward(self, X):
            return self.out(self.conv(X.reshape(-1, 2, 2, 1).expand(-1, -1, -1, 2)).mean((2, 3)))

    X, y = data
    model = NeuralNetClassifier(
        Images, criterion=nn.CrossEntropyLoss, max_epochs=2, train_split=None, verbose=0
    )
    model.initialize()
    model.module_.double().to(memory_format=torch.channels_last)
    model.module_.conv.bias.requires_grad_(False)
    model.partial_fit(X.astype(np.float64), y.astype(np.int64))
    stride = model.module_.conv.weight.stride()
    assert stride != nn.Conv2d(2, 4, 2).weight.stride()
    unlearner = FineTuneUnlearner(FrozenEstimator(model), max_epochs=2, random_state=0)
    unlearner.fit(X.astype(np.float64), y)
    bias = model.module_.conv.bias.detach().clone()
    for _ in range(2):
        module = unlearner.estimator_.module_
        assert module.conv.weight.dtype == torch.float64
        assert module.conv.weight.stride() == stride
        assert not module.conv.bias.requires_grad
        assert torch.equal(module.conv.bias, bias)
        assert module.conv.weight.device.type == "cpu"
        unlearner.unlearn(indices=[len(unlearner.deletions_)])


def test_random_state_instances_and_none(data):
    X, y = data

    def run(state):
        return parameters(RetrainUnlearner(net(), random_state=state).fit(X, y).estimator_)

    one, two = run(np.random.RandomState(3)), run(np.random.RandomState(3))
    assert same_parameters(one, two)
    assert not same_parameters(one, run(np.random.RandomState(4)))
    assert same_parameters(run(5), run(np.int64(5)))
    np.random.seed(0)  # noqa: NPY002
    first = run(None)
    assert not same_parameters(first, run(None))
    np.random.seed(0)  # noqa: NPY002
    assert same_parameters(first, run(None))  # scikit-learn's convention


@quiet
def test_refitting_on_other_kinds_of_data(data):
    X, y = data
    import pandas as pd

    unlearner = FineTuneUnlearner(net(), random_state=0)
    unlearner.fit(pd.DataFrame(X, columns=list("abcd")), y).unlearn(indices=[0])
    unlearner.fit(torch.from_numpy(X[:, :3]), y)
    assert not hasattr(unlearner, "feature_names_in_")
    assert unlearner.deletions_ == []
    unlearner.fit(as_dataset(X, y))
    assert not hasattr(unlearner, "n_features_in_")
    unlearner.set_params(estimator=make_regressor_net(max_epochs=2)).fit(X, y * 1.0)
    assert not hasattr(unlearner, "classes_")
    assert unlearner.predict(X).dtype.kind == "f"


def test_nothing_moved_is_announced(data):
    X, y = data
    unlearner = FineTuneUnlearner(net(max_epochs=40), lr=1e-8, random_state=0).fit(X, y)
    with pytest.warns(
        NotForgottenWarning, match=r"did not raise the loss on the forget rows \("
    ) as caught:
        unlearner.unlearn(indices=FORGET)
    assert caught[0].filename == __file__
    with pytest.warns(NotForgottenWarning) as caught:
        clone(unlearner).fit(X, y, forget=np.arange(60) < 6)
    assert caught[0].filename == __file__


class Shuffles(NetUnlearner):
    def _unlearn(self, net, retain, forget):
        with torch.no_grad():
            for p in net.module_.parameters():
                p.copy_(5 * torch.randn_like(p))


def test_damage_is_announced(data):
    X, y = data
    X = X + 5 * np.eye(3, 4, dtype=np.float32)[y]
    unlearner = Shuffles(net(max_epochs=40), random_state=0).fit(X, y)
    assert unlearner.score(X, y) > 0.9
    with pytest.warns(ModelDamagedWarning, match="points of accuracy") as caught:
        unlearner.unlearn(indices=FORGET)
    assert caught[0].filename == __file__
    huge = FineTuneUnlearner(net(max_epochs=40), lr=1e3, max_epochs=1, random_state=0)
    huge.set_params(schedule="constant").fit(X, np.roll(y, 7))
    with pytest.warns(ModelDamagedWarning, match="smaller learning rate or more epochs, or Ret"):
        huge.unlearn(indices=FORGET)


def test_advice_names_parameters_that_the_method_has():
    said = {
        type(model).__name__: advise_less(model)
        for model in (AutoUnlearner(net()), SSDUnlearner(net()), NegGradPlusUnlearner(net()))
    }
    assert said == {
        "AutoUnlearner": "a larger budget",
        "SSDUnlearner": "weaker parameters",
        "NegGradPlusUnlearner": "a smaller learning rate or fewer epochs",
    }


def test_good_unlearning_says_nothing(data):
    X, y = data
    noisy = y.copy()
    noisy[FORGET] = (noisy[FORGET] + 1) % 3
    X = X + 5 * np.eye(3, 4, dtype=np.float32)[y]
    FineTuneUnlearner(net(max_epochs=60), max_epochs=20, random_state=0).fit(X, noisy).unlearn(
        indices=FORGET
    )
    RetrainUnlearner(net(), random_state=0).fit(X, y).unlearn(indices=FORGET)


def test_retraining_equals_fit_on_the_other_rows_bitwise(data):
    X, y = data
    one = RetrainUnlearner(net(), random_state=0).fit(X, y).unlearn(indices=FORGET)
    two = RetrainUnlearner(net(), random_state=0).fit(X[6:], y[6:])
    assert same_parameters(parameters(one.estimator_), parameters(two.estimator_))


def blobs(n=90):
    """Three classes that any trained net tells apart."""
    y = np.arange(n) % 3
    X = np.random.default_rng(0).normal(size=(n, 4)) + 4 * np.eye(4)[y]
    return X.astype(np.float32), y


@pytest.mark.parametrize("make", [net, make_binary_net, make_regressor_net])
def test_a_frozen_net_whose_state_was_never_loaded(make, tmp_path):
    torch.manual_seed(1)
    X, y = blobs()
    if make is make_binary_net:
        y = (y == 0).astype(int)
    if make is make_regressor_net:
        y = y.astype(np.float32)
    # Its lazy layers draw their weights in fit.
    unlearner = FineTuneUnlearner(FrozenEstimator(make().initialize()), random_state=0)
    with pytest.warns(UntrainedNetWarning, match=r"no history.*load_params") as caught:
        unlearner.fit(X, y)
    assert caught[0].filename == __file__

    own = {make_binary_net: y.astype(np.float32), make_regressor_net: y.reshape(-1, 1)}
    trained = make().fit(X, own.get(make, y))
    trained.save_params(f_params=tmp_path / "weights.pt")
    loaded = make().initialize()
    loaded.load_params(f_params=tmp_path / "weights.pt")
    assert not len(loaded.history)
    for frozen in (trained, loaded):  # no warning, which would be an error
        FineTuneUnlearner(FrozenEstimator(frozen)).fit(X, y)


class GuessesWell(torch.nn.Module):
    """Names the classes of `blobs` whatever the weights of its lazy layers are."""

    def __init__(self, spare=False):
        super().__init__()
        self.drawn = torch.nn.Sequential(torch.nn.LazyLinear(3), torch.nn.LazyBatchNorm1d())
        self.own = torch.nn.Linear(4, 3)
        self.never = torch.nn.LazyLinear(3) if spare else None
        with torch.no_grad():
            self.own.weight.copy_(3 * torch.eye(3, 4))

    def forward(self, x):
        return self.own(x) + 0.01 * self.drawn(x)


def test_lazy_layers_without_weights_are_no_trained_net():
    """However well the net that fit gives them guesses; and fit leaves the given net as it is."""
    X, y = blobs()
    recipe = make_net(max_epochs=1).set_params(module=GuessesWell, module__spare=True)
    given = clone(recipe).initialize()
    for _ in range(2):
        unlearner = FineTuneUnlearner(FrozenEstimator(given), random_state=0)
        with pytest.warns(
            UntrainedNetWarning, match=r"module\.drawn\.0\.bias.*3 more.*load_params"
        ):
            unlearner.fit(X, y)
        assert is_lazy(given.module_.drawn[0].weight)
    # A training gives them shapes, but for a layer that is never used. This one cannot be compared.
    unlearner = FineTuneUnlearner(FrozenEstimator(given.fit(X, y)), random_state=0).fit(X, y)
    for call in (
        lambda: unlearner.unlearn(indices=[0]),
        lambda: AmnesiacUnlearner(clone(recipe)).fit(X, y),
        lambda: RetrainUnlearner(clone(recipe)).fit(X, y),
    ):
        with pytest.raises(UnlearningError, match=r"module\.never\.weight .* lazy layer"):
            call()
    # A history does not speak for a layer that was put in afterwards.
    given.module_.drawn[0] = torch.nn.LazyLinear(3)
    with pytest.warns(UntrainedNetWarning, match=r"has lazy layers.*drawn\.0\.bias, "):
        FineTuneUnlearner(FrozenEstimator(given), random_state=0).fit(X, y)


def test_a_poor_net_with_a_history_is_taken_at_its_word(data):
    X, y = data
    poor = net(max_epochs=1, lr=1e-9).fit(X, y)
    FineTuneUnlearner(FrozenEstimator(poor)).fit(X, y)


@pytest.mark.parametrize("cls", [FineTuneUnlearner, ShardedUnlearner])
def test_a_column_of_targets_stays_a_column(cls, tmp_path):
    # skorch's regressors want a column; one dimension would broadcast against it in silence.
    X = np.random.default_rng(0).normal(size=(120, 5)).astype(np.float32)
    y = X[:, :1] * 2
    unlearner = cls(make_regressor_net(max_epochs=10), random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataConversionWarning)
        warnings.simplefilter("ignore", NotForgottenWarning)
        unlearner.fit(X, y)
        unlearner.unlearn(indices=range(5), X_val=X[:9] + 1, y_val=y[:9] + 2)
    assert unlearner.predict(X).shape == y.shape
    assert unlearner.score(X, y) == r2_score(y, unlearner.predict(X))
    if cls is FineTuneUnlearner:
        unlearner.save(tmp_path / "model")
        assert cls(make_regressor_net()).load(tmp_path / "model").predict(X).shape == y.shape
    assert unlearner.fit(X, y[:, 0]).predict(X).shape == (len(X),)
