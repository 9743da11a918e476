"""Options of a training that every loop and method understands: a module and a mixin."""

import torch
from skorch.dataset import get_len, unpack_data
from skorch.utils import to_tensor
from torch import nn

from skunlearn._rows.containers import is_mapping

__all__ = ["Autocast", "MicroBatches"]


class Autocast(nn.Module):
    """A module computed in half precision, with logits in float32.

    Weights stay as they are, so that optimizers, penalties and saved files do too.

    Parameters
    ----------
    module : type
        Class of the module.
    dtype : torch.dtype, default=torch.bfloat16
        float16 has too small a range for gradients without scaling them, which skorch's loop does
        not do: use it for prediction only.
    channels_last : bool, default=False
        Keep images and convolutions in that memory format; not with lazy layers.
    **kwargs
        Passed to `module`.

    Examples
    --------
    >>> import torch
    >>> from skorch import NeuralNetClassifier
    >>> from skunlearn.nets import Autocast, DigitsNet
    >>> net = NeuralNetClassifier(
    ...     Autocast,
    ...     module__module=DigitsNet,
    ...     module__channels_last=True,
    ...     criterion=torch.nn.CrossEntropyLoss,
    ... ).initialize()
    >>> net.module_(torch.zeros(2, 1, 8, 8)).dtype
    torch.float32
    """

    def __init__(self, module, dtype=torch.bfloat16, channels_last=False, **kwargs):
        super().__init__()
        self.inner = module(**kwargs)
        self.dtype, self.channels_last = dtype, channels_last
        if channels_last:
            self.inner.to(memory_format=torch.channels_last)

    def forward(self, *args, **kwargs):
        """Outputs of the inner module in float32."""
        if self.channels_last:
            args = [to_channels_last(a) for a in args]
        device = next(self.inner.parameters()).device.type
        with torch.autocast(device, self.dtype):
            out = self.inner(*args, **kwargs)
        if isinstance(out, tuple):
            return tuple(_float(o) for o in out)
        return _float(out)


class MicroBatches:
    """Mixin of skorch nets: a batch goes through the module in parts, for one optimizer step.

    The gradients of the parts add up to that of the whole batch, so that rates, schedules and
    penalties mean what they mean without it, and only a part has to fit into memory. Batch
    normalisation sees parts; losses between rows of a batch (`CoUnUnlearner`'s) do so too.

    Parameters
    ----------
    micro_batch_size : int or None, default=None
        Rows at a time; None takes the batch as a whole.
    *args, **kwargs
        Of the net.

    Examples
    --------
    >>> import torch
    >>> from skorch import NeuralNetClassifier
    >>> from skunlearn.nets import DigitsNet, MicroBatches
    >>> class Net(MicroBatches, NeuralNetClassifier):
    ...     pass
    >>> net = Net(
    ...     DigitsNet, criterion=torch.nn.CrossEntropyLoss, batch_size=512, micro_batch_size=64
    ... )
    >>> net.get_params()["micro_batch_size"]
    64
    """

    def __init__(self, *args, micro_batch_size=None, **kwargs):
        super().__init__(*args, **kwargs)
        self.micro_batch_size = micro_batch_size

    def train_step_single(self, batch, **fit_params):
        """Loss and outputs of a batch, its gradient added up part by part."""
        size, n = self.micro_batch_size, get_len(batch[0])
        if size is None or n <= size:
            return super().train_step_single(batch, **fit_params)
        self._set_training(True)
        X, y = unpack_data(batch)
        weights = getattr(batch, "weights", None)  # of rows, where they have any
        total, outs = 0.0, []
        for i in range(0, n, size):
            part, labels = _part(X, i, i + size), _part(y, i, i + size)
            share = get_len(part) / n
            if weights is not None:
                share = float(weights[i : i + size].sum() / weights.sum().clamp_min(1e-300))
            out = self.infer(part, **fit_params)
            loss = self.get_loss(out, labels, X=part, training=True) * share
            loss.backward()
            total = total + loss.detach()
            outs.append(out.detach() if isinstance(out, torch.Tensor) else out[0].detach())
        return {"loss": total, "y_pred": torch.cat(outs)}


def _part(values, start, stop):
    if is_mapping(values):
        return {key: _part(value, start, stop) for key, value in values.items()}
    if isinstance(values, list | tuple):
        return type(values)(_part(value, start, stop) for value in values)
    return to_tensor(values, device=None)[start:stop]


def to_channels_last(a):
    """`a`, if it is images, in that memory format."""
    if not isinstance(a, torch.Tensor) or a.ndim != 4:
        return a
    try:
        return a.contiguous(memory_format=torch.channels_last)
    except RuntimeError:  # in a vmap, which asks for no format
        return a


def _float(out):
    return out.float() if isinstance(out, torch.Tensor) and out.is_floating_point() else out
