"""Methods that teach the forget rows other labels."""

from skunlearn.relabelling.amun import AMUNUnlearner
from skunlearn.relabelling.boundary import BoundaryUnlearner
from skunlearn.relabelling.fcs import FCSUnlearner
from skunlearn.relabelling.random_label import RandomLabelUnlearner
from skunlearn.relabelling.salun import SalUnUnlearner
from skunlearn.relabelling.unsir import UNSIRUnlearner

__all__ = [
    "AMUNUnlearner",
    "BoundaryUnlearner",
    "FCSUnlearner",
    "RandomLabelUnlearner",
    "SalUnUnlearner",
    "UNSIRUnlearner",
]
