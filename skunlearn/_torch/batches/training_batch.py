"""A training batch: what the net's iterator gave, which rows those are, what the net said."""

import numpy as np
import torch
from skorch.dataset import get_len, unpack_data
from torch.utils._pytree import tree_leaves

from skunlearn._rows.containers import is_mapping
from skunlearn.exceptions import UnlearningError

_LABELS = ("labels", "label", "label_ids")  # where items of Hugging Face data sets hold theirs


class Batch(tuple):
    """``(x, y)`` as skorch's loop knows it, with what a loss may ask besides.

    Attributes
    ----------
    x, y : object
        As the net's iterator gave them.
    rows : int64 tensor of shape (b,) on the CPU, or None
        Places of the batch's rows among those that are trained on; None where the iterator does
        not tell.
    mixed : bool
        Whether the targets are not those of `rows` one by one: a collate function has mixed rows
        (mixup), or put them in another order.
    weights : tensor of shape (b,), or None
        Sample weights.
    whole : object
        All that the module returned; None before it was asked.
    task : TaskLoss or None
    """

    rows = weights = whole = task = None
    mixed = False

    def __new__(cls, x, y, rows=None, mixed=False):
        new = super().__new__(cls, (x, y))
        new.rows, new.mixed = rows, mixed
        return new

    @property
    def x(self):
        """The rows."""
        return self[0]

    @property
    def y(self):
        """Their targets."""
        return self[1]

    @property
    def n_rows(self):
        """How many they are."""
        return n_rows_in(*self) if self.rows is None else len(self.rows)

    @property
    def out(self):
        """The module's output of which predictions are made."""
        return main_output(self.whole)

    def loss(self):
        """The net's own training loss of this batch, weighted where its rows are."""
        return self.task(self.whole, self.y, self.x, self.weights)

    def mean(self, values):
        """Mean of one value per row, weighted where the rows are."""
        return mean(values, self.weights)

    def places(self, method):
        """`rows`, when it is known which of them stands where; UnlearningError otherwise.

        `method` says who needs to know, for the message.
        """
        if self.rows is None:
            raise UnlearningError(
                f"{method} must know which rows are in a batch, and this net's iterator_train "
                "does not tell: it reads rows in processes or threads of its own, or not one "
                "after the other. Let it be torch's DataLoader or a subclass of it."
            )
        if self.mixed:
            raise UnlearningError(
                f"{method} must know the rows of a batch one by one, and this net's collate "
                "function or iterator mixes them (as mixup does) or puts them in another order: "
                "the targets in the batch are not those of its rows. Use one that keeps rows "
                "apart, or another method."
            )
        return self.rows


def mean(values, weights=None):
    """Mean of one value per row; Σwv / Σw with weights."""
    if weights is None:
        return values.mean()
    weights = weights.to(values)
    return (weights * values).sum() / weights.sum().clamp_min(torch.finfo(values.dtype).tiny)


def main_output(out):
    """The output that predictions are made of: the first of several, the logits of a mapping."""
    if is_mapping(out):
        return out["logits"] if "logits" in out else next(iter(out.values()))
    return out[0] if isinstance(out, tuple | list) else out


def label_key(item):
    """Under which key an item or batch in the style of Hugging Face holds labels; None without."""
    return next((key for key in _LABELS if key in item), None)


def label_of(item):
    """The label in an item; None where there is none."""
    if is_mapping(item):
        key = label_key(item)
        return None if key is None else item[key]
    return item[1]


def split(batch):
    """What an iterator or collate function gave as ``(x, y)``.

    Labels are taken out of a dictionary; a 0 for each row stands in where there are none.
    """
    if not is_mapping(batch):
        return unpack_data(batch)
    key = label_key(batch)
    x = {name: value for name, value in batch.items() if name != key}
    return x, (batch[key] if key is not None else torch.zeros(get_len(x)))


def cast(x, dtype):
    """`x` with its float64 tensors and arrays in another precision, to any depth."""
    if is_mapping(x):
        return {key: cast(value, dtype) for key, value in x.items()}
    if isinstance(x, list | tuple) and not hasattr(x, "_fields"):
        return type(x)(cast(value, dtype) for value in x)
    if isinstance(x, np.ndarray) and x.dtype == np.float64:
        x = torch.from_numpy(np.ascontiguousarray(x))
    return x.to(dtype) if isinstance(x, torch.Tensor) and x.dtype == torch.float64 else x


def count_bytes(x):
    """Bytes of a tensor or of a mapping of them."""
    return sum(map(count_bytes, x.values())) if is_mapping(x) else x.nbytes


def n_rows_in(x, y):
    """Number of rows in a batch."""
    return len(y) if isinstance(y, torch.Tensor | np.ndarray) and y.ndim else get_len(x)


def part(values, start, stop, n):
    """Rows `start` to `stop` of anything that holds `n` rows; what holds none stays whole."""
    if is_mapping(values):
        return {key: part(value, start, stop, n) for key, value in values.items()}
    if isinstance(values, list | tuple):
        if len(values) == n and not any(_is_rows(v, n) for v in tree_leaves(values)):
            return values[start:stop]  # of strings, say
        return _like(values, [part(value, start, stop, n) for value in values])
    return values[start:stop] if _is_rows(values, n) else values


def _is_rows(values, n):
    return isinstance(values, torch.Tensor | np.ndarray) and values.ndim and len(values) == n


def join(a, b):
    """Two batches, or what they hold, one after the other.

    Raises TypeError, ValueError or KeyError where they are not alike: their tensors must be of
    one shape but for the number of rows.
    """
    if is_mapping(a):
        return {key: join(a[key], b[key]) for key in a}
    if isinstance(a, torch.Tensor) and a.ndim:
        if a.shape[1:] != b.shape[1:]:
            raise ValueError("rows of other shapes")
        return torch.cat([a, b])
    if isinstance(a, np.ndarray) and a.ndim:
        return np.concatenate([a, b])
    if isinstance(a, list | tuple):
        if a and isinstance(a[0], str):
            return a + b
        return _like(a, [join(*pair) for pair in zip(a, b, strict=True)])
    if type(a) is type(b) and a == b:
        return a
    raise TypeError(f"{type(a).__name__} is no container of rows")


def _like(values, new):
    return type(values)(*new) if hasattr(values, "_fields") else type(values)(new)
