"""Methods that climb the loss of the forget rows."""

from skunlearn.ascent.gradient_ascent import GradientAscentUnlearner
from skunlearn.ascent.neggrad_plus import NegGradPlusUnlearner

__all__ = ["GradientAscentUnlearner", "NegGradPlusUnlearner"]
