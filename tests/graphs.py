"""Small graphs and nets for the tests of graph unlearning; needs torch_geometric."""

import numpy as np
import torch
from skorch import NeuralNetClassifier
from torch_geometric.data import Data
from torch_geometric.nn import GCN

from skunlearn.graph import GraphEraser


def planted(n=90, n_classes=3, *, inside=0.25, outside=0.02, seed=0):
    """A planted-partition graph, undirected, whose classes show in features and in edges."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) % n_classes)
    chance = np.where(y[:, None] == y, inside, outside)
    upper = np.triu(rng.random((n, n)) < chance, 1)
    x = rng.normal(size=(n, 6)) + 1.5 * np.eye(6)[y]
    return Data(
        x=torch.tensor(x, dtype=torch.float32),
        edge_index=torch.tensor(np.array(np.nonzero(upper | upper.T))),
        y=torch.tensor(y),
    )


def without(data, nodes):
    """The graph without some nodes, and the numbers of the others; by loops, as an oracle."""
    kept = [v for v in range(data.num_nodes) if v not in set(nodes)]
    number = {v: i for i, v in enumerate(kept)}
    edges = [
        (number[u], number[v]) for u, v in data.edge_index.T.tolist() if u in number and v in number
    ]
    part = Data(
        x=data.x[kept].clone(),
        edge_index=torch.tensor(edges, dtype=torch.int64).reshape(-1, 2).T,
        y=data.y[kept].clone(),
    )
    return part, kept


def make_net(**kwargs):
    """A recipe of a graph net that trains in a moment."""
    params = {
        "module__in_channels": 6,
        "module__hidden_channels": 8,
        "module__num_layers": 2,
        "module__out_channels": 3,
        "module__dropout": 0.2,
        "criterion": torch.nn.CrossEntropyLoss,
        "optimizer": torch.optim.Adam,
        "lr": 0.05,
        "max_epochs": 8,
        "batch_size": -1,
        "train_split": None,
    }
    return NeuralNetClassifier(GCN, **(params | kwargs))


def by_hand(data, seed, *, epochs=8, lr=0.05):
    """The net of `make_net`, trained on all of `data` by a plain PyTorch loop."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = GCN(6, 8, 2, 3, dropout=0.2)
        optimizer = torch.optim.Adam(module.parameters(), lr=lr)
        module.train()
        for _ in range(epochs):
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(module(data.x, data.edge_index), data.y)
            loss.backward()
            optimizer.step()
    return module.eval()


def make_eraser(**kwargs):
    """Three shards for the graph of `planted`."""
    return GraphEraser(make_net(), **({"n_shards": 3, "random_state": 0} | kwargs))


def weights(net):
    """A copy of all weights."""
    return {key: value.clone() for key, value in net.module_.state_dict().items()}


def same(a, b):
    """Whether two sets of weights are equal, bit for bit."""
    return all(torch.equal(a[key], b[key]) for key in a)


def edge_within(eraser, data, *, within=True):
    """An edge whose ends share a shard, or do not."""
    return next(
        (u, v)
        for u, v in data.edge_index.T.tolist()
        if (eraser.shards_[u] == eraser.shards_[v]) == within
    )


def first_edge(eraser):
    """Names of the ends of the first retained edge."""
    return eraser._graph.position[eraser._graph.edge_index[:, 0].numpy()].tolist()


def unchanged(eraser, before):
    """Whether an estimator has the attributes of `before`, the very same objects."""
    now = vars(eraser)
    return now.keys() == before.keys() and all(now[key] is before[key] for key in before)
