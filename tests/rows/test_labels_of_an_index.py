"""The labels of a frame's index are no positions: after a split they would name other rows."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.preprocessing import StandardScaler

from skunlearn import (
    RetrainUnlearner,
    RidgeUnlearner,
    SufficientStatisticsUnlearner,
    UnlearningPipeline,
)
from skunlearn.production import DeletionQueue
from tests.instances import make_net

N = 40


def draw(seed=0):
    """Rows as a split leaves them: the numbers of the whole table, in another order."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(N, 3)), columns=list("abc"), index=rng.permutation(N))
    return X, pd.Series(np.arange(N) % 3, index=X.index)


def pipeline():
    return UnlearningPipeline([("s", StandardScaler()), ("m", RetrainUnlearner(GaussianNB()))])


MAKE = {
    "sums": lambda: SufficientStatisticsUnlearner(GaussianNB()),
    "ridge": lambda: RidgeUnlearner(Ridge()),
    "pipeline": pipeline,
}


@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE.keys())
@pytest.mark.parametrize("bare", [False, True], ids=["frame", "labels alone are a series"])
def test_an_index_of_labels_is_refused(make, bare):
    X, y = draw()
    rows = X.to_numpy() if bare else X
    unlearner = make().fit(rows, y)
    wanted = X.index[y == 1][:4]
    for request in (unlearner.unlearn, lambda **named: unlearner.correct(y_new=[0] * 4, **named)):
        with pytest.raises(TypeError, match=r"X\.index\.get_indexer\(indices\)"):
            request(indices=wanted)
    assert not unlearner.deletions_
    unlearner.unlearn(indices=X.index.get_indexer(wanted))  # as the error says
    gone = np.flatnonzero(~unlearner._record.retained)
    assert X.index[gone].sort_values().equals(wanted.sort_values())


@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE.keys())
def test_an_index_of_positions_does(make):
    X, y = draw()
    X, y = X.reset_index(drop=True), y.reset_index(drop=True)
    wanted = X.index[y == 1][:4]
    unlearner = make().fit(X, y).unlearn(indices=wanted)
    assert np.array_equal(np.flatnonzero(~unlearner._record.retained), wanted)
    again = pickle.loads(pickle.dumps(unlearner)).unlearn(indices=X.index[y == 2][:2])
    assert np.flatnonzero(~again._record.retained).tolist() == [1, 2, 4, 5, 7, 10]


def test_labels_are_known_after_a_correction_and_from_a_pickle():
    X, y = draw()
    unlearner = RidgeUnlearner(Ridge()).fit(X, y)
    unlearner.correct(indices=[0], y_new=[1])
    for model in (unlearner, pickle.loads(pickle.dumps(unlearner))):
        with pytest.raises(TypeError, match="an Index of pandas"):
            model.unlearn(indices=X.index[:2])


def test_a_file_knows_no_index(tmp_path):
    """Whether labels are positions nobody can say there, so that one says which they are."""
    X, y = draw()
    X, path = X.astype(np.float32), tmp_path / "model"
    net = make_net(module__n_out=3, module__hidden=4, max_epochs=1)
    steps = [("s", StandardScaler()), ("m", RetrainUnlearner(net, random_state=0))]
    UnlearningPipeline(steps).fit(X, y).save(path)
    loaded = UnlearningPipeline(steps).load(path).attach(X, y)
    with pytest.raises(TypeError, match="may be others than their positions"):
        loaded.unlearn(indices=X.index[:2])
    loaded.unlearn(indices=X.index.get_indexer(X.index[:2]))
    assert np.flatnonzero(~loaded._record.retained).tolist() == [0, 1]


def test_arrays_have_no_labels():
    """Positions come as an Index too where the rows have none."""
    X, y = draw()
    unlearner = RidgeUnlearner(Ridge()).fit(X.to_numpy(), y.to_numpy())
    unlearner.unlearn(indices=pd.Index([3, 5]))
    assert np.flatnonzero(~unlearner._record.retained).tolist() == [3, 5]


def test_a_queue_does_not_know_the_rows(tmp_path):
    X, _ = draw()
    queue = DeletionQueue(tmp_path / "queue")
    with pytest.raises(TypeError, match="may be others than their positions"):
        queue.submit("ticket", indices=X.index[:2])
    with pytest.raises(KeyError):
        queue.status("ticket")
    assert queue.submit("ticket", indices=X.index[:2].to_numpy())["state"] == "pending"
    assert queue.submit("other", ids=X.index[:2])["state"] == "pending"  # names are no positions
