"""Methods that teach the forget rows other labels."""

from skunlearn.relabelling.random_labels import RandomLabelUnlearner
from skunlearn.relabelling.salun import SalUnUnlearner

__all__ = ["RandomLabelUnlearner", "SalUnUnlearner"]
