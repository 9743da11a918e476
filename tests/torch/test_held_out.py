"""A net's own train_split: what it holds out is seen, and is held out of what is left again."""

import functools
import json
import pickle
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetClassifier, NeuralNetRegressor
from skorch.callbacks import Callback, EarlyStopping
from skorch.dataset import Dataset, ValidSplit
from skorch.helper import predefined_split
from torch import nn
from torch.utils.data import Subset

from skunlearn import (
    AmnesiacUnlearner,
    FineTuneUnlearner,
    RetrainUnlearner,
    ShardedUnlearner,
    UnlearningPipeline,
)
from skunlearn._rows.views import Rows
from skunlearn.evaluation import audit
from skunlearn.exceptions import ClassForgottenWarning, UnknownRowsError
from skunlearn.shadow import ShadowModels
from skunlearn.shadow._stacked import why_not
from skunlearn.utils import all_unlearners
from skunlearn.utils._check_tools import parameters, same_parameters
from tests.batch_tools import other_methods
from tests.instances import MLP, ConvNet
from tests.small import as_dataset, quiet

pytestmark = quiet
N = 60
GONE = np.arange(6)


class Seen(Callback):
    """Notes which rows, known by their first feature, are trained on and which validate."""

    log = {True: set(), False: set()}

    def on_batch_begin(self, net, batch=None, training=False, **kwargs):
        self.log[training].update(batch[0][:, 0].tolist())


@pytest.fixture
def seen():
    Seen.log[True].clear()
    Seen.log[False].clear()
    return Seen.log


def default(cls=NeuralNetClassifier, **kwargs):
    """A net as skorch makes it when nothing is said of train_split."""
    params = {"module__n_out": 3, "max_epochs": 4, "batch_size": 16, "lr": 0.1, "verbose": 0}
    criterion = nn.CrossEntropyLoss if cls is NeuralNetClassifier else nn.MSELoss
    return cls(MLP, criterion=criterion, **(params | kwargs))


OF_ENSEMBLES = ("RUMUnlearner", "ShardedUnlearner")  # several trainings on several parts


def numbers(X, rows):
    return set(X[rows, 0].tolist())


def test_skorchs_default_net(data, seen):
    """Trained on four fifths by fit and by unlearn, on the same as skorch would."""
    X, y = data
    net = default(callbacks=[Seen()])
    assert isinstance(net.train_split, ValidSplit)
    unlearner = RetrainUnlearner(net, random_state=0).fit(X, y)
    assert (len(seen[True]), len(seen[False])) == (48, 12)
    alone = {k: set(v) for k, v in seen.items()}
    for rows in seen.values():
        rows.clear()
    clone(net).fit(X, y)
    assert seen == alone
    for rows in seen.values():
        rows.clear()
    unlearner.unlearn(indices=GONE)
    left = np.setdiff1d(np.arange(N), GONE)
    assert seen[True] | seen[False] == numbers(X, left)
    assert not seen[True] & seen[False]
    entry = unlearner.deletions_[0]
    assert entry["held_out"] == len(seen[False]) == 11
    assert json.loads(unlearner.certificate())["deletions"][0]["held_out"] == 11
    # Those that were held out count as seen, and can be forgotten.
    unlearner.unlearn(indices=range(50, 60))
    assert unlearner.deletions_[1]["rows"] == 10
    with pytest.raises(UnknownRowsError):
        unlearner.unlearn(X[:1] + 1)


def test_a_trained_default_net(data, seen):
    X, y = data
    trained = default(max_epochs=8).fit(X, y)
    unlearner = FineTuneUnlearner(FrozenEstimator(trained), random_state=0, max_epochs=2)
    unlearner.fit(X, y)
    assert same_parameters(parameters(unlearner.estimator_), parameters(trained))
    unlearner.unlearn(indices=GONE).unlearn(indices=[10])
    # The second request starts from a net that still knows how to hold rows out.
    assert [e["held_out"] for e in unlearner.deletions_] == [11, 11]
    for rows in (X[:48], np.vstack([X, X + 1])):
        with pytest.raises(ValueError, match="has seen 60 rows, but fit was given"):
            FineTuneUnlearner(FrozenEstimator(trained)).fit(rows, np.resize(y, len(rows)))
    plain = default(train_split=None).fit(X, y)
    unlearner = FineTuneUnlearner(FrozenEstimator(plain), random_state=0).fit(X, y)
    assert "held_out" not in unlearner.unlearn(indices=GONE).deletions_[0]


@other_methods
def test_every_method_holds_rows_out_of_the_retained_ones(name, data, seen):
    X, y = data
    own = {"CFkUnlearner": {"k": 1}, "EUkUnlearner": {"k": 1}, "ShardedUnlearner": {"n_shards": 2}}
    settings = own.get(name, {})
    net = default(callbacks=[Seen()])
    if name == "CTUnlearner":
        net.set_params(module=ConvNet)
    unlearner = all_unlearners()[name](net, random_state=0, **settings)
    unlearner.fit(X, y)
    for rows in seen.values():
        rows.clear()
    unlearner.unlearn(indices=GONE)
    # Forget rows steer nothing, and what steers is not trained on.
    assert not seen[False] & numbers(X, GONE)
    assert name in OF_ENSEMBLES or not seen[False] & seen[True]
    assert abs(unlearner.deletions_[0]["held_out"] - 11) <= 2
    if name not in OF_ENSEMBLES:
        assert isinstance(unlearner.estimator_.train_split, ValidSplit)
    unlearner.unlearn(indices=[20])
    assert abs(unlearner.deletions_[1]["held_out"] - 11) <= 2


def test_recorded_updates_are_those_of_the_rows_that_were_trained_on(data, seen):
    X, y = data
    unlearner = AmnesiacUnlearner(default(callbacks=[Seen()]), random_state=0).fit(X, y)
    recorded = np.unique(np.concatenate([*unlearner._updates.batches.values()]))
    assert numbers(X, recorded) == seen[True]
    assert len(recorded) == 48


def shuffled(data, y=None):
    """A split of a user's own."""
    rows = np.random.default_rng(0).permutation(len(data))
    return Subset(Subset(data, rows), range(len(data) - 9)), Subset(data, rows[-9:])


def test_splits_of_other_kinds(data, seen):
    X, y = data
    other = Dataset(X + 1, y)
    for split, held in (
        (ValidSplit(3), 18),
        (ValidSplit(0.25, stratified=True, random_state=1), 14),
        (shuffled, 9),
        (functools.partial(shuffled), 9),
        (lambda data, y: (data, None), 0),
        (lambda data, y: (data, other), 0),
    ):
        for rows in seen.values():
            rows.clear()
        net = default(train_split=split, callbacks=[Seen()])
        unlearner = RetrainUnlearner(net, random_state=0).fit(X, y)
        for rows in seen.values():
            rows.clear()
        unlearner.unlearn(indices=GONE)
        assert unlearner.deletions_[0]["held_out"] == held
        assert len(seen[True]) == 54 - held
        valid = seen[False] - numbers(X + 1, np.arange(N))
        assert len(valid) == held
    predefined = RetrainUnlearner(default(train_split=predefined_split(other)))
    assert "held_out" not in predefined.fit(X, y).unlearn(indices=GONE).deletions_[0]


def test_early_stopping_is_steered_by_rows_that_are_left(data):
    X, y = data
    stop = EarlyStopping(monitor="valid_loss", patience=1, load_best=True)
    net = default(max_epochs=200, lr=0.5, callbacks=[("stop", stop)])
    unlearner = RetrainUnlearner(net, random_state=0).fit(X, y)
    assert len(unlearner.estimator_.history) < 200
    unlearner.unlearn(indices=GONE)
    assert 1 < len(unlearner.estimator_.history) < 200
    tuned = FineTuneUnlearner(net, max_epochs=100, lr=0.5, random_state=0).fit(X, y)
    assert len(tuned.unlearn(indices=GONE).estimator_.history) < 100


def test_a_forgotten_class_and_regressors(data):
    X, y = data
    unlearner = RetrainUnlearner(default(), random_state=0).fit(X, y)
    with pytest.warns(ClassForgottenWarning):
        unlearner.unlearn(indices=np.flatnonzero(y == 1))
    left = (y != 1).sum()
    assert left // 5 <= unlearner.deletions_[0]["held_out"] <= left // 5 + 1
    regressor = RetrainUnlearner(default(NeuralNetRegressor, module__n_out=1), random_state=0)
    regressor.fit(X, X.sum(axis=1)).unlearn(indices=GONE)
    assert regressor.deletions_[0]["held_out"] == 11


def test_torch_datasets(data):
    unlearner = RetrainUnlearner(default(), random_state=0).fit(as_dataset(*data))
    assert unlearner.unlearn(indices=GONE).deletions_[0]["held_out"] == 11


@pytest.mark.parametrize("n_slices", [1, 2])
def test_shards_hold_out_of_their_own(data, n_slices, seen):
    X, y = np.vstack([data[0], data[0] + 5, data[0] - 5]), np.tile(data[1], 3)
    net = default(callbacks=[Seen()])
    unlearner = ShardedUnlearner(net, n_shards=2, n_slices=n_slices, random_state=0).fit(X, y)
    unlearner.unlearn(indices=GONE)
    assert abs(unlearner.deletions_[0]["held_out"] - 174 / 5) < 3


def test_files_pickles_and_caches_keep_the_split(data, tmp_path):
    X, y = data
    unlearner = FineTuneUnlearner(default(), random_state=0, memory=str(tmp_path / "memory"))
    unlearner.fit(X, y).unlearn(indices=GONE)
    unlearner.save(tmp_path / "net")
    left = np.setdiff1d(np.arange(N), GONE)
    frozen = FineTuneUnlearner(FrozenEstimator(default().initialize()))
    for other in (clone(unlearner), frozen):
        loaded = other.load(tmp_path / "net").attach(X[left], y[left])
        assert loaded.unlearn(indices=[10]).deletions_[1]["held_out"] == 11
    again = pickle.loads(pickle.dumps(unlearner)).unlearn(indices=[10])
    assert again.deletions_[1]["held_out"] == 11
    cached = clone(unlearner).fit(X, y).predict_proba(X)
    alone = FineTuneUnlearner(default(), random_state=0).fit(X, y).predict_proba(X)
    np.testing.assert_array_equal(cached, alone)


def test_no_row_stays_in_the_net(data):
    """The validation rows of a training are no part of what it leaves behind."""
    X, y = data
    unlearner = FineTuneUnlearner(default(), random_state=0, store_data=False).fit(X, y)
    unlearner.unlearn(indices=GONE)
    text = pickle.dumps(unlearner)
    assert not any(row.tobytes() in text for row in X)


def test_nets_inside_pipelines(data):
    X, y = data
    inside = RetrainUnlearner(make_pipeline(StandardScaler(), default()), random_state=0)
    assert inside.fit(X, y).unlearn(indices=GONE).deletions_[0]["held_out"] == 11
    steps = [("scale", StandardScaler()), ("net", RetrainUnlearner(default(), random_state=0))]
    around = UnlearningPipeline(steps).fit(X, y).unlearn(indices=GONE)
    assert around.deletions_[0]["held_out"] == 11
    assert audit(around, X + 0.5, y).verdicts


def test_shadow_models_hold_out_too(data):
    X, y = data
    shadow = ShadowModels(default(), n_models=4, random_state=0)
    assert shadow.fit(X, y) is shadow
    rows = Rows(X, y, np.arange(N))
    assert why_not(default(), rows, np.arange(3)) == "its train_split holds rows out"


@pytest.mark.parametrize("split", [ValidSplit(5, stratified=True), ValidSplit(StratifiedKFold(5))])
def test_of_few_rows_fewer_are_held_out(data, split):
    """Requests and shards decide how few are left: nothing that the user could have chosen."""
    X, y = data
    few = np.concatenate([np.flatnonzero(y == k)[:5] for k in range(3)])
    net = default(train_split=split, callbacks=[EarlyStopping()])
    unlearner = RetrainUnlearner(net, random_state=0).fit(X[few], y[few])
    for gone, held in (([0, 5, 10], 3), ([1, 2, 6, 7, 11, 12], 3), ([3, 8, 13], 1), ([4, 9], 0)):
        alone = pytest.warns(UserWarning, match="validated on that row itself")
        with alone if held == 0 else warnings.catch_warnings():
            unlearner.unlearn(indices=gone)
        assert unlearner.deletions_[-1]["held_out"] == held
        assert np.isfinite(unlearner.estimator_.history[:, "valid_loss"]).all()
        assert unlearner.estimator_.train_split is net.train_split or isinstance(
            unlearner.estimator_.train_split, ValidSplit
        )


@pytest.mark.parametrize("n_slices", [1, 2])
def test_shards_of_a_few_rows(data, n_slices):
    X, y = data
    few = np.r_[0:20]
    unlearner = ShardedUnlearner(default(), n_shards=8, n_slices=n_slices, random_state=0)
    unlearner.fit(X[few], y[few]).unlearn(indices=[0, 3])
    assert len(unlearner.predict(X)) == N
    regressor = ShardedUnlearner(
        default(NeuralNetRegressor, module__n_out=1), n_shards=8, random_state=0
    )
    assert regressor.fit(X[few], X[few].sum(axis=1)).unlearn(indices=[0]).predict(X).shape == (N,)


def test_too_few_rows_for_fit_are_an_error_that_says_so(data):
    X, y = data
    few = np.concatenate([np.flatnonzero(y == k)[:3] for k in range(3)])
    for method in (RetrainUnlearner, ShardedUnlearner, FineTuneUnlearner):
        unlearner = method(default(), random_state=0)
        with pytest.raises(ValueError, match=r"rows out of the 9 that.*train_split=None"):
            unlearner.fit(X[few], y[few])


def test_a_split_of_the_users_own_that_fails_is_an_error_that_says_so(data):
    X, y = data

    def split(numbers, y):
        if len(y) < N:
            raise ValueError("too few.")
        return shuffled(numbers, y)

    unlearner = RetrainUnlearner(default(train_split=split), random_state=0).fit(X, y)
    before = parameters(unlearner.estimator_)
    with pytest.raises(ValueError, match=r"cannot hold rows out of the 54 that.*train_split=None"):
        unlearner.unlearn(indices=GONE)
    assert unlearner.deletions_ == []
    assert same_parameters(parameters(unlearner.estimator_), before)
    targets = X.sum(axis=1)
    stratified = default(NeuralNetRegressor, train_split=ValidSplit(5, stratified=True))
    with pytest.raises(ValueError, match="cannot hold rows out of the 60"):
        RetrainUnlearner(stratified.set_params(module__n_out=1)).fit(X, targets)
