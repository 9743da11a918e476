"""Methods that climb the loss of the forget rows."""

from skunlearn.ascent.gradient_ascent import GradientAscentUnlearner
from skunlearn.ascent.neg_grad_plus import NegGradPlusUnlearner
from skunlearn.ascent.sfron import SFRonUnlearner

__all__ = ["GradientAscentUnlearner", "NegGradPlusUnlearner", "SFRonUnlearner"]
