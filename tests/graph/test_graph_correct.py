"""GraphEraser.correct: other features or labels of nodes, and only their shards trained anew."""

import json
import pickle

import numpy as np
import pytest

pytest.importorskip("torch_geometric", reason="needs torch_geometric (the extra graph)")

import torch

from skunlearn.exceptions import AlreadyForgottenError, UnknownRowsError
from tests.graphs import make_eraser, planted, same, unchanged, weights

NODES = [40, 3, 77]  # not in order
NEW = torch.arange(18, dtype=torch.float32).reshape(3, 6) / 9


def corrected(data):
    """Other features of three nodes, and other labels."""
    data = data.clone()
    data.x[NODES] = NEW
    data.y[NODES] = (data.y[NODES] + 1) % 3
    return data


@pytest.mark.parametrize("aggregate", ["mean", "learned"])
def test_it_is_a_fit_on_the_corrected_graph(aggregate):
    data = planted()
    names = [f"paper {i}" for i in range(90)]
    right = corrected(data)
    eraser = make_eraser(aggregate=aggregate).fit(data, ids=names)
    before = eraser.predict_proba(right)
    eraser.correct([names[i] for i in NODES], NEW.numpy(), right.y[NODES])
    other = make_eraser(aggregate=aggregate).fit(right, ids=names)
    assert all(same(weights(a), weights(b)) for a, b in zip(eraser.estimators_, other.estimators_))
    assert np.array_equal(eraser.weights_, other.weights_)
    assert np.array_equal(eraser.predict(names), other.predict(names))
    assert not np.array_equal(before, eraser.predict_proba(right))
    assert data.x[3].tolist() != NEW[1].tolist()  # the user's graph stays
    # By its name a node is forgotten with its new values.
    eraser.unlearn(nodes=["paper 3"])
    other.unlearn(nodes=["paper 3"])
    assert np.array_equal(eraser.predict_proba(right), other.predict_proba(right))


def test_only_shards_of_the_nodes_are_trained_again_and_values_alone():
    data = planted()
    eraser = make_eraser().fit(data)
    old = [weights(net) for net in eraser.estimators_]
    eraser.correct([3], X_new=[NEW[1].tolist()])
    shard = int(eraser.shards_[3])
    assert eraser.deletions_[0]["shards_retrained"] == [shard]
    kept = [same(a, weights(net)) for a, net in zip(old, eraser.estimators_)]
    assert [i for i, stays in enumerate(kept) if not stays] == [shard]
    eraser.correct([3], y_new=[int(data.y[3] + 1) % 3])
    right = data.clone()
    right.x[3], right.y[3] = NEW[1], (data.y[3] + 1) % 3
    other = make_eraser().fit(right)
    assert all(same(weights(a), weights(b)) for a, b in zip(eraser.estimators_, other.estimators_))


def test_the_log_the_certificate_and_what_is_held():
    data = planted()
    eraser = make_eraser().fit(data).correct(NODES, NEW)
    entry = eraser.deletions_[0]
    assert (entry["rows"], entry["corrected"], entry["exact"]) == (3, 3, True)
    assert entry["forgotten"]["named_by"] == "rows"  # the names are in use still
    content = json.loads(eraser.certificate())
    assert (content["forgotten_rows"], content["retained_rows"]) == (0, 90)
    assert "Of 3 of them the old values" in eraser.certificate(format="letter")
    held = pickle.dumps(eraser)
    assert data.x[3].numpy().tobytes() not in held
    assert data.x[4].numpy().tobytes() in held
    kept = make_eraser(partition="bekm").fit(data).correct(NODES, NEW)
    assert not kept.deletions_[0]["exact"]  # the partition has seen the old values


@pytest.mark.parametrize(
    ("given", "error", "match"),
    [
        ({"nodes": [1]}, TypeError, "Pass the new values"),
        ({"nodes": [], "y_new": []}, ValueError, "empty"),
        ({"nodes": [1, 1], "y_new": [0, 1]}, ValueError, "more than once"),
        ({"nodes": [1, 2], "y_new": [0]}, ValueError, "y_new has 1 entries, but 2"),
        ({"nodes": [1], "y_new": [7]}, ValueError, "7"),
        ({"nodes": [1], "y_new": [[0]]}, ValueError, "shape"),
        ({"nodes": [1], "X_new": NEW}, ValueError, "X_new has 3 rows, but 1"),
        ({"nodes": [1], "X_new": NEW[0]}, ValueError, "shape"),
        ({"nodes": [1], "X_new": NEW[:1, :5]}, ValueError, "6 features"),
        ({"nodes": [1], "X_new": NEW[:1] * float("nan")}, ValueError, "NaN"),
        ({"nodes": [999], "y_new": [0]}, UnknownRowsError, "999"),
        ({"nodes": [8], "y_new": [0]}, AlreadyForgottenError, "8"),
        ({"nodes": [9], "y_new": [0]}, ValueError, "not in train_mask"),
    ],
)
def test_bad_requests_change_nothing(given, error, match):
    data = planted()
    data.train_mask = torch.arange(90) != 9
    eraser = make_eraser().fit(data).unlearn(nodes=[8])
    before = dict(vars(eraser))
    with pytest.raises(error, match=match):
        eraser.correct(**given)
    assert unchanged(eraser, before)
