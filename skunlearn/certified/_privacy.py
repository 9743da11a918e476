"""What a certified method has proved of its present model."""

from dataclasses import dataclass


@dataclass(frozen=True)
class PrivacySpent:
    """(ε, δ) of the present model against one trained without the forgotten rows.

    Attributes
    ----------
    epsilon : float
        What is proved now; 0 before the first request and after a retraining. It counts up to
        the moment at which the method acts: retrains, or runs more steps.
    delta : float
        The δ that belongs to it, the estimator's parameter.
    limit : float
        The estimator's parameter ``epsilon``.
    left : float
        ``limit - epsilon``.
    """

    epsilon: float
    delta: float
    limit: float

    @property
    def left(self):
        """ε between what is proved now and the limit."""
        return max(0.0, self.limit - self.epsilon)
