"""The retained graph: features, edges and labels, and the parts that are cut out of it."""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch_geometric.data import Data
from torch_geometric.utils import subgraph

from skunlearn._rows import checking
from skunlearn._unlearning import validation

_EDGE_VALUES = ("edge_weight", "edge_attr")  # handed to the module under these names


@dataclass(frozen=True)
class Graph:
    """Nodes with features and labels, and the edges among them; on the CPU.

    Attributes
    ----------
    x : tensor of shape (n, n_features)
    edge_index : tensor of shape (2, n_edges), int64, of rows of `x`
    y : ndarray of shape (n,), encoded labels; -1 for nodes that are not trained on
    position : ndarray of shape (n,), ascending: which node of ``fit`` each row is
    edge_values : dict of str to tensor of n_edges rows
    """

    x: torch.Tensor
    edge_index: torch.Tensor
    y: np.ndarray
    position: np.ndarray
    edge_values: dict = field(default_factory=dict)

    def __len__(self):
        return len(self.x)

    @property
    def labelled(self):
        """Rows of nodes that are trained on."""
        return np.flatnonzero(self.y >= 0)

    def rows(self, positions):
        """Rows of retained nodes by their position in ``fit``."""
        return np.searchsorted(self.position, positions)

    def induce(self, kept):
        """The nodes marked in the bool array `kept`, and the edges among them, in order.

        Everything is copied: nothing of the other nodes stays in memory behind it.
        """
        mask = torch.from_numpy(kept)
        edge_index, _, among = subgraph(
            mask, self.edge_index, relabel_nodes=True, num_nodes=len(self), return_edge_mask=True
        )
        values = {name: value[among] for name, value in self.edge_values.items()}
        return Graph(self.x[mask], edge_index, self.y[kept], self.position[kept], values)

    def without_edges(self, gone):
        """All nodes, and the edges that the bool array `gone` does not mark."""
        kept = torch.from_numpy(~gone)
        values = {name: value[kept] for name, value in self.edge_values.items()}
        return Graph(self.x, self.edge_index[:, kept], self.y, self.position, values)


def read_graph(estimator, data, *, reset=False):
    """The graph in a PyG ``Data``, checked, without labels.

    Sets or checks ``n_features_in_`` of `estimator`. With `reset` the graph is a copy, so that
    whatever becomes of `data` the retained graph is the one that ``fit`` saw.
    """
    if not isinstance(data, Data):
        raise TypeError(
            f"Expected a torch_geometric.data.Data with x and edge_index, got "
            f"{type(data).__name__}."
        )
    x = data.x
    if not isinstance(x, torch.Tensor) or x.layout != torch.strided or x.ndim != 2:
        raise ValueError(
            "data.x must be a dense tensor of shape (n_nodes, n_features), got "
            f"{_form(x)}. A graph without features needs some: node degrees, say."
        )
    x = _own(validation.check_X(estimator, x, reset=reset), reset)
    if len(x) == 0:
        raise ValueError("data.x holds no node.")
    edge_index = _own(_check_edges(data.edge_index, len(x)), reset)
    values = {}
    for name in _EDGE_VALUES:
        value = data.get(name, None)
        if value is not None:
            if not isinstance(value, torch.Tensor) or len(value) != edge_index.shape[1]:
                raise ValueError(
                    f"data.{name} must be a tensor with one entry for each of the "
                    f"{edge_index.shape[1]} edges, got {_form(value)}."
                )
            values[name] = _own(value, reset)
    n = len(x)
    return Graph(x, edge_index, np.full(n, -1), np.arange(n), values)


def read_labels(data, n):
    """Labels of the nodes in ``data.train_mask`` (None: all of them), and which these are."""
    if data.y is None:
        raise ValueError("data.y is missing: the training nodes need labels.")
    if len(data.y) != n:
        raise ValueError(f"data.y has {len(data.y)} entries, but data.x has {n} nodes.")
    mask = data.get("train_mask", None)
    mask = np.ones(n, dtype=bool) if mask is None else _numpy(mask)
    mask = checking.check_mask(mask, n, "data.train_mask")
    y = _numpy(data.y)[mask]
    return validation.check_targets(y, len(y), classifier=True), mask


def _check_edges(edge_index, n):
    shape = getattr(edge_index, "shape", None)
    if not isinstance(edge_index, torch.Tensor) or len(shape) != 2 or shape[0] != 2:
        raise ValueError(
            f"data.edge_index must be a tensor of shape (2, n_edges), got {_form(edge_index)}. "
            "(adj_t is not read.)"
        )
    if edge_index.dtype != torch.int64:
        raise TypeError(f"data.edge_index must be int64, got {edge_index.dtype}.")
    edge_index = _own(edge_index)
    if edge_index.numel() and not (0 <= int(edge_index.min()) <= int(edge_index.max()) < n):
        raise ValueError(
            f"data.edge_index names nodes {int(edge_index.min())} to {int(edge_index.max())}, but "
            f"data.x has nodes 0 to {n - 1}."
        )
    return edge_index


def _own(tensor, copied=False):
    """The tensor on the CPU; copied when it is part of a larger one, which a pickle would hold."""
    tensor = tensor.detach().cpu()
    copied = copied or tensor.untyped_storage().nbytes() > tensor.nbytes
    return tensor.clone() if copied else tensor


def _numpy(values):
    return values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)


def _form(value):
    shape = getattr(value, "shape", None)
    return type(value).__name__ if shape is None else f"{type(value).__name__} {tuple(shape)}"
