"""A model before a request, and what became of what it says."""

from dataclasses import dataclass
from functools import cached_property

from skunlearn._torch.observation import Evidence, summarise
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
        Encoded classes of which no retained row is left.
    """

    forget_before: Evidence | None
    retain_before: Evidence | None
    forget_after: Evidence | None
    retain_after: Evidence | None
    unseen_before: Evidence | None = None
    unseen_after: Evidence | None = None
    emptied: tuple = ()

    @classmethod
    def between(cls, before, after, emptied=()):
        """From what the old and the new model said; raises where the latter gives no numbers."""
        for evidence in after[:2]:
            if evidence is not None and not evidence.is_finite():
                raise UnlearningError(
                    "The training diverged, or the rows that are left give no model: its outputs "
                    "hold NaN or infinity. The model is as it was before. Try a smaller learning "
                    "rate, or for a model that is computed from its rows more smoothing (a naive "
                    "Bayes without any has no answer where a class has a single value)."
                )
        return cls(*before[:2], *after[:2], before[2], after[2], emptied)

    def measure(self):
        """Losses and scores, for the log."""
        names = ["forget_before", "forget_after", "retain_before", "retain_after"]
        if self.unseen_after is not None:
            names += ["unseen_before", "unseen_after"]
        return {name: summarise(getattr(self, name)) for name in names}

    @cached_property
    def apart(self):
        """How forget rows are told from those that were never seen, `Apart`; None without."""
        return None if self.unseen_after is None else Apart.of(self)
