"""Many small nets trained at once: their weights stacked, one batched operation for all."""

import numpy as np
import torch
from skorch import NeuralNetClassifier
from torch import nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader

from skunlearn._rows.row_names import join_names
from skunlearn._rows.seeding import seeded
from skunlearn._rows.views import Rows
from skunlearn._torch import net_checks, skorch_nets
from skunlearn._torch.batches.batching import BatchLoader, can_batch, n_batches
from skunlearn._torch.batches.device_rows import send_tensor
from skunlearn._torch.batches.net_rows import make_dataset
from skunlearn._torch.portable import compare_settings
from skunlearn.callbacks import LinearDecay

# Steps that treat every weight by itself: on stacked weights they are those of each net alone.
_ELEMENTWISE = (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW, torch.optim.RMSprop)
_DRAWING = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.RReLU)
# Few operations on little data: there the batching pays. On a CPU it made convolutions and nets of
# 190,000 weights slower.
_MAX_PARAMETERS = 60_000


def why_not(net, rows, classes):
    """Reason why nets of this recipe cannot be trained stacked; None when they can."""
    if rows.weights is not None:
        return "the rows have sample weights"
    if type(net) is not NeuralNetClassifier:
        return f"{type(net).__name__} is not skorch's NeuralNetClassifier itself"
    if net.optimizer not in _ELEMENTWISE:
        names = ", ".join(cls.__name__ for cls in _ELEMENTWISE)
        return f"the optimizer {net.optimizer.__name__} is none of {names}"
    if any("param_groups" in key for key in net.get_params_for("optimizer")):
        return "the optimizer has parameter groups"
    if net.criterion is not nn.CrossEntropyLoss or set(net.get_params_for("criterion")) - {
        "label_smoothing"
    }:
        return "the criterion is not a CrossEntropyLoss without weights"
    given = net.callbacks or []
    if isinstance(given, str) or any(
        not isinstance(cb[1] if isinstance(cb, tuple) else cb, LinearDecay) for cb in given
    ):
        return "it has callbacks other than LinearDecay"
    if net.compile:
        return "the module is compiled"
    if skorch_nets.own_split(net) is not None:
        return "its train_split holds rows out"
    if net.iterator_train not in (DataLoader, BatchLoader):
        return "iterator_train is neither torch's DataLoader nor skunlearn's BatchLoader"
    with seeded(0):
        probe = skorch_nets.fresh_net(net, verbose=0)
        net_checks.check_outputs(probe, rows, len(classes))
    if not can_batch(probe, make_dataset(probe, rows), training=True):
        return "its data set or loader does more than batching"
    if any(True for _ in probe.module_.buffers()):
        return "the module has buffers (batch normalisation, say)"
    if any(isinstance(m, _DRAWING) and getattr(m, "p", 1) for m in probe.module_.modules()):
        return "the module draws random numbers (dropout)"
    if not all(p.requires_grad for p in probe.module_.parameters()):
        return "some parameters are frozen"
    with seeded(1):
        other = skorch_nets.fresh_net(net, verbose=0)
        net_checks.check_outputs(other, rows, len(classes))
    drawn = compare_settings(probe, other)
    if drawn:
        return f"the module draws {join_names(drawn)} in its constructor, which is no parameter"
    return None


def pays(net, rows, classes):
    """Whether stacking is likely to be faster than one net after the other."""
    with seeded(0):
        probe = skorch_nets.fresh_net(net, verbose=0)
        net_checks.check_outputs(probe, rows, len(classes))
    convolves = any(isinstance(m, nn.modules.conv._ConvNd) for m in probe.module_.modules())
    small = sum(p.numel() for p in probe.module_.parameters()) <= _MAX_PARAMETERS
    return (small and not convolves) or str(net.device).startswith("cuda")


def train_stacked(net, members, classes, seeds):
    """Train one net on each of `members`; the same nets as one after the other would give.

    Parameters
    ----------
    net : NeuralNetClassifier
    members : list of Rows, all of one length
    classes : ndarray
    seeds : list of int

    Returns
    -------
    predict : function of Rows to ndarray of shape (n_nets, n, n_classes), logits
    """
    hosts, orders = [], []
    for rows, seed in zip(members, seeds, strict=True):
        # The generator gives what it gives to a single net: its weights, then each epoch's order.
        with seeded(seed):
            host = skorch_nets.fresh_net(net, verbose=0)
            net_checks.check_outputs(host, rows, len(classes))
            shuffle = host.get_params_for("iterator_train").get("shuffle", False)
            n = len(rows)
            orders.append(
                [torch.randperm(n) if shuffle else torch.arange(n) for _ in range(net.max_epochs)]
            )
        hosts.append(host)
    host = hosts[0]
    base = host.module_
    weights, _ = stack_module_state([h.module_ for h in hosts])
    weights = {name: w.detach().requires_grad_() for name, w in weights.items()}
    args, kwargs = host.get_params_for_optimizer("optimizer", list(weights.items()))
    host.optimizer_ = host.optimizer(*args, **kwargs)
    # All members are views of the same rows: one gather serves a step of all nets.
    first = members[0]
    data = make_dataset(host, Rows(first.source, first.all_y, np.arange(len(first.all_y))))
    resident = data.move(host.get_params_for("iterator_train").get("resident", "auto"))
    where = torch.as_tensor(np.stack([rows.index for rows in members]))

    def forward(w, x):
        return functional_call(base, w, (x,))

    run = vmap(forward)
    smoothing = net.get_params_for("criterion").get("label_smoothing", 0.0)
    callbacks = [cb for _, cb in host.callbacks_ if isinstance(cb, LinearDecay)]
    for cb in callbacks:
        cb.on_train_begin(host, X=range(n))
    options = host.get_params_for("iterator_train")
    size = options.get("batch_size", net.batch_size)
    size = n if size == -1 else size
    count = n_batches(host, n)
    base.train()
    for epoch in range(net.max_epochs):
        rows_of = where.gather(1, torch.stack([order[epoch] for order in orders]))
        rows_of = send_tensor(rows_of, host.device) if resident else rows_of
        for k in range(count):
            last = k == count - 1 and not options.get("drop_last")
            places = rows_of[:, k * size : n if last else (k + 1) * size].flatten()
            x, y = data.take_moved(places) if resident else data.batch(places.numpy())
            x = send_tensor(x, host.device).unflatten(0, (len(hosts), -1))
            y = send_tensor(y, host.device)
            for cb in callbacks:
                cb.on_batch_begin(host, training=True)
            host.optimizer_.zero_grad()
            out = run(weights, x)
            losses = cross_entropy(
                out.flatten(0, 1), y, reduction="none", label_smoothing=smoothing
            )
            # Summed over nets: each gets the gradient of its own mean.
            losses.view(len(hosts), -1).mean(dim=1).sum().backward()
            host.optimizer_.step()
    for cb in callbacks:
        cb.on_train_end(host)
    base.eval()
    same = vmap(forward, in_dims=(0, None))

    @torch.no_grad()
    def predict(rows):
        held = make_dataset(host, rows)
        found = []
        for start in range(0, len(rows), 1000):
            x, _ = held.batch(np.arange(start, min(start + 1000, len(rows))))
            found.append(same(weights, x.to(host.device)).float().cpu())
        return torch.cat(found, dim=1)[:, :, : len(classes)].numpy()

    return predict
