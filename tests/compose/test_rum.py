"""RUM: each part of the forget rows goes to its method."""

import numpy as np
import pytest

from skunlearn import (
    AmnesiacUnlearner,
    CFkUnlearner,
    FineTuneUnlearner,
    FisherForgettingUnlearner,
    NoisyFineTuneUnlearner,
    RetrainUnlearner,
    RUMUnlearner,
    ShrinkPerturbUnlearner,
    SSDUnlearner,
)
from skunlearn._rows.views import Rows
from tests.method_nets import FORGET, headed

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def test_rum_hands_each_part_to_its_method(data, monkeypatch):
    X, y = data
    seen = []
    monkeypatch.setattr(
        CFkUnlearner, "_unlearn", lambda self, net, retain, forget: seen.append(forget.index)
    )
    unlearner = RUMUnlearner(headed(), unlearners=[CFkUnlearner(headed())] * 3, random_state=0).fit(
        X, y
    )
    p = unlearner.predict_proba(X)[FORGET, y[FORGET]]
    unlearner.unlearn(indices=FORGET)
    assert [len(part) for part in seen] == [4, 4, 4]
    assert np.array_equal(np.concatenate(seen), FORGET[np.argsort(-p, kind="stable")])
    inside = [AmnesiacUnlearner(headed())], [NoisyFineTuneUnlearner(headed())]
    for bad in ([], "all", [RetrainUnlearner(headed())], *inside):
        with pytest.raises(TypeError, match="unlearners must"):
            RUMUnlearner(headed(), unlearners=bad).fit(X, y)


def test_promises_are_those_of_the_methods_inside():
    net = headed()

    def promise(*methods, **params):
        return RUMUnlearner(net, unlearners=[m(net) for m in methods], **params)._make_promises()

    plain = promise(FineTuneUnlearner)
    assert not plain.edits_weights
    assert not plain.adds_noise
    assert not plain.class_only
    edits = promise(FineTuneUnlearner, SSDUnlearner)
    assert edits.edits_weights
    assert edits.class_only
    assert promise(FisherForgettingUnlearner).adds_noise
    shrinks = promise(ShrinkPerturbUnlearner, FineTuneUnlearner)
    assert shrinks.trains_from_scratch
    assert shrinks.accuracy_drop == ShrinkPerturbUnlearner._promises.accuracy_drop
    assert promise(FineTuneUnlearner, memorisation="retrain").trains_from_scratch


def test_memorisation_by_retraining(data):
    X, y = data
    unlearner = RUMUnlearner(headed(max_epochs=60), memorisation="retrain", random_state=0).fit(
        X, y
    )
    forget, retain = Rows(X, y, FORGET), Rows(X, y, np.arange(12, 60))
    never = RetrainUnlearner(headed(max_epochs=60), random_state=0).fit(X[12:], y[12:])
    rows = np.arange(12), y[FORGET]
    expected = unlearner.predict_proba(X[FORGET])[rows] - never.predict_proba(X[FORGET])[rows]
    assert unlearner._measure_memorisation(retain, forget) == pytest.approx(expected, abs=1e-5)
