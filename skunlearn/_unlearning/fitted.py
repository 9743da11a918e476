"""What `fit` and `unlearn` leave behind, in one piece."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from skunlearn._rows.record import TrainingRecord
from skunlearn._rows.views import Rows
from skunlearn._torch.observation import Evidence
from skunlearn._unlearning.certificate.keyed import new_key
from skunlearn._unlearning.row_reader import RowReader


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
    records : dict of str to list of dict
        What was found out about the model after its requests, by section of the certificate.
    files : tuple of (str, int, str or None)
        Files that ``save`` has written and ``load`` has read: name, number of requests that the
        model in them has fulfilled, and path, where that is known to be on this machine.
    key : bytes
        Of the digests of forgotten rows in the log.
    """

    seed: int
    record: TrainingRecord
    row_reader: RowReader
    model: object = None
    deletions: list = field(default_factory=list)
    evidence: Evidence | None = None
    forgotten: Rows | None = None
    steps_before: Mapping | None = None
    records: Mapping = field(default_factory=dict)
    files: tuple = ()
    key: bytes = field(default_factory=new_key, repr=False)


def fitted(name):
    """A property of an unlearner that is an entry of its `Fitted`."""

    def read(self):
        state = vars(self).get("_fitted")
        value = None if state is None else getattr(state, name)
        if state is None or (name == "model" and value is None):
            raise AttributeError(f"This {type(self).__name__} is not fitted yet: call fit.")
        return value

    read.__doc__ = _WORDS.get(name)
    return property(read)


_WORDS = {"model": "The current model.", "deletions": "The log of requests, a list of dicts."}
