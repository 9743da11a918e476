"""`save` and `load` of pipelines: an unlearner's file with the fitted steps in front of it."""

import copy
import json

import numpy as np
import torch
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from skunlearn._files import tensor_files
from skunlearn._recipe import step_kinds
from skunlearn._rows import row_forms
from skunlearn._rows.record import TrainingRecord
from skunlearn._unlearning import persistence
from skunlearn._unlearning.certificate.recording import note_file
from skunlearn._unlearning.fitted import drafted
from skunlearn.compose import _front_steps

# What fitted transformers of scikit-learn hold, and skops does not know to be harmless.
_HARMLESS = {
    "numpy.dtype",
    "scipy._lib.array_api_compat.numpy._aliases.asarray",
    "scipy.interpolate._bsplines.BSpline",
    "sklearn.compose._column_transformer._RemainderColsList",
}


class StepFilesMixin:
    """Writes a pipeline to one file, and reads it into one of the same steps."""

    def save(self, path):
        """Write the unlearner, the fitted steps, the log and the digests of the rows to one file.

        The unlearner is written as its own ``save`` does, in safetensors; the steps by skops,
        which stores no code either (extra: ``pip install "skunlearn[skops]"``). Steps that learn
        nothing from rows (stateless ones, a `PublicBackbone`, one in a ``FrozenEstimator``) are
        not written: `load` takes them from the pipeline that it is called on. No rows and no
        labels are written but those that a step holds itself (``KNNImputer`` keeps the retained
        ones). The file is complete or absent.

        Parameters
        ----------
        path : str or path-like
            Where to; a file of that name is replaced.

        Warns
        -----
        IncompleteFileWarning
            See `BaseUnlearner.save`.

        Raises
        ------
        TypeError
            When the unlearner's model is not a skorch net, or a step cannot be written (it holds
            a lambda, say); pickle such a pipeline instead.
        ImportError
            When a step is to be written and skops is not installed.

        Examples
        --------
        >>> import os, tempfile
        >>> import numpy as np
        >>> from sklearn.preprocessing import MinMaxScaler
        >>> from skunlearn import FineTuneUnlearner, UnlearningPipeline
        >>> from skunlearn.nets import digits_classifier
        >>> X, y = np.random.rand(40, 1, 8, 8).astype("float32"), np.arange(40) % 10
        >>> pipeline = UnlearningPipeline([("net", FineTuneUnlearner(digits_classifier()))])
        >>> path = os.path.join(tempfile.mkdtemp(), "model")
        >>> pipeline.fit(X, y).save(path)
        >>> loaded = UnlearningPipeline([("net", FineTuneUnlearner(digits_classifier()))])
        >>> bool((loaded.load(path).predict(X) == pipeline.predict(X)).all())
        True
        """
        check_is_fitted(self)
        tensors, state = self._describe()
        tensor_files.write(path, tensors, state)
        note_file(self._final_estimator, path)
        persistence.warn_of_lost(path, state["last"]["lost"])

    def _describe(self):
        """What ``save`` writes: tensors by name, and the rest in JSON's types."""
        own, last = persistence.describe(self._final_estimator)
        tensors = {f"last.{name}": value for name, value in own.items()}
        for name, table in self._record.tables().items():
            tensors[f"record.{name}"] = torch.from_numpy(np.ascontiguousarray(table).copy())
        steps = []
        for number, (name, step) in enumerate(self.steps[:-1]):
            steps.append([name, _class_of(step)])
            if step_kinds.learns(step):
                data = bytearray(_dump(name, step))
                tensors[f"step.{number}"] = torch.frombuffer(data, dtype=torch.uint8)
        state = tensor_files.header(type(self).__name__) | {
            "last": last,
            "steps": steps,
            "declared": self._declared,
            "constant": self._constant,
            "is_dataset": self._record.is_dataset,
            "row": row_forms.describe(self._record.like),
            "y_dtype": self._record.y_dtype.str,
        }
        return tensors, state

    @persistence.refuse_class
    def load(self, path, *, trusted=()):
        """Read what `save` wrote into this pipeline, of the same steps.

        Reading runs no code that the file names, but for that of the steps of this pipeline, of
        scikit-learn's own classes and of what is `trusted`.

        Parameters
        ----------
        path : str or path-like
            The file that `save` wrote.
        trusted : sequence of str, default=()
            Further types and functions that the file may name, as the error lists them.

        Returns
        -------
        self : object
            Fitted; it holds no rows until ``attach`` is called.

        Warns
        -----
        IncompleteFileWarning
            See `BaseUnlearner.load`.

        Raises
        ------
        ValueError
            When the file was not written by ``save`` of a pipeline of these steps and this
            unlearner, or the net does not fit; the pipeline is as it was.
        TypeError
            When the file names types that are not trusted.
        """
        self._restore(*tensor_files.read(path), path, trusted)
        note_file(self._final_estimator, path)
        return self

    def _restore(self, tensors, state, path, trusted=None):
        """Bring the pipeline into the state that `_describe` has told; `path` is for errors.

        `trusted` is None where nobody is asked, as of the files of a queue.
        """
        self._check_steps()
        tensor_files.check_header(state, type(self).__name__, path)
        ours = [[name, _class_of(step)] for name, step in self.steps[:-1]]
        if state["steps"] != ours:
            raise ValueError(
                f"{path} holds a pipeline of other steps: {_list_steps(state['steps'])}, where "
                f"this one has {_list_steps(ours)}."
            )
        steps = []
        for number, (name, step) in enumerate(_front_steps.clone_steps(self.steps[:-1])):
            data = tensors.get(f"step.{number}")
            if data is not None:
                step = _load(name, step, data.numpy().tobytes(), trusted, path)
            steps.append((name, step))
        name, unlearner = self.steps[-1]
        record = TrainingRecord.from_tables(
            {key: value.numpy() for key, value in tensor_files.part(tensors, "record.").items()},
            is_dataset=state["is_dataset"],
            like=row_forms.empty(state["row"]),
            y_dtype=np.dtype(state["y_dtype"]),
        )
        last = tensor_files.part(tensors, "last.")
        last = persistence.restore(copy.copy(unlearner), last, state["last"], path)
        with drafted(self, anew=True) as draft:
            draft.steps, draft._record = [*steps, (name, last)], record
            draft._declared, draft._constant = state["declared"], state["constant"]
            draft._held = draft._sums = None
        return self


def refuse_unwritable(steps):
    """Raise ImportError when one of these steps learns from rows and nothing can write it."""
    if any(step_kinds.learns(step) for _, step in steps):
        _io()


def _class_of(step):
    return step if step is None or isinstance(step, str) else type(step).__name__


def _list_steps(steps):
    return ", ".join(f"{name} ({kind})" for name, kind in steps) or "none"


def _io():
    try:
        from skops import io
    except ImportError as error:
        raise ImportError(
            'Fitted steps are written by skops: pip install "skunlearn[skops]".'
        ) from error
    return io


def _dump(name, step):
    """The bytes of a step, which can be read again."""
    io = _io()
    try:
        data = io.dumps(step)
        io.loads(data, trusted=io.get_untrusted_types(data=data))
    except Exception as error:  # whatever an attribute of a user's raises
        raise TypeError(
            f"The step {name!r} ({type(step).__name__}) cannot be written to a file: {error}. Give "
            "functions a name at the top level of a module, or pickle the pipeline."
        ) from error
    return data


def _load(name, step, data, trusted, path):
    """The fitted step of a file; `step` is its counterpart in the pipeline that reads it."""
    io = _io()
    unknown = set(io.get_untrusted_types(data=data)) - _HARMLESS - set(trusted or ())
    if unknown:
        unknown -= _list_named(io, step)
    if unknown:
        advice = (
            "A queue calls nothing but scikit-learn's own and what the step names in its "
            "parameters: let its fit keep arrays, numbers and text."
            if trusted is None
            else "If you know where the file comes from, pass "
            f"trusted={json.dumps(sorted(unknown))}."
        )
        raise TypeError(
            f"The step {name!r} in {path} names {', '.join(sorted(unknown))}, which reading it "
            f"would call. {advice}"
        )
    fitted = io.loads(data, trusted=io.get_untrusted_types(data=data))
    if type(fitted) is not type(step):
        raise ValueError(
            f"The step {name!r} in {path} is a {type(fitted).__name__} of another module."
        )
    return fitted


def _list_named(io, step):
    """Types and functions that a step names before it is fitted: its user has trusted those."""
    try:
        return set(io.get_untrusted_types(data=io.dumps(clone(step))))
    except Exception:  # what cannot be written names nothing
        return set()
