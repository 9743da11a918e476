"""GraphEraser: exactness of each shard, what is retrained, what is left behind."""

import pickle

import numpy as np
import pytest

pytest.importorskip("torch_geometric", reason="needs torch_geometric (the extra graph)")

import torch
from torch_geometric.data import Data

from skunlearn._rows.seeding import derive_seed
from skunlearn.exceptions import UnlearningError
from skunlearn.graph import GraphEraser, _aggregation, _nets, graph_eraser
from skunlearn.graph._aggregation import learn_weights
from tests.graphs import (
    by_hand,
    edge_within,
    make_eraser,
    make_net,
    planted,
    same,
    unchanged,
    weights,
    without,
)

PARTITIONS = ("random", "blpa", "bekm")


@pytest.fixture
def spy(monkeypatch):
    """Sizes of the graphs on which nets are trained."""
    trained, plain = [], _nets.train

    def train(estimator, graph, *args, **kwargs):
        trained.append(len(graph))
        return plain(estimator, graph, *args, **kwargs)

    monkeypatch.setattr(_nets, "train", train)
    return trained


# ------------------------------------------------------------------ exactness


@pytest.mark.parametrize("partition", PARTITIONS)
def test_each_net_is_that_of_a_plain_loop_over_its_shard(partition):
    data = planted()
    eraser = make_eraser(partition=partition).fit(data)
    eraser.unlearn(nodes=[4, 7]).unlearn(edges=[edge_within(eraser, data)])
    u, v = edge_within(make_eraser(partition=partition).fit(data).unlearn(nodes=[4, 7]), data)
    gone = {(u, v), (v, u)}
    left = [pair for pair in data.edge_index.T.tolist() if tuple(pair) not in gone]
    data = Data(x=data.x, edge_index=torch.tensor(left).T, y=data.y)
    for shard, net in enumerate(eraser.estimators_):
        others = np.flatnonzero(eraser.shards_ != shard)
        part, _ = without(data, others)
        assert len(part.y) > 10
        oracle = by_hand(part, derive_seed(eraser._seed, 1, shard))
        assert same(oracle.state_dict(), weights(net))


@pytest.mark.parametrize("aggregate", ["mean", "learned"])
def test_with_a_random_partition_all_of_it_is_a_fit_without(aggregate):
    data, gone = planted(), [3, 50, 51]
    part, kept = without(data, gone)
    names = [f"paper {i}" for i in range(90)]
    eraser = make_eraser(aggregate=aggregate).fit(data, ids=names)
    before = eraser.predict_proba(part)
    eraser.unlearn(nodes=[names[i] for i in gone])
    other = make_eraser(aggregate=aggregate).fit(part, ids=[names[i] for i in kept])
    assert np.array_equal(eraser.shards_[kept], other.shards_)
    assert np.array_equal(eraser.weights_, other.weights_)
    assert all(same(weights(a), weights(b)) for a, b in zip(eraser.estimators_, other.estimators_))
    assert np.array_equal(eraser.predict_proba(part), other.predict_proba(part))
    assert np.array_equal(eraser.predict([names[i] for i in kept]), other.predict(part))
    assert not np.array_equal(before, other.predict_proba(part))


def test_edges_forgotten_are_edges_never_seen():
    data = planted()
    eraser = make_eraser(aggregate="learned").fit(data)
    pairs = [edge_within(eraser, data), edge_within(eraser, data, within=False)]
    gone = {pair for u, v in pairs for pair in ((u, v), (v, u))}
    left = [pair for pair in data.edge_index.T.tolist() if tuple(pair) not in gone]
    assert len(left) == data.num_edges - 4
    part = Data(x=data.x, edge_index=torch.tensor(left).T, y=data.y)
    eraser.unlearn(edges=pairs)
    other = make_eraser(aggregate="learned").fit(part)
    assert np.array_equal(eraser.predict_proba(range(90)), other.predict_proba(range(90)))
    assert np.array_equal(eraser.weights_, other.weights_)


# ------------------------------------------------------------------ what is retrained


def test_only_the_touched_shard_is_retrained(spy):
    eraser = make_eraser().fit(planted())
    assert len(spy) == 3
    before, size = list(eraser.estimators_), np.bincount(eraser.shards_)
    shard = eraser.shards_[11]
    eraser.unlearn(nodes=[11])
    assert spy[3:] == [size[shard] - 1]
    for i in range(3):
        assert (eraser.estimators_[i] is before[i]) == (i != shard)
    assert eraser.shards_[11] == -1
    assert eraser.deletions_[0]["shards_retrained"] == [shard]


def test_edges_within_a_shard_and_between_shards(spy):
    data = planted()
    eraser = make_eraser().fit(data)
    nets, proba = list(eraser.estimators_), eraser.predict_proba(range(90))
    u, v = edge_within(eraser, data, within=False)
    eraser.unlearn(edges=[[u, v]])
    assert len(spy) == 3
    assert all(a is b for a, b in zip(nets, eraser.estimators_))
    assert not np.array_equal(proba, eraser.predict_proba(range(90)))  # nobody predicts with it
    u, v = edge_within(eraser, data)
    eraser.unlearn(edges=np.array([[u, v]]))
    assert len(spy) == 4
    assert [i for i in range(3) if nets[i] is not eraser.estimators_[i]] == [eraser.shards_[u]]
    assert [entry["shards_retrained"] for entry in eraser.deletions_] == [[], [eraser.shards_[u]]]


def test_embeddings_of_balanced_kmeans(spy):
    data = planted()
    initial = make_eraser(partition="bekm").fit(data)
    assert len(spy) == 3
    trained = make_eraser(partition="bekm", embedding="trained").fit(data)
    assert spy[3] == 90
    assert len(spy) == 7
    assert not np.array_equal(initial.shards_, trained.shards_)


def test_learned_weights_are_fitted_again(monkeypatch):
    eraser = make_eraser(aggregate="learned", penalty=0.0).fit(planted())
    before = eraser.weights_
    eraser.unlearn(nodes=np.flatnonzero(eraser.shards_ == 0)[:8])
    assert before.sum() == pytest.approx(1)
    assert not np.array_equal(before, eraser.weights_)
    graph = eraser._graph
    q = [p[np.arange(len(graph)), graph.y] for _, p in eraser._posteriors(graph)]
    assert len(graph) == 82
    assert np.array_equal(learn_weights(np.column_stack(q), 0.0), eraser.weights_)


# ------------------------------------------------------------------ what is left behind


def test_nothing_of_a_forgotten_node_is_left():
    data = planted()
    data.x[5] = torch.tensor([12345.678, -7.25, 3.5e7, 1.125, 99.0625, -0.3333])
    marker = data.x[5].numpy().tobytes()
    eraser = make_eraser().fit(data)
    assert marker in pickle.dumps(eraser)
    eraser.unlearn(nodes=[5])
    assert marker not in pickle.dumps(eraser)
    for value in data.x[5].numpy():
        assert value.tobytes() not in pickle.dumps(eraser)
    part, kept = without(data, [5])
    graph = pickle.loads(pickle.dumps(eraser))._graph
    assert torch.equal(graph.x, part.x)
    assert torch.equal(graph.edge_index, part.edge_index)
    assert graph.position.tolist() == kept
    assert graph.x.untyped_storage().nbytes() == graph.x.nbytes
    assert eraser._graph.x.data_ptr() != data.x.data_ptr()


def test_a_view_of_a_larger_tensor_does_not_drag_it_along():
    data = planted()
    whole = torch.cat([data.x, torch.full((1, 6), 54321.25)])
    data.x = whole[:90]
    assert whole[90:].numpy().tobytes() not in pickle.dumps(make_eraser().fit(data))


def test_pickles_go_on_forgetting_alike():
    data = planted()
    eraser = make_eraser().fit(data).unlearn(nodes=[1])
    other = pickle.loads(pickle.dumps(eraser)).unlearn(nodes=[2, 60])
    eraser.unlearn(nodes=[2, 60])
    assert np.array_equal(eraser.predict_proba(data), other.predict_proba(data))
    assert [entry["rows"] for entry in other.deletions_] == [1, 2]
    assert eraser._record.retained.sum() == 87


def test_the_users_objects_are_left_alone():
    data, net = planted(), make_net()
    copy = data.clone()
    GraphEraser(net, n_shards=2, random_state=0).fit(data).unlearn(nodes=[0])
    assert not net.initialized_
    assert "infer" not in vars(net)
    assert all(torch.equal(data[key], copy[key]) for key in ("x", "edge_index", "y"))


def test_a_pickle_leaves_the_weights_of_the_users_net_out():
    """It may have been trained elsewhere on nodes that are gone."""
    net = make_net().initialize()
    with torch.no_grad():
        net.module_.convs[0].bias.fill_(7654.321)
    marker = net.module_.convs[0].bias.detach().numpy().tobytes()
    eraser = GraphEraser(net, n_shards=2, random_state=0).fit(planted())
    assert marker in pickle.dumps(net)
    assert marker not in pickle.dumps(eraser)
    assert net.module_.convs[0].bias[0] == torch.tensor(7654.321)


def test_the_nets_are_no_longer_bound_to_the_graph():
    eraser = make_eraser().fit(planted())
    eraser.predict([0])
    assert not any("infer" in vars(net) for net in eraser.estimators_)


# ------------------------------------------------------------------ all or nothing


class Failing(torch.optim.Adam):
    """Fails in the step that is asked for."""

    left = None

    def step(self, *args, **kwargs):
        if Failing.left is not None:
            Failing.left -= 1
            if Failing.left < 0:
                raise Failing.error
        return super().step(*args, **kwargs)


@pytest.mark.parametrize("error", [RuntimeError("no memory"), KeyboardInterrupt()])
@pytest.mark.parametrize("steps", [3, 11])
def test_a_failure_leaves_all_as_it_was(monkeypatch, error, steps):
    """In the first of two retrainings, and in the second."""
    data = planted()
    eraser = GraphEraser(
        make_net(optimizer=Failing), n_shards=3, aggregate="learned", random_state=0
    ).fit(data)
    before, proba = dict(vars(eraser)), eraser.predict_proba(data)
    first, second = (np.flatnonzero(eraser.shards_ == shard)[0] for shard in (0, 1))
    monkeypatch.setattr(Failing, "error", error, raising=False)
    monkeypatch.setattr(Failing, "left", steps)
    with pytest.raises(type(error)):
        eraser.unlearn(nodes=[first, second])
    monkeypatch.setattr(Failing, "left", None)
    assert unchanged(eraser, before)
    assert np.array_equal(eraser.predict_proba(data), proba)
    assert eraser.unlearn(nodes=[first, second]).deletions_[0]["rows"] == 2
    monkeypatch.setattr(Failing, "left", steps)
    before = dict(vars(eraser))
    with pytest.raises(type(error)):
        eraser.fit(data)
    assert unchanged(eraser, before)


def test_a_failure_after_the_training_leaves_all_as_it_was(monkeypatch):
    eraser = make_eraser(aggregate="learned").fit(planted())
    before = dict(vars(eraser))

    def fail(*args):
        raise RuntimeError("no memory")

    for module, name in ((_aggregation, "learn_weights"), (graph_eraser, "measure")):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, fail)
            with pytest.raises(RuntimeError, match="no memory"):
                eraser.unlearn(nodes=[0])
        assert unchanged(eraser, before)


@pytest.mark.filterwarnings("ignore:The recipe was set anew")
def test_a_diverged_training_is_no_unlearning():
    data = planted()
    eraser = make_eraser().fit(data)
    before = dict(vars(eraser))
    eraser.estimator.set_params(lr=1e30)
    with pytest.raises(UnlearningError, match="diverged"):
        eraser.unlearn(nodes=[0])
    assert unchanged(eraser, before)
