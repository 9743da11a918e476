"""What an adversary can do to unlearning: bring rows back, damage the model, cost time."""

from skunlearn.threats.malicious import damaging_forget_set
from skunlearn.threats.over_unlearning import over_unlearning
from skunlearn.threats.reconstruction import Reconstruction, reconstruction_attack
from skunlearn.threats.relearning import relearning_attack
from skunlearn.threats.slowing import costly_forget_set
from skunlearn.threats.verification import verification_attack

__all__ = [
    "Reconstruction",
    "costly_forget_set",
    "damaging_forget_set",
    "over_unlearning",
    "reconstruction_attack",
    "relearning_attack",
    "verification_attack",
]
