"""Methods that climb the loss of the forget rows."""

from skunlearn.ascent.gradient_ascent import GradientAscentUnlearner
from skunlearn.ascent.neg_grad_plus import NegGradPlusUnlearner

__all__ = ["GradientAscentUnlearner", "NegGradPlusUnlearner"]
