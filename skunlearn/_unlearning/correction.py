"""Rectification: rows go on being known, with other values than they had."""

from dataclasses import replace

import numpy as np
from sklearn.utils.validation import assert_all_finite, check_is_fitted
from torch.utils.data import Subset

from skunlearn._rows.containers import (
    cast_exactly,
    is_dataset,
    label_digests,
    match,
    n_rows,
    name_digests,
    row_digests,
    take,
)
from skunlearn._rows.identifiers import list_names
from skunlearn._rows.row_names import show_some
from skunlearn._rows.seeding import seeded
from skunlearn._torch import skorch_nets
from skunlearn._torch.observation import observe_forgotten
from skunlearn._torch.parts.tasks import task_of
from skunlearn._unlearning import validation
from skunlearn._unlearning.certificate.model_digests import model_digest
from skunlearn._unlearning.diagnosis import find_emptied
from skunlearn._unlearning.fitted import drafted, succeeding
from skunlearn._unlearning.plain_rows import look_at
from skunlearn._unlearning.removal import Removal, draw_sample, observe_all


def correct(
    self,
    X_old=None,
    y_old=None,
    X_new=None,
    y_new=None,
    *,
    ids=None,
    indices=None,
    measure_on=None,
):
    """Put new values in the place of rows: one request that forgets the old and learns the new.

    For rectification, the GDPR's article 16. The rows keep their ids, groups, weights and
    positions; a later request that names one forgets its new values. The old values are unknown
    from then on, and the estimator holds a copy of its rows, with the new values among them.

    Parameters
    ----------
    X_old : rows as in ``fit``, default=None
        The rows as they were, all equal ones with them; `X_old`, `ids` or `indices` names them.
    y_old : array of shape (k,), default=None
        Their labels, where rows of other labels are equal to them.
    X_new : rows as in ``fit``, default=None
        New values, one row for each one named, in the same order. None leaves them. After a
        ``fit`` on a torch Dataset: the whole Dataset, of as many items, in which those that are
        named have their new values and labels; the one of ``fit`` too, once it was changed.
    y_new : array of shape (k,), default=None
        New labels, among those that ``fit`` has seen, or targets. None leaves them.
    ids : sequence of k hashable values, default=None
        Names of the rows, of those that ``fit`` was given.
    indices : sequence of k int, default=None
        Their positions in ``fit``.
    measure_on : torch Dataset or callable, default=None
        As in ``fit``, with the new values at their positions; needed again where ``fit`` was given
        a Dataset to measure on, or augmented items of a Dataset.

    Returns
    -------
    self : object

    Raises
    ------
    UnknownRowsError, AlreadyForgottenError
        When rows are named that the model does not know.
    TypeError
        When the method cannot learn new values: only those can that train on all retained rows
        (the exact ones, and fine-tuning). `RetrainUnlearner` always can. When `measure_on` is
        missing, or the new values do not come as ``fit`` was given the old ones.
    ValueError
        When old and new values do not belong together.

    Notes
    -----
    Exact methods give the model of a training on the kept and the corrected rows. The log's entry
    says how many rows were ``"corrected"``, and the certificate too; digests in it are those of
    the old values, by which nobody can tell the new ones. No warning is given of rows that are
    known still, as new values may be close to the old ones.

    References
    ----------
    A. Warnecke, L. Pirch, C. Wressnegger, K. Rieck, "Machine Unlearning of Features and Labels",
    NDSS 2023, https://arxiv.org/abs/2108.11577

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import Ridge
    >>> from skunlearn import RidgeUnlearner
    >>> X, y = load_iris(return_X_y=True)
    >>> names = [f"flower {i}" for i in range(150)]
    >>> unlearner = RidgeUnlearner(Ridge()).fit(X, y, ids=names)
    >>> unlearner.correct(ids=["flower 7"], X_new=[[5.1, 3.4, 1.5, 0.2]]).deletions_[0]["corrected"]
    1
    >>> X[7] = 5.1, 3.4, 1.5, 0.2
    >>> np.allclose(unlearner.estimator_.coef_, Ridge().fit(X, y).coef_, rtol=1e-9)
    True
    """
    check_is_fitted(self)
    check_able(self)
    check_new(self._record, X_old, X_new, y_new, measure_on)
    how = {} if measure_on is None else {"measure_on": measure_on}
    return carry_out(self, X_old, y_old, X_new, y_new, ids, indices, **how)


def carry_out(estimator, X_old, y_old, X_new, y_new, ids, indices, **how):
    """The verb `correct`, of an unlearner and of a pipeline: the whole request, or nothing of it.

    `how` goes to their ``_put``; the rest is as in `correct`.
    """
    check_named(X_old, y_old, X_new, y_new, ids, indices)
    with drafted(estimator) as draft, seeded(estimator._seed):
        draft._check_parameters()
        positions, source, k = find(draft, X_old, y_old, ids, indices)
        if draft._record.is_dataset:
            learn(draft, positions, _replace_items(draft, positions, X_new, **how))
        else:
            draft._record.check_unchanged(positions)
            X_new, y_new = draft._read_new(X_new, y_new, k)
            X_new = None if X_new is None else take(X_new, source)
            y_new = None if y_new is None else y_new[source]
            draft._put(positions, X_new, y_new, **how)
        draft._purge_caches(estimator, positions)
    estimator._commit()
    return estimator


def put(draft, positions, X_new=None, y_new=None, measure_on=None, gone=()):
    """Give the rows at `positions` other values, of a draft that nobody else has seen yet.

    `X_new` and `y_new` are as the record holds rows and labels, and None leaves what there is. The
    rows at `gone`, others, are forgotten in the same training.
    """
    record = draft._record
    old = record.view(positions)
    X_new, y_new = old.X if X_new is None else X_new, old.y if y_new is None else y_new
    new = record.correct(positions, X_new, y_new)
    if record.reader is not None or measure_on is not None:
        new.reader = _read_plain(draft, positions, new, measure_on)
    learn(draft, positions, new, gone)


def learn(draft, positions, new, gone=()):
    """Forget old values at `positions`, and rows at `gone`; learn those in the record `new`."""
    old = draft._record.view(positions)
    also = draft._record.view(gone) if len(gone) else None
    new = new.without(gone) if len(gone) else new
    retain = new.view(np.flatnonzero(new.retained))
    removal = Removal(
        positions,
        old,
        retain,
        record=new,
        sample=draw_sample(draft, retain),
        emptied=find_emptied(draft, new, old),
        corrected=True,
    )
    before = observe_all(draft.estimator_, removal, draft._classes)
    forgotten = forget_too(draft, removal, gone, also, before[1])
    draft._forget(replace(removal, before=before))
    draft._change(forgotten=None)
    if forgotten is not None:
        draft._forget(forgotten)


def forget_too(draft, removal, gone, rows, said, hear=None):
    """The `Removal` of further rows that the training of a correction leaves out; None of none.

    Parameters
    ----------
    draft : unlearner before the correction
    removal : Removal
        The correction.
    gone : int array, positions of the rows
    rows : Rows
        Themselves, as the model of the correction will read them.
    said : Evidence
        What the present model says of the sample of retained rows.
    hear : callable, default=None
        ``hear()`` gives what it says of `rows`, where it reads them in another way.
    """
    if not len(gone):
        return None
    model, classes = draft.estimator_, draft._classes
    first = observe_forgotten(model, rows, classes) if hear is None else hear()
    return replace(
        removal,
        positions=gone,
        forget=rows,
        before=(first, said, None),
        emptied=find_emptied(draft, removal.record, rows),
        corrected=False,
        made_from=model_digest(model)["digest"],
    )


def succeed(unlearner, positions, X_new, y_new, gone=()):
    """A copy of an unlearner or a pipeline that has learnt new values; it stays as it is.

    In the same training it has forgotten the rows at `gone`.
    """
    with succeeding(unlearner) as new:
        new._record.check_unchanged(np.union1d(positions, gone).astype(np.intp))
        new._put(positions, X_new, y_new, gone=gone)
    return new


def _read_plain(draft, positions, new, measure_on):
    """How corrected arrays are read to be measured."""
    left = new.retained.copy()
    left[positions] = False
    order = np.concatenate([np.flatnonzero(left), positions])  # as the new record holds them
    if measure_on is None:
        return draft._record.reader.among(order, new._X)
    if is_dataset(measure_on):
        validation.check_dataset(measure_on, "measure_on")
        if len(measure_on) != len(new):
            raise ValueError(
                f"measure_on has {len(measure_on)} rows, but fit was given {len(new)}: it must "
                "hold the same rows in the same order, with the new values."
            )
        measure_on = Subset(measure_on, order)
    net, y = skorch_nets.unwrap(draft.estimator), new._y
    y = draft._classes[y] if task_of(draft._classes).has_one_class else y
    return look_at(new._X, y, net, measure_on)[1]


def _replace_items(draft, positions, dataset, measure_on=None):
    """The record with another Dataset, of which only the items at `positions` are other ones."""
    record = draft._record
    record.view(positions)  # raises where there are none
    validation.check_dataset(dataset, "X_new")
    if len(dataset) != len(record):
        raise ValueError(
            f"X_new has {len(dataset)} items, but the Dataset of fit has {len(record)}: pass the "
            "whole Dataset, with the new values at their positions."
        )
    kept = record.retained.copy()
    kept[positions] = False
    y = validation.check_like(validation.dataset_targets(dataset), len(record), draft._classes)
    codes = record._y.copy()
    at = np.flatnonzero(record.retained)
    codes[at] = draft._encode(y[at], "the labels of X_new")
    other = np.flatnonzero(kept & _differ(codes, record._y))
    changed = record.items and record.items.differs(dataset, kept)
    if len(other) or changed is not None:
        changed = other[0] if len(other) else changed
        raise ValueError(
            f"Item {changed} of X_new is another one than in fit, and the request does not name "
            "it. Name all items that have changed."
        )
    items, reader = look_at(dataset, y, skorch_nets.unwrap(draft.estimator), measure_on, at)
    return record.with_items(dataset, codes, items, reader)


def _differ(a, b):
    return (a != b).reshape(len(a), -1).any(axis=1)


def check_able(unlearner):
    """Raise where a method cannot learn new values."""
    promises = unlearner._make_promises()
    if promises.certified:
        raise TypeError(
            f"{type(unlearner).__name__} cannot learn new values of a row: what it proves is that "
            "rows are gone, against a training without them, and the new ones were in neither. "
            "Nothing was corrected. Forget the rows, and fit anew with the corrected ones, in one "
            "training for many requests; or use RetrainUnlearner."
        )
    if not promises.corrects:
        raise TypeError(
            f"{type(unlearner).__name__} cannot learn new values of a row: only methods can whose "
            "training would learn them as any other row. Nothing was corrected. RetrainUnlearner "
            "can, with "
            "FrozenEstimator(model) to start from the present model; or forget the rows, and train "
            "on the new ones later."
        )


def check_named(X_old, y_old, X_new, y_new, ids, indices):
    """Raise where a request does not say which rows it is about, or what becomes of them."""
    named = {"X_old": X_old, "ids": ids, "indices": indices}
    given = [name for name, value in named.items() if value is not None]
    if len(given) != 1 or (y_old is not None and X_old is None):
        raise TypeError(
            "Name the rows to correct in exactly one way, as X_old (with y_old, if labels are to "
            f"tell them apart), ids= or indices=; got {', '.join(given) or 'none of them'}."
        )
    if X_new is None and y_new is None:
        raise TypeError("Pass the new values: X_new, y_new or both.")


def check_new(record, X_old, X_new, y_new, measure_on):
    """Raise where new values do not come as ``fit`` was given the old ones."""
    again = record.reader is not None and measure_on is None
    if again and (
        record.reader.dataset is not None or (record.is_dataset and not record.reader.noisy)
    ):
        raise TypeError(
            "fit was told what rows are measured on: pass measure_on= again, as in fit, with the "
            "new values at their positions."
        )
    if not record.is_dataset:
        return
    if X_old is not None or y_new is not None or not is_dataset(X_new):
        raise TypeError(
            "The model was fitted on a torch Dataset: name items by ids= or indices=, and pass as "
            "X_new the whole Dataset in which they have their new values and labels, without y_new."
        )


def check_kind(record):
    """Raise where the rows of a pipeline cannot be given other values."""
    if record.is_dataset:
        raise TypeError(
            "The rows are items of a torch Dataset, which gives their values itself: correct them "
            "there, and fit again, or forget them. (The unlearner without a pipeline around it "
            "corrects items.)"
        )
    if record.reader is not None:
        raise TypeError(
            "The rows were augmented, or are measured by measure_on=, which does not know the new "
            "values: correct the data and fit again."
        )


def find(unlearner, X_old, y_old, ids, indices):
    """Positions of the rows named, for each which of the names it is, and how many names."""
    record = unlearner._record
    if X_old is not None:
        X_old, y_old = unlearner._check_request(X_old, y_old, "forget")
        record.locate(X_old, y_old)
        digests = row_digests(X_old)
        if y_old is None:
            hits = match(record.digests, digests)
        else:
            hits = match(record.label_digests, label_digests(digests, y_old))
        hits = [hit[record.retained[hit]] for hit in hits]
    elif ids is not None:
        ids = list_names(ids)
        record.locate(ids=ids)
        hits = match(record.ids, name_digests(ids))
    else:
        record.locate(indices=indices)
        hits = [np.array([i]) for i in np.asarray(indices)]
    if not len(hits):
        raise ValueError("The request is empty: name at least one row to correct.")
    positions = np.concatenate(hits).astype(np.intp)
    source = np.repeat(np.arange(len(hits)), [len(hit) for hit in hits])
    order = np.argsort(positions, kind="stable")
    positions, source = positions[order], source[order]
    if (np.diff(positions) == 0).any():
        raise ValueError("X_old names a row twice, so that it would have two new values.")
    return positions, source, len(hits)


def read_new(estimator, X, y, k):
    """New rows and encoded labels in the form of those of ``fit``; of a pipeline, too."""
    like = estimator._record.like
    if X is not None:
        if is_dataset(X):
            raise TypeError("X_new is a torch Dataset, but the model was fitted on arrays.")
        if isinstance(like, np.ndarray):
            X = cast_new(X, like.dtype)
        X, _ = estimator._check_request(X, None, "new")
        check_length(n_rows(X), "X_new", "rows", k)
    return X, read_labels(estimator, y, k)


def cast_new(X, dtype, name="X_new"):
    """New values as an array in the dtype of the old ones; ValueError where it cannot hold them."""
    X = np.asarray(X)
    if dtype.kind == "O" or not X.ndim:
        return X
    cast, exact = cast_exactly(X, dtype)
    if not exact.all():
        wrong = np.flatnonzero(~exact).tolist()
        raise ValueError(
            f"{len(wrong)} of {len(exact)} rows of {name} (rows {show_some(wrong)}) hold values "
            f"that {dtype}, the dtype of the rows of fit, cannot. Nothing was corrected. Round "
            "them, or fit anew on rows of floats."
        )
    return cast


def read_labels(unlearner, y, k):
    """New labels, encoded; None where there are none."""
    if y is None:
        return None
    y = np.asarray(y)
    if y.ndim == 0:
        raise ValueError(f"y_new has no length, but {k} rows are named: one label for each.")
    check_length(len(y), "y_new", "entries", k)
    y = unlearner._encode(y, "y_new")
    assert_all_finite(y, input_name="y_new")
    return y


def check_length(n, name, what, k):
    """Raise where there is not one new value for each row that is named."""
    if n != k:
        one = "row" if what == "rows" else "label"
        raise ValueError(f"{name} has {n} {what}, but {k} rows are named: one new {one} for each.")
