"""Partitions of graphs: balance, determinism, and what they are for."""

import numpy as np
import pytest
from sklearn.utils import check_random_state

pytest.importorskip("torch_geometric", reason="needs torch_geometric (the extra graph)")

from skunlearn.graph import (
    balanced_kmeans,
    balanced_label_propagation,
    hash_partition,
    shard_cap,
)
from skunlearn.graph.partition import _adjacency, _propagate, assign_under_cap
from tests.graphs import planted


def cut(shards, edge_index):
    """Share of the edges whose ends lie in two shards."""
    return np.mean(shards[edge_index[0]] != shards[edge_index[1]])


@pytest.mark.parametrize(
    "n, k, cap",
    [(2708, 20, 149), (2166, 20, 119), (100, 10, 11), (1000, 10, 105), (7, 1, 7), (5, 5, 2)],
)
def test_cap(n, k, cap):
    """By hand, in fractions: ⌈n/k + 0.005 (n − n/k)⌉."""
    assert shard_cap(n, k) == cap


@pytest.mark.parametrize("n, k", [(90, 2), (90, 7), (90, 30), (90, 90)])
def test_partitions_are_balanced(n, k):
    edges = planted(n).edge_index.numpy()
    embeddings = np.random.default_rng(1).normal(size=(n, 3)) ** 3
    for shards in (
        balanced_label_propagation(edges, n, k, random_state=0),
        balanced_kmeans(embeddings, k, random_state=0),
    ):
        assert shards.shape == (n,)
        assert shards.min() >= 0
        assert np.bincount(shards, minlength=k).max() <= shard_cap(n, k)


def test_label_propagation_cuts_fewer_edges_than_chance():
    for seed in range(3):
        data = planted(200, 4, seed=seed)
        edges = data.edge_index.numpy()
        shards = balanced_label_propagation(edges, 200, 4, random_state=seed)
        chance = hash_partition(range(200), 4, key=seed)
        assert cut(chance, edges) > 0.6
        assert cut(shards, edges) < 0.75 * cut(chance, edges)


def test_label_propagation_is_deterministic_and_seeded():
    edges = planted().edge_index.numpy()
    first, again, other = (
        balanced_label_propagation(edges, 90, 5, random_state=seed) for seed in (0, 0, 1)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_the_cap_holds_where_everybody_wants_one_shard():
    """The authors' code lets all who wait move in when one node leaves."""
    n, rng = 60, check_random_state(0)
    hubs = np.repeat(np.arange(3), n)
    edges = np.stack([hubs, np.tile(np.arange(n), 3)])
    for seed in range(5):
        shards = balanced_label_propagation(edges, n, 6, random_state=seed)
        assert np.bincount(shards, minlength=6).max() <= shard_cap(n, 6)
    neighbours = _adjacency(edges, n)
    for _ in range(20):
        shards = rng.permutation(np.arange(n) % 6)
        _propagate(neighbours, shards, 6, 11, rng)
        assert np.bincount(shards, minlength=6).max() <= 11


def test_nodes_without_neighbours_stay():
    """The authors' code sends them all to the first shard."""
    shards = np.arange(12) % 3
    assert (
        _propagate(_adjacency(np.empty((2, 0), int), 12), shards, 3, 12, check_random_state(0)) == 0
    )
    assert np.array_equal(shards, np.arange(12) % 3)


def test_who_waits_takes_the_place_of_who_leaves():
    """Node 0 wants the full shard 1; node 3 leaves it later for shard 2."""
    #          0  1  2  3  4  5  6  7
    shards = np.array([0, 1, 1, 1, 2, 2, 0, 1])
    edges = np.array([[0, 0, 0, 3, 3, 1, 2, 1, 4], [1, 2, 7, 4, 5, 2, 7, 7, 5]])
    rng = check_random_state(0)
    assert _propagate(_adjacency(edges, 8), shards, 3, 4, rng) == 2
    assert shards.tolist() == [1, 1, 1, 2, 2, 2, 0, 1]


def test_loops_and_repeated_edges_do_not_count():
    edges = np.array([[0, 0, 1, 1], [0, 1, 0, 0]])
    assert _adjacency(edges, 2).toarray().tolist() == [[0, 1], [1, 0]]


def greedy(distances, cap):
    """The paper's pass over all pairs, by ascending distance."""
    n, k = distances.shape
    shards, sizes = np.full(n, -1), np.zeros(k, dtype=int)
    for pair in np.argsort(distances, axis=None, kind="stable"):
        row, column = divmod(pair, k)
        if shards[row] < 0 and sizes[column] < cap:
            shards[row] = column
            sizes[column] += 1
    return shards


@pytest.mark.parametrize("ties", [False, True])
def test_assignment_is_that_of_the_greedy_pass(ties):
    rng = np.random.default_rng(0)
    for n, k, cap in [(40, 4, 10), (40, 4, 12), (40, 7, 6), (30, 30, 1), (25, 1, 25)]:
        distances = rng.exponential(size=(n, k)) * rng.exponential(size=k)
        if ties:
            distances = np.round(distances)
        assert np.array_equal(assign_under_cap(distances, cap), greedy(distances, cap))


def test_kmeans_finds_clusters_and_repeats():
    rng = np.random.default_rng(0)
    centres = np.array([[0.0, 0.0], [20.0, 0.0], [0.0, 20.0]])
    which = rng.permutation(np.arange(60) % 3)
    embeddings = centres[which] + rng.normal(size=(60, 2))
    shards = balanced_kmeans(embeddings, 3, random_state=0)
    assert all(len(set(which[shards == shard])) == 1 for shard in range(3))
    noise = rng.normal(size=(60, 2))
    first, again, other = (balanced_kmeans(noise, 5, random_state=seed) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_shard_without_nodes_keeps_its_centroid():
    """Two values for three shards with room for all."""
    embeddings = np.array([[0.0]] * 5 + [[1.0]] * 4)
    shards = balanced_kmeans(embeddings, 3, cap=9, random_state=0)
    assert shards[0] != shards[-1]
    assert len(set(shards)) == 2


def test_a_hash_asks_no_other_node():
    names = [f"node {i}" for i in range(300)]
    shards = hash_partition(names, 4, key=7)
    assert np.array_equal(hash_partition(names[100:], 4, key=7), shards[100:])
    assert not np.array_equal(hash_partition(names, 4, key=8), shards)
    assert np.bincount(shards).min() > 50
    assert np.array_equal(
        hash_partition(np.arange(9), 4, key=0), hash_partition(range(9), 4, key=0)
    )


def test_errors():
    edges = np.array([[0, 1], [1, 2]])
    with pytest.raises(ValueError, match="more than the 3 nodes"):
        balanced_label_propagation(edges, 3, 4)
    with pytest.raises(ValueError, match="no room for 3 nodes"):
        balanced_label_propagation(edges, 3, 2, cap=1)
    with pytest.raises(ValueError, match="more than the 2 nodes"):
        balanced_kmeans(np.zeros((2, 1)), 3)
    with pytest.raises(ValueError, match="n_shards"):
        hash_partition([1, 2], 0, key=0)
    with pytest.raises(ValueError, match="embeddings contains NaN"):
        balanced_kmeans(np.full((4, 1), np.nan), 2)
    with pytest.raises(ValueError, match="scale the embeddings"):
        balanced_kmeans(np.array([[0.0], [1.0], [1e200]]), 2, random_state=0)
