"""Training anew for the same budget, the row beside which all methods stand."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import Callback

from skunlearn import (
    AutoUnlearner,
    FineTuneUnlearner,
    GradientAscentUnlearner,
    RetrainUnlearner,
    ShardedUnlearner,
    SSDUnlearner,
)
from skunlearn._rows.seeding import derive_seed
from skunlearn.compose import UnlearningPipeline
from skunlearn.evaluation import audit, audit_logits, compare
from skunlearn.evaluation._reference_models import _FLOOR
from skunlearn.exact.retrain import train_short
from skunlearn.exceptions import (
    ModelDamagedWarning,
    NotForgottenWarning,
    UnsuitableMethodWarning,
)
from tests.instances import make_net

pytestmark = [
    pytest.mark.filterwarnings(f"ignore::{w.__module__}.{w.__name__}")
    for w in (ModelDamagedWarning, NotForgottenWarning, UnsuitableMethodWarning)
]
N, GONE = 160, np.arange(30)


@pytest.fixture(scope="module")
def data():
    """Three clouds, with wrong labels in the first rows that can only be learnt by heart."""
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=2 * N)
    X = rng.normal(size=(2 * N, 64)).astype(np.float32)
    X[:, :3] += 2 * np.eye(3, dtype=np.float32)[y]
    shown = y.copy()
    shown[GONE] = (y[GONE] + 1) % 3
    return X[:N], shown[:N], X[N:], y[N:]


def net(**params):
    return make_net(**{"lr": 0.3, "max_epochs": 20} | params)


def side_by_side(unlearners, data, **settings):
    X, y, *unseen = data
    test = dict(zip(("X_test", "y_test"), unseen))
    return compare(unlearners, X, y, forget=np.arange(N) < len(GONE), **test, **settings)


@pytest.fixture(scope="module")
def report(data):
    return side_by_side([FineTuneUnlearner(net())], data)


def test_floor_never_saw_the_rows_and_is_trained_for_as_long(report, data):
    name = "retrained 4/20 epochs"
    assert list(report.wide.index) == ["original", "FineTuneUnlearner", name, "retrained"]
    assert report.roles == {"original": "original", "retrained": "retrained", "floor": name}
    assert report.verdicts.keys() == {"FineTuneUnlearner", name}
    shares = report.wide["forget train"]
    assert shares["original"] > 0.9
    assert shares[name] < 0.4
    seconds = report.wide["seconds"]
    assert 0 < seconds[name] < seconds["retrained"]


def test_it_is_the_recipe_squeezed_into_these_epochs(data):
    X, y, X_test, y_test = data
    unlearner = FineTuneUnlearner(net(), random_state=0, max_epochs=2).fit(X, y)
    unlearner.unlearn(indices=GONE)
    report = audit(unlearner, X_test, y_test)
    rows = unlearner._record.view(np.flatnonzero(unlearner._record.retained))
    model = train_short(net(), rows, unlearner._classes, derive_seed(unlearner._seed, _FLOOR), 2)
    shown = report.wide.loc["retrained 2/20 epochs"]
    assert shown["retained test"] == model.score(X_test, y_test)
    assert shown["forget train"] == model.score(X[GONE], y[GONE])
    alone = audit(unlearner, X_test, y_test, floor=None)
    assert alone.roles["floor"] is None
    rest = [name for name in report.wide.index if name != report.roles["floor"]]
    assert list(alone.wide.index) == rest
    for metric in ("retained test", "AUC", "AUC difference", "forget distance"):
        assert alone.wide[metric].equals(report.wide.loc[rest, metric])


def test_methods_that_it_beats_are_told_of(report):
    (told,) = [text for text in report.warnings if "no better than training anew" in text]
    assert told.startswith("FineTuneUnlearner is no better")
    floor = report.wide.loc["retrained 4/20 epochs"]
    assert f"retained test, % {100 * floor['retained test']:.1f} (" in told
    assert f"AUC difference {abs(floor['AUC difference']):.3f} (" in told
    assert not [text for text in report.warnings if text.startswith("retrained")]


@pytest.mark.parametrize("asked, name", [(None, None), (7, "retrained 7/20 epochs")])
def test_it_can_be_left_out_or_given_epochs(data, asked, name):
    report = side_by_side([FineTuneUnlearner(net())], data, floor=asked)
    assert report.roles["floor"] == name
    assert len(report.wide) == (3 if name is None else 4)


def test_the_method_that_took_most_is_asked(data):
    methods = [FineTuneUnlearner(net(), max_epochs=3), SSDUnlearner(net())]
    X, y, *unseen = data
    report = side_by_side(methods, data)
    assert report.roles["floor"] == "retrained 4/20 epochs"  # a fifth, of weight editing
    # Twenty epochs of the thirty rows are five of the others.
    methods = [GradientAscentUnlearner(net()), FineTuneUnlearner(net(), max_epochs=3)]
    assert methods[0]._epochs() == 20
    assert side_by_side(methods, data).roles["floor"] == "retrained 5/20 epochs"
    auto = AutoUnlearner(net(batch_size=8, lr=0.03)).fit(X, y)
    auto.unlearn(indices=GONE, X_val=unseen[0][:80], y_val=unseen[1][:80])
    done = auto.deletions_[0]["auto"]
    assert done["reference_epochs"] > 0
    found = audit(auto, *(part[80:] for part in unseen))
    epochs = done["epochs"] + done["reference_epochs"]
    assert found.roles["floor"] == f"retrained {epochs}/20 epochs"


def test_there_is_none_of_exact_methods_and_other_models(data):
    X, y, *unseen = data
    logistic = LogisticRegression(max_iter=500)
    for unlearner in (
        ShardedUnlearner(net(), n_shards=2),
        RetrainUnlearner(net(), max_epochs=4),
        RetrainUnlearner(logistic),
        FineTuneUnlearner(net(), max_epochs=20),  # which took as long as a training
    ):
        report = audit(unlearner.fit(X, y).unlearn(indices=GONE), *unseen)
        assert report.roles["floor"] is None
        assert len(report.wide) == 2
    brought = audit(unlearner, *unseen, retrained=unlearner.estimator_)
    assert brought.roles["floor"] is None


class FewEpochsFail(Callback):
    def on_train_begin(self, net, **kwargs):
        if net.max_epochs == 3:
            raise RuntimeError("three are too few.")


def test_a_floor_that_cannot_be_trained_stops_no_report(data):
    X, y, *unseen = data
    methods = [FineTuneUnlearner(net(callbacks=[FewEpochsFail()]))]
    reports = [side_by_side(methods, data, floor=3)]
    unlearner = methods[0].fit(X, y).unlearn(indices=GONE)
    reports.append(audit(unlearner, *unseen, floor=3))
    for report in reports:
        assert report.roles["floor"] is None
        assert report.warnings[-1].startswith(
            "No net was retrained for the same budget, 3 epochs: three are too few. Give another"
        )


class CountingScaler(StandardScaler):
    fits = []

    def fit(self, X, y=None):
        self.fits.append(len(X))
        return super().fit(X, y)


def test_pipelines_train_it_behind_their_steps(data):
    X, y, *unseen = data
    pipeline = UnlearningPipeline(
        [("scale", CountingScaler()), ("net", FineTuneUnlearner(net(), random_state=0))]
    ).fit(100 * X, y)
    pipeline.unlearn(indices=GONE)
    before = len(CountingScaler.fits)
    report = audit(pipeline, 100 * unseen[0], unseen[1])
    assert len(CountingScaler.fits) == before + 1  # once for the reference and the floor
    floor = report.wide.loc["retrained 4/20 epochs"]
    assert floor["retained test"] > 0.6
    assert floor["forget train"] < 0.4


@pytest.mark.parametrize(
    "floor, error, words",
    [
        (0, ValueError, "floor == 0"),
        (True, TypeError, "'same', a number of epochs or None, got True"),
        ("most", TypeError, "got 'most'"),
        (2.5, TypeError, "got 2.5"),
    ],
)
def test_what_is_no_number_of_epochs_is_refused_before_the_work(data, floor, error, words):
    with pytest.raises(error, match=words):
        side_by_side([FineTuneUnlearner(net())], data, floor=floor)
    X, y, *unseen = data
    unlearner = RetrainUnlearner(LogisticRegression(max_iter=500)).fit(X, y)
    with pytest.raises(TypeError, match="LogisticRegression has none"):
        audit(unlearner.unlearn(indices=GONE), *unseen, floor=3)


def test_logits_of_any_floor_are_judged():
    rng = np.random.default_rng(0)
    labels = {"forget": rng.integers(3, size=200), "unseen": rng.integers(3, size=400)}
    never = {k: np.eye(3)[y] + rng.normal(size=(len(y), 3)) for k, y in labels.items()}
    other = {k: np.eye(3)[y] + rng.normal(size=(len(y), 3)) for k, y in labels.items()}
    kept = never | {"forget": never["forget"] + 2 * np.eye(3)[labels["forget"]]}
    outputs = {"mine": kept, "anew": other, "retrained": never}
    report = audit_logits(outputs, labels, floor="anew")
    assert report.roles["floor"] == "anew"
    for wrong in ("nobody", "retrained"):
        with pytest.raises(ValueError, match=f"floor='{wrong}' must name a model"):
            audit_logits(outputs, labels, floor=wrong)
