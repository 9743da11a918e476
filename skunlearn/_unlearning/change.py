"""A model before a request, and what became of what it says."""

from dataclasses import dataclass
from functools import cached_property

from skunlearn._torch.observation import Evidence, summarise
from skunlearn._torch.row_scores import SQUARED
from skunlearn._unlearning.traces import find_ease
from skunlearn._unlearning.unseen_rows import Apart
from skunlearn.exceptions import UnlearningError


@dataclass(frozen=True)
class Before:
    """What is known of a model before it forgets.

    Attributes
    ----------
    weights : str
        Digest of them.
    said : (Evidence, Evidence, Evidence)
        What it says of the forget rows, of the sample of the others, and of rows that it has never
        seen; None where there are none.
    brought : list of str
        What came along trained, and no training renews, which takes an exact method its
        guarantee; see `name_trained`.
    declared : list of dict
        What came along trained, and is declared public; see `public_parts.list_declarations`.
    """

    weights: str
    said: tuple[Evidence | None, Evidence | None, Evidence | None]
    brought: list
    declared: list


@dataclass(frozen=True)
class Change:
    """What a model said before a request and says after it, of some rows each.

    Attributes
    ----------
    forget_before, retain_before, forget_after, retain_after : Evidence or None
        None where the rows are not at hand.
    unseen_before, unseen_after : Evidence or None
        Of rows that the model has never seen, where there are any.
    emptied : tuple of int
        Encoded classes, or labels, of which no retained row is left.
    rows : (Rows, Rows, Rows) or None
        To forget, retained, and never seen, whose neighbours may be asked.
    """

    forget_before: Evidence | None
    retain_before: Evidence | None
    forget_after: Evidence | None
    retain_after: Evidence | None
    unseen_before: Evidence | None = None
    unseen_after: Evidence | None = None
    emptied: tuple = ()
    rows: tuple | None = None

    @classmethod
    def between(cls, before, after, emptied=(), rows=None):
        """From what the old and the new model said; raises where the latter gives no numbers."""
        for evidence in after[:2]:
            if evidence is not None and not evidence.is_finite():
                raise UnlearningError(
                    "The training diverged, or the rows that are left give no model: its outputs "
                    "hold NaN or infinity. The model is as it was before. Try a smaller learning "
                    "rate, or for a model that is computed from its rows more smoothing (a naive "
                    "Bayes without any has no answer where a class has a single value)."
                )
        return cls(*before[:2], *after[:2], before[2], after[2], emptied, rows)

    def measure(self):
        """Losses and scores, for the log."""
        names = ["forget_before", "forget_after", "retain_before", "retain_after"]
        if self.unseen_after is not None:
            names += ["unseen_before", "unseen_after"]
        return dict(zip(names, map(summarise, map(vars(self).get, names))))

    @cached_property
    def ease(self):
        """How much easier the forget rows are than retained ones, as of no random draw; or {}."""
        return find_ease(self.forget_before, self.retain_before)

    @property
    def is_easy(self):
        """Whether they plainly are."""
        return self._leading_ease > 0

    @property
    def is_hard(self):
        """Whether they are plainly harder."""
        return self._leading_ease < 0

    @property
    def _leading_ease(self):
        return self.ease.get("margin", self.ease.get(SQUARED, 0.0))

    @cached_property
    def apart(self):
        """How forget rows are told from those that were never seen, `Apart`; None without."""
        return None if self.unseen_after is None else Apart.of(self)
