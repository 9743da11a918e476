"""Any estimator finds the unlearner that suits it, and forgets in it."""

import numpy as np
import pytest
import torch
from sklearn.cluster import DBSCAN
from sklearn.datasets import load_iris
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import BaggingClassifier, ExtraTreesRegressor, RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import CategoricalNB, GaussianNB
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler
from skorch import NeuralNetClassifier
from torch import nn

from skunlearn import FineTuneUnlearner, RetrainUnlearner, UnlearningPipeline, make_unlearner
from skunlearn.production import DeletionQueue, DeletionWorker

X, y = load_iris(return_X_y=True)
X = X.astype(np.float32)


class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))


def make_net(module=Net):
    return NeuralNetClassifier(
        module,
        criterion=nn.CrossEntropyLoss,
        lr=0.1,
        batch_size=16,
        max_epochs=12,
        train_split=None,
        verbose=0,
    )


def balanced():
    return RandomForestClassifier(5, class_weight="balanced")


CHOSEN = {
    "ForestUnlearner": [
        RandomForestClassifier(5),
        BaggingClassifier(n_estimators=4),
        BaggingClassifier(n_estimators=4, bootstrap=False, max_samples=0.5),
    ],
    "SufficientStatisticsUnlearner": [
        GaussianNB(),
        CategoricalNB(min_categories=10),
        KNeighborsRegressor(),
        LinearDiscriminantAnalysis(),
        FrozenEstimator(GaussianNB().fit(X, y)),
        make_pipeline("passthrough", GaussianNB()),
    ],
    "RidgeUnlearner": [Ridge()],
    # What follows from no sums, and what the cheap methods refuse.
    "RetrainUnlearner": [
        balanced(),
        ExtraTreesRegressor(3),
        CategoricalNB(),
        BaggingClassifier(n_estimators=4, bootstrap=False),
        BaggingClassifier(n_estimators=4, bootstrap=False, max_samples=1.0),
        # Members that were shown every row, some with a weight of zero.
        FrozenEstimator(BaggingClassifier(LogisticRegression(max_iter=500), 3).fit(X, y)),
        LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"),
        LogisticRegression(max_iter=500),
        Ridge(positive=True),
        GridSearchCV(LogisticRegression(max_iter=500), {"C": [0.1, 1]}, cv=2),
        make_pipeline(StandardScaler(), GaussianNB()),
        make_pipeline(StandardScaler(), make_pipeline(Normalizer(), GaussianNB())),
        FrozenEstimator(make_pipeline(StandardScaler(), GaussianNB()).fit(X, y)),
    ],
}
GUARANTEES = {
    "ForestUnlearner": "the distribution of an ensemble trained without the rows",
    "SufficientStatisticsUnlearner": "the solution without the rows, to rounding",
    "RidgeUnlearner": "the solution without the rows, to rounding",
    "RetrainUnlearner": "retrained without the rows",
}
CASES = [(name, model) for name, models in CHOSEN.items() for model in models]


@pytest.mark.parametrize(("name", "model"), CASES, ids=lambda case: type(case).__name__)
def test_scikit_learns_estimators_are_forgotten_in_exactly(name, model):
    unlearner = make_unlearner(model, random_state=0)
    assert type(unlearner).__name__ == name
    assert unlearner.random_state == 0
    unlearner.fit(X, y).unlearn(indices=[0, 50, 51, 149])
    certificate = unlearner.certificate()
    assert certificate["guarantee"] == GUARANTEES[name]
    assert certificate["forgotten_rows"] == 4


def test_members_and_sums_are_those_of_the_rows_that_stay():
    kept = np.delete(np.arange(150), [3, 60])
    for model in (GaussianNB(), Ridge(), KNeighborsRegressor(), LogisticRegression(max_iter=500)):
        unlearner = make_unlearner(model).fit(X, y).unlearn(indices=[3, 60])
        expected = model.fit(X[kept], y[kept])
        ask = "predict_proba" if hasattr(model, "predict_proba") else "predict"
        np.testing.assert_allclose(getattr(unlearner, ask)(X), getattr(expected, ask)(X), atol=1e-5)


def test_a_net_is_judged():
    unlearner = make_unlearner(make_net(), random_state=3, verbose=1)
    assert (type(unlearner).__name__, unlearner.verbose) == ("AutoUnlearner", 1)
    assert unlearner.set_params(verbose=0).fit(X, y).unlearn(indices=[0, 1]).deletions_[0]["auto"]


def test_a_module_that_nobody_can_build_anew_goes_on():
    unlearner = make_unlearner(FrozenEstimator(make_net(Net()).fit(X, y.astype(np.int64))))
    assert type(unlearner).__name__ == "NoTUnlearner"
    assert unlearner.fit(X, y).unlearn(indices=[0, 1]).deletions_[0]["rows"] == 2


def test_pipelines_end_in_what_suits_their_last_step():
    scaled = make_unlearner(make_pipeline(StandardScaler(), make_net()), random_state=1)
    assert isinstance(scaled, UnlearningPipeline)
    assert type(scaled[-1]).__name__ == "AutoUnlearner"
    assert scaled[-1].random_state == 1
    scaled.fit(X, y).unlearn(indices=[0, 1])
    np.testing.assert_allclose(scaled[0].mean_, X[2:].mean(axis=0), rtol=1e-5)
    constant = make_unlearner(Pipeline([("n", Normalizer()), ("nb", GaussianNB())]))
    assert [type(step).__name__ for step in constant] == [
        "Normalizer",
        "SufficientStatisticsUnlearner",
    ]
    certificate = constant.fit(X, y).unlearn(indices=[0]).certificate()
    assert certificate["guarantee"] == GUARANTEES["SufficientStatisticsUnlearner"]


def test_settings_of_a_pipeline_stay():
    pipeline = Pipeline([("n", Normalizer()), ("net", make_net())], verbose=True, memory="cache")
    made = make_unlearner(pipeline)
    assert (made.verbose, made.memory) == (True, "cache")
    assert pipeline.steps[-1][1].__class__ is NeuralNetClassifier


def test_unlearners_are_kept():
    own = FineTuneUnlearner(make_net())
    assert make_unlearner(own) is own
    # A plain Pipeline cannot forget: its steps before would keep the rows.
    made = make_unlearner(make_pipeline(StandardScaler(), RetrainUnlearner(GaussianNB())))
    assert isinstance(made, UnlearningPipeline)
    certificate = made.fit(X, y).unlearn(indices=[0]).certificate()
    assert certificate["guarantee"] == GUARANTEES["RetrainUnlearner"]
    assert make_unlearner(made) is made


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (nn.Linear(4, 3), r"PyTorch module.*from_torch"),
        (RandomForestClassifier, r"the class RandomForestClassifier: pass"),
        (DBSCAN(), "classifier or regressor, or a skorch net, got DBSCAN"),
        (StandardScaler(), "got StandardScaler"),
        (make_pipeline(StandardScaler()), "got StandardScaler"),
        (None, "got None"),
    ],
)
def test_what_nothing_forgets_in_is_refused(wrong, words):
    with pytest.raises(TypeError, match=words):
        make_unlearner(wrong)


def test_trouble_with_a_net_is_told_by_the_method_of_choice():
    loader = torch.utils.data.RandomSampler
    net = make_net().set_params(iterator_train__sampler=loader(range(150)))
    with pytest.raises((TypeError, ValueError)) as told:
        make_unlearner(net)
    assert "NoTUnlearner" not in str(told.value)


def test_a_worker_says_how_others_come_in(tmp_path):
    with pytest.raises(TypeError, match=r"needs an unlearner.*make_unlearner\("):
        DeletionWorker(DeletionQueue(tmp_path), GaussianNB(), X[1::2], y[1::2])
