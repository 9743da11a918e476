"""MIAScorer and RetainedScorer: honest in scikit-learn's searches, and never a trap."""

import pickle
import warnings

import numpy as np
import pytest
import sklearn
from sklearn import config_context
from sklearn.datasets import load_digits
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import get_scorer
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    RandomizedSearchCV,
    cross_val_score,
    cross_validate,
    train_test_split,
)
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.fixes import parse_version

from skunlearn import FineTuneUnlearner, ProximalUnlearner, RetrainUnlearner
from skunlearn.exceptions import ClassForgottenWarning, NotForgottenWarning
from skunlearn.metrics import ForgottenScorer, MIAScorer, RetainedScorer
from skunlearn.model_selection import ForgetSplit, one_standard_error
from tests.instances import make_net, make_regressor_net
from tests.interpreters import LIGHT

pytestmark = [
    pytest.mark.filterwarnings(f"ignore::{w.__module__}.{w.__name__}")
    for w in (ClassForgottenWarning, NotForgottenWarning)
]


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return (X / 16).astype(np.float32), y


@pytest.fixture(scope="module")
def noisy(digits):
    """150 forget rows with wrong labels, which a net can only know by heart."""
    X, y = digits
    rng = np.random.default_rng(0)
    forget = np.zeros(len(y), dtype=bool)
    forget[rng.choice(len(y), 150, replace=False)] = True
    y = y.copy()
    y[forget] = (y[forget] + rng.integers(1, 10, 150)) % 10
    return X, y, forget


def quick(epochs=15, **kwargs):
    return FineTuneUnlearner(make_net(max_epochs=epochs), random_state=0, **kwargs)


def by_heart(**kwargs):
    """A net wide enough to learn wrong labels by heart."""
    net = make_net(module__hidden=256, lr=0.3, max_epochs=60)
    return FineTuneUnlearner(net, random_state=0, **kwargs)


SCORING = {"accuracy": "accuracy", "forgetting": MIAScorer()}


def test_matched_and_unmatched_attack_on_a_retrained_net(digits):
    """The trap: against all test rows a perfectly retrained net seems to have forgotten badly."""
    X, y = digits
    forget = y == 8
    rows = train_test_split(np.arange(len(y)), test_size=0.5, stratify=y, random_state=0)
    train, test = rows
    unlearner = RetrainUnlearner(make_net(max_epochs=15), random_state=0)
    unlearner.fit(X[train], y[train], forget=forget[train])
    matched = MIAScorer().measure(unlearner, X[test], y[test])
    unmatched = MIAScorer(match=None).measure(unlearner, X[test], y[test])
    assert not matched.distinguishable
    assert unmatched.auc < 0.1
    assert unmatched.attack_accuracy > 0.9


def test_a_net_that_learnt_by_heart_is_told_from_a_retrained_one(noisy):
    X, y, forget = noisy
    train, test = train_test_split(np.arange(len(y)), test_size=0.4, random_state=0)
    train = np.union1d(train, np.flatnonzero(forget))
    test = np.setdiff1d(test, train)
    keeps = by_heart(lr=1e-9)  # at this learning rate nothing is forgotten
    keeps.fit(X[train], y[train], forget=forget[train])
    retrained = RetrainUnlearner(keeps.estimator, random_state=0)
    retrained.fit(X[train], y[train], forget=forget[train])
    scorer = MIAScorer("margin", reference="retrain")
    result = scorer.measure(keeps, X[test], y[test])
    assert result.distinguishable
    assert result.auc > result.reference_auc + 0.15
    assert scorer(retrained, X[test], y[test]) == pytest.approx(0, abs=1e-9)
    # Against 0.5 the retrained net would look worse than the one that kept everything.
    plain = MIAScorer("margin")
    assert plain(retrained, X[test], y[test]) < plain(keeps, X[test], y[test])
    # Entropy gives it away as well: the wrong labels are not learnt as surely as the right ones.
    strongest = MIAScorer(reference="retrain").measure(keeps, X[test], y[test])
    assert strongest.distinguishable
    assert strongest.scores["margin"].difference.estimate > 0.15
    assert strongest.scores["entropy"].difference.estimate < -0.15


def test_call_is_the_score_of_measure(noisy):
    X, y, forget = noisy
    unlearner = quick().fit(X[:1200], y[:1200], forget=forget[:1200])
    for scorer in (MIAScorer(), MIAScorer(reference="retrain"), MIAScorer(match=None)):
        measured = scorer.measure(unlearner, X[1200:], y[1200:])
        assert scorer(unlearner, X[1200:], y[1200:]) == pytest.approx(measured.score, abs=1e-12)


def test_a_fitted_estimator_as_reference(noisy):
    X, y, forget = noisy
    unlearner = quick().fit(X[:1200], y[:1200], forget=forget[:1200])
    retrained = RetrainUnlearner(make_net(max_epochs=15), random_state=0)
    retrained.fit(X[:1200], y[:1200], forget=forget[:1200])
    given = MIAScorer(reference=retrained).measure(unlearner, X[1200:], y[1200:])
    trained = MIAScorer(reference="retrain").measure(unlearner, X[1200:], y[1200:])
    assert given.reference_auc == pytest.approx(trained.reference_auc, abs=1e-12)


def test_the_reference_is_trained_once_a_fold(noisy, monkeypatch):
    X, y, forget = noisy
    trained = []
    plain = FineTuneUnlearner._train
    monkeypatch.setattr(
        FineTuneUnlearner,
        "_train",
        lambda *args, **kwargs: trained.append(1) or plain(*args, **kwargs),
    )
    GridSearchCV(
        quick(epochs=3),
        {"lr": [0.1, 0.05, 0.01, 0.005]},
        cv=ForgetSplit(3, forget=forget, random_state=0),
        scoring=MIAScorer(reference="retrain"),
        refit=False,
        error_score="raise",
    ).fit(X, y, forget=forget)
    assert len(trained) == 12 + 3  # base nets, which memory= would make 3, and references


def test_memory_trains_each_base_net_once_a_fold(noisy, tmp_path, monkeypatch):
    from skunlearn._recipe import training

    X, y, forget = noisy
    trained = []
    plain = training._train
    monkeypatch.setattr(training, "_train", lambda *work: trained.append(1) or plain(*work))
    GridSearchCV(
        quick(epochs=3, memory=str(tmp_path)),
        {"lr": [0.1, 0.05, 0.01, 0.005]},
        cv=ForgetSplit(3, forget=forget, random_state=0),
        scoring={"accuracy": "accuracy", "forgetting": MIAScorer(reference="retrain")},
        refit=one_standard_error,
        error_score="raise",
    ).fit(X, y, forget=forget)
    # 3 base nets, 3 references, and the refit's base net; without a cache 12 + 12 + 1.
    assert len(trained) == 7


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return str(tmp_path_factory.mktemp("cache"))


@pytest.mark.parametrize("routing", [pytest.param(False, marks=pytest.mark.long), True])
def test_searches(noisy, routing, cache):
    X, y, forget = (part[:1000] for part in noisy)
    cv = ForgetSplit(2, forget=forget, random_state=0)
    with config_context(enable_metadata_routing=routing):
        result = cross_validate(
            quick(), X, y, cv=cv, params={"forget": forget}, scoring=SCORING, error_score="raise"
        )
        assert np.all(result["test_forgetting"] <= 0)
        assert result["test_accuracy"].mean() > 0.8
        alone = cross_val_score(
            quick(), X, y, cv=cv, params={"forget": forget}, scoring=MIAScorer(),
            error_score="raise",
        )  # fmt: skip
        np.testing.assert_array_equal(alone, result["test_forgetting"])
        # Wrong labels look nothing like unseen rows, so 0.5 would be the wrong reference.
        common = {
            "cv": cv,
            "refit": one_standard_error,
            "scoring": SCORING | {"forgetting": MIAScorer("margin", reference="retrain")},
            "error_score": "raise",
        }
        rates = {"lr": [0.1, 1e-4]}
        grid = GridSearchCV(by_heart(memory=cache), rates, **common).fit(X, y, forget=forget)
        assert grid.best_params_ == {"lr": 0.1}
        assert grid.best_estimator_.score(X, y) > 0.8
        random = RandomizedSearchCV(
            by_heart(memory=cache), rates, n_iter=2, random_state=0, **common
        )
        assert random.fit(X, y, forget=forget).best_params_ == {"lr": 0.1}
        halving = HalvingGridSearchCV(
            quick(), rates, cv=cv, scoring=MIAScorer(), factor=2, min_resources=500,
            return_train_score=False, error_score="raise", random_state=0,
        )  # fmt: skip
        assert halving.fit(X, y, forget=forget).best_params_["lr"] in rates["lr"]


def test_processes_give_the_same(noisy, monkeypatch):
    monkeypatch.syspath_prepend(LIGHT)
    X, y, forget = noisy
    common = {
        "cv": ForgetSplit(2, forget=forget, random_state=0),
        "params": {"forget": forget},
        "scoring": SCORING | {"retrain": MIAScorer(reference="retrain")},
        "error_score": "raise",
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the workers' imports
        apart = cross_validate(quick(), X, y, n_jobs=2, **common)
    together = cross_validate(quick(), X, y, **common)
    for name in ("test_forgetting", "test_retrain"):
        np.testing.assert_allclose(apart[name], together[name], atol=1e-3)


def test_pipeline(noisy):
    X, y, forget = noisy
    pipeline = make_pipeline(StandardScaler(), quick())
    result = cross_validate(
        pipeline,
        X,
        y,
        cv=ForgetSplit(2, forget=forget, random_state=0),
        params={"finetuneunlearner__forget": forget},
        scoring=SCORING | {"retained": RetainedScorer()},
        error_score="raise",
    )
    assert np.all(result["test_forgetting"] <= 0)
    np.testing.assert_array_equal(result["test_accuracy"], result["test_retained"])


class Resampler(StandardScaler):
    def fit_resample(self, X, y):
        return X, y


def test_resampling_pipelines_are_refused(noisy):
    X, y, forget = noisy
    pipeline = make_pipeline(Resampler(), quick()).fit(
        X[:500], y[:500], finetuneunlearner__forget=forget[:500]
    )
    with pytest.raises(TypeError, match="changes the number of rows"):
        MIAScorer()(pipeline, X[500:], y[500:])


def test_train_scores_are_undefined(noisy):
    """An attack on training rows says nothing; the test scores are as good as ever."""
    X, y, forget = noisy
    with pytest.warns(UndefinedMetricWarning, match="are training rows") as caught:
        found = cross_validate(
            quick(),
            X,
            y,
            cv=ForgetSplit(2, forget=forget, random_state=0),
            params={"forget": forget},
            scoring=MIAScorer(),
            return_train_score=True,
            error_score="raise",
        )
    assert len(caught) == 1
    assert np.isnan(found["train_score"]).all()
    assert np.isfinite(found["test_score"]).all()
    unlearner = quick().fit(X, y, forget=forget)
    with pytest.raises(ValueError, match="are training rows"):
        MIAScorer().measure(unlearner, X, y)


def test_unseen_rows_that_equal_training_rows_as_often_as_these_equal_each_other():
    """A table of three columns of categories holds every row many times."""
    rng = np.random.default_rng(0)
    X = rng.integers(0, 6, size=(600, 3))
    y = (X[:, 0] + rng.integers(0, 3, 600) > 3).astype(int)
    unlearner = RetrainUnlearner(GaussianNB()).fit(X[:400], y[:400]).unlearn(indices=range(40))
    assert unlearner._record.mark_seen(X[400:]).mean() > 0.6
    assert np.isfinite(MIAScorer()(unlearner, X[400:], y[400:]))
    with pytest.raises(ValueError, match="are training rows"):
        MIAScorer().measure(unlearner, X[40:240], y[40:240])


def test_a_halving_search_prints_no_traceback(noisy):
    X, y, forget = noisy
    search = HalvingGridSearchCV(
        RetrainUnlearner(LogisticRegression(max_iter=50, tol=0.1), random_state=0),
        {"estimator__C": [0.01, 0.1]}, cv=ForgetSplit(2, random_state=0), scoring=MIAScorer(),
        factor=2, min_resources=800, random_state=0,
    )  # fmt: skip
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        search.fit(X, y, forget=forget, groups=forget)
    said = [str(w.message) for w in caught]
    assert not [text for text in said if "Traceback" in text]
    assert [text for text in said if "return_train_score=False" in text][1:] == []
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_what_was_loaded_has_forgotten_all_the_same(noisy, tmp_path):
    X, y, forget = noisy
    unlearner = quick().fit(X[:500], y[:500], forget=forget[:500])
    unlearner.save(tmp_path / "net")
    loaded = quick().load(tmp_path / "net")
    with pytest.raises(ValueError, match="does not know what its model says of the rows"):
        MIAScorer()(loaded, X[500:], y[500:])
    pickled = pickle.loads(pickle.dumps(unlearner))
    score = MIAScorer()(unlearner, X[500:], y[500:])
    assert MIAScorer()(pickled, X[500:], y[500:]) == score
    # Another request is about other rows, and is known.
    loaded.attach(X[:500][~forget[:500]], y[:500][~forget[:500]])
    loaded.unlearn(indices=np.flatnonzero(~forget[:500])[:20])
    assert MIAScorer()(loaded, X[500:], y[500:]) <= 0


def test_nothing_forgotten_is_an_error(noisy):
    X, y, _ = noisy
    with pytest.raises(ValueError, match="has not forgotten anything"):
        MIAScorer()(quick().fit(X[:500], y[:500]), X[500:], y[500:])


def test_no_unseen_row_of_the_class_is_an_error(digits):
    X, y = digits
    unlearner = quick().fit(X[:1200], y[:1200], forget=y[:1200] == 3)
    rest = np.flatnonzero(y[1200:] != 3) + 1200
    with pytest.raises(ValueError, match=r"\b3\b"):
        MIAScorer()(unlearner, X[rest], y[rest])


def test_other_estimators_are_refused(digits):
    X, y = digits
    model = LogisticRegression(max_iter=20, tol=1).fit(X, y)
    with pytest.raises(TypeError, match="needs an unlearner"):
        MIAScorer()(model, X, y)


def test_retained_scorer_leaves_forgotten_classes_out(digits):
    X, y = digits
    names = np.array("zero one two three four five six seven eight nine".split())  # noqa: SIM905
    labels = names[y]
    unlearner = RetrainUnlearner(make_net(max_epochs=15), random_state=0)
    unlearner.fit(X[:1200], labels[:1200], forget=y[:1200] == 8)
    kept = y[1200:] != 8
    expected = unlearner.score(X[1200:][kept], labels[1200:][kept])
    assert RetainedScorer()(unlearner, X[1200:], labels[1200:]) == expected
    assert unlearner.score(X[1200:], labels[1200:]) < expected - 0.05
    assert ForgottenScorer()(unlearner, X[1200:], labels[1200:]) == 0
    with pytest.raises(ValueError, match="No test row is left"):
        RetainedScorer()(unlearner, X[1200:][~kept], labels[1200:][~kept])
    with pytest.raises(ValueError, match="No test row is left"):
        ForgottenScorer()(unlearner, X[1200:][kept], labels[1200:][kept])


def test_a_kept_class_passes_the_attack_but_not_the_forgotten_scorer(digits):
    X, y = digits
    train, test = train_test_split(np.arange(len(y)), test_size=0.5, stratify=y, random_state=0)
    keeps = quick(lr=1e-9).fit(X[train], y[train], forget=y[train] == 0)
    assert MIAScorer()(keeps, X[test], y[test]) > -0.2  # 104 against 75 rows: about ±0.09
    assert ForgottenScorer()(keeps, X[test], y[test]) < -0.9


def test_per_class_and_blind_baseline(noisy):
    X, y, forget = noisy
    unlearner = quick().fit(X[:1400], y[:1400], forget=forget[:1400])
    result = MIAScorer(per_class=True).measure(unlearner, X[1400:], y[1400:])
    assert set(result.per_class) | set(result.skipped_classes) == set(range(10))
    blind = MIAScorer().blind_baseline(unlearner, X[1400:], y[1400:])
    assert blind.attack == "blind"
    assert 0 <= blind.auc <= 1


def test_regression(digits):
    X, y = digits
    unlearner = ProximalUnlearner(make_regressor_net(max_epochs=5), random_state=0)
    unlearner.fit(X[:1200], y[:1200].astype(float), forget=np.arange(1200) < 100)
    result = MIAScorer(reference="retrain").measure(unlearner, X[1200:], y[1200:].astype(float))
    assert result.attack == "squared error"
    assert not result.matched


def test_scorers_do_not_print_bare_numbers_and_have_a_repr(noisy):
    X, y, forget = noisy
    unlearner = quick().fit(X[:1200], y[:1200], forget=forget[:1200])
    text = str(MIAScorer().measure(unlearner, X[1200:], y[1200:]))
    assert "interval" in text
    assert "reference" in text
    assert repr(MIAScorer()) == "MIAScorer(attack='strongest', match='class', reference=None)"
    assert repr(RetainedScorer()) == "RetainedScorer('accuracy')"


OF_TWO_CLASSES = pytest.mark.skipif(
    parse_version(sklearn.__version__) < parse_version("1.7"),
    reason="the Brier score of scikit-learn < 1.7 is for two classes",
)


@pytest.mark.parametrize(
    "scoring, n_gone",
    [
        ("neg_log_loss", 1),
        ("roc_auc_ovr", 1),
        ("roc_auc_ovo", 1),
        pytest.param("neg_brier_score", 1, marks=OF_TWO_CLASSES),
        ("top_k_accuracy", 1),  # of the decision function, in which a class that is gone is -inf
        ("neg_log_loss", 2),
        ("roc_auc", 2),
    ],
)
@pytest.mark.parametrize("names", [[0, 1, 2, 3], ["a", "b", "c", "d"]])
def test_probabilities_are_scored_over_the_classes_that_are_left(scoring, n_gone, names):
    rng = np.random.default_rng(0)
    codes = np.arange(200) // 2 % 4
    X = rng.normal(size=(200, 3)) + np.eye(4, 3)[codes]
    y, gone = np.array(names)[codes], codes < n_gone
    unlearner = RetrainUnlearner(LogisticRegression()).fit(X[::2], y[::2])
    unlearner.unlearn(indices=np.flatnonzero(gone[::2]))
    never = LogisticRegression().fit(X[::2][~gone[::2]], y[::2][~gone[::2]])
    expected = get_scorer(scoring)(never, X[~gone], y[~gone])
    assert RetainedScorer(scoring)(unlearner, X, y) == pytest.approx(expected, rel=1e-9)


def test_mass_on_a_forgotten_class_is_shared_out_and_no_prediction_changes():
    X, y = np.eye(3), np.arange(3)
    unlearner = RetrainUnlearner(DummyClassifier(strategy="prior")).fit(X, y)
    unlearner.unlearn(indices=[1])
    full = np.array([[0.2, 0.5, 0.3], [0.0, 1.0, 0.0]])
    unlearner.predict_proba = lambda X: full[: len(X)]
    seen = []

    def scorer(estimator, X, y):
        seen.append((estimator.predict_proba(X), estimator.predict(X), estimator.classes_))
        return 0.0

    RetainedScorer(scorer)(unlearner, X[[0, 2]], y[[0, 2]])
    probabilities, predicted, classes = seen[0]
    np.testing.assert_allclose(probabilities, [[0.4, 0.6], [0.5, 0.5]])
    np.testing.assert_array_equal(classes, [0, 2])
    np.testing.assert_array_equal(predicted, unlearner.predict(X[[0, 2]]))
