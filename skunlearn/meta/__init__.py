"""Unlearners made of other unlearners."""

from skunlearn.meta.rum import RUMUnlearner

__all__ = ["RUMUnlearner"]
