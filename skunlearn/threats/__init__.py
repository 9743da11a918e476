"""What an adversary can do to unlearning: bring rows back, damage the model, cost time."""

from skunlearn.threats.relearning import relearning_attack

__all__ = ["relearning_attack"]
