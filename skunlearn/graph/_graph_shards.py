"""Shards of a graph: how they are made, trained and weighed."""

import numpy as np

from skunlearn._rows import checking
from skunlearn._rows.seeding import derive_seed
from skunlearn.exceptions import UnlearningError
from skunlearn.graph import _aggregation, _nets
from skunlearn.graph.partition import balanced_kmeans, balanced_label_propagation, hash_partition

# First numbers of the paths from the estimator's seed to those of its parts.
_SHARD, _PARTITION, _EMBEDDING = 1, 2, 3


class ShardMixin:
    """The partition, a net for each of its shards, and their weights."""

    def _retrain(self, graph, shards, touched):
        """Train the nets of the shards `touched`, and make `graph` the current one."""
        nets = list(self.estimators_)
        for shard in touched:
            part = _part(graph, shards, shard)
            nets[shard] = None
            if len(part.labelled):
                seed = derive_seed(self._seed, _SHARD, int(shard))
                nets[shard] = _nets.train(
                    self.estimator, part, len(self._columns), seed, self.verbose
                )
        idle = [int(shard) for shard in touched if nets[shard] is None]
        if idle:
            checking.warn(
                f"{len(idle)} of {len(nets)} shards hold no labelled node and take no part in "
                f"predictions (shards {idle[:10]}). Fewer shards use the labels better.",
                UserWarning,
            )
        self._graph, self.shards_, self.estimators_ = graph, shards, nets
        self.weights_ = self._weigh(graph)

    def _weigh(self, graph):
        weights = np.zeros(len(self.estimators_))
        working = [shard for shard, net in enumerate(self.estimators_) if net is not None]
        if self._settings["aggregate"] == "learned":
            known = graph.labelled
            likelihoods = [p[known, graph.y[known]] for _, p in self._posteriors(graph)]
            weights[working] = _aggregation.learn_weights(
                np.column_stack(likelihoods), self.penalty
            )
        else:
            weights[working] = 1 / len(working)
        return weights

    def _divide(self, graph, ids):
        if self.n_shards > len(graph):
            raise ValueError(f"n_shards={self.n_shards} is more than the {len(graph)} nodes.")
        seed = derive_seed(self._seed, _PARTITION)
        if self.partition == "random":
            return hash_partition(ids, self.n_shards, key=seed)
        if self.partition == "blpa":
            return balanced_label_propagation(
                graph.edge_index.numpy(), len(graph), self.n_shards, random_state=seed
            )
        n_classes, own = len(self._columns), derive_seed(self._seed, _EMBEDDING)
        if self.embedding == "initial":
            embeddings = _nets.initial_logits(self.estimator, graph, n_classes, own)
        else:
            net = _nets.train(self.estimator, graph, n_classes, own, self.verbose)
            embeddings = _nets.logits(net, graph, n_classes)
        return balanced_kmeans(embeddings, self.n_shards, random_state=seed)

    def _read_settings(self):
        names = "n_shards", "partition", "embedding", "aggregate"
        return {name: getattr(self, name) for name in names}

    def _take_settings(self):
        """Raise where shards were set anew since ``fit`` has made them; take `aggregate`."""
        before, now = self._settings, self._read_settings()
        if before["partition"] == now["partition"] != "bekm":
            now["embedding"] = before.get("embedding")
        # A pickle of before has fewer.
        other = [name for name in before if name != "aggregate" and before[name] != now[name]]
        if other:
            was = ", ".join(f"{name}={before[name]!r}" for name in other)
            new = ", ".join(f"{name}={now[name]!r}" for name in other)
            raise UnlearningError(
                f"fit has divided the nodes with {was}, and since then {new} was set: fit again, "
                "or set it back."
            )
        self._settings = now

    def _parts(self, shards):
        """The part of the graph and the net of each of these shards."""
        return {
            shard: (_part(self._graph, self.shards_, shard), self.estimators_[shard])
            for shard in shards
        }


def _part(graph, shards, shard):
    return graph.induce(shards[graph.position] == shard)
