"""Unlearning nodes and edges of graphs; needs torch_geometric (the extra ``graph``)."""

try:
    import torch_geometric  # noqa: F401
except ImportError as error:
    raise ImportError(
        "skunlearn.graph needs torch_geometric, which cannot be imported here. Install it with "
        "the extra: pip install 'skunlearn[graph]'."
    ) from error

from skunlearn.graph.graph_eraser import GraphEraser
from skunlearn.graph.partition import (
    balanced_kmeans,
    balanced_label_propagation,
    hash_partition,
    shard_cap,
)

__all__ = [
    "GraphEraser",
    "balanced_kmeans",
    "balanced_label_propagation",
    "hash_partition",
    "shard_cap",
]
