"""GraphEraser: a net for each shard of the graph, so that a deletion retrains one of them."""

import functools
import time
from dataclasses import replace

import numpy as np
import torch_geometric
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.utils.validation import check_is_fitted
from torch_geometric.utils import is_undirected

from skunlearn._recipe.from_scratch import name_trained
from skunlearn._recipe.parameter_texts import warn_if_set_since, write_recipe
from skunlearn._recipe.public_parts import list_declarations, name_changed
from skunlearn._rows import checking
from skunlearn._rows.constraints import COUNT, NOT_NEGATIVE, StrOptions, check_parameters
from skunlearn._rows.seeding import draw_seed
from skunlearn._torch.columns import label_columns
from skunlearn._unlearning import validation
from skunlearn._unlearning.announcing import (
    announce_fit,
    announce_fitted,
    announce_request,
    announce_result,
)
from skunlearn._unlearning.certificate import recording
from skunlearn._unlearning.certificate.content import write_content
from skunlearn._unlearning.certificate.deletion_log import (
    digest_weights,
    draw_key,
    make_entry,
    to_plain,
)
from skunlearn._unlearning.fitted import drafted, share_all
from skunlearn._unlearning.promises import Promises
from skunlearn.exceptions import ClassForgottenWarning
from skunlearn.graph import _nets
from skunlearn.graph._changes import forget_edges, forget_nodes
from skunlearn.graph._graph import read_graph, read_labels
from skunlearn.graph._graph_predictor import GraphPredictorMixin
from skunlearn.graph._graph_shards import ShardMixin
from skunlearn.graph._node_correction import CorrectsNodesMixin
from skunlearn.graph._node_record import NodeRecord
from skunlearn.graph._shard_evidence import measure

__all__ = ["GraphEraser"]

_PARTITIONS = ("random", "blpa", "bekm")
_AGGREGATES = ("mean", "vote", "learned")
_EMBEDDINGS = ("initial", "trained")


class GraphEraser(
    CorrectsNodesMixin,
    GraphPredictorMixin,
    ShardMixin,
    ClassifierMixin,
    MetaEstimatorMixin,
    BaseEstimator,
):
    """Train a graph net on each shard of the nodes; a deletion retrains one shard (GraphEraser).

    Choose it to forget nodes or edges of a graph exactly, and often: with ten shards of Cora one
    deletion takes a quarter to a third of a retraining. The price is accuracy, as each net sees
    few of the labels. `n_shards` matters most, then `partition`.

    The nodes are divided into shards. Each shard has a net of its own, trained on its nodes and
    the edges among them; edges between shards are not trained on. The nets' predictions are
    aggregated. To forget a node, its shard's net is trained afresh on that shard without it; to
    forget an edge within a shard, on that shard without the edge.

    Parameters
    ----------
    estimator : skorch NeuralNetClassifier
        The recipe for each shard's net; never trained itself. Its module is called with ``x`` and
        ``edge_index`` (and ``edge_weight``, ``edge_attr`` where the data have them) and returns a
        row of class scores for every node, as PyG's models do (for which the criterion is
        CrossEntropyLoss; skorch's default wants probabilities). The rows that skorch batches are
        the labelled nodes: ``batch_size=-1`` takes them all in each step, a smaller one still
        propagates over the whole shard in each.
    n_shards : int, default=10
        The authors' code's. More shards make deletions cheaper and predictions worse.
    partition : {"random", "blpa", "bekm"}, default="random"
        How nodes are divided. ``"random"``: by a keyed hash of each node's id alone. ``"blpa"``:
        balanced label propagation, which keeps neighbours together. ``"bekm"``: balanced k-means
        on GNN embeddings. The paper proposes the latter two; see Notes.
    aggregate : {"mean", "vote", "learned"}, default="mean"
        Mean of the probabilities; majority of the predicted classes (ties by the mean); or a
        weighted mean, whose weights minimise the cross-entropy on the labelled nodes. The weights
        are fitted anew in each request.
    penalty : float, default=1.0
        On the length of the learned weights, the paper's; 0 leaves them to the cross-entropy.
    embedding : {"initial", "trained"}, default="initial"
        What ``"bekm"`` clusters: outputs of the net before any training, or after a training on
        the whole graph, the paper's. The latter groups nodes by class; see Notes.
    random_state : int, RandomState instance or None, default=None
        Seed of the partition and the trainings. A shard is retrained with the seed it had.
    verbose : int, default=0
        1 says what each verb does and what came of it, and prints skorch's table of epochs for
        each shard.

    Attributes
    ----------
    estimators_ : list of (NeuralNetClassifier or None)
        The net of each shard; None where no labelled node is left, and no prediction comes from.
    shards_ : ndarray of shape (n_nodes,), int64
        Shard of each node of ``fit``; -1 for forgotten ones.
    weights_ : ndarray of shape (n_shards,)
        Share of each shard in the aggregate.
    classes_ : ndarray of shape (n_classes,)
    n_features_in_ : int
    deletions_ : list of dict
        The log of requests.

    See Also
    --------
    skunlearn.RetrainUnlearner : The same promise for rows.

    Notes
    -----
    **Exactness.** After a request each retrained net equals, bit for bit on a CPU, one trained on
    its shard without the forgotten nodes and edges; learned weights are those of a fit without
    them. With ``partition="random"`` no other node's shard depends on them either, so that the
    whole estimator equals one fitted without them (under the same ids and seed, while each class
    keeps a labelled node), and `certificate` says so. The other partitions have seen them: which
    nodes share a shard, hence what each net is trained on, may still depend on an edge or feature
    that was forgotten. They are not computed anew, and the log says ``"exact": false``.

    **Which partition.** The paper reports that a random partition predicts worse than the other
    two. On Cora it did not: with four fifths of the papers to fit on, ten shards and three seeds,
    81.2 % of the unseen papers for ``"random"``, 78.9 for ``"blpa"``, 78.4 for ``"bekm"`` and 40.0
    with ``embedding="trained"``, where most shards hold hardly more than one class; 88.3 for one
    net on the whole graph (means; learned weights add about one point, five to eight with twenty
    shards). What such a partition keeps, edges, is of no use in training there: a net that is
    trained without any, and shown them to predict, is right on 88.5 %. What it costs is variety:
    shards that follow communities hold the classes unevenly. With ``"blpa"``'s nodes swapped at
    random within their classes it was 79.7 %. ``benchmarks/bench_graph.py`` prints all of it; the
    differences are of the size of their spread over seeds, but for the 40.0.

    **Inference.** Every net predicts a node from its neighbourhood in the whole retained graph (or
    in the graph passed to ``predict``), edges between shards included, as in the paper's text.

    **Settings changed after** ``fit``. Of another `n_shards` or `partition` (or `embedding`, where
    that counts) requests raise UnlearningError until it is fitted again; `aggregate` and `penalty`
    count from the next request on.

    **What it holds.** The graph that ``fit`` was given is referred to until the first request;
    then the retained part of it is copied, and nothing of what was forgotten stays in the
    estimator or its pickle but a digest of the names of forgotten nodes. Digests of pairs stand
    in the log for forgotten edges; who can guess the pair can check the guess.

    It derives from scikit-learn's BaseEstimator and not from `BaseUnlearner`, which is made for
    rows that stand alone; scikit-learn's cross-validation cannot split a graph either.

    References
    ----------
    M. Chen, Z. Zhang, T. Wang, M. Backes, M. Humbert, Y. Zhang, "Graph Unlearning", CCS 2022,
    https://arxiv.org/abs/2103.14991

    Examples
    --------
    >>> import torch
    >>> from skorch import NeuralNetClassifier
    >>> from torch_geometric.data import Data
    >>> from torch_geometric.nn import GCN
    >>> from skunlearn.graph import GraphEraser
    >>> generator = torch.Generator().manual_seed(0)
    >>> y = torch.arange(60) % 2
    >>> x = torch.randn(60, 4, generator=generator) + 2 * y[:, None]
    >>> edge_index = torch.randint(0, 60, (2, 200), generator=generator)
    >>> net = NeuralNetClassifier(
    ...     GCN,
    ...     module__in_channels=4,
    ...     module__hidden_channels=8,
    ...     module__num_layers=2,
    ...     module__out_channels=2,
    ...     criterion=torch.nn.CrossEntropyLoss,
    ...     optimizer=torch.optim.Adam,
    ...     lr=0.05,
    ...     max_epochs=20,
    ...     batch_size=-1,
    ...     train_split=None,
    ... )
    >>> eraser = GraphEraser(net, n_shards=3, random_state=0)
    >>> eraser = eraser.fit(Data(x=x, edge_index=edge_index, y=y)).unlearn(nodes=[5, 17])
    >>> eraser.deletions_[0]["rows"], eraser.predict([0, 1]).shape
    (2, (2,))
    """

    memory = None  # `certificate` asks: no models are kept on disk

    _promises = Promises(
        exact=False,  # but with a random partition: the log of each request says it
        reads_forget_rows=False,
        reads_forget_labels=False,
        watches_training=True,
        made_for="nodes, edges",
    )

    _parameter_constraints = {
        "estimator": "no_validation",
        "n_shards": [COUNT],
        "partition": [StrOptions(set(_PARTITIONS))],
        "aggregate": [StrOptions(set(_AGGREGATES))],
        "penalty": [NOT_NEGATIVE],
        "embedding": [StrOptions(set(_EMBEDDINGS))],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        estimator,
        *,
        n_shards=10,
        partition="random",
        aggregate="mean",
        penalty=1.0,
        embedding="initial",
        random_state=None,
        verbose=0,
    ):
        self.estimator = estimator
        self.n_shards = n_shards
        self.partition = partition
        self.aggregate = aggregate
        self.penalty = penalty
        self.embedding = embedding
        self.random_state = random_state
        self.verbose = verbose

    # ------------------------------------------------------------------ the two verbs

    def fit(self, data, y=None, *, ids=None, forget=None):
        """Divide the graph into shards and train a net on each.

        Parameters
        ----------
        data : torch_geometric.data.Data
            With ``x`` of shape (n, n_features), ``edge_index`` of shape (2, n_edges), labels ``y``
            of shape (n,), of which those in ``train_mask`` are read, a bool tensor of shape (n,)
            (all, when there is none). Nodes outside of it are trained with as neighbours: leave
            them out of `data` to train without them. The graph is copied.
        y : None, default=None
            Ignored: labels are in `data`. It is there for scikit-learn.
        ids : sequence of n hashable values, default=None
            Unique names of the nodes, by which requests go. None takes the numbers 0 to n - 1.
        forget : bool array of shape (n,), default=None
            Nodes to forget right after the training, as ``unlearn`` would.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError, TypeError
            When something passed in is wrong; a fitted estimator stays as it was.
        """
        started = time.perf_counter()
        with drafted(self, anew=True) as draft:
            draft._fit(data, ids, forget)
        if self.verbose:
            announce_fitted(self, time.perf_counter() - started)
        return self

    def unlearn(self, nodes=None, *, edges=None, **others):
        """Forget nodes with all their edges, or edges alone.

        Parameters
        ----------
        nodes : sequence of names given to ``fit``, or of int, default=None
            They go with all their edges. Numbers where ``fit`` was given no names.
        edges : sequence of pairs of nodes, default=None
            Unless the graph has one-way edges, a pair stands for both directions. Both nodes stay.
        **others : dict
            Refused: ``indices=``, ``ids=`` and the like name rows of other unlearners.

        Returns
        -------
        self : object

        Raises
        ------
        UnknownRowsError
            When the request names nodes or edges that the graph does not have.
        AlreadyForgottenError
            When it names nodes that an earlier request removed.
        UnlearningError
            When the training diverged, or shards were set otherwise since ``fit``. After any error
            or interrupt the estimator is exactly as it was.
        """
        check_is_fitted(self)
        if others:
            raise TypeError(
                f"A graph has no rows to name by {', '.join(f'{name}=' for name in others)}. Name "
                "nodes, unlearn(nodes=[...]), by the ids that fit was given, or else by their "
                "number in its data; or edges=."
            )
        if (nodes is None) == (edges is None):
            raise TypeError("Name what to forget in exactly one way, as nodes or as edges=.")
        with drafted(self) as draft:
            draft._check_parameters()
            if edges is None:
                change = draft._node_change(self._record.find(nodes))
            else:
                pairs = self._record.find_pairs(edges)
                held = self._graph, self.shards_, self._record
                change = forget_edges(*held, pairs, directed=self._directed)
            if self.verbose and edges is None:
                announce_request(self, len(change.digests), "nodes")
            elif self.verbose:
                n_edges = self._graph.edge_index.shape[1] // (1 if self._directed else 2)
                announce_request(self, len(pairs), "edges", of=n_edges)
            draft._carry_out(change)
        if self.verbose:
            announce_result(self)
        return self

    # ------------------------------------------------------------------ step by step, on a draft

    def _fit(self, data, ids, forget):
        self._check_parameters()
        self._seed, self._key, self._records = draw_seed(self.random_state), draw_key(), {}
        graph = read_graph(self, data, reset=True)
        labels, mask = read_labels(data, len(graph))
        width = functools.partial(_nets.width, self.estimator, graph)
        given = getattr(self.estimator, "classes", None)
        self.classes_ = np.unique(labels) if given is None else np.asarray(given)
        self._columns = self.classes_
        if given is None:
            self._columns = label_columns(self.estimator, labels, width)
        graph.y[mask] = validation.encode(labels, self._columns)
        if forget is not None:
            forget = checking.check_forget_mask(forget, len(graph))
        self._record = NodeRecord(len(graph), ids)
        if self.verbose:
            announce_fit(self, forget, "nodes")
        self._graph = graph
        self._directed = not is_undirected(graph.edge_index, num_nodes=len(graph))
        self._written = write_recipe(self.estimator)
        self._trained_before = name_trained(self.estimator)
        self._declared = list_declarations(self.estimator)
        self._settings = self._read_settings()
        self.shards_ = self._divide(graph, range(len(graph)) if ids is None else ids)
        self.estimators_ = [None] * self.n_shards
        self.deletions_ = []
        self._retrain(graph, self.shards_, range(self.n_shards))
        if forget is not None:
            self._carry_out(self._node_change(np.flatnonzero(forget)))

    def _node_change(self, positions):
        return forget_nodes(self._graph, self.shards_, self._record, positions)

    def _carry_out(self, change):
        self._take_settings()
        started = time.perf_counter()
        labelled = self._graph.y[self._graph.labelled]
        emptied = self._announce_classes(np.setdiff1d(labelled, change.graph.y))
        if warn_if_set_since(vars(self).get("_written"), self.estimator, self, "shards"):
            change = replace(change, touched=np.arange(len(self.estimators_)))
        self._written = write_recipe(self.estimator)
        before, nets = self._parts(change.touched), list(self.estimators_)
        self._retrain(change.graph, change.shards, change.touched)
        named = "ids" if change.kind == "nodes" else "pairs of ids"
        if change.corrected:
            named = "rows"
        entry = make_entry(
            self,
            rows=len(change.digests),
            named=(named, change.digests),
            classes_forgotten=emptied,
            seconds=time.perf_counter() - started,
            measured=measure(before, self._parts(change.touched), len(self._columns)),
        )
        if change.corrected:
            entry["corrected"] = change.corrected
        trained_before, declared = self._name_trained(), list_declarations(self.estimator)
        if trained_before:
            entry |= {"trained_before": trained_before}
        if declared:
            entry |= {"declared": declared}
        entry |= {
            "exact": self._settings["partition"] == "random" and not trained_before,
            "kind": change.kind,
            "shards_retrained": change.touched.tolist(),
            "weights": digest_weights(nets, self.estimators_),
        }
        self._record, self.deletions_ = change.record, [*self.deletions_, entry]

    def _name_trained(self):
        """Names of what the nets brought along, those trained by an earlier recipe too."""
        earlier = [entry.get("trained_before", []) for entry in self.deletions_]
        changed = name_changed(self._declared, list_declarations(self.estimator))
        names = [self._trained_before, *earlier, name_trained(self.estimator), changed]
        return list(dict.fromkeys(name for group in names for name in group))

    def _announce_classes(self, codes):
        names = [to_plain(name) for name in self._columns[codes]]
        if names:
            checking.warn(
                f"The request removes every labelled node of {names}: the model forgets the whole "
                "class. Judge it on unseen nodes of that class, and its accuracy on the others.",
                ClassForgottenWarning,
            )
        return names

    # ------------------------------------------------------------------ the rest of the contract

    certificate, record = recording.certificate, recording.record
    log_key, exclusion_manifest = recording.log_key, recording.exclusion_manifest

    def _certified_content(self):
        """See `BaseUnlearner`; rows are nodes, or edges in an entry of that kind."""
        content = write_content(self)
        content["versions"]["torch_geometric"] = torch_geometric.__version__
        kind = self._settings["partition"]
        if kind != "random":
            content["notes"].append(
                f"Every net was trained afresh without what was forgotten in its shard, but the "
                f"partition ({kind}) was computed before, from a graph that held it."
            )
        return content

    def _list_artefacts(self):
        return []

    def _change(self, records):
        self._records = records

    def _make_promises(self):
        return self._promises

    def _check_parameters(self):
        _nets.check_recipe(self.estimator, type(self).__name__)
        check_parameters(self)

    __copy__ = share_all

    def __getstate__(self):
        state = dict(super().__getstate__())
        if "_graph" in state:
            # The net that the user passed may have been trained on nodes that are gone by now.
            state["estimator"] = clone(self.estimator)
        return state
