"""An audit of an estimator that was loaded, of rows that are brought to it."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch.utils.data import Subset, TensorDataset

from skunlearn import FineTuneUnlearner, RetrainUnlearner, UnlearningPipeline
from skunlearn.evaluation import audit
from skunlearn.exceptions import DataNotStoredError
from skunlearn.metrics import MIAScorer
from tests.instances import make_net

N, GONE = 200, np.arange(60)  # training rows, and those that two requests name


@pytest.fixture(scope="module")
def data():
    X, y = make_classification(400, 20, n_informative=3, n_redundant=0, random_state=0)
    return X.astype(np.float32), y


def forgotten(unlearner, X, y):
    unlearner.fit(X, y)
    for request in (GONE[:20], GONE[20:]):
        unlearner.unlearn(indices=request)
    return unlearner


def figures(report):
    return report.frame.query("metric != 'seconds'").reset_index(drop=True)


def test_a_loaded_estimator_is_audited_as_the_one_that_was_saved(data, tmp_path):
    X, y = data
    net = make_net(module__n_out=2, max_epochs=2)
    unlearner = forgotten(FineTuneUnlearner(net, max_epochs=1, random_state=0), X[:N], y[:N])
    unseen = X[N:], y[N:]
    wanted = audit(unlearner, *unseen, retrained=None)
    unlearner.save(tmp_path / "file")
    loaded = FineTuneUnlearner(net, max_epochs=1, random_state=0).load(tmp_path / "file")
    for ask in (lambda: audit(loaded, *unseen), lambda: MIAScorer().measure(loaded, *unseen)):
        with pytest.raises(ValueError, match=r"attach\(X, y\).*X_forget=, y_forget="):
            ask()
    with pytest.raises(DataNotStoredError, match=r"To unlearn, and for nothing else"):
        audit(loaded, *unseen, X_forget=X[GONE], y_forget=y[GONE])  # which takes no X_retain
    left = np.arange(60, N)
    loaded.attach(X[left], y[left])
    last = {"X_forget": X[GONE[20:]], "y_forget": y[GONE[20:]]}
    found = audit(loaded, *unseen, **last, retrained=None)
    pd.testing.assert_frame_equal(figures(found), figures(wanted))
    assert any("40 rows of X_forget, of 60 that were forgotten" in w for w in found.warnings)


def test_all_rows_that_were_ever_forgotten_are_judged(data):
    X, y = data
    unlearner = forgotten(RetrainUnlearner(LogisticRegression(), random_state=0), X[:N], y[:N])
    everything = {"X_forget": X[GONE], "y_forget": y[GONE]}
    report = audit(unlearner, X[N:], y[N:], **everything)
    assert report.rows["forget"] == len(GONE)
    assert not any(text.startswith("Judged") for text in report.warnings)
    seconds = report.wide.loc["RetrainUnlearner", "seconds"]
    assert seconds == sum(entry["seconds"] for entry in unlearner.deletions_)
    again = audit(pickle.loads(pickle.dumps(unlearner)), X[N:], y[N:], **everything)
    pd.testing.assert_frame_equal(figures(again), figures(report))


def test_rows_that_were_not_forgotten_are_refused(data):
    X, y = data
    unlearner = forgotten(RetrainUnlearner(LogisticRegression(), random_state=0), X[:N], y[:N])
    rows = np.r_[52:70, N : N + 2]
    with pytest.raises(ValueError, match=r"holds 12 rows, of 20, .*\(10 of them are retained\)"):
        audit(unlearner, X[N:], y[N:], X_forget=X[rows], y_forget=y[rows])
    with pytest.raises(ValueError, match="y_forget comes with the rows"):
        audit(unlearner, X[N:], y[N:], y_forget=y[GONE])
    with pytest.raises(ValueError, match="holds no row"):
        audit(unlearner, X[N:], y[N:], X_forget=X[:0], y_forget=y[:0])


def test_rows_of_data_sets_and_pipelines_are_brought_alike(data):
    X, y = data
    whole = TensorDataset(torch.from_numpy(X), torch.from_numpy(y))
    net = make_net(module__n_out=2, max_epochs=1)
    train, unseen = Subset(whole, range(N)), Subset(whole, range(N, 400))
    unlearner = forgotten(RetrainUnlearner(net, random_state=0), train, None)
    loaded = pickle.loads(pickle.dumps(unlearner)).attach(train)
    gone = Subset(train, GONE.tolist())
    assert audit(loaded, unseen, X_forget=gone, retrained=None).rows["forget"] == len(GONE)
    with pytest.raises(ValueError, match=r"10 of them are retained"):
        audit(loaded, unseen, X_forget=Subset(train, range(50, 70)), retrained=None)

    steps = [("scale", StandardScaler()), ("last", RetrainUnlearner(LogisticRegression()))]
    piped = forgotten(UnlearningPipeline(steps), X[:N], y[:N])
    brought = {"X_forget": X[GONE], "y_forget": y[GONE]}
    report = audit(pickle.loads(pickle.dumps(piped)), X[N:], y[N:], **brought)
    assert report.verdicts["RetrainUnlearner"].kind == "indistinguishable"
