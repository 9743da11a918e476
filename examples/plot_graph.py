"""
Forgetting nodes of a graph
===========================

In a graph a node also speaks through its neighbours, so that deleting it takes more than deleting a
row. ``GraphEraser`` divides the nodes into shards, trains one graph net on each, and retrains the
one that held the node.
"""

# %%
# A graph
# -------
# Cora, 2,708 papers and their citations, where the file is at hand; a made-up graph of 600 nodes in
# three communities otherwise.

import matplotlib.pyplot as plt
import numpy as np
import torch
from scipy.stats import binomtest
from skorch import NeuralNetClassifier
from torch_geometric.data import Data
from torch_geometric.nn import GCN

from skunlearn.datasets import load_cora
from skunlearn.graph import GraphEraser
from skunlearn.plotting import PALETTE


def block_graph(n=600, n_classes=3, inside=0.02, outside=0.002, seed=0):
    """A stochastic block graph whose communities show in features and edges."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % n_classes
    chance = np.where(y[:, None] == y, inside, outside)
    upper = np.triu(rng.random((n, n)) < chance, 1)
    x = rng.normal(size=(n, 8)) + 0.8 * np.eye(8)[y]
    return Data(
        x=torch.tensor(x, dtype=torch.float32),
        edge_index=torch.tensor(np.array(np.nonzero(upper | upper.T))),
        y=torch.tensor(y),
    )


try:
    data = load_cora(download=False)
    name = "Cora"
except FileNotFoundError:
    data = block_graph()
    name = "a made-up block graph"
print(f"{name}: {data.num_nodes} nodes, {data.num_edges // 2} edges")

# Four fifths of the nodes have labels to learn from.
learnt = np.random.default_rng(0).random(data.num_nodes) < 0.8
data.train_mask = torch.tensor(learnt)
unseen = np.flatnonzero(~learnt)

net = NeuralNetClassifier(
    GCN,
    module__in_channels=data.num_features,
    module__hidden_channels=16,
    module__num_layers=2,
    module__out_channels=int(data.y.max()) + 1,
    criterion=torch.nn.CrossEntropyLoss,
    optimizer=torch.optim.Adam,
    lr=0.02,
    max_epochs=60,
    batch_size=-1,
    train_split=None,
)

# %%
# Forget five nodes
# -----------------

eraser = GraphEraser(net, n_shards=5, random_state=0).fit(data)
truth = data.y.numpy()
print(f"before: {(eraser.predict(unseen) == truth[unseen]).mean():.3f} of unseen nodes right")
eraser.unlearn(nodes=np.flatnonzero(learnt)[:5].tolist())
entry = eraser.deletions_[0]
print(f"after:  {(eraser.predict(unseen) == truth[unseen]).mean():.3f}")
print({key: entry[key] for key in ("rows", "exact") if key in entry})

# %%
# More shards, less to train again
# --------------------------------
# A deletion trains again on the nodes of one shard. The price is that each net sees a part of the
# graph only; bars are 95 % intervals, wider on few unseen nodes than the difference of most shards.
# (On a graph as small as the made-up one a step of the net costs the same whatever the shard's
# size, so that seconds hardly fall; on Cora with ten shards a deletion took a third of a
# retraining.)

first = int(np.flatnonzero(learnt)[0])
shards = [1, 2, 5, 10]
scores, again = [], []
for n_shards in shards:
    eraser = GraphEraser(net, n_shards=n_shards, random_state=0).fit(data)
    scores.append((eraser.predict(unseen) == truth[unseen]).mean())
    again.append((eraser.shards_ == eraser.shards_[first]).mean())

_, ax = plt.subplots(figsize=(5, 3), layout="constrained")
ax.plot(shards, again, "o-", color=PALETTE["unlearned"])
ax.set(xticks=shards, xlabel=f"shards of {name}", ylim=(0, 1.05), title="What a deletion costs")
ax.set_ylabel("share of nodes to train on again")

tests = [binomtest(round(score * len(unseen)), len(unseen)) for score in scores]
low, high = zip(*(test.proportion_ci(method="wilson") for test in tests), strict=True)
arms = np.subtract(scores, low), np.subtract(high, scores)
_, ax = plt.subplots(figsize=(5, 3), layout="constrained")
ax.errorbar(shards, scores, arms, fmt="o", capsize=4, color=PALETTE["unlearned"])
ax.set(xticks=shards, xlabel=f"shards of {name}", title="What shards cost")
ax.set_ylabel("share of unseen nodes right")
