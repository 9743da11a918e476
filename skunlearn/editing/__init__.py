"""Methods that edit weights and train nothing."""

from skunlearn.editing.amnesiac import AmnesiacUnlearner
from skunlearn.editing.fisher_forgetting import FisherForgettingUnlearner
from skunlearn.editing.lfssd import LFSSDUnlearner
from skunlearn.editing.ssd import SSDUnlearner

__all__ = ["AmnesiacUnlearner", "FisherForgettingUnlearner", "LFSSDUnlearner", "SSDUnlearner"]
