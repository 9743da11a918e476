"""Balanced partitions of a graph's nodes into shards."""

import hashlib
from collections import deque

import numpy as np
from scipy import sparse
from sklearn.cluster import kmeans_plusplus
from sklearn.metrics import pairwise_distances
from sklearn.utils import check_array, check_random_state, check_scalar

from skunlearn._rows.containers import name_digests

__all__ = ["balanced_kmeans", "balanced_label_propagation", "hash_partition", "shard_cap"]

_LARGEST = 1e150  # its square is a float64 still
_SLACK = 0.005  # of the nodes outside a shard, which its cap leaves room for: the paper's


def shard_cap(n_nodes, n_shards):
    """The most nodes that a balanced partition puts into a shard, ⌈n/k + 0.005(n − n/k)⌉.

    Parameters
    ----------
    n_nodes : int
        Nodes of the graph.
    n_shards : int
        Parts to divide the nodes into, at least 1.

    Returns
    -------
    cap : int

    Examples
    --------
    >>> from skunlearn.graph import shard_cap
    >>> shard_cap(2708, 20)
    149
    """
    even = n_nodes / n_shards
    # Rounded first: 100 / 10 + 0.005 · 90 must not grow by a node for its last bit.
    return int(np.ceil(np.round(even + _SLACK * (n_nodes - even), 9)))


def hash_partition(ids, n_shards, *, key):
    """The shard of each node by a keyed hash of its id, and of nothing else.

    No other node and no edge has a say, so that a node's removal changes nothing for the others.
    Sizes are those of a random draw, without a cap.

    Parameters
    ----------
    ids : sequence of n hashable values
        Names of the nodes; equal ones come into the same shard in every process.
    n_shards : int
        Parts to divide the nodes into, at least 1.
    key : int
        Another key, another partition.

    Returns
    -------
    shards : ndarray of shape (n,), int64

    Examples
    --------
    >>> from skunlearn.graph import hash_partition
    >>> hash_partition(["ann", "bob", "cid"], 2, key=1).tolist()
    [1, 0, 1]
    >>> hash_partition(["bob", "cid"], 2, key=1).tolist()
    [0, 1]
    """
    _check_shards(n_shards, None)
    secret = int(key).to_bytes(16, "little", signed=True)
    values = [
        int.from_bytes(hashlib.blake2b(name.tobytes(), key=secret, digest_size=8).digest())
        for name in name_digests(ids)
    ]
    return np.array([value % n_shards for value in values], dtype=np.int64)


def balanced_label_propagation(
    edge_index, n_nodes, n_shards, *, max_iter=100, random_state=None, cap=None
):
    """Partition nodes by balanced label propagation (BLPA).

    From a random even split on, each node wishes to be where most of its neighbours are. Wishes
    are granted in descending number of these neighbours; a node whose shard of choice is full
    waits there, and takes the place of the next node that leaves it.

    Parameters
    ----------
    edge_index : array of shape (2, n_edges), int
        Both directions count; loops do not.
    n_nodes : int
        Nodes of the graph, numbered from 0.
    n_shards : int
        Parts to divide the nodes into, at least 1.
    max_iter : int, default=100
        Rounds at most, the authors' code's; it ends sooner when no node moves.
    random_state : int, RandomState instance or None, default=None
        Of the first split, and of the choice between equally good shards.
    cap : int or None, default=None
        Nodes in a shard at most; None takes `shard_cap`.

    Returns
    -------
    shards : ndarray of shape (n_nodes,), int64

    Raises
    ------
    ValueError
        When there are more shards than nodes, or `cap` leaves no room for all nodes.

    References
    ----------
    M. Chen, Z. Zhang, T. Wang, M. Backes, M. Humbert, Y. Zhang, "Graph Unlearning", CCS 2022,
    https://arxiv.org/abs/2103.14991; after J. Ugander, L. Backstrom, "Balanced label
    propagation for partitioning massive graphs", WSDM 2013.

    Examples
    --------
    >>> import numpy as np
    >>> from skunlearn.graph import balanced_label_propagation
    >>> triangles = np.array([[0, 1, 2, 3, 4, 5], [1, 2, 0, 4, 5, 3]])
    >>> shards = balanced_label_propagation(triangles, 6, 2, random_state=1)
    >>> len(set(shards[:3])), len(set(shards[3:]))
    (1, 1)
    """
    cap = _check_shards(n_shards, n_nodes, cap)
    rng = check_random_state(random_state)
    neighbours = _adjacency(np.asarray(edge_index), n_nodes)
    shards = np.empty(n_nodes, dtype=np.int64)
    shards[rng.permutation(n_nodes)] = np.arange(n_nodes) % n_shards
    for _ in range(max_iter):
        if not _propagate(neighbours, shards, n_shards, cap, rng):
            break
    assert np.bincount(shards, minlength=n_shards).max() <= cap
    return shards


def _adjacency(edge_index, n_nodes):
    """Which nodes are neighbours, in either direction, once each."""
    u, v = edge_index
    u, v = u[u != v], v[u != v]
    ones = np.ones(2 * len(u), dtype=np.int32)
    rows, columns = np.concatenate([u, v]), np.concatenate([v, u])
    adjacency = sparse.csr_matrix((ones, (rows, columns)), shape=(n_nodes, n_nodes))
    adjacency.sum_duplicates()
    adjacency.data[:] = 1
    return adjacency


def _propagate(neighbours, shards, n_shards, cap, rng):
    """One round, in place; returns how many nodes moved."""
    n = len(shards)
    everyone = np.arange(n)
    here = sparse.csr_matrix((np.ones(n, dtype=np.int32), (everyone, shards)), shape=(n, n_shards))
    counts = (neighbours @ here).toarray()
    own = counts[everyone, shards]
    # Ties by lot, below the difference of one neighbour.
    wish = np.argmax(counts + rng.random_sample(counts.shape), axis=1)
    best = counts[everyone, wish]
    movers = np.flatnonzero(best > own)  # none leaves for a shard that is no better
    movers = movers[np.argsort(-best[movers], kind="stable")]
    sizes = np.bincount(shards, minlength=n_shards)
    waiting = [deque() for _ in range(n_shards)]
    moved = 0
    for node in movers.tolist():
        if sizes[wish[node]] >= cap:
            waiting[wish[node]].append(node)
            continue
        # Whoever leaves makes room for the first in the queue there, who leaves in turn.
        while True:
            left, shards[node] = shards[node], wish[node]
            sizes[left] -= 1
            sizes[wish[node]] += 1
            moved += 1
            if not waiting[left]:
                break
            node = waiting[left].popleft()
    return moved


def balanced_kmeans(embeddings, n_shards, *, max_iter=20, random_state=None, cap=None):
    """Partition nodes by k-means under a cap on the shards' sizes (BEKM).

    Pairs of a node and a centroid are taken by ascending distance; the node joins the shard if it
    has none yet and the shard is not full. Centroids then move to their nodes' mean.

    Parameters
    ----------
    embeddings : array of shape (n_nodes, n_dimensions), float
        One row for each node; near ones come into the same shard.
    n_shards : int
        Parts to divide the nodes into, at least 1.
    max_iter : int, default=20
        Rounds at most, the authors' code's; it ends sooner when no node changes its shard.
    random_state : int, RandomState instance or None, default=None
        Of the first centroids (k-means++).
    cap : int or None, default=None
        Nodes in a shard at most; None takes `shard_cap`.

    Returns
    -------
    shards : ndarray of shape (n_nodes,), int64

    Raises
    ------
    ValueError
        When there are more shards than nodes, or `cap` leaves no room for all nodes.

    References
    ----------
    M. Chen et al., "Graph Unlearning", CCS 2022, https://arxiv.org/abs/2103.14991

    Examples
    --------
    >>> import numpy as np
    >>> from skunlearn.graph import balanced_kmeans
    >>> shards = balanced_kmeans(np.array([[0.0], [0.1], [5.0], [5.1]]), 2, random_state=0)
    >>> bool(shards[0] == shards[1]), bool(shards[1] == shards[2])
    (True, False)
    """
    embeddings = check_array(embeddings, dtype=np.float64, input_name="embeddings")
    cap = _check_shards(n_shards, len(embeddings), cap)
    if np.abs(embeddings).max() > _LARGEST / embeddings.shape[1]:
        raise ValueError("Distances overflow: scale the embeddings down.")
    centroids, _ = kmeans_plusplus(embeddings, n_shards, random_state=random_state)
    shards = None
    for _ in range(max_iter):
        previous, shards = shards, assign_under_cap(pairwise_distances(embeddings, centroids), cap)
        if previous is not None and np.array_equal(previous, shards):
            break
        sizes = np.bincount(shards, minlength=n_shards)
        sums = np.zeros_like(centroids)
        np.add.at(sums, shards, embeddings)
        filled = sizes > 0  # an empty shard keeps its centroid
        centroids[filled] = sums[filled] / sizes[filled, None]
    assert np.bincount(shards, minlength=n_shards).max() <= cap
    return shards


def assign_under_cap(distances, cap):
    """Assign rows to columns, pairs by ascending distance, at most `cap` rows a column.

    The greedy pass over all sorted pairs is the one stable matching of rows and columns that both
    prefer what is near, so that deferred acceptance finds it in a few vectorised rounds: rows ask
    their nearest column that has not refused them, columns keep the nearest `cap` that asked.
    """
    open_ = np.array(distances, dtype=np.float64)
    while True:
        choice = np.argmin(open_, axis=1)
        crowded = np.flatnonzero(np.bincount(choice, minlength=open_.shape[1]) > cap)
        if len(crowded) == 0:
            return choice
        for column in crowded:
            asked = np.flatnonzero(choice == column)
            order = np.argsort(open_[asked, column], kind="stable")
            open_[asked[order[cap:]], column] = np.inf


def _check_shards(n_shards, n_nodes, cap=None):
    check_scalar(n_shards, "n_shards", (int, np.integer), min_val=1)
    if n_nodes is None:
        return None
    if n_shards > n_nodes:
        raise ValueError(f"n_shards={n_shards} is more than the {n_nodes} nodes.")
    cap = shard_cap(n_nodes, n_shards) if cap is None else cap
    if cap * n_shards < n_nodes:
        raise ValueError(
            f"{n_shards} shards of at most {cap} nodes have no room for {n_nodes} nodes; raise "
            "cap, or leave it out."
        )
    return cap
