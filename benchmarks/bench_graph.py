"""GraphEraser on Cora: accuracy and time of its partitions, beside training on the whole graph.

Needs Cora (SKUNLEARN_DATA, or a network) and torch_geometric. Four fifths of the papers are fitted
on, with all their labels; the others are unseen until they are predicted.
"""

import argparse
import time
import warnings

import numpy as np
import torch
from _timing import interleave, machine, plus_minus, report
from scipy.stats import entropy
from skorch import NeuralNetClassifier
from torch_geometric.data import Data
from torch_geometric.nn import GCN

from skunlearn.datasets import load_cora
from skunlearn.graph import GraphEraser, _aggregation

COLUMNS = ("edges cut", "classes", "one net", "mean", "vote", "learned", "penalty 0")


class GivenShards(GraphEraser):
    """A partition that is given."""

    def _divide(self, graph, ids):
        return self._given


class TimedEraser(GraphEraser):
    """It says how long its last partition took, in seconds."""

    def _divide(self, graph, ids):
        started = time.perf_counter()
        shards = super()._divide(graph, ids)
        TimedEraser.seconds = time.perf_counter() - started
        return shards


def net():
    """Two layers, 32 wide, 100 full steps of Adam: the authors' epochs and rate."""
    return NeuralNetClassifier(
        GCN, module__in_channels=1433, module__hidden_channels=32, module__num_layers=2,
        module__out_channels=7, module__dropout=0.5, criterion=torch.nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam, lr=0.01, max_epochs=100, batch_size=-1, train_split=None,
        verbose=0,
    )  # fmt: skip


def split(cora, seed):
    """The graph of four fifths of the nodes, which these are, and the mask of the others."""
    unseen = torch.zeros(cora.num_nodes, dtype=torch.bool)
    order = np.random.default_rng(seed).permutation(cora.num_nodes)
    unseen[torch.from_numpy(order[: cora.num_nodes // 5])] = True
    part = cora.subgraph(~unseen)
    return Data(x=part.x, edge_index=part.edge_index, y=part.y), unseen


def whole(train, test, unseen, seed):
    """Accuracy of one net on the whole graph, and of nets that are not shown the edges."""
    bare, blind = train.clone(), test.clone()
    bare.edge_index, blind.edge_index = train.edge_index[:, :0], test.edge_index[:, :0]

    def accuracy(data, on):
        eraser = GraphEraser(net(), n_shards=1, random_state=seed).fit(data)
        return eraser.score(on, mask=unseen)

    return accuracy(train, test), accuracy(bare, test), accuracy(bare, blind)


def figures(eraser, train, test, unseen):
    """One line of the table, for a fitted eraser."""
    y, target = train.y.numpy(), test.y[unseen].numpy()
    shards, (u, v) = eraser.shards_, train.edge_index.numpy()
    sizes = np.bincount(shards, minlength=len(eraser.estimators_))
    spread = [entropy(np.bincount(y[shards == s])) for s in np.flatnonzero(sizes)]
    graph = eraser._graph
    known = np.column_stack([p[np.arange(len(y)), graph.y] for _, p in eraser._posteriors(graph)])
    posteriors = [p[unseen] for _, p in eraser._posteriors(_as_graph(eraser, test))]
    numbered = list(enumerate(posteriors))

    def accuracy(p):
        return np.mean(p.argmax(axis=1) == target)

    learned = [_aggregation.learn_weights(known, penalty) for penalty in (1.0, 0.0)]
    return (
        np.mean(shards[u] != shards[v]),
        np.exp(np.average(spread, weights=sizes[sizes > 0])),
        np.mean([accuracy(p) for p in posteriors]),
        accuracy(np.mean(posteriors, axis=0)),
        accuracy(_aggregation.count_votes(numbered)[1]),
        *(accuracy(_aggregation.average(numbered, w)) for w in learned),
    )


def _as_graph(eraser, data):
    from skunlearn.graph._graph import read_graph

    return read_graph(eraser, data)


def swapped_within_classes(shards, y, seed):
    """The same number of nodes of each class in each shard, but others: the edges are lost."""
    rng, other = np.random.default_rng(seed), shards.copy()
    for label in np.unique(y):
        nodes = np.flatnonzero(y == label)
        other[nodes] = shards[rng.permutation(nodes)]
    return other


def partitions(train, k, seed):
    """Fitted erasers by name, and the seconds that each partition took."""
    settings = {
        "random": {"partition": "random"},
        "blpa": {"partition": "blpa"},
        "bekm, untrained net": {"partition": "bekm"},
        "bekm, trained net": {"partition": "bekm", "embedding": "trained"},
    }
    for name, params in settings.items():
        eraser = TimedEraser(net(), n_shards=k, random_state=seed, **params)
        yield name, eraser.fit(train), TimedEraser.seconds
        if name == "blpa":
            other = GivenShards(net(), n_shards=k, random_state=seed)
            other._given = swapped_within_classes(eraser.shards_, train.y.numpy(), seed)
            yield "blpa, swapped in classes", other.fit(train), float("nan")


def accuracies(splits, k):
    """Print the table for `k` shards."""
    rows, seconds = {}, {}
    for seed, (train, test, unseen) in enumerate(splits):
        for name, eraser, spent in partitions(train, k, seed):
            rows.setdefault(name, []).append(figures(eraser, train, test, unseen))
            seconds.setdefault(name, []).append(spent)
    print(f"\n{k} shards")
    print(f"  {'':<25}" + "".join(f"{name:>10}" for name in COLUMNS), "  seconds  mean - random's")
    at = COLUMNS.index("mean")
    for name, lines in rows.items():
        cut, classes, *rest = np.mean(lines, axis=0)
        behind = 100 * (np.array(lines) - np.array(rows["random"]))[:, at]
        spread = behind.std(ddof=1) if len(behind) > 1 else float("nan")
        print(
            f"  {name:<25}{100 * cut:>10.1f}{classes:>10.2f}"
            + "".join(f"{100 * value:>10.1f}" for value in rest)
            + f"{np.median(seconds[name]):>10.3f}  {plus_minus(behind.mean(), spread, '+8.1f')}"
        )


def times(train, k, rounds):
    """Print what deletions cost beside a retraining on the whole graph."""
    erasers = {
        how: GraphEraser(net(), n_shards=k, aggregate=how, random_state=0).fit(train)
        for how in ("mean", "learned")
    }
    nodes = iter(range(10**6))
    u, v = train.edge_index
    shards = erasers["mean"].shards_
    edges = iter(train.edge_index[:, (shards[u] == shards[v]) & (u > 500).numpy()].T.tolist())
    crossing = iter(train.edge_index[:, (shards[u] != shards[v]) & (u > 500).numpy()].T.tolist())
    gone = set()

    def an_edge(of):
        pair = next(pair for pair in of if tuple(sorted(pair)) not in gone)
        gone.add(tuple(sorted(pair)))
        return [pair]

    contenders = {
        "retrain on the whole graph": lambda: GraphEraser(net(), n_shards=1, random_state=0).fit(
            train
        ),
        "forget a node, mean": lambda: erasers["mean"].unlearn(nodes=[next(nodes)]),
        "forget a node, learned": lambda: erasers["learned"].unlearn(nodes=[next(nodes)]),
        "forget an edge in a shard": lambda: erasers["mean"].unlearn(edges=an_edge(edges)),
        "forget an edge between shards": lambda: erasers["mean"].unlearn(edges=an_edge(crossing)),
    }
    report(f"{k} shards", interleave(contenders, rounds), "retrain on the whole graph")


def main():
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=int, nargs="+", default=[10])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    warnings.simplefilter("ignore", UserWarning)
    torch.set_num_threads(options.threads)
    cora = load_cora()
    test = Data(x=cora.x, edge_index=cora.edge_index, y=cora.y)
    splits = []
    for seed in range(options.seeds):
        train, unseen = split(test, seed)
        splits.append((train, test, unseen))
    beside = [whole(*parts, seed) for seed, parts in enumerate(splits)]
    full, bare, blind = 100 * np.mean(beside, axis=0)
    print(f"{options.seeds} seeds ({machine()}); accuracy on unseen papers in %")
    print(f"  {full:.1f}  one net on the whole graph")
    print(f"  {bare:.1f}  one net, trained without the edges, which it is shown to predict")
    print(f"  {blind:.1f}  one net, without edges in both")
    for k in options.shards:
        accuracies(splits, k)
        times(splits[0][0], k, options.rounds)


if __name__ == "__main__":
    main()
