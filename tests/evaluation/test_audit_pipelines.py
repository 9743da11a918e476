"""`audit` and `compare` of pipelines, of data frames and of regressors."""

import json
import pickle
import warnings

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.datasets import make_classification, make_regression
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.metrics import mean_squared_error, r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeRegressor

from skunlearn import (
    FineTuneUnlearner,
    GradientAscentUnlearner,
    ProximalUnlearner,
    RetrainUnlearner,
    RidgeUnlearner,
    UnlearningPipeline,
)
from skunlearn.evaluation import _values, audit, compare
from skunlearn.evaluation.figures import Reference, Sets
from skunlearn.exceptions import ModelDamagedWarning, NotForgottenWarning
from skunlearn.plotting import UnlearningReportDisplay
from tests.instances import make_net, make_regressor_net

matplotlib.use("agg")
quiet = [
    pytest.mark.filterwarnings(f"ignore::{w.__module__}.{w.__name__}")
    for w in (NotForgottenWarning, ModelDamagedWarning)
]
pytestmark = quiet
N = 200
GONE = np.arange(60)
FORGET = np.isin(np.arange(N), GONE)


@pytest.fixture(scope="module")
def frames():
    """Numbers with holes and a column of words, of a task with noisy labels."""
    X, y = make_classification(400, 8, n_informative=5, flip_y=0.3, random_state=0)
    frame = pd.DataFrame(X.astype(np.float32), columns=[f"x{i}" for i in range(8)])
    frame.loc[::17, "x1"] = np.nan
    frame["word"] = np.where(X[:, 0] > 0, "up", "down")
    y = np.where(y == 1, "yes", "no")
    return frame[:N], y[:N], frame[N:], y[N:]


def columns():
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    words = OneHotEncoder(sparse_output=False, handle_unknown="ignore", dtype=np.float32)
    return make_column_transformer(
        (numbers, [f"x{i}" for i in range(8)]), (words, ["word"])
    ).set_output(transform="default")


def piped(unlearner, **kwargs):
    return UnlearningPipeline([("columns", columns()), ("last", unlearner)], **kwargs)


def net(**kwargs):
    return make_net(**({"module__n_out": 2, "module__hidden": 64, "max_epochs": 80} | kwargs))


class AsFloats(StandardScaler):
    """What the nets take."""

    def transform(self, X, copy=None):
        return super().transform(X, copy).astype(np.float32)


def for_net(unlearner, **kwargs):
    steps = [("columns", columns()), ("floats", AsFloats()), ("last", unlearner)]
    return UnlearningPipeline(steps, **kwargs)


def test_an_audit_of_a_data_frame(frames):
    X, y, X_test, y_test = frames
    pipeline = piped(RetrainUnlearner(RandomForestClassifier(20, random_state=0), random_state=0))
    original = pickle.loads(pickle.dumps(pipeline.fit(X, y)))
    report = audit(pipeline.unlearn(indices=GONE), X_test, y_test, original=original, n_seeds=2)
    assert list(report.wide.index) == [
        "original", "RetrainUnlearner", "retrained", "retrained (2)",
    ]  # fmt: skip
    assert report.verdicts["RetrainUnlearner"].kind == "indistinguishable"
    found = report.wide.loc["RetrainUnlearner"]
    assert found["test"] == pipeline.score(X_test, y_test)
    assert found["forget train"] == pipeline.score(X[:60], y[:60])
    assert found["retained train"] == pipeline.score(X[60:], y[60:])
    assert report.wide.loc["original", "forget train"] == original.score(X[:60], y[:60])
    # The reference is a pipeline that never saw the rows, in no step.
    by_hand = clone(make_pipeline(columns(), RandomForestClassifier(20, random_state=0)))
    by_hand.fit(X[60:], y[60:])
    assert report.wide.loc["retrained", "test"] == by_hand.score(X_test, y_test)
    again = audit(pipeline, X_test, y_test, retrained=by_hand)
    assert again.wide.loc["retrained", "forget loss"] == pytest.approx(
        report.wide.loc["retrained", "forget loss"]
    )


def test_a_pipeline_that_kept_its_rows_is_found_out(frames):
    X, y, X_test, y_test = frames
    unlearner = FineTuneUnlearner(net(), lr=1e-6, max_epochs=1, random_state=0)
    pipeline = for_net(unlearner, refit_transformers=False).fit(X, y)
    original = pickle.loads(pickle.dumps(pipeline))
    report = audit(pipeline.unlearn(indices=GONE), X_test, y_test, original=original)
    assert report.verdicts["FineTuneUnlearner"].kind == "not forgotten"
    assert any("nothing was unlearned" in text for text in report.warnings)


def test_a_comparison_of_pipelines_on_a_data_frame(frames):
    X, y, X_test, y_test = frames
    recipe = net()
    given = {
        "kept": for_net(FineTuneUnlearner(recipe, lr=1e-6, max_epochs=1)),
        "stale": for_net(RetrainUnlearner(recipe), refit_transformers=False),
        "again": for_net(RetrainUnlearner(recipe)),
    }
    report = compare(given, X, y, forget=FORGET, X_test=X_test, y_test=y_test, n_seeds=2)
    floor = report.roles["floor"]
    assert list(report.wide.index) == ["original", *given, floor, "retrained", "retrained (2)"]
    kinds = {name: verdict.kind for name, verdict in report.verdicts.items()}
    kinds.pop(floor)  # one epoch
    assert kinds == {"kept": "not forgotten", "stale": "indistinguishable",
                     "again": "indistinguishable"}  # fmt: skip
    wide = report.wide.drop(columns=["seconds", "of retraining"])
    # The same training on the same rows, whose scaler is a sum over them in one and not the other.
    shared = ["test", "retained train", "forget train"]
    np.testing.assert_allclose(wide.loc["again", shared], wide.loc["retrained", shared], atol=0.02)
    alone = for_net(RetrainUnlearner(recipe, random_state=0)).fit(X, y)
    assert wide.loc["original", "test"] == alone.score(X_test, y_test)
    assert wide.loc["again", "test"] == alone.unlearn(indices=GONE).score(X_test, y_test)
    assert not any(hasattr(p, "_record") for p in given.values())


def test_frames_without_a_pipeline(frames):
    X, y, X_test, y_test = frames
    recipe = make_pipeline(columns(), LogisticRegression(max_iter=200))
    unlearner = RetrainUnlearner(recipe, random_state=0).fit(X, y).unlearn(indices=GONE)
    report = audit(unlearner, X_test, y_test)
    assert report.wide.loc["RetrainUnlearner", "test"] == unlearner.score(X_test, y_test)
    given = {"a": RetrainUnlearner(recipe)}
    report = compare(given, X, y, forget=FORGET, X_test=X_test, y_test=y_test)
    assert report.wide.loc["a", "test"] == unlearner.score(X_test, y_test)


def test_the_steps_of_a_pipeline_may_not_know_a_word(frames):
    X, y, X_test, y_test = frames
    X = X.copy()
    X.loc[: X.index[9], "word"] = "rare"
    strict = make_column_transformer((OneHotEncoder(sparse_output=False), ["word"]))
    pipeline = UnlearningPipeline(
        [("words", strict), ("last", RetrainUnlearner(LogisticRegression()))]
    ).fit(X, y)
    with pytest.raises(ValueError, match=r"cannot transform rows.*handle_unknown='ignore'"):
        audit(pipeline.unlearn(indices=range(10)), X_test, y_test)


def test_pipelines_are_refused_where_they_prove_nothing(frames):
    X, y, X_test, y_test = frames
    numbers, new = X.iloc[:, [0, 2, 3]], X_test.iloc[:, [0, 2, 3]]
    last = RetrainUnlearner(LogisticRegression())
    frozen = FrozenEstimator(StandardScaler().fit(numbers))
    pipeline = UnlearningPipeline([("frozen", frozen), ("last", last)]).fit(numbers, y)
    with pytest.raises(ValueError, match="has not forgotten anything yet"):
        audit(pipeline, new, y_test)
    pipeline.unlearn(indices=GONE)
    with pytest.raises(TypeError, match=r"behind frozen \(StandardScaler\), which may have seen"):
        audit(pipeline, new, y_test)
    assert audit(pipeline, new, y_test, retrained=None).verdicts
    with pytest.raises(ValueError, match="These rows are training rows"):
        audit(pipeline, numbers, y)
    with pytest.raises(ValueError, match="no longer at hand"):
        audit(pickle.loads(pickle.dumps(pipeline)), new, y_test)
    plain = make_pipeline(StandardScaler(), clone(last)).fit(numbers, y)
    with pytest.raises(TypeError, match="takes an UnlearningPipeline"):
        audit(plain, new, y_test)
    with pytest.raises(TypeError, match="takes unlearners"):
        audit(LogisticRegression().fit(numbers, y), new, y_test)
    test = {"forget": FORGET, "X_test": new, "y_test": y_test}
    with pytest.raises(TypeError, match="not both"):
        compare({"a": clone(pipeline), "b": clone(last)}, numbers, y, **test)


# ------------------------------------------------------------------ regression


@pytest.fixture(scope="module")
def numbers():
    X, y = make_regression(400, 6, noise=40.0, random_state=0)
    X, y = X.astype(np.float32), (y / y.std()).astype(np.float32)
    return X[:N], y[:N], X[N:], y[N:]


def test_figures_of_a_regressor(numbers):
    X, y, X_test, y_test = numbers
    recipe = DecisionTreeRegressor(min_samples_leaf=2, random_state=0)
    unlearner = RetrainUnlearner(recipe, random_state=0).fit(X, y)
    original = pickle.loads(pickle.dumps(unlearner))
    report = audit(unlearner.unlearn(indices=GONE), X_test, y_test, original=original)
    found = report.wide.loc["RetrainUnlearner"]
    model = clone(recipe).fit(X[60:], y[60:])
    for name, rows, targets in (("test", X_test, y_test), ("retained train", X[60:], y[60:])):
        said = model.predict(rows)
        assert found[f"{name} R²"] == pytest.approx(r2_score(targets, said))
        assert found[f"{name} MSE"] == pytest.approx(mean_squared_error(targets, said))
    assert found["forget train MSE"] == pytest.approx(
        mean_squared_error(y[:60], model.predict(X[:60]))
    )
    assert found["forget distance"] == 0
    assert found["AUC"] == report.wide.loc["retrained", "AUC"]
    assert report.wide.loc["original", "AUC"] > 0.7 > found["AUC"]
    assert report.verdicts["RetrainUnlearner"].kind == "indistinguishable"
    rows = report.frame.set_index("metric").loc["test R²"]
    assert (rows["low"] < rows["value"]).all()
    assert (rows["value"] < rows["high"]).all()


def regressors():
    recipe = make_regressor_net(module__hidden=128, max_epochs=200)
    return {
        "kept": ProximalUnlearner(recipe, penalty=1e6, max_epochs=1, lr=1e-7),
        "ruined": GradientAscentUnlearner(recipe, lr=0.01, max_epochs=5),
        "again": RetrainUnlearner(recipe),
    }


@pytest.fixture(scope="module")
def report(numbers):
    X, y, X_test, y_test = numbers
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return compare(regressors(), X, y, forget=FORGET, X_test=X_test, y_test=y_test, n_seeds=2)


def test_verdicts_on_regressors(report):
    kinds = {name: verdict.kind for name, verdict in report.verdicts.items()}
    kinds.pop(report.roles["floor"])  # one epoch
    assert kinds == {
        "kept": "not forgotten", "ruined": "over-forgotten", "again": "indistinguishable",
    }  # fmt: skip
    assert "mean squared error" in str(report.verdicts["kept"])
    assert any("kept: nothing was unlearned" in text for text in report.warnings)
    assert any("ruined: utility lost" in text and "R²" in text for text in report.warnings)
    assert {report.roles[name] for name in ("original", "retrained")} == {"original", "retrained"}
    assert report.curves["kept"]["attack"] == "squared error"


@pytest.mark.parametrize(("unseen", "kind"), [(0.3, "indistinguishable"), (1.0, "not forgotten")])
def test_a_better_regressor_remembers_nothing_by_that(unseen, kind):
    rng = np.random.default_rng(0)
    y, y_unseen = rng.normal(size=60), rng.normal(size=400)
    noise, noise_unseen = rng.normal(size=60), rng.normal(size=400)
    sets = Sets({"forget": y, "unseen": y_unseen}, np.array([], dtype=int), 0.95, 0)
    outputs = {"forget": y + 0.3 * noise, "unseen": y_unseen + unseen * noise_unseen}
    retrained = {"forget": y + noise, "unseen": y_unseen + noise_unseen}
    attacked = _values.measure(outputs, sets, None, Reference(retrained))[1]
    assert _values.judge(outputs, [retrained], attacked, sets, 0.03).kind == kind


def test_reports_on_regressors_leave_the_house(report, tmp_path):
    text = str(report)
    assert "accuracy" not in text
    assert "squared error" in text
    assert "test R²" in text
    assert "test R²" in report.to_csv()
    assert "test R²" in report.to_html()
    assert json.loads(report.to_json(tmp_path / "r.json"))["ceiling"] == 1
    assert "test R²" in report.to_latex()
    display = UnlearningReportDisplay(report).plot()
    assert display.axes_["test R²"].get_xlabel() == "R²"
    assert display.axes_["test R²"].get_title(loc="left") == "unseen R²"
    plt.close("all")


def test_several_targets_and_pipelines_of_regressors(numbers):
    X, y, X_test, y_test = numbers
    both, both_test = np.column_stack([y, -2 * y]), np.column_stack([y_test, -2 * y_test])
    unlearner = RetrainUnlearner(LinearRegression()).fit(X, both).unlearn(indices=GONE)
    report = audit(unlearner, X_test, both_test)
    assert report.verdicts["RetrainUnlearner"].kind == "indistinguishable"
    frame, test = (pd.DataFrame(rows, columns=list("abcdef")) for rows in (X, X_test))
    steps = [("scale", StandardScaler()), ("ridge", RidgeUnlearner(Ridge()))]
    given = {"ridge": UnlearningPipeline(steps, refit_transformers=False)}
    report = compare(given, frame, y, forget=FORGET, X_test=test, y_test=y_test)
    assert report.verdicts["ridge"].kind == "indistinguishable"
    assert report.wide.loc["ridge", "test R²"] == pytest.approx(
        report.wide.loc["retrained", "test R²"], abs=0.01
    )


def test_a_constant_target_has_no_r2(numbers):
    X, _, X_test, _ = numbers
    ones = np.ones(N)
    unlearner = RetrainUnlearner(LinearRegression()).fit(X, ones).unlearn(indices=GONE)
    report = audit(unlearner, X_test, ones)
    assert "test R²" not in report.wide
    assert report.wide.loc["RetrainUnlearner", "test MSE"] < 1e-9
