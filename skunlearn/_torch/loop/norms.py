"""Running statistics of normalisation layers: a memory of rows that no gradient reaches."""

from contextlib import contextmanager

import torch
from skorch.callbacks import Callback
from torch.nn.parallel import DistributedDataParallel
from torch.nn.parameter import is_lazy

from skunlearn._rows.seeding import derive_seed, seeded
from skunlearn._torch import skorch_nets
from skunlearn._torch.batches.lone_rows import has_spread, lone_row
from skunlearn._torch.loop.fit_loop import batches
from skunlearn._torch.parts.net_state import plain, uncompiled

NORMS = (torch.nn.modules.batchnorm._NormBase,)
_ROWS = 2000  # over which statistics are taken: they were right to 0.005 standard deviations
_PULL = 0.5  # share of the newest batch in statistics that follow the weights


def moving_norms(net):
    """Layers whose running statistics a training of the net moves; the net then is in training.

    Layers that stay in evaluation mode, as the user's module would have it, are none of them, nor
    those with a momentum of 0.
    """
    net._set_training(True)
    return [
        m
        for m in _list_modules(net).values()
        if isinstance(m, NORMS) and m.training and m.running_mean is not None and m.momentum != 0
    ]


def prompt(norms):
    """Let running statistics be those of the last batch, for passes beside it in evaluation mode.

    The moving average of a training lags behind the weights. On nets that knew a tenth of their
    rows to be forgotten by heart, unlearning against it cost up to 7 points of test accuracy.
    """
    return _momentum(norms, 1.0)


@contextmanager
def _momentum(norms, value):
    before = [m.momentum for m in norms]
    for m in norms:
        m.momentum = value
    try:
        yield
    finally:
        for m, momentum in zip(norms, before, strict=True):
            m.momentum = momentum


@contextmanager
def unmoved(norms):
    """Keep these layers in evaluation mode for a forward pass in the middle of a training step."""
    for m in norms:
        m.eval()
    try:
        yield
    finally:
        for m in norms:
            m.train()


class FollowedStatistics(Callback):
    """Running statistics follow the weights over retained rows, one batch before every step.

    For trainings on forget rows alone, with normalisation in evaluation mode. Their loss would else
    be climbed by a shift of what a layer puts out against statistics that stand still, and come
    back as soon as these are taken anew.

    Parameters
    ----------
    net : skorch net
    retain : Rows
    """

    def __init__(self, net, retain):
        self.norms = moving_norms(net) if len(retain) > 1 else []
        self.batches = batches(net, retain)

    def on_batch_begin(self, net, training=False, **kwargs):
        """Pass a batch of retained rows through the net."""
        if not (training and self.norms):
            return
        batch = next(self.batches)
        if batch.n_rows < 2:
            return  # one row has no spread
        for m in self.norms:
            m.train()
        with torch.no_grad(), _momentum(self.norms, _PULL):
            net.infer(batch.x)
        for m in self.norms:
            m.eval()


def renew_statistics(net, rows, seed):
    """Take running statistics anew over `rows`, by forward passes in training mode.

    Rows pass through the net's own data set, iterator and augmentation. The mean over all batches
    is taken, of which nothing old is a part; the layers' moving average would keep 0.9 of the old
    at every batch.

    Parameters
    ----------
    net : skorch net
        Changed in place, and left in evaluation mode.
    rows : Rows
    seed : int

    Returns
    -------
    kept : list of str, or None
        Names of modules with buffers that training moves and that are those from before: of other
        kinds than torch's norms, or not reached by a forward pass. None when training moves none.
    """
    before = _copy_buffers(net)
    if not before:
        return None
    net = skorch_nets.make_eager(net)  # hooks are called for sure
    with seeded(derive_seed(seed, 4)):
        norms = moving_norms(net)
        means = {m: _Mean(m) for m in norms}
        with _hooked(means):
            for batch in _read_batches(net, rows.sample(_ROWS, seed)) if len(rows) > 1 else ():
                for mean in means.values():
                    mean.size = batch.n_rows
                with torch.no_grad(), lone_row(net, batch):
                    net.infer(batch.x)
                if not norms:
                    break  # one is enough to see what else moves
    net._set_training(False)
    kept = []
    for name, m in _list_modules(net).items():
        if name in before and not (m in means and means[m].calls):
            moved = _put_back(m, before[name])
            unreached = m in means and not means[m].reached and not _is_new(m)
            if moved or unreached:
                kept.append(name)
    _share(net)
    return kept if norms or kept else None


class _Mean:
    """Hook that makes a layer's next forward pass one term of a mean over rows."""

    def __init__(self, module):
        self.momentum, self.size, self.seen, self.calls = module.momentum, 0, 0, 0
        self.reached = False

    def __call__(self, module, args):
        if not has_spread(args[0]):
            return  # nor is anything taken from it in a training, see `lone_row`
        self.reached = True
        if module.training:  # the user's forward may freeze it
            self.seen += self.size
            self.calls += 1
            module.momentum = self.size / self.seen


@contextmanager
def _hooked(means):
    hooks = [m.register_forward_pre_hook(mean) for m, mean in means.items()]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
        for m, mean in means.items():
            m.momentum = mean.momentum
            if mean.calls:  # where momentum is None, it says what the mean was taken over
                m.num_batches_tracked.fill_(mean.calls)


def _read_batches(net, rows):
    """One pass of training batches; a row that is left over alone has no spread and is dropped."""
    seen = largest = 0
    for batch in batches(net, rows):
        size = batch.n_rows
        seen, largest = seen + size, max(size, largest)
        if size > 1 or largest == 1:
            yield batch
        if seen >= len(rows):
            return


def _list_modules(net):
    return {
        f"{name}.{key}" if key else name: m
        for name in net._modules
        for key, m in plain(getattr(net, name + "_")).named_modules()
    }


def _copy_buffers(net):
    """Copies of the buffers of each module of which training moves any by rows, by its name."""
    copies = {}
    for name, module in _list_modules(net).items():
        for key, b in module.named_buffers(recurse=False):
            # Those of a spectral norm are of weights alone.
            if not is_lazy(b) and b.is_floating_point() and not key.endswith(("_u", "_v")):
                held = module.named_buffers(recurse=False)
                copies[name] = {key: b.clone() for key, b in held if not is_lazy(b)}
                break
    return copies


def _put_back(module, old):
    """Whether a number among the buffers was moved; it is the old one again."""
    moved = False
    for key, own in module.named_buffers(recurse=False):
        moved |= own.is_floating_point() and not torch.equal(own, old[key])
        with torch.no_grad():
            own.copy_(old[key])
    return moved


def _is_new(norm):
    return bool((norm.running_mean == 0).all() and (norm.running_var == 1).all())


def _share(net):
    """Give all processes that train one net together the statistics of the first."""
    for name in net._modules:
        module = uncompiled(getattr(net, name + "_"))
        if isinstance(module, DistributedDataParallel):
            for b in module.buffers():
                torch.distributed.broadcast(b, 0, group=module.process_group)
