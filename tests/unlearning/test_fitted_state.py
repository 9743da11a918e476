"""What fits and requests leave on an estimator: one state, that of outsiders' methods too."""

import copy
import dataclasses
import pickle

import numpy as np
import pytest
import torch
from sklearn import config_context

from skunlearn import FineTuneUnlearner, NetUnlearner, RetrainUnlearner, UnlearningPipeline
from skunlearn.exceptions import IncompleteFileWarning, UnlearningError
from tests.small import FORGET, net

pytestmark = pytest.mark.filterwarnings("ignore::skunlearn.exceptions.NotForgottenWarning")


class Remembers(NetUnlearner):
    """An outsider's method, which keeps things of every kind on itself."""

    def _unlearn(self, net, retain, forget):
        self._rounds = getattr(self, "_rounds", 0) + 1
        self._gone = np.asarray(forget.y, dtype=np.int64)
        self._mean = torch.ones(3)
        self.seen_ = {"rows": len(retain)}
        if len(forget) == 1:
            raise UnlearningError("one row is too few")
        self._run(net, retain)


class KeepsAnObject(Remembers):
    def _unlearn(self, net, retain, forget):
        super()._unlearn(net, retain, forget)
        self._set = {1, 2}


@pytest.fixture
def fitted(data):
    return Remembers(net(), lr=0.05, random_state=0).fit(*data).unlearn(indices=FORGET)


def test_an_outsiders_state_is_cleared_by_a_second_fit(data, fitted):
    assert fitted._rounds == 1
    fitted.unlearn(indices=[10, 11])
    assert (fitted._rounds, fitted.seen_) == (2, {"rows": len(data[0]) - 8})
    fitted.fit(*data)
    assert not {"_rounds", "_gone", "_mean", "seen_"} & vars(fitted).keys()
    assert fitted.unlearn(indices=FORGET)._rounds == 1


def test_a_draft_knows_its_request_and_nobody_else_does(data):
    seen = []

    class Looks(Remembers):
        def _unlearn(self, net, retain, forget):
            seen.append(self._removal)
            super()._unlearn(net, retain, forget)

    unlearner = Looks(net(), lr=0.05, random_state=0).fit(*data).unlearn(indices=FORGET)
    assert np.array_equal(seen[0].positions, FORGET)
    assert len(seen[0].retain) == seen[0].record.retained.sum() == len(data[0]) - len(FORGET)
    assert unlearner._removal is None
    with pytest.raises(UnlearningError, match="one row"):
        unlearner.unlearn(indices=[20])
    assert unlearner._removal is None


def test_what_was_there_before_fit_stays(data):
    unlearner = Remembers(net(), random_state=0)
    unlearner.note = "of the user's"
    unlearner.fit(*data).fit(*data)
    assert unlearner.note == "of the user's"
    with config_context(enable_metadata_routing=True):
        unlearner.set_fit_request(sample_weight=True)  # after a fit
        assert "_metadata_request" in vars(unlearner.fit(*data))


def test_an_outsiders_state_travels_in_pickles(fitted):
    again = pickle.loads(pickle.dumps(fitted))
    assert (again._rounds, again.seen_) == (fitted._rounds, fitted.seen_)
    assert np.array_equal(again._gone, fitted._gone)
    assert again.unlearn(indices=[10, 11])._rounds == 2


def test_an_outsiders_state_travels_in_files(data, fitted, tmp_path):
    fitted.save(tmp_path / "model")
    again = Remembers(net(), lr=0.05, random_state=0).load(tmp_path / "model")
    assert (again._rounds, again.seen_) == (fitted._rounds, fitted.seen_)
    assert np.array_equal(again._gone, fitted._gone)
    assert again._gone.dtype == np.int64
    assert torch.equal(again._mean, torch.ones(3))
    assert "_rounds" not in vars(again.fit(*data))


def test_files_hold_what_is_made_of_arrays(data, tmp_path):
    kept = {
        "fisher_": {"weight": torch.ones(2, 3), "bias": torch.arange(2)},
        "halves_": list(torch.arange(6.0).split(3)),  # which share their memory
        "classes_seen_": {0: np.ones((2, 3)), 7: (np.int64(3) * np.arange(2), "text", None)},
        "losses_": [1.5, float("nan")],
        "shape_": (3, 4),
    }

    class Keeps(Remembers):
        def _unlearn(self, net, retain, forget):
            vars(self).update(kept)
            self._run(net, retain)

    Keeps(net(), random_state=0).fit(*data).unlearn(indices=FORGET).save(tmp_path / "model")
    again = Keeps(net(), random_state=0).load(tmp_path / "model")
    for name, value in kept.items():
        assert repr(vars(again)[name]) == repr(value)
    assert not kept.keys() & vars(again.fit(*data)).keys()


def test_what_no_file_can_hold_is_named(data, tmp_path):
    unlearner = KeepsAnObject(net(), lr=0.05, random_state=0).fit(*data)
    unlearner.unlearn(indices=FORGET)
    with pytest.warns(IncompleteFileWarning, match="does not hold _set of KeepsAnObject"):
        unlearner.save(tmp_path / "model")
    assert pickle.loads(pickle.dumps(unlearner))._set == {1, 2}


@pytest.mark.parametrize("method", [FineTuneUnlearner, UnlearningPipeline])
def test_load_of_a_class_says_what_to_do(method, tmp_path):
    for read in (
        lambda: method.load("model"),
        lambda: method.load(tmp_path / "model"),
        lambda: method.load(path="model"),
    ):
        with pytest.raises(TypeError, match=r"on the class.*FineTuneUnlearner\(net\)\.load"):
            read()
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'path'"):
        method(net()).load()


def test_a_failed_request_leaves_nothing_of_an_outsiders(fitted):
    before = dict(vars(fitted))
    with pytest.raises(UnlearningError, match="too few"):
        fitted.unlearn(indices=[20])
    assert vars(fitted).keys() == before.keys()
    assert all(vars(fitted)[name] is value for name, value in before.items())


def test_a_failed_fit_leaves_the_state_as_it_was(data, fitted):
    before = dict(vars(fitted))
    with pytest.raises(ValueError, match="forget"):
        fitted.fit(*data, forget=np.ones(3, dtype=bool))
    assert all(vars(fitted)[name] is value for name, value in before.items())


@pytest.mark.parametrize("method", [FineTuneUnlearner, RetrainUnlearner])
def test_the_state_is_one_object_that_never_changes(data, method):
    unlearner = method(net(), random_state=0).fit(*data)
    state = unlearner._fitted
    with pytest.raises(dataclasses.FrozenInstanceError):
        state.model = None
    kept = copy.copy(unlearner)
    unlearner.unlearn(indices=FORGET)
    assert unlearner._fitted is not state
    assert kept._fitted is state
    assert state.deletions == []
    assert len(unlearner.deletions_) == 1
    assert state.record.retained.all()
    assert not unlearner._record.retained[FORGET].any()
    with pytest.raises(AttributeError):
        unlearner.estimator_ = None
