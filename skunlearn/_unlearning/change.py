"""What a model said before a request and says after it."""

from dataclasses import dataclass

from skunlearn._torch.observation import Evidence, observe, summary
from skunlearn.exceptions import UnlearningError


@dataclass(frozen=True)
class Change:
    """What a model said before a request and says after it, of some rows each.

    Attributes
    ----------
    forget_before, retain_before, forget_after, retain_after : Evidence or None
        None where the rows are not at hand.
    """

    forget_before: Evidence | None
    retain_before: Evidence | None
    forget_after: Evidence | None
    retain_after: Evidence | None

    @classmethod
    def between(cls, before, model, removal, classes):
        """`before` is what the old model said of the rows of `removal`; `model` is the new one."""
        change = cls(*before, *observe_both(model, removal, classes))
        change.refuse_divergence()
        return change

    def measure(self):
        """Losses and scores, for the log."""
        names = ("forget_before", "forget_after", "retain_before", "retain_after")
        return {name: summary(getattr(self, name)) for name in names}

    def refuse_divergence(self):
        """Raise where the new model gives no numbers."""
        for evidence in (self.forget_after, self.retain_after):
            if evidence is not None and not evidence.is_finite():
                raise UnlearningError(
                    "The training diverged: the new model's outputs hold NaN or infinity. The "
                    "model is as it was before. Try a smaller learning rate."
                )


def observe_both(model, removal, classes):
    """What a model says of the forget rows of a request, and of its sample of the others."""
    return [observe(model, rows, classes) for rows in (removal.forget, removal.sample)]
