"""GraphEraser: requests, data, parameters, predictions and manners."""

import json

import numpy as np
import pytest

pytest.importorskip("torch_geometric", reason="needs torch_geometric (the extra graph)")

import torch
from scipy.optimize import minimize_scalar
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.naive_bayes import GaussianNB
from skorch import NeuralNetClassifier
from torch_geometric.data import Data
from torch_geometric.nn import GCN

from skunlearn import FineTuneUnlearner, RetrainUnlearner
from skunlearn.exceptions import (
    AlreadyForgottenError,
    ClassForgottenWarning,
    UnknownRowsError,
    UnlearningError,
)
from skunlearn.graph import GraphEraser
from skunlearn.graph._aggregation import count_votes, learn_weights
from skunlearn.metrics import MIAScorer
from tests.graphs import edge_within, first_edge, make_eraser, make_net, planted, unchanged

PARTITIONS = ("random", "blpa", "bekm")


# ------------------------------------------------------------------ requests


def test_requests_that_are_refused():
    data = planted()
    eraser = make_eraser().fit(data).unlearn(nodes=[8])
    before = dict(vars(eraser))
    absent = next(v for v in range(9, 90) if [0, v] not in data.edge_index.T.tolist())
    for error, match, request in (
        (AlreadyForgottenError, "1 of 2 nodes were forgotten", {"nodes": [7, 8]}),
        (AlreadyForgottenError, "1 of 2 nodes were forgotten", {"edges": [[8, 0]]}),
        (UnknownRowsError, "2 of 3 nodes were never seen", {"nodes": [0, 90, -1]}),
        (UnknownRowsError, "never seen", {"nodes": [1.5]}),
        (UnknownRowsError, "1 of 1 edges are not in the graph", {"edges": [[0, absent]]}),
        (ValueError, "more than once", {"nodes": [3, 3]}),
        (ValueError, "empty", {"nodes": []}),
        (ValueError, "empty", {"edges": torch.empty(0, 2)}),
        (ValueError, "every retained node", {"nodes": [i for i in range(90) if i != 8]}),
        (ValueError, "pairs of nodes", {"edges": [0, 1]}),
        (ValueError, "pairs of nodes", {"edges": data.edge_index}),
        (TypeError, "boolean mask", {"nodes": np.arange(90) < 3}),
        (TypeError, r"no rows to name by indices=.*unlearn\(nodes=", {"indices": [0]}),
        (TypeError, "no rows to name by ids=, groups=", {"ids": [0], "groups": [0]}),
        (TypeError, "exactly one way", {}),
        (TypeError, "exactly one way", {"nodes": [0], "edges": [[0, 1]]}),
    ):
        with pytest.raises(error, match=match):
            eraser.unlearn(**request)
        assert unchanged(eraser, before)
    pair = first_edge(eraser)
    eraser.unlearn(edges=[pair])
    with pytest.raises(UnknownRowsError, match="they were forgotten"):
        eraser.unlearn(edges=[pair])
    with pytest.raises(NotFittedError):
        make_eraser().unlearn(nodes=[0])


def test_data_that_are_refused():
    data = planted()
    fitted = make_eraser().fit(data)
    before = dict(vars(fitted))
    x, edges, y = data.x, data.edge_index, data.y
    hole = x.clone()
    hole[3, 3] = torch.nan
    for error, match, bad in (
        (TypeError, "torch_geometric.data.Data", (x, edges)),
        (ValueError, "data.x must be a dense tensor", Data(edge_index=edges, y=y)),
        (ValueError, "data.x must be a dense tensor", Data(x=x[:, 0], edge_index=edges, y=y)),
        (ValueError, "NaN", Data(x=hole, edge_index=edges, y=y)),
        (ValueError, r"shape \(2, n_edges\)", Data(x=x, y=y)),
        (ValueError, r"shape \(2, n_edges\)", Data(x=x, edge_index=edges.T, y=y)),
        (TypeError, "int64", Data(x=x, edge_index=edges.int(), y=y)),
        (ValueError, "nodes 0 to 59", Data(x=x[:60], edge_index=edges, y=y[:60])),
        (ValueError, "data.y is missing", Data(x=x, edge_index=edges)),
        (ValueError, "data.y has 89 entries", Data(x=x, edge_index=edges, y=y[1:])),
        (ValueError, "edge_weight", Data(x=x, edge_index=edges, y=y, edge_weight=x[:, 0])),
        (TypeError, "boolean mask", Data(x=x, edge_index=edges, y=y, train_mask=y)),
        (ValueError, "marks no row", Data(x=x, edge_index=edges, y=y, train_mask=y > 9)),
    ):
        with pytest.raises(error, match=match):
            fitted.fit(bad)
        assert unchanged(fitted, before)
    for match, kwargs in (
        ("ids has 2 entries", {"ids": [1, 2]}),
        ("ids must be unique", {"ids": [0] * 90}),
        ("marks every row", {"forget": np.ones(90, bool)}),
    ):
        with pytest.raises(ValueError, match=match):
            fitted.fit(data, **kwargs)
        assert unchanged(fitted, before)
    with pytest.raises(ValueError, match="X has 5 features"):
        fitted.predict(Data(x=x[:, :5], edge_index=edges))


def test_parameters_that_are_refused():
    data = planted()
    for error, match, params in (
        (ValueError, "n_shards", {"n_shards": 0}),
        (ValueError, "more than the 90 nodes", {"n_shards": 91}),
        (ValueError, "partition must be one of", {"partition": "metis"}),
        (ValueError, "aggregate must be one of", {"aggregate": "median"}),
        (ValueError, "embedding must be one of", {"embedding": "x"}),
        (ValueError, "penalty", {"penalty": -1.0}),
        (TypeError, "NeuralNetClassifier", {"estimator": torch.nn.Linear(2, 2)}),
        (TypeError, "module instance", {"estimator": NeuralNetClassifier(torch.nn.Linear(2, 2))}),
        (ValueError, "3 classes", {"estimator": make_net(module__out_channels=2)}),
    ):
        with pytest.raises(error, match=match):
            make_eraser().set_params(**params).fit(data)


def test_a_mask_in_fit_is_a_request():
    data, mask = planted(), np.arange(90) < 4
    eraser = make_eraser().fit(data, forget=mask)
    other = make_eraser().fit(data).unlearn(nodes=range(4))
    assert np.array_equal(eraser.predict_proba(data), other.predict_proba(data))
    assert eraser.deletions_[0]["rows"] == 4


def test_one_way_edges_go_alone():
    data = planted()
    u, v = edge_within(make_eraser().fit(data), data)
    pairs = data.edge_index.T.tolist()
    one_way = next([0, w] for w in range(1, 90) if [0, w] not in pairs)
    data.edge_index = torch.tensor([*pairs, one_way]).T
    eraser = make_eraser().fit(data).unlearn(edges=[[u, v]])
    assert eraser._graph.edge_index.shape[1] == len(pairs)
    left = eraser._graph.edge_index.T.tolist()
    assert [u, v] not in left
    assert [v, u] in left
    with pytest.raises(UnknownRowsError, match="The graph is directed"):
        eraser.unlearn(edges=[one_way[::-1]])


def test_repeated_edges_go_together_and_values_with_them():
    data = planted()
    u, v = edge_within(make_eraser().fit(data), data)
    data.edge_index = torch.cat([data.edge_index, torch.tensor([[u, v], [v, u]])], dim=1)
    data.edge_weight = torch.rand(data.num_edges)
    eraser = make_eraser().fit(data).unlearn(edges=[[u, v], [v, u]])
    assert eraser.deletions_[0]["rows"] == 1
    graph = eraser._graph
    kept = [sorted(pair) != sorted((u, v)) for pair in data.edge_index.T.tolist()]
    assert sum(kept) == data.num_edges - 4
    assert torch.equal(graph.edge_values["edge_weight"], data.edge_weight[kept])
    part = Data(x=data.x, edge_index=data.edge_index[:, kept], y=data.y)
    part.edge_weight = data.edge_weight[kept]
    proba = make_eraser().fit(part).predict_proba(part)
    assert np.array_equal(eraser.predict_proba(range(90)), proba)
    part.edge_weight = None
    assert not np.array_equal(eraser.predict_proba(part), proba)


# ------------------------------------------------------------------ labels and predictions


def test_nodes_without_labels_are_neighbours_that_can_be_forgotten():
    data = planted()
    data.train_mask = torch.arange(90) < 60
    data.y = torch.where(data.train_mask, data.y, -7)  # not to be read
    eraser = make_eraser().fit(data)
    assert eraser.classes_.tolist() == [0, 1, 2]
    proba = eraser.predict_proba(data)
    eraser.unlearn(nodes=[75])
    assert not np.array_equal(proba, eraser.predict_proba(data))
    assert eraser.deletions_[0]["measured"]["forget_before"]["loss"] is None
    assert np.flatnonzero(eraser._graph.y < 0).tolist() == list(range(60, 89))
    with pytest.raises(ValueError, match="every labelled node"):
        eraser.unlearn(nodes=range(60))


def test_labels_keep_their_type():
    data = planted()
    names = np.array(["ant", "bee", "cow"])
    eraser = make_eraser().fit(Data(x=data.x, edge_index=data.edge_index, y=names[data.y.numpy()]))
    assert eraser.classes_.tolist() == names.tolist()
    assert set(eraser.predict([0, 1, 2])) <= set(names)
    assert eraser.score(range(90), names[data.y.numpy()]) > 0.6


def test_a_class_that_goes_is_announced():
    data = planted()
    eraser = make_eraser().fit(data)
    with pytest.warns(ClassForgottenWarning, match=r"labelled node of \[2\]"):
        eraser.unlearn(nodes=np.flatnonzero(data.y == 2))
    assert eraser.deletions_[0]["classes_forgotten"] == [2]
    assert 2 not in eraser.predict(data)


def test_a_shard_without_labels_takes_no_part():
    data = planted()
    eraser = make_eraser(aggregate="learned").fit(data)
    with pytest.warns(UserWarning, match=r"1 of 3 shards hold no labelled node .*shards \[1\]"):
        eraser.unlearn(nodes=np.flatnonzero(eraser.shards_ == 1))
    assert eraser.estimators_[1] is None
    assert eraser.weights_[1] == 0
    assert eraser.weights_.sum() == pytest.approx(1)
    assert eraser.predict_proba(data).sum(axis=1) == pytest.approx(1)
    eraser.unlearn(nodes=[np.flatnonzero(eraser.shards_ == 0)[0]])


def answers(eraser, data):
    """Probabilities of each net on the whole graph, by a plain call of its module."""
    with torch.no_grad():
        return np.stack(
            [
                net.module_.eval()(data.x, data.edge_index).double().softmax(1).numpy()
                for net in eraser.estimators_
            ]
        )


def test_the_mean_over_the_whole_graph():
    data = planted()
    eraser = make_eraser().fit(data)
    mean = answers(eraser, data).mean(axis=0)
    np.testing.assert_allclose(eraser.predict_proba(data), mean, rtol=1e-12)
    assert np.array_equal(eraser.predict(data), mean.argmax(axis=1))
    np.testing.assert_allclose(eraser.predict_proba([7, 2]), mean[[7, 2]], rtol=1e-12)
    assert eraser.score(data) == pytest.approx(np.mean(mean.argmax(axis=1) == data.y.numpy()))
    mask = data.y == 1
    known = np.mean(mean.argmax(axis=1)[mask] == 1)
    assert eraser.score(data, mask=mask) == pytest.approx(known)
    with pytest.raises(ValueError, match="needs labels"):
        eraser.score([0, 1])


def test_votes():
    data = planted()
    eraser = make_eraser(aggregate="vote").fit(data)
    named = answers(eraser, data).argmax(axis=2)
    shares = np.stack([(named == c).mean(axis=0) for c in range(3)], axis=1)
    np.testing.assert_allclose(eraser.predict_proba(data), shares)
    clear = shares.max(axis=1) > 0.5
    assert np.array_equal(eraser.predict(data)[clear], shares.argmax(axis=1)[clear])


def test_ties_of_votes_go_by_the_mean():
    split = [(0, np.array([[0.6, 0.4, 0.0]])), (1, np.array([[0.0, 0.9, 0.1]]))]
    shares, decisive = count_votes(split)
    assert shares.tolist() == [[0.5, 0.5, 0.0]]
    assert decisive.argmax() == 1
    sure = [(0, np.array([[1.0, 0.0]])), *[(i, np.array([[0.49, 0.51]])) for i in (1, 2)]]
    assert count_votes(sure)[1].argmax() == 1  # two votes beat the larger mean


def test_learned_weights_solve_their_problem():
    rng = np.random.default_rng(0)
    q = rng.uniform(0.05, 1, (200, 2))
    q[:, 0] **= 2
    for penalty in (0.0, 1.0):
        found = minimize_scalar(  # SciPy's bounded search along the simplex
            lambda a, c: -np.log(q @ [a, 1 - a]).mean() + c * np.hypot(a, 1 - a),
            args=(penalty,),
            bounds=(0, 1),
            method="bounded",
            options={"xatol": 1e-9},
        )
        assert learn_weights(q, penalty)[0] == pytest.approx(found.x, abs=1e-4)
    q = rng.uniform(0.01, 1, (300, 7)) ** np.arange(1, 8)
    w = learn_weights(q, 0.3)
    gradient = -(q / (q @ w)[:, None]).mean(axis=0) + 0.3 * w / np.linalg.norm(w)
    assert w.min() >= 0
    assert w.sum() == pytest.approx(1)
    assert np.ptp(gradient[w > 1e-6]) < 1e-4  # equal where weights are, not smaller elsewhere
    assert gradient.min() > gradient[w > 1e-6].mean() - 1e-4


def test_weights_are_learned_from_probabilities():
    """A softmax over them would leave weights near equality: the authors' code has it."""
    good, bad = np.full((50, 1), 0.9), np.full((50, 3), 0.1)
    assert learn_weights(np.hstack([good, bad]), 0.0)[0] == pytest.approx(1, abs=1e-6)
    assert learn_weights(np.hstack([good, bad]), 1.0)[0] > 0.8
    assert learn_weights(np.zeros((5, 2)), 1.0) == pytest.approx([0.5, 0.5])


# ------------------------------------------------------------------ manners


def test_seeds():
    data = planted()
    torch.manual_seed(3)
    state = torch.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002
    for partition in PARTITIONS:
        first, again, other = (
            make_eraser(partition=partition, random_state=seed).fit(data).unlearn(nodes=[0])
            for seed in (5, 5, 6)
        )
        assert np.array_equal(first.predict_proba(data), again.predict_proba(data))
        assert not np.array_equal(first.shards_, other.shards_)
        assert not np.array_equal(first.predict_proba(data), other.predict_proba(data))
    assert torch.equal(state[0], torch.get_rng_state())
    assert state[1] == np.random.get_state()[1].tolist()  # noqa: NPY002


def test_it_has_the_manners_of_an_estimator():
    eraser = make_eraser(aggregate="vote")
    twin = clone(eraser).set_params(estimator__lr=0.3, n_shards=2)
    assert twin.get_params()["estimator__lr"] == 0.3
    assert eraser.get_params()["estimator__lr"] == 0.05
    assert twin.aggregate == "vote"
    assert is_classifier(eraser)
    assert repr(eraser).startswith("GraphEraser(aggregate='vote'")
    assert eraser.fit(planted()) is eraser
    assert eraser.n_features_in_ == 6
    assert eraser._repr_html_()
    assert not hasattr(clone(eraser), "estimators_")


def test_settings_changed_later():
    """The log of a request would name shards that there are not."""
    data = planted()
    eraser = make_eraser(partition="blpa").fit(data)
    proba = eraser.predict_proba(data)
    eraser.set_params(aggregate="vote", embedding="trained")  # which is for bekm alone
    assert np.array_equal(eraser.predict_proba(data), proba)
    for changed in ({"partition": "random"}, {"n_shards": 2}):
        was = {name: getattr(eraser, name) for name in changed}
        eraser.set_params(**changed)
        before = dict(vars(eraser))
        for ask in (lambda: eraser.unlearn(nodes=[0]), lambda: eraser.correct([0], y_new=[1])):
            with pytest.raises(UnlearningError, match=r"divided the nodes with .* fit again"):
                ask()
            assert unchanged(eraser, before)
        assert np.array_equal(eraser.predict_proba(data), proba)
        eraser.set_params(**was)
    entry = eraser.unlearn(nodes=[0]).deletions_[0]
    assert entry["exact"] is False
    assert entry["parameters"]["aggregate"] == "vote"
    thirds = eraser.predict_proba(data) * 3
    assert np.allclose(thirds, np.round(thirds))  # votes of three shards


def test_the_nets_own_recipe_is_followed():
    """Batches of labelled nodes, and callbacks."""
    from skorch.callbacks import EpochScoring

    accuracy = EpochScoring("accuracy", on_train=True, name="train_acc")
    net = make_net(batch_size=8, iterator_train__shuffle=True, callbacks=[accuracy])
    eraser = GraphEraser(net, n_shards=2, random_state=0).fit(planted())
    history = eraser.estimators_[0].history
    size = np.bincount(eraser.shards_)[0]
    assert len(history[-1]["batches"]) == -(-size // 8)
    assert sum(batch["train_batch_size"] for batch in history[-1]["batches"]) == size
    assert history[-1]["train_acc"] > 0.6


def test_weights_that_a_module_loads_are_named():
    """They may come from a training on the forgotten nodes."""

    class Loads(GCN):
        def __init__(self, *args, **kwargs):
            with torch.random.fork_rng():
                torch.manual_seed(3)
                super().__init__(*args, **kwargs)

    loads = make_net().set_params(module=Loads)
    eraser = GraphEraser(loads, n_shards=2, random_state=0)
    eraser.fit(planted()).unlearn(nodes=[2])
    eraser.set_params(estimator=make_net())
    with pytest.warns(UserWarning, match=r"estimator__module\).* trains all of them again"):
        eraser.unlearn(nodes=[3])  # of one shard only
    certificate = json.loads(eraser.certificate())
    assert certificate["guarantee"] == "none"
    assert [entry["exact"] for entry in certificate["deletions"]] == [False, False]
    assert "estimator (weights that are the same whatever the seed" in certificate["notes"][0]


@pytest.mark.parametrize("partition", PARTITIONS)
def test_the_log_and_the_certificate(partition, monkeypatch):
    # Otherwise each fit draws a key of its own for the digests.
    monkeypatch.setattr("skunlearn._unlearning.certificate.deletion_log.secrets.token_bytes", bytes)
    data = planted()
    eraser = make_eraser(partition=partition).fit(data).unlearn(nodes=[2, 9])
    eraser.unlearn(edges=[first_edge(eraser)])
    certificate = json.loads(eraser.certificate())
    exact = partition == "random"
    assert certificate["guarantee"] == ("retrained without the rows" if exact else "none")
    assert bool(certificate["notes"]) != exact
    assert (certificate["retained_rows"], certificate["forgotten_rows"]) == (88, 2)
    assert "torch_geometric" in certificate["versions"]
    nodes, edges = certificate["deletions"]
    assert (nodes["kind"], nodes["rows"], nodes["exact"]) == ("nodes", 2, exact)
    assert (edges["kind"], edges["rows"]) == ("edges", 1)
    assert nodes["method"] == "GraphEraser"
    assert 0 <= nodes["measured"]["retain_after"]["score"] <= 1
    assert nodes["measured"]["forget_before"]["loss"] > 0
    assert edges["measured"]["forget_before"]["loss"] is None
    other = make_eraser(partition=partition).fit(data).unlearn(nodes=[9, 2])
    assert other.deletions_[0]["identifiers_digest"] == nodes["identifiers_digest"]


# ------------------------------------------------------------------ data and labels as they are


@pytest.mark.parametrize("kind", ["nodes", "edges"])
def test_a_graph_changed_in_place_after_fit(kind):
    """The estimator has its own copy, from before."""
    data, left_alone = planted(), planted()
    eraser, other = (make_eraser().fit(graph, ids=range(90)) for graph in (data, left_alone))
    names = [4, 7] if kind == "nodes" else [edge_within(eraser, left_alone)]
    data.x.mul_(-1)
    data.edge_index.copy_(data.edge_index.flip(1)[:, torch.randperm(data.num_edges)].flip(0))
    data.y.zero_()
    eraser.unlearn(**{kind: names})
    other.unlearn(**{kind: names})
    assert np.array_equal(eraser.predict_proba(left_alone), other.predict_proba(left_alone))


def test_labels_of_nodes_keep_their_column():
    data = planted()
    weight = torch.tensor([0.0, 1.0, 1.0, 1.0])
    net = make_net(module__out_channels=4, criterion__weight=weight, max_epochs=30)
    data.y += 1
    for aggregate in ("mean", "vote", "learned"):
        settings = {"n_shards": 2, "aggregate": aggregate, "random_state": 0}
        eraser = GraphEraser(net, **settings).fit(data)
        assert eraser.classes_.tolist() == [1, 2, 3]
        named = GraphEraser(clone(net).set_params(classes=[0, 1, 2, 3]), **settings).fit(data)
        assert eraser.predict_proba(data).shape == (90, 3)
        np.testing.assert_allclose(
            eraser.predict_proba(data), named.predict_proba(data)[:, 1:], atol=0.2
        )
        recalls = [(eraser.predict(data) == c)[data.y == c].mean() for c in (1, 2, 3)]
        assert min(recalls) > 0.5
        eraser.unlearn(nodes=[3])
        assert set(eraser.predict(data)) <= {1, 2, 3}
    data.y[data.y == 3] = 7
    with pytest.raises(ValueError, match=r"weight= by column.*classes="):
        GraphEraser(net, n_shards=2).fit(data)


def test_no_shard_stays_that_another_recipe_has_trained():
    eraser = make_eraser().fit(planted())
    eraser.set_params(estimator__module__hidden_channels=5)
    with pytest.warns(UserWarning, match=r"estimator__module__hidden_channels\).* trains all"):
        eraser.unlearn(nodes=[8])
    assert {net.module_.hidden_channels for net in eraser.estimators_} == {5}
    assert eraser.deletions_[0]["shards_retrained"] == list(range(len(eraser.estimators_)))
    eraser.unlearn(nodes=[9])  # by the same recipe, which nothing is said of
    assert len(eraser.deletions_[1]["shards_retrained"]) == 1


def test_other_unlearners_and_scorers_say_that_a_graph_is_none_of_theirs():
    data = planted()
    for unlearner in (FineTuneUnlearner(make_net()), RetrainUnlearner(GaussianNB())):
        with pytest.raises(TypeError, match=r"a graph \(Data of torch_geometric\).*GraphEraser"):
            unlearner.fit(data, data.y)
        with pytest.raises(TypeError, match="a graph"):
            unlearner.fit(data)
    with pytest.raises(TypeError, match=r"needs an unlearner, .* got GraphEraser\. Other"):
        MIAScorer().measure(make_eraser().fit(data), data)
