"""Methods whose result never saw the forgotten rows."""

from skunlearn.exact.retrain import RetrainUnlearner

__all__ = ["RetrainUnlearner"]
