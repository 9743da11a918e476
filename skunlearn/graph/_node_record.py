"""Which nodes a graph estimator has seen, by name, and which of them are gone."""

import numpy as np
import torch

from skunlearn._rows.containers import match, name_digests
from skunlearn._rows.identifiers import list_names
from skunlearn._rows.row_names import show_some
from skunlearn.exceptions import AlreadyForgottenError, UnknownRowsError


class NodeRecord:
    """Names of the nodes of ``fit`` as digests, and whether each is retained.

    Parameters
    ----------
    n : int
        Nodes that ``fit`` was given.
    ids : sequence of n unique hashable values, or None for the numbers 0 to n - 1
    """

    weights = None  # nodes have none

    def __init__(self, n, ids=None):
        names = range(n) if ids is None else _names(ids)
        if len(names) != n:
            raise ValueError(f"ids has {len(names)} entries, but the graph has {n} nodes.")
        self.digests = name_digests(names)
        if len(np.unique(self.digests, axis=0)) < n:
            raise ValueError("ids must be unique: one name for each node.")
        self.retained = np.ones(n, dtype=bool)

    def without(self, positions):
        """A record in which `positions` are forgotten; the present one is unchanged."""
        new = object.__new__(type(self))
        new.digests, new.retained = self.digests, self.retained.copy()
        new.retained[positions] = False
        return new

    def locate(self, names):
        """Positions in ``fit`` of retained nodes, in the order of `names`."""
        names = _names(names)
        hits = match(self.digests, name_digests(names)) if names else []
        unknown = [name for name, hit in zip(names, hits) if len(hit) == 0]
        if unknown:
            raise UnknownRowsError(
                f"{len(unknown)} of {len(names)} nodes were never seen by this model "
                f"({show_some(unknown)}). Nothing was forgotten. Nodes go by the ids that fit was "
                "given, or else by their number in its data.",
                unknown,
            )
        positions = np.array([hit[0] for hit in hits], dtype=np.intp)
        gone = [name for name, kept in zip(names, self.retained[positions]) if not kept]
        if gone:
            raise AlreadyForgottenError(
                f"{len(gone)} of {len(names)} nodes were forgotten by an earlier request "
                f"({show_some(gone)}). Nothing more was forgotten; leave them out.",
                gone,
            )
        return positions

    def find(self, names):
        """As ``locate``, for nodes to forget: neither none nor all of them, each once."""
        positions = self.locate(names)
        if len(positions) == 0:
            raise ValueError("The request is empty: name at least one node to forget.")
        if len(np.unique(positions)) < len(positions):
            raise ValueError("nodes names a node more than once; name each node once.")
        if len(positions) == self.retained.sum():
            raise ValueError(
                "The request would forget every retained node; nothing would be left to train "
                "on. Delete the estimator instead."
            )
        return np.sort(positions)

    def find_pairs(self, edges):
        """Positions of both ends of named edges, shape (m, 2)."""
        pairs = edges.tolist() if isinstance(edges, torch.Tensor | np.ndarray) else list(edges)
        if not pairs:
            raise ValueError("The request is empty: name at least one edge to forget.")
        for pair in pairs:
            if isinstance(pair, str | bytes) or not np.iterable(pair) or len(pair) != 2:
                raise ValueError(
                    f"edges must be pairs of nodes, [[u, v], ...], got {pair!r}. (An edge_index "
                    "of shape (2, m) is transposed to that: edge_index.T.)"
                )
        return self.locate([name for pair in pairs for name in pair]).reshape(-1, 2)


def find_edges(graph, ends, directed):
    """Which edges of `graph` have the given ends, a bool array.

    Parameters
    ----------
    graph : Graph
    ends : ndarray of shape (m, 2), rows of the graph
    directed : bool
        Whether u, v is the edge from u to v alone; otherwise that from v to u goes too.

    Raises
    ------
    UnknownRowsError
        When there is no such edge.
    """
    n = len(graph)
    source, target = graph.edge_index.numpy()
    codes = _codes(source, target, n, directed)
    wanted = _codes(*ends.T, n, directed)
    missing = np.flatnonzero(~np.isin(wanted, codes))
    if len(missing):
        hint = " The graph is directed: [u, v] is the edge from u to v." if directed else ""
        raise UnknownRowsError(
            f"{len(missing)} of {len(ends)} edges are not in the graph: it never had them, or they "
            f"were forgotten (numbers {show_some(missing.tolist())} of the request). Nothing was "
            f"forgotten.{hint}"
        )
    return np.isin(codes, wanted)


def _codes(u, v, n, directed):
    """One number for each pair of nodes."""
    if not directed:
        u, v = np.minimum(u, v), np.maximum(u, v)
    return u.astype(np.int64) * n + v


def _names(names):
    if isinstance(names, torch.Tensor):
        names = names.detach().cpu().numpy()
    names = list_names(names)
    if any(isinstance(name, bool | np.bool_) for name in names):
        raise TypeError(
            "Nodes go by names or numbers, got a boolean mask. Pass numpy.flatnonzero(mask)."
        )
    return names
