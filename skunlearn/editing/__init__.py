"""Methods that edit weights instead of training them."""

from skunlearn.editing.amnesiac import AmnesiacUnlearner
from skunlearn.editing.fisher_forgetting import FisherForgettingUnlearner
from skunlearn.editing.leace import LEACE
from skunlearn.editing.lfssd import LFSSDUnlearner
from skunlearn.editing.neg_merge import NegMergeUnlearner
from skunlearn.editing.potion import PotionUnlearner
from skunlearn.editing.ssd import SSDUnlearner

__all__ = [
    "LEACE",
    "AmnesiacUnlearner",
    "FisherForgettingUnlearner",
    "LFSSDUnlearner",
    "NegMergeUnlearner",
    "PotionUnlearner",
    "SSDUnlearner",
]
