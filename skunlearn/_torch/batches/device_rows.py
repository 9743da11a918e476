"""Rows on the way to a device: all at once when they fit, else some batches ahead of their use."""

from collections import deque
from concurrent.futures import ThreadPoolExecutor

import torch

from skunlearn._rows.containers import is_mapping
from skunlearn._torch.batches.training_batch import count_bytes

_SHARE = 0.5  # of a GPU's free memory that rows may take
_PIECE = 2**26  # bytes moved at a time, so that the host holds no copy of them all
_AHEAD = 2  # batches made before they are asked for


def fits(n_bytes, device):
    """Whether so many bytes may live on this device: on a GPU with room for them."""
    if torch.device(device).type != "cuda":
        return False
    return n_bytes <= _SHARE * torch.cuda.mem_get_info(device)[0]


def move_rows(read, n, device):
    """The n rows that ``read(start, stop)`` gives, as tensors of their own on `device`."""
    first = read(0, 1)
    step = max(1, _PIECE // max(1, count_bytes(first)))
    whole = _map(lambda t: _like(t, n, device), first)
    for i in range(0, n, step):
        _copy(whole, read(i, min(n, i + step)), i)
    return whole


def gather(whole, positions):
    """Rows of what `move_rows` returned, copied."""
    if is_mapping(whole):
        return {key: gather(value, positions) for key, value in whole.items()}
    rows = whole[send_tensor(torch.as_tensor(positions), whole.device)]
    if _channels_last(whole):
        rows = rows.contiguous(memory_format=torch.channels_last)
    return rows


def send(x, device):
    """`x` on its way to a GPU while the present batch is worked on; elsewhere `x` itself."""
    if torch.device(device).type != "cuda":
        return x
    return _map(lambda t: send_tensor(t, device), x)


def send_tensor(tensor, device):
    """A tensor on its way to `device`, which is not waited for; one that is there, itself."""
    far = torch.device(device).type
    if far == "cpu":  # whose next reader would not wait
        return tensor.to(device)
    if far == "cuda" and tensor.device.type == "cpu":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


def ahead(make, n):
    """``make(0)``, ..., ``make(n - 1)``, made in a thread before they are asked for."""
    with ThreadPoolExecutor(1) as thread:
        waiting = deque(thread.submit(make, i) for i in range(min(_AHEAD, n)))
        for i in range(n):
            made = waiting.popleft().result()
            if i + _AHEAD < n:
                waiting.append(thread.submit(make, i + _AHEAD))
            yield made


def _map(change, x):
    return {k: _map(change, v) for k, v in x.items()} if is_mapping(x) else change(x)


def _like(t, n, device):
    kept = torch.channels_last if _channels_last(t) else torch.contiguous_format
    return torch.empty((n, *t.shape[1:]), dtype=t.dtype, device=device, memory_format=kept)


def _channels_last(t):
    return (
        t.ndim == 4 and not t.is_contiguous() and t.is_contiguous(memory_format=torch.channels_last)
    )


def _copy(whole, piece, start):
    if is_mapping(whole):
        for key in whole:
            _copy(whole[key], piece[key], start)
    else:
        whole[start : start + len(piece)].copy_(piece)
