"""Predictions from the nets of all shards."""

import numpy as np
from sklearn.metrics import accuracy_score
from sklearn.utils.validation import check_is_fitted
from torch_geometric.data import Data

from skunlearn._rows import checking
from skunlearn._torch.inference import share_out
from skunlearn._unlearning.validation import refuse_mixed
from skunlearn.graph import _aggregation, _nets
from skunlearn.graph._graph import read_graph


class GraphPredictorMixin:
    """`predict`, `predict_proba` and `score`."""

    def predict(self, data):
        """Predict classes of nodes.

        Parameters
        ----------
        data : torch_geometric.data.Data, or sequence of names of retained nodes
            A graph, of which every node is predicted; or nodes of ``fit``, predicted within the
            retained graph.

        Returns
        -------
        y : ndarray of shape (n,)
            Class labels as passed to ``fit``.

        Raises
        ------
        UnknownRowsError, AlreadyForgottenError
            When nodes are named that are not retained.
        """
        proba, decisive = self._aggregate(data)
        return self.classes_[(proba if decisive is None else decisive).argmax(axis=1)]

    def predict_proba(self, data):
        """Predict class probabilities of nodes; with votes, the share of the shards for each.

        Parameters
        ----------
        data : torch_geometric.data.Data, or sequence of names of retained nodes
            A graph, of which every node is judged; or nodes of ``fit``, judged within the retained
            graph.

        Returns
        -------
        proba : ndarray of shape (n, n_classes), float64
        """
        return self._aggregate(data)[0]

    def score(self, data, y=None, *, mask=None):
        """Accuracy.

        Parameters
        ----------
        data : torch_geometric.data.Data, or sequence of names of retained nodes
            A graph, of which every node is judged; or nodes of ``fit``, judged within the retained
            graph.
        y : array of shape (n,), default=None
            Labels; None takes ``data.y``.
        mask : bool array of shape (n,), default=None
            Nodes to judge by, ``data.test_mask`` say; None takes all.

        Returns
        -------
        score : float
            Higher is better.
        """
        if y is None:
            y = getattr(data, "y", None)
        if y is None:
            raise ValueError("score needs labels: pass y, or a Data that has them.")
        refuse_mixed(y)
        predicted, y = self.predict(data), np.asarray(y)
        if mask is not None:
            mask = checking.check_mask(mask, len(predicted), "mask")
            y, predicted = y[mask], predicted[mask]
        return accuracy_score(y, predicted)

    def _aggregate(self, data):
        """Probabilities, and scores that decide where these are tied, or None."""
        check_is_fitted(self)
        if isinstance(data, Data):
            graph, rows = read_graph(self, data), slice(None)
        else:
            graph, rows = self._graph, self._graph.rows(self._record.locate(data))
        posteriors = ((shard, self._keep_seen(p[rows])) for shard, p in self._posteriors(graph))
        if self._settings["aggregate"] == "vote":
            return _aggregation.count_votes(posteriors)
        return _aggregation.average(posteriors, self.weights_), None

    def _keep_seen(self, p):
        """Probabilities of the labels that `fit` has seen, of those of all columns."""
        if p.shape[1] == len(self.classes_):
            return p
        return share_out(p[:, np.isin(self._columns, self.classes_)])

    def _posteriors(self, graph):
        for shard, net in enumerate(self.estimators_):
            if net is not None:
                yield shard, _nets.probabilities(net, graph, len(self._columns))
