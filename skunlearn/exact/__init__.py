"""Methods whose result never saw the forgotten rows."""

from skunlearn.exact.retrain import RetrainUnlearner
from skunlearn.exact.ridge import RidgeUnlearner

__all__ = ["RetrainUnlearner", "RidgeUnlearner"]
