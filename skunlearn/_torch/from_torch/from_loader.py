"""The settings of a DataLoader as parameters of a skorch net."""

from torch.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    SubsetRandomSampler,
    default_collate,
)

# For training and predicting alike, with the values that need no word.
_USUAL = {
    "num_workers": 0,
    "pin_memory": False,
    "timeout": 0,
    "worker_init_fn": None,
    "multiprocessing_context": None,
    "prefetch_factor": None,
    "persistent_workers": False,
    "pin_memory_device": "",
}


def read_loader(loader, *, own_sampling):
    """Parameters of a net that reads rows as `loader` does.

    Parameters
    ----------
    loader : DataLoader
    own_sampling : bool
        Whether the caller says how training batches are drawn, so that the sampler does not count.

    Returns
    -------
    params : dict of str to value
        ``batch_size``, and options of ``iterator_train`` and ``iterator_valid``.
    """
    _check(loader)
    params = {"batch_size": loader.batch_size}
    if params["batch_size"] is None and not own_sampling:
        _refuse_batches(loader)
    if not own_sampling:
        params["iterator_train__shuffle"] = _shuffles(loader.sampler)
    if loader.drop_last:
        params["iterator_train__drop_last"] = True
    both = {name: getattr(loader, name, usual) for name, usual in _USUAL.items()}
    both = {name: value for name, value in both.items() if value != _USUAL[name]}
    if both.get("prefetch_factor") == 2:  # torch's own, where there are workers
        del both["prefetch_factor"]
    if loader.collate_fn is not default_collate:
        both["collate_fn"] = loader.collate_fn
    for iterator in ("iterator_train", "iterator_valid"):
        params |= {f"{iterator}__{name}": value for name, value in both.items()}
    return params


def _check(loader):
    if isinstance(loader, Dataset):
        raise TypeError(
            f"loader must be a DataLoader, got the data set {type(loader).__name__}. Pass "
            "batch_size= instead, and the data set to fit."
        )
    if not isinstance(loader, DataLoader):
        raise TypeError(f"loader must be a torch DataLoader, got {type(loader).__name__}.")
    if isinstance(loader.dataset, IterableDataset):
        raise TypeError(
            f"The loader reads {type(loader.dataset).__name__}, an IterableDataset. Rows that are "
            "to be forgotten must be found again: pass a data set with a length and __getitem__."
        )


def _refuse_batches(loader):
    if loader.batch_sampler is None:
        raise ValueError(
            "The loader has batch_size=None, so that its data set gives whole batches. Rows that "
            "are to be forgotten are named one by one: pass a loader of single rows."
        )
    raise ValueError(
        f"The loader's batch_sampler ({type(loader.batch_sampler).__name__}) is made for a fixed "
        "set of rows, and would not fit the retained ones. Pass batch_size= and "
        "iterator_train__shuffle=True, or an iterator_train= that makes its sampler from the data "
        "set that it is given."
    )


def _shuffles(sampler):
    """Whether rows come in a new order each time."""
    if isinstance(sampler, SequentialSampler):
        return False
    # One that draws with replacement, or a given number of rows, is more than a new order.
    if (
        isinstance(sampler, RandomSampler)
        and not sampler.replacement
        and sampler.num_samples == len(sampler.data_source)
    ):
        return True
    advice = (
        "Pass iterator_train__shuffle=True, or an iterator_train= that makes its sampler from the "
        "data set that it is given."
    )
    if isinstance(sampler, SubsetRandomSampler):
        advice = (
            "Pass a shuffling loader of Subset(dataset, indices), and that Subset to fit, so that "
            "only these rows count as seen."
        )
    raise ValueError(
        f"The loader's sampler ({type(sampler).__name__}) is made for a fixed set of rows, and "
        f"would not fit the retained ones. {advice}"
    )
