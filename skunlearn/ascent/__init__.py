"""Methods that climb the loss of the forget rows, or flatten the outputs around them."""

from skunlearn.ascent.gradient_ascent import GradientAscentUnlearner
from skunlearn.ascent.jit import JiTUnlearner
from skunlearn.ascent.mumis import MUMisUnlearner
from skunlearn.ascent.neg_grad_plus import NegGradPlusUnlearner
from skunlearn.ascent.sfron import SFRonUnlearner

__all__ = [
    "GradientAscentUnlearner",
    "JiTUnlearner",
    "MUMisUnlearner",
    "NegGradPlusUnlearner",
    "SFRonUnlearner",
]
