"""Files that methods keep beside the model: none stays of a state that was given up."""

import copy
import gc
import os
import pickle

import numpy as np
import pytest
from sklearn.preprocessing import Normalizer

from skunlearn import AmnesiacUnlearner, RewindUnlearner, ShardedUnlearner, UnlearningPipeline
from skunlearn.exceptions import AccuracyDropError, UnlearningError
from skunlearn.utils._check_tools import outcome
from tests.small import net, quiet
from tests.turns import crossed_in_turns

pytestmark = quiet
MAKE = {
    "shards": lambda folder: ShardedUnlearner(
        net(max_epochs=2), n_shards=2, n_slices=2, folder=folder, random_state=0
    ),
    "updates": lambda folder: AmnesiacUnlearner(net(max_epochs=2), folder=folder, random_state=0),
    "rewind": lambda folder: RewindUnlearner(
        net(max_epochs=3), checkpoint_dir=folder, random_state=0
    ),
}
every = pytest.mark.parametrize("name", MAKE)


def pickled(unlearner):
    return pickle.loads(pickle.dumps(unlearner))


def files(folder):
    return sorted(str(path) for path in folder.rglob("*") if path.is_file())


def states(unlearner):
    return {item["state"] for item in unlearner.certificate()["derived"]}


def fail(*args, **kwargs):
    raise KeyboardInterrupt


@every
def test_a_second_fit_takes_the_place_of_the_first(data, tmp_path, name):
    X, y = data
    unlearner = MAKE[name](tmp_path).fit(X, y)
    first = files(tmp_path)
    unlearner.fit(X[10:], y[10:])
    assert len(first) > 0
    assert not set(first) & set(files(tmp_path))
    assert len(os.listdir(tmp_path)) == 1
    assert states(unlearner.unlearn(indices=[3])) == {"retrained"}


@every
def test_a_refused_request_leaves_the_files_that_there_were(data, tmp_path, name, monkeypatch):
    X, y = data
    unlearner = MAKE[name](tmp_path).fit(X, y).unlearn(indices=[3])
    expected = MAKE[name](tmp_path / "other").fit(X, y).unlearn(indices=[3])
    before = files(tmp_path)
    for where in ("base.log_entry", "base.judge", "base.purge_caches"):
        with monkeypatch.context() as patch:
            patch.setattr(f"skunlearn.{where}", fail)
            with pytest.raises(KeyboardInterrupt):
                unlearner.unlearn(indices=[4, 5])
        assert files(tmp_path) == before
        assert states(unlearner) == {"retrained"}
    for one in (unlearner, expected):
        one.unlearn(indices=[4, 5])
    assert np.array_equal(outcome(unlearner, X), outcome(expected, X))


@every
def test_one_that_costs_too_much_too(data, tmp_path, name):
    X, y = data
    unlearner = MAKE[name](tmp_path).fit(X, y).unlearn(indices=[3])
    before = files(tmp_path)
    with pytest.raises(AccuracyDropError):
        unlearner.unlearn(
            indices=np.arange(4, 50),
            max_accuracy_drop=0.0,
            X_val=X + 1e-3,
            y_val=unlearner.predict(X + 1e-3),
        )
    assert files(tmp_path) == before
    assert states(unlearner) == {"retrained"}


@every
def test_an_interrupted_fit_leaves_nothing(data, tmp_path, name, monkeypatch):
    X, y = data
    forget = np.arange(60) < 5
    unlearner = MAKE[name](tmp_path)
    monkeypatch.setattr("skunlearn.base.log_entry", fail)
    with pytest.raises(KeyboardInterrupt):
        unlearner.fit(X, y, forget=forget)
    assert not os.listdir(tmp_path)
    unlearner.fit(X, y)
    first = files(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        unlearner.fit(X, y, forget=forget)
    assert files(tmp_path) == first
    monkeypatch.undo()
    unlearner.unlearn(indices=[3])


@every
def test_what_cannot_be_deleted_is_told_and_the_request_is_done(data, tmp_path, name, monkeypatch):
    X, y = data
    unlearner = MAKE[name](tmp_path).fit(X, y)

    def refuse(path, *args, **kwargs):
        raise PermissionError(path)

    with monkeypatch.context() as patch:
        patch.setattr("skunlearn._files.own_folder.os.unlink", refuse)
        with pytest.warns(UserWarning, match="could not be deleted"):
            unlearner.unlearn(indices=[3])
    assert len(unlearner.deletions_) == 1
    assert states(unlearner) == {"still there"}
    unlearner.unlearn(indices=[4])
    assert states(unlearner) == {"retrained"}


def test_a_pipeline_whose_second_fit_fails_keeps_the_files_of_the_first(
    data, tmp_path, monkeypatch
):
    X, y = data
    steps = [("norm", Normalizer()), ("last", MAKE["updates"](tmp_path))]
    pipeline = UnlearningPipeline(steps).fit(X, y)
    first = files(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("skunlearn.compose.pipeline.TrainingRecord", fail)
        with pytest.raises(KeyboardInterrupt):
            pipeline.fit(X, y)
    assert files(tmp_path) == first
    pipeline.unlearn(indices=[3])
    pipeline.fit(X, y)
    assert not set(first) & set(files(tmp_path))


@pytest.mark.parametrize(
    "name, given, make", crossed_in_turns(MAKE, [True, False], [copy.copy, copy.deepcopy, pickled])
)
def test_a_fit_of_a_copy_leaves_the_other_its_files(data, tmp_path, name, given, make):
    """Workers of a queue fit copies of the unlearner that they were given."""
    X, y = data
    unlearner, alone = (MAKE[name](tmp_path if given else None).fit(X, y) for _ in range(2))
    one = make(unlearner).fit(X[10:], y[10:])
    unlearner.unlearn(indices=[3])
    assert np.array_equal(outcome(unlearner, X), outcome(alone.unlearn(indices=[3]), X))
    assert states(unlearner) == states(one.unlearn(indices=[3])) == {"retrained"}


@pytest.mark.parametrize("make", [copy.copy, copy.deepcopy, pickled])
@every
def test_a_request_of_a_copy_leaves_the_other_its_newer_files(data, tmp_path, name, make):
    """The copy is of before; what is gone it says, and what is left it has by itself."""
    X, y = data
    unlearner = MAKE[name](tmp_path / "one").fit(X, y)
    other = make(unlearner)
    unlearner.unlearn(indices=[3])
    before = files(tmp_path / "one")
    if name == "shards":  # they are trained anew
        other.unlearn(indices=[4])
    else:
        with pytest.raises(UnlearningError, match="a copy of this estimator"):
            other.unlearn(indices=[4])
    assert set(files(tmp_path / "one")) >= set(before)
    expected = MAKE[name](tmp_path / "two").fit(X, y).unlearn(indices=[3]).unlearn(indices=[4])
    assert np.array_equal(outcome(unlearner.unlearn(indices=[4]), X), outcome(expected, X))
    # What the other had goes with it, and what it left behind when nobody has that.
    if name == "shards":
        assert len(os.listdir(tmp_path / "one")) == 2
        del unlearner
        gc.collect()
        assert [os.path.basename(other._folder.path)] == os.listdir(tmp_path / "one")
