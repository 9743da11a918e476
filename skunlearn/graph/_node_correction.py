"""Rectification of nodes: other features or labels, and the nets of their shards trained anew."""

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted

from skunlearn._rows.containers import label_digests, row_digests
from skunlearn._unlearning import correction, validation
from skunlearn._unlearning.announcing import announce_result
from skunlearn._unlearning.fitted import drafted
from skunlearn.graph._changes import Change
from skunlearn.graph._graph import Graph


class CorrectsNodesMixin:
    """The verb ``correct`` of a graph estimator."""

    def correct(self, nodes, X_new=None, y_new=None):
        """Put new features or labels in the place of those of nodes.

        One request that forgets the old values and learns the new (rectification): the nets of the
        nodes' shards are trained anew. Names and edges stay; to correct an edge, forget it.

        Parameters
        ----------
        nodes : sequence of k names given to ``fit``, or of int
            Retained nodes, each once. Numbers where ``fit`` was given no names.
        X_new : array or tensor of shape (k, n_features), default=None
            New features, in the order of `nodes`. None leaves them.
        y_new : array of shape (k,), default=None
            New labels, among those that ``fit`` has seen, of nodes that it trained on. None leaves
            them.

        Returns
        -------
        self : object

        Raises
        ------
        UnknownRowsError, AlreadyForgottenError
            When nodes are named that the graph does not have.
        TypeError, ValueError
            When there is not one new value for each node, or one is not of the graph's kind.
        UnlearningError
            When the training diverged. After any error or interrupt the estimator is exactly
            as it was.
        """
        check_is_fitted(self)
        if X_new is None and y_new is None:
            raise TypeError("Pass the new values: X_new, y_new or both.")
        with drafted(self) as draft:
            draft._check_parameters()
            positions = self._record.locate(nodes)
            if not len(positions):
                raise ValueError("The request is empty: name at least one node to correct.")
            if len(np.unique(positions)) < len(positions):
                raise ValueError("nodes names a node more than once; name each node once.")
            held = self._graph, self.shards_, self._record
            x = draft._read_features(X_new, len(positions))
            y = draft._read_new_labels(y_new, positions)
            draft._carry_out(correct_nodes(*held, positions, x, y))
        if self.verbose:
            announce_result(self)
        return self

    def _read_features(self, X, k):
        if X is None:
            return None
        x = torch.as_tensor(X if isinstance(X, torch.Tensor) else np.asarray(X))
        if x.ndim != 2:
            raise ValueError(f"X_new must be of shape (k, n_features), got {tuple(x.shape)}.")
        x = validation.check_X(self, x.detach().cpu().to(self._graph.x.dtype), reset=False)
        correction.check_length(len(x), "X_new", "rows", k)
        return x

    def _read_new_labels(self, y, positions):
        if y is None:
            return None
        y = np.asarray(y.detach().cpu() if isinstance(y, torch.Tensor) else y)
        if y.ndim != 1:
            raise ValueError(f"y_new must be of shape (k,), got {y.shape}.")
        correction.check_length(len(y), "y_new", "entries", len(positions))
        bare = (self._graph.y[self._graph.rows(positions)] < 0).sum()
        if bare:
            raise ValueError(
                f"{bare} of {len(positions)} nodes were not in train_mask: the model has learnt no "
                "label of theirs that could be corrected. Leave them out, or pass X_new alone."
            )
        return validation.encode(y, self._columns, "y_new")


def correct_nodes(graph, shards, record, positions, x=None, y=None):
    """The change that gives the nodes at `positions` features `x` and labels `y`."""
    rows = graph.rows(positions)
    # Digests of the old values: by the names the nodes are known still.
    old = label_digests(row_digests(graph.x[rows]), graph.y[rows])
    features, labels = graph.x, graph.y
    if x is not None:
        features = graph.x.clone()
        features[rows] = x
    if y is not None:
        labels = graph.y.copy()
        labels[rows] = y
    new = Graph(features, graph.edge_index, labels, graph.position, graph.edge_values)
    touched = np.unique(shards[positions])
    return Change("nodes", old, touched, new, shards, record, corrected=len(positions))
