"""The unlearner that needs no choice of a method."""

from skunlearn.auto.auto_unlearner import AutoUnlearner

__all__ = ["AutoUnlearner"]
