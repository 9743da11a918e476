"""What `fit` and `unlearn` leave behind, in one piece."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from skunlearn._rows.record import TrainingRecord
from skunlearn._rows.views import Rows
from skunlearn._torch.observation import Evidence
from skunlearn._unlearning.drafts import share_all
from skunlearn._unlearning.removal import Removal
from skunlearn._unlearning.row_reader import RowReader, read_request


@dataclass(frozen=True)
class Fitted:
    """The state of a fitted unlearner: the one list of it.

    It never changes. A request makes another from it, with ``dataclasses.replace``, and the
    unlearner takes that over when all has gone well.

    Attributes
    ----------
    seed : int
        Whatever is drawn is drawn from it.
    record : TrainingRecord
        Which rows the model has seen, and which of them are gone.
    row_reader : RowReader
        Labels and targets, by which requests are read.
    model : fitted estimator, or None
        None as long as it is being trained.
    deletions : list of dict
        The log.
    evidence : Evidence or None
        What the model says of the rows of the last request.
    forgotten : Rows or None
        The rows of the last request, where they are at hand.
    steps_before : dict
        Kinds of the steps of a Pipeline in front; see `step_kinds.kinds`.
    removal : Removal or None
        The request that a draft is at work on; None outside of one.
    """

    seed: int
    record: TrainingRecord
    row_reader: RowReader
    model: object = None
    deletions: list = field(default_factory=list)
    evidence: Evidence | None = None
    forgotten: Rows | None = None
    steps_before: Mapping | None = None
    removal: Removal | None = None


_WORDS = {"model": "The current model.", "deletions": "The log of requests, a list of dicts."}


def _entry(name):
    """A property of an unlearner that is an entry of its `Fitted`."""

    def read(self):
        state = vars(self).get("_fitted")
        value = None if state is None else getattr(state, name)
        if state is None or (name == "model" and value is None):
            raise AttributeError(f"This {type(self).__name__} is not fitted yet: call fit.")
        return value

    read.__doc__ = _WORDS.get(name)
    return property(read)


class FittedMixin:
    """The entries of ``_fitted`` as properties, and how they are replaced."""

    estimator_, deletions_ = _entry("model"), _entry("deletions")
    _seed, _record, _row_reader = _entry("seed"), _entry("record"), _entry("row_reader")
    _evidence, _forgotten = _entry("evidence"), _entry("forgotten")
    _steps_before, _removal = _entry("steps_before"), _entry("removal")

    @property
    def classes_(self):
        """Labels that ``fit`` has seen; regressors have none."""
        labels = self._row_reader.labels
        if labels is None:
            raise AttributeError(f"This {type(self).__name__} is a regressor: it has no classes_.")
        return labels

    @property
    def _classes(self):
        """The label of each column of the model, `Labels`, or None for a regression."""
        return self._row_reader.classes

    @property
    def _reader(self):
        """How rows are read to be measured, or None."""
        return self._record.reader if "_fitted" in vars(self) else None

    _check_request = read_request

    def _encode(self, y, name="y"):
        return self._row_reader.encode(y, name, self._record.y_dtype)

    def _change(self, **changed):
        self._fitted = replace(self._fitted, **changed)

    def __sklearn_is_fitted__(self):
        return "_fitted" in vars(self) and self._fitted.model is not None

    def __copy__(self):
        return share_all(self)
