"""`save` and `load`: what goes into a file, and how an unlearner is made of it again."""

import functools
import os
from dataclasses import asdict

import numpy as np
import torch
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

from skunlearn._files import tensor_files
from skunlearn._recipe.parameter_texts import list_built_otherwise
from skunlearn._rows import row_forms
from skunlearn._rows.checking import warn
from skunlearn._rows.containers import is_mapping
from skunlearn._rows.record import TrainingRecord
from skunlearn._rows.row_names import join_names
from skunlearn._rows.views import Rows
from skunlearn._torch import portable, skorch_nets
from skunlearn._torch.parts.net_state import weights
from skunlearn._torch.parts.positions import Positions
from skunlearn._torch.parts.tasks import Labels
from skunlearn._unlearning.certificate.recording import note_file
from skunlearn._unlearning.fitted import Fitted, drafted, list_own_names
from skunlearn._unlearning.plain_rows import PlainRows
from skunlearn._unlearning.row_reader import RowReader
from skunlearn.exceptions import IncompleteFileWarning

_WRITTEN = {"_fitted", "n_features_in_", "feature_names_in_"}  # apart from a method's own state


def save(self, path):
    """Write the model, the log and the digests of the rows to one safetensors file.

    No rows and no labels are written, and nothing from before the last unlearning. The file
    is complete or absent: it is written beside `path` and renamed. Of the net it holds
    parameters and buffers; what else was changed on its modules after they were built (a head
    that was replaced, hooks, a dropout rate) is named in a warning, and `load` wants it from
    a ``FrozenEstimator`` around a net that was changed in the same way.

    Parameters
    ----------
    path : str or path-like
        Where to; a file of that name is replaced.

    Warns
    -----
    IncompleteFileWarning
        When `load` into an estimator of the same parameters would give another net.

    Raises
    ------
    TypeError
        When the model is not a skorch net; pickle such an estimator instead.
    """
    tensors, state = describe(self)
    tensor_files.write(path, tensors, state)
    note_file(self, path)
    warn_of_lost(path, state["lost"])


def refuse_class(load):
    """Let a ``load`` that is called on the class itself say what to do."""

    @functools.wraps(load)
    def load_into(self=None, *args, **kwargs):
        if self is None or isinstance(self, str | os.PathLike):
            raise TypeError(
                "load reads a file into an estimator, and was called on the class. The file holds "
                "weights and digests, no architecture and no parameters: make the estimator first, "
                "with those of the saved one, as in FineTuneUnlearner(net).load(path)."
            )
        return load(self, *args, **kwargs)

    return load_into


@refuse_class
def load(self, path):
    """Read what `save` wrote into this estimator, whose net gives the architecture.

    Parameters
    ----------
    path : str or path-like
        The file that `save` wrote.

    Returns
    -------
    self : object
        Fitted; it holds no rows until ``attach`` is called.

    Warns
    -----
    IncompleteFileWarning
        When `save` has said that the file does not hold all of the net, and the estimator is
        no ``FrozenEstimator`` to take the rest from. And when the net of this estimator answers
        otherwise than the one that was saved: with another activation, say, or changed code.

    Raises
    ------
    ValueError
        When the file was not written by ``save`` of this class, has changed since, or the net does
        not fit.
    """
    restore(self, *tensor_files.read(path), path)
    note_file(self, path)
    return self


def describe(unlearner):
    """What ``save`` writes: tensors by name, and the rest in JSON's types."""
    check_is_fitted(unlearner)
    model, record, classes = unlearner.estimator_, unlearner._record, unlearner._classes
    if not skorch_nets.is_net(model):
        raise TypeError(
            f"save writes skorch nets; this one holds a {type(model).__name__}. Pickle it "
            "(joblib.dump): the log and the retained rows go along, with store_data=False no rows, "
            "and requests go on from there. To predict, skops.io.dump writes the model alone: "
            "estimator_, or make_pipeline of a pipeline's steps and the last one's estimator_."
        )
    tensors = {f"net.{k}": v.contiguous().cpu() for k, v in weights(model).items()}
    for name, table in record.tables().items():
        tensors[f"record.{name}"] = torch.from_numpy(np.ascontiguousarray(table).copy())
    if (held := unlearner._fitted.never_trained) is not None:
        tensors["never_trained"] = torch.from_numpy(held.copy())  # positions of retained rows
    said = None if record.like is None else portable.answer(model, _made_up_rows(record.like))
    if said is not None:
        tensors["answers"] = said
    own, arrays, forms = _split_own(unlearner)
    tensors |= {f"own.{name}": value for name, value in arrays.items()}
    multi, placed = isinstance(classes, Labels), isinstance(classes, Positions)
    columns = unlearner._row_reader.columns
    net = skorch_nets.unwrap(unlearner.estimator)
    recipe = model if list_built_otherwise(model, net) else net  # it was set anew since
    lost = portable.name_lost(model, recipe, unlearner._seed, _take_some_rows(record))
    state = {
        **tensor_files.header(type(unlearner).__name__),
        "classes": None if classes is None else _list_labels(unlearner.classes_),
        "columns": None if classes is None or multi or placed else _list_labels(columns),
        "multilabel": multi,
        "positions": asdict(classes) if placed else None,
        "classes_dtype": None if classes is None else unlearner.classes_.dtype.str,
        "n_targets": unlearner._row_reader.n_targets,
        "n_features_in": getattr(unlearner, "n_features_in_", None),
        "feature_names_in": _list_labels(getattr(unlearner, "feature_names_in_", None)),
        "seed": unlearner._seed,
        "frozen": portable.name_frozen(model),
        "lost": lost,
        "own": own,
        "own_arrays": forms,
        "deletions": unlearner.deletions_,
        "records": unlearner._records,
        "key": unlearner._key.hex(),
        "steps_before": unlearner._steps_before,
        "split": unlearner._fitted.split,
        "is_dataset": record.is_dataset,
        "augmented": record.reader is not None,
        "row": row_forms.describe(record.like),
        "y_dtype": record.y_dtype.str,
    }
    return tensors, state


def restore(unlearner, tensors, state, path):
    """Bring an unlearner into the state that `describe` gave; `path` is for messages."""
    tensor_files.check_header(state, type(unlearner).__name__, path)
    net = skorch_nets.unwrap(unlearner.estimator)
    model, held = _rebuild(unlearner, net, tensors, state, path), tensors.get("never_trained")
    record = TrainingRecord.from_tables(
        {key: value.numpy() for key, value in tensor_files.part(tensors, "record.").items()},
        is_dataset=state["is_dataset"],
        like=row_forms.empty(state["row"]),
        y_dtype=np.dtype(state["y_dtype"]),
        reader=PlainRows() if state["augmented"] else None,
    )
    if not state["lost"]:
        _warn_of_another(model, record.like, tensors.get("answers"), path)
    with drafted(unlearner, anew=True) as draft:
        draft._fitted = Fitted(
            seed=state["seed"],
            record=record,
            row_reader=_read_labels(state),
            model=skorch_nets.restore_split(model, net),
            deletions=state["deletions"],
            records=state["records"],
            key=bytes.fromhex(state["key"]),
            steps_before=state["steps_before"],
            split=state.get("split"),
            never_trained=None if held is None else held.numpy(),
        )
        if state["n_features_in"] is not None:
            draft.n_features_in_ = state["n_features_in"]
        if state["feature_names_in"] is not None:
            draft.feature_names_in_ = np.array(state["feature_names_in"], dtype=object)
        vars(draft).update(state["own"])
        own = tensor_files.part(tensors, "own.")
        for name, form in state["own_arrays"].items():
            vars(draft)[name] = tensor_files.put_together(form, name, own)
        if isinstance(draft.estimator, FrozenEstimator) and state["deletions"]:
            draft.estimator = FrozenEstimator(model)  # the one passed in knows too much
    return unlearner


def _rebuild(unlearner, net, tensors, state, path):
    kept = tensor_files.part(tensors, "net."), state["frozen"]
    built = isinstance(unlearner.estimator, FrozenEstimator) and net.initialized_
    try:
        if built:
            model = skorch_nets.copy_net(net, verbose=unlearner.verbose)
            skorch_nets.name_columns(model, state["columns"] or state["classes"])
            portable.adopt(model, *kept)
        else:
            model = portable.rebuild(
                net, state["seed"], *kept, verbose=unlearner.verbose, classes=state["classes"]
            )
    except RuntimeError as error:
        raise ValueError(
            f"The net does not fit the weights in {path}: {error} Make it with the parameters "
            "of the one that was saved (module__<name>=...). Where its layers were changed after "
            "they were built, pass FrozenEstimator(net) around a net with the same ones."
        ) from error
    if state["lost"] and not built:
        warn(
            f"{path} does not hold all of the net that was saved: "
            f"{join_names(state['lost'])}. They are now as the module's class builds "
            "them.",
            IncompleteFileWarning,
        )
    return model


def _split_own(unlearner):
    """What a method keeps besides: values of JSON, tensors by name, and what is made of these.

    Anything else cannot be in a file, and a warning names it.
    """
    values, tensors, forms, left = {}, {}, {}, []
    left_out = _WRITTEN | set(unlearner._make_promises().not_in_files)
    for name in sorted(list_own_names(unlearner) - left_out):
        value = vars(unlearner)[name]
        if tensor_files.is_json(value):
            values[name] = value
        elif (apart := tensor_files.take_apart(value, name)) is not None:
            forms[name], found = apart
            tensors |= found
        else:
            left.append(name)
    if left:
        warn(
            f"The file does not hold {', '.join(left)} of {type(unlearner).__name__}, which it has "
            "set in fit or in a request: a file takes numbers, text, arrays and tensors, and "
            "lists, tuples and dicts of these. Pickle the estimator to keep it.",
            IncompleteFileWarning,
        )
    return values, tensors, forms


def _read_labels(state):
    if state["classes"] is None:
        return RowReader(n_targets=state["n_targets"])
    dtype, columns = np.dtype(state["classes_dtype"]), state["columns"]
    columns = None if columns is None else np.array(columns, dtype=dtype)
    if state["multilabel"]:
        columns = Labels(len(state["classes"]))
    if (placed := state.get("positions")) is not None:
        columns = Positions(**placed | {"shape": tuple(placed["shape"])})
    return RowReader(np.array(state["classes"], dtype=dtype), columns, state["n_targets"])


def warn_of_lost(path, lost):
    """Say what `save` has not written of a net."""
    if lost:
        warn(
            f"{path} does not hold all of the net: {join_names(lost)}. load "
            "would build these as the module's class does. Load it into an estimator whose "
            "FrozenEstimator(net) was changed in the same way, or use pickle.",
            IncompleteFileWarning,
        )


def _take_some_rows(record):
    """A few rows, or made-up ones of their form; None where that is not known."""
    if record.has_data:
        return record.view(np.flatnonzero(record.retained)[:8])
    return None if record.like is None else _made_up_rows(record.like)


def _warn_of_another(model, like, said, path):
    """Warn where a net with the weights of a file is another one than the one that was saved."""
    if said is not None and portable.answers_otherwise(model, _made_up_rows(like), said):
        warn(
            f"With the weights in {path} this net gives other answers than the one that was saved "
            "did: its module's code, or a setting that is no weight (an activation, say), is "
            "another one. Load the file into an estimator around the net that was saved.",
            IncompleteFileWarning,
        )


def _made_up_rows(like):
    """Rows of the form of those of ``fit``, the same at each call."""
    return Rows(_make_up(like), None, np.arange(8))


def _make_up(like):
    if is_mapping(like):
        return {key: _make_up(value) for key, value in like.items()}
    shape, rng = (8, *like.shape[1:]), np.random.default_rng(0)
    if isinstance(like, torch.Tensor):
        values = rng.normal(size=shape) if like.is_floating_point() else np.zeros(shape)
        return torch.from_numpy(values).to(like.dtype)
    values = rng.normal(size=shape) if np.dtype(like.dtype).kind == "f" else np.zeros(shape)
    return values.astype(like.dtype)


def _list_labels(values):
    return None if values is None else np.asarray(values).tolist()
