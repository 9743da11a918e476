"""The unlearner that needs no choice of a method, and the choice of one for any estimator."""

from skunlearn.auto.auto_unlearner import AutoUnlearner
from skunlearn.auto.making import make_unlearner

__all__ = ["AutoUnlearner", "make_unlearner"]
