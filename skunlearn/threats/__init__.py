"""What an adversary can do to unlearning: bring rows back, damage the model, cost time."""

from skunlearn.threats.relearning import relearning_attack
from skunlearn.threats.verification import verification_attack

__all__ = ["relearning_attack", "verification_attack"]
