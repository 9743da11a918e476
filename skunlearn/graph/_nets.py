"""skorch nets on graphs: the rows that a net is trained on are numbers of nodes."""

from contextlib import contextmanager

import numpy as np
import torch
from scipy.special import softmax
from skorch import NeuralNetClassifier
from skorch.dataset import ValidSplit

from skunlearn._recipe.from_scratch import refuse_trained
from skunlearn._rows.seeding import seeded
from skunlearn._rows.views import Rows
from skunlearn._torch import checkpoints, inference, net_checks, skorch_nets
from skunlearn._torch.batches.net_rows import float_dtype
from skunlearn._torch.loop import fit_loop


def check_recipe(estimator, name):
    """Refuse what cannot be trained afresh on a graph."""
    if not isinstance(estimator, NeuralNetClassifier):
        got = estimator.__name__ if isinstance(estimator, type) else type(estimator).__name__
        raise TypeError(
            f"{name} takes a skorch NeuralNetClassifier around a module that is called with x and "
            f"edge_index, got {got}. It is a recipe only: NeuralNetClassifier(GCN, "
            "module__in_channels=..., ..., batch_size=-1, train_split=None)."
        )
    net_checks.check_net(estimator, name)
    refuse_trained(estimator, name)
    if estimator.train_split is not None and not _is_default(estimator.train_split):
        raise ValueError(
            f"train_split={estimator.train_split!r} would hold nodes out of every shard, or use "
            "those of none: pass train_split=None."
        )


def _is_default(split):
    """Whether this is skorch's default, which is nobody's choice, and is left out."""
    return isinstance(split, ValidSplit) and split.cv == 5 and split.stratified


def train(estimator, graph, n_classes, seed, verbose=0):
    """A net trained afresh on the labelled nodes of `graph`."""
    rows = Rows(np.arange(len(graph)), graph.y, graph.labelled)
    with _fresh(estimator, graph, n_classes, seed, verbose) as net:
        net_checks.check_outputs(net, rows, n_classes)
        with checkpoints.private_checkpoints(net):  # shards would overwrite each other's files
            return fit_loop.train(net, rows, from_scratch=True)


def initial_logits(estimator, graph, n_classes, seed):
    """Outputs over all nodes of a net that was not trained."""
    with _fresh(estimator, graph, n_classes, seed, 0) as net:
        return _outputs(net, graph)[:, :n_classes].double().numpy()


def width(estimator, graph):
    """Columns of the net's output."""
    with _fresh(estimator, graph, 1, 0, 0) as net:
        return _outputs(net, graph).shape[1]


def logits(net, graph, n_classes):
    """Logits of every node of `graph`, ndarray of shape (n, n_classes); one forward pass."""
    with _on_graph(net, graph):
        out = _outputs(net, graph)
    return inference.class_logits(net, out, n_classes).double().numpy()


def probabilities(net, graph, n_classes):
    """Class probabilities of every node of `graph`, ndarray of shape (n, n_classes)."""
    return softmax(logits(net, graph, n_classes), axis=1)


@contextmanager
def _fresh(estimator, graph, n_classes, seed, verbose):
    with seeded(seed):
        net = skorch_nets.fresh_net(estimator, verbose=verbose)
        if not len(getattr(net, "classes", None) or ()):
            net.classes_inferred_ = np.arange(n_classes)
        with _on_graph(net, graph):
            yield net


@contextmanager
def _on_graph(net, graph):
    """Let `net` read numbers of nodes: its module runs on all of `graph`, and these are picked.

    So skorch's loop, batches, callbacks and losses work as they do on rows.
    """
    dtype = float_dtype(net)
    x, edge_index = _move(net, graph.x, dtype), _move(net, graph.edge_index)
    values = {name: _move(net, value, dtype) for name, value in graph.edge_values.items()}

    def infer(nodes, **fit_params):
        out = net.module_(x, edge_index, **values, **fit_params)
        out = out[0] if isinstance(out, tuple) else out
        return out[torch.as_tensor(nodes, device=out.device)]

    vars(net)["infer"] = infer
    try:
        yield
    finally:
        del vars(net)["infer"]


def _move(net, tensor, dtype=None):
    dtype = dtype if tensor.is_floating_point() else None
    return tensor.to(device=net.device, dtype=dtype)


def _outputs(net, graph):
    with torch.no_grad(), inference.evaluating(net):
        return net.infer(torch.arange(len(graph))).float().cpu()
