"""UnlearningPipeline: methods that go on from the weights."""

import numpy as np
import pytest
from sklearn.compose import make_column_transformer
from sklearn.feature_selection import SelectKBest, f_classif
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from skorch import NeuralNetClassifier
from torch import nn

from skunlearn import (
    AmnesiacUnlearner,
    GradientAscentUnlearner,
    RetrainUnlearner,
    UnlearningPipeline,
)
from skunlearn.compose._front_steps import tell_columns_apart
from skunlearn.exceptions import UnlearningError
from tests.compose.pipelines import GONE, LEFT, columns, first_columns, interrupt, scaled, tuned_net
from tests.small import net, quiet


@quiet
def test_weights_go_on_from_the_new_inputs(data):
    X, y = data
    pipeline = scaled(tuned_net()).fit(X, y)
    scaler, weights = pipeline[0], pipeline[-1].estimator_.module_.out.weight.detach().clone()
    pipeline.unlearn(indices=GONE)
    new = StandardScaler().fit(X[LEFT])
    assert np.array_equal(pipeline[0].mean_, new.mean_)
    assert np.array_equal(pipeline[-1]._record._X, new.transform(X[LEFT]).astype(np.float32))
    after = pipeline[-1].estimator_.module_.out.weight
    assert 0 < (after - weights).abs().max() < 1
    # "before" is what the old net said of rows scaled in the old way.
    before = pipeline.deletions_[0]["measured"]["retain_before"]["score"]
    assert before == scaled(tuned_net()).fit(X, y).score(X[LEFT], y[LEFT])
    assert scaler is not pipeline[0]


@quiet
def test_other_columns_are_refused_by_methods_that_start_from_the_weights(frame):
    X, y = frame
    one_hot = columns(OneHotEncoder(sparse_output=False))
    pipeline = UnlearningPipeline([("columns", one_hot), ("model", tuned_net())]).fit(X, y)
    before, steps = pipeline.predict_proba(X), pipeline.steps
    with pytest.raises(UnlearningError, match=r"other columns than before \(gone: .*_Truro\)"):
        pipeline.unlearn(indices=GONE)
    assert pipeline.steps is steps
    assert np.array_equal(pipeline.predict_proba(X), before)
    pipeline.unlearn(indices=GONE[2:])  # the towns are all there
    fixed = OneHotEncoder(categories=[["Bath", "Ely", "Truro", "Wells"]], sparse_output=False)
    steps = [("columns", columns(fixed)), ("model", tuned_net())]
    UnlearningPipeline(steps).fit(X, y).unlearn(indices=GONE)


@quiet
def test_a_net_of_fixed_width_is_told_of_the_columns_that_are_gone(frame):
    X, y = frame
    one_hot = columns(OneHotEncoder(sparse_output=False))
    width = one_hot.fit_transform(X, y).shape[1]
    fixed = NeuralNetClassifier(
        nn.Linear,
        module__in_features=width,
        module__out_features=3,
        criterion=nn.CrossEntropyLoss,
        max_epochs=2,
        train_split=None,
        verbose=0,
    )
    floats = ("floats", FunctionTransformer(np.float32))
    steps = [("columns", one_hot), floats, ("model", RetrainUnlearner(fixed, random_state=0))]
    pipeline = UnlearningPipeline(steps).fit(X, y)
    before = pipeline.predict_proba(X)
    with pytest.raises(UnlearningError, match=r"mat1 and mat2.*gone: .*_Truro.*InputShapeSetter"):
        pipeline.unlearn(indices=GONE)
    assert np.array_equal(pipeline.predict_proba(X), before)


@quiet
def test_other_columns_of_the_same_number_are_seen_through_steps_that_name_none(data):
    """A net would be shown one column in the place of another, without a word."""
    X, y = data
    X = X.copy()
    X[LEFT, -1] = y[LEFT] + np.random.default_rng(1).normal(0, 0.1, len(LEFT))
    X[GONE, -1] = 1e6 * np.arange(len(GONE))  # the best column once these rows are gone
    X[:, 0] = y + np.random.default_rng(0).normal(0, 0.5, len(y))
    front = [
        ("floats", FunctionTransformer(np.float32)),
        ("best", SelectKBest(f_classif, k=1)),
        ("same", FunctionTransformer()),
    ]
    pipeline = UnlearningPipeline([*front, ("model", tuned_net())]).fit(X, y)
    before = pipeline.predict_proba(X)
    with pytest.raises(UnlearningError, match=r"other columns than before \(gone: x0; new: x"):
        pipeline.unlearn(indices=GONE)
    assert np.array_equal(pipeline.predict_proba(X), before)


class Best(SelectKBest):
    """Names its columns in a list."""

    def get_feature_names_out(self, input_features=None):
        return super().get_feature_names_out(input_features).tolist()


class Unasked(StandardScaler):
    """Names its columns in a way of its own, which takes no names."""

    def get_feature_names_out(self):
        return ["a", "b"]


def test_columns_that_users_steps_name():
    rng = np.random.default_rng(0)
    y = np.arange(40) % 2
    X = rng.normal(size=(40, 3))
    X[:, 0] += 3 * y
    other = X[:, ::-1]
    fitted = [[("best", Best(f_classif, k=1).fit(rows, y))] for rows in (X, other)]
    assert tell_columns_apart(*fitted) == "gone: x0; new: x2"
    assert tell_columns_apart(fitted[0], fitted[0]) == ""
    scaled = [[*steps, ("scale", Unasked().fit(X[:, :1]))] for steps in fitted]
    assert tell_columns_apart(*scaled) == "gone: x0; new: x2"  # as of those before


@quiet
def test_forget_rows_that_the_new_steps_cannot_read(frame):
    X, y = frame
    towns = make_column_transformer((OneHotEncoder(sparse_output=False), ["town"]))
    same_width = Pipeline([("towns", towns), ("first", FunctionTransformer(first_columns))])
    for unlearner, needs in ((tuned_net(), False), (GradientAscentUnlearner(net()), True)):
        pipeline = UnlearningPipeline([("in", same_width), ("model", unlearner)]).fit(X, y)
        if needs:
            with pytest.raises(UnlearningError, match="cannot transform the forget rows"):
                pipeline.unlearn(indices=GONE)
            assert pipeline.deletions_ == []
        else:
            pipeline.unlearn(indices=GONE)
            assert pipeline.deletions_[0]["measured"]["forget_after"]["loss"] is None


@quiet
def test_methods_tied_to_the_rows_as_they_were(data, tmp_path, monkeypatch):
    X, y = data
    unlearner = AmnesiacUnlearner(net(), folder=tmp_path, random_state=0)
    with pytest.raises(TypeError, match="scale \\(StandardScaler\\) cannot be fitted anew"):
        scaled(unlearner).fit(X, y)
    pipeline = scaled(unlearner, refit_transformers=False)
    pipeline.fit(X, y, model__sensitive=np.arange(60) < 2)
    files = set(tmp_path.rglob("*.safetensors"))
    with monkeypatch.context() as patch:
        patch.setattr("skunlearn.compose._refitting.digest_forgotten", interrupt)
        with pytest.raises(KeyboardInterrupt):
            pipeline.unlearn(indices=[1])
    assert files <= set(tmp_path.rglob("*.safetensors"))  # nothing is swept before all is done
    pipeline.unlearn(indices=[1])
    assert files - set(tmp_path.rglob("*.safetensors"))
