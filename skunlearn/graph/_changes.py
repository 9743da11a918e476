"""From a request to the graph, shards and record that it leaves."""

from dataclasses import dataclass

import numpy as np

from skunlearn.graph._graph import Graph
from skunlearn.graph._node_record import NodeRecord, find_edges


@dataclass(frozen=True)
class Change:
    """What a request asks for.

    Attributes
    ----------
    kind : {"nodes", "edges"}
    digests : ndarray of one row for each of them, which stands for it in the log
    touched : ndarray of int, shards to retrain
    graph : Graph, the retained one
    shards : ndarray of int, shard of each node of ``fit``
    record : NodeRecord
    corrected : int
        Nodes that stay, with other values; 0 where something goes.
    """

    kind: str
    digests: np.ndarray
    touched: np.ndarray
    graph: Graph
    shards: np.ndarray
    record: NodeRecord
    corrected: int = 0


def forget_nodes(graph, shards, record, positions):
    """The change that forgets the nodes at `positions`, with their edges."""
    remaining = graph.induce(~np.isin(graph.position, positions))
    if not len(remaining.labelled):
        raise ValueError(
            "The request would forget every labelled node; nothing would be left to train on. "
            "Delete the estimator instead."
        )
    left = shards.copy()
    left[positions] = -1
    touched = np.unique(shards[positions])
    digests = record.digests[positions]
    return Change("nodes", digests, touched, remaining, left, record.without(positions))


def forget_edges(graph, shards, record, pairs, directed):
    """The change that forgets the edges between these pairs of positions, of shape (m, 2)."""
    gone = find_edges(graph, graph.rows(pairs), directed)
    pairs = np.unique(pairs if directed else np.sort(pairs, axis=1), axis=0)
    ends = shards[pairs]
    touched = np.unique(ends[ends[:, 0] == ends[:, 1], 0])  # no net was trained on the others
    digests = record.digests[pairs].reshape(len(pairs), -1)
    return Change("edges", digests, touched, graph.without_edges(gone), shards, record)
