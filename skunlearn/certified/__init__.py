"""Methods that prove how close their model is to one that never saw the forgotten rows."""

from skunlearn.certified._privacy import PrivacySpent
from skunlearn.certified.certified_removal import CertifiedRemovalUnlearner
from skunlearn.certified.descent_to_delete import DescentToDeleteUnlearner
from skunlearn.certified.langevin import LangevinUnlearner
from skunlearn.certified.noisy_fine_tune import NoisyFineTuneUnlearner

__all__ = [
    "CertifiedRemovalUnlearner",
    "DescentToDeleteUnlearner",
    "LangevinUnlearner",
    "NoisyFineTuneUnlearner",
    "PrivacySpent",
]
