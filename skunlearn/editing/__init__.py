"""Methods that edit weights and train nothing."""

from skunlearn.editing.dampening import LFSSDUnlearner, SSDUnlearner
from skunlearn.editing.fisher import FisherForgettingUnlearner

__all__ = ["FisherForgettingUnlearner", "LFSSDUnlearner", "SSDUnlearner"]
