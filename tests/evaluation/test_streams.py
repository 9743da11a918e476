"""Many requests, one after the other."""

import pickle

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.naive_bayes import GaussianNB

from skunlearn import FineTuneUnlearner, GradientAscentUnlearner, RetrainUnlearner
from skunlearn._rows.containers import digest_of
from skunlearn._torch.parts.net_state import weights
from skunlearn.evaluation import deletion_stream
from tests.small import net, quiet


@pytest.fixture
def halves(data):
    X, y = data
    return X[:40], y[:40], X[40:], y[40:]


def bits(unlearner):
    return digest_of(*(v.numpy() for v in weights(unlearner.estimator_).values()))


@quiet
def test_audits(halves):
    X, y, X_test, y_test = halves
    unlearner = FineTuneUnlearner(net(), max_epochs=1, random_state=0).fit(X, y)
    requests = [[0], {"X_forget": X[1:3], "y_forget": y[1:3]}, 3, {"indices": [4]}, [5]]
    audits = list(deletion_stream(unlearner, requests, X_test, y_test, every=2))
    assert [a["requests"] for a in audits] == [2, 4, 5]
    assert [a["rows"] for a in audits] == [3, 5, 6]
    assert audits[0]["seconds"] < audits[1]["seconds"] < audits[2]["seconds"]
    assert audits[0]["seconds retraining"] < audits[1]["seconds retraining"]
    again = RetrainUnlearner(net(), random_state=0).fit(X[6:], y[6:])
    assert audits[-1]["score retrained"] == again.score(X_test, y_test)
    assert audits[-1]["score forgotten retrained"] == again.score(X[:6], y[:6])
    assert audits[-1]["score"] == unlearner.score(X_test, y_test)
    assert audits[-1]["score forgotten"] == unlearner.score(X[:6], y[:6])
    assert 0 <= audits[-1]["AUC"] <= 1


@quiet
@pytest.mark.parametrize("cls", [FineTuneUnlearner, GradientAscentUnlearner])
def test_restart_in_the_middle_loses_nothing(cls, halves):
    X, y, X_test, y_test = halves
    requests = [[i] for i in range(6)]
    plain = cls(net(), max_epochs=1, random_state=0).fit(X, y)
    audits = list(deletion_stream(plain, requests, X_test, y_test, every=2, reference=False))
    stopped = cls(net(), max_epochs=1, random_state=0).fit(X, y)
    stream = deletion_stream(stopped, requests, X_test, y_test, every=2, reference=False)
    next(stream), next(stream)
    restarted = pickle.loads(pickle.dumps(stopped))
    rest = list(deletion_stream(restarted, requests, X_test, y_test, every=2, reference=False))
    assert [a["requests"] for a in rest] == [6]
    assert rest[0]["score"] == audits[-1]["score"]
    assert rest[0]["rows"] == 6
    assert bits(restarted) == bits(plain)
    assert not restarted._record.retained[:6].any()


def test_models_without_probabilities_and_regressors(halves):
    X, y, X_test, y_test = halves
    unlearner = RetrainUnlearner(LinearRegression(), random_state=0).fit(X, y.astype(float))
    (audit,) = deletion_stream(unlearner, range(3), X_test, y_test.astype(float))
    assert audit["AUC"] == audit["AUC retrained"]
    assert audit["score"] == pytest.approx(audit["score retrained"])


def test_nothing_to_do(halves):
    X, y, X_test, y_test = halves
    unlearner = RetrainUnlearner(GaussianNB()).fit(X, y).unlearn(indices=[0])
    assert list(deletion_stream(unlearner, [[0]], X_test, y_test)) == []


def test_bad_input(halves):
    X, y, X_test, y_test = halves
    with pytest.raises(TypeError, match="needs an unlearner"):
        deletion_stream(GaussianNB(), [], X_test, y_test)
    unlearner = RetrainUnlearner(GaussianNB()).fit(X, y).unlearn(indices=[0])
    with pytest.raises(ValueError, match="has fulfilled 1 requests, but there are only 0"):
        deletion_stream(unlearner, [], X_test, y_test)
    with pytest.raises(ValueError, match="training rows"):
        deletion_stream(unlearner, [[0]], X, y)
    stream = deletion_stream(unlearner, [[0], [1], [1]], X_test, y_test, every=1)
    next(stream)
    with pytest.raises(ValueError, match="forgotten by an earlier request"):
        next(stream)
    assert len(unlearner.deletions_) == 2


def test_duplicates_of_the_first_call_stay_forgotten(halves):
    X, y, X_test, y_test = halves
    unlearner = RetrainUnlearner(GaussianNB()).fit(np.concatenate([X, X[:1]]), np.append(y, y[0]))
    (audit,) = deletion_stream(unlearner, [{"X_forget": X[:1]}], X_test, y_test)
    assert audit["rows"] == 2
