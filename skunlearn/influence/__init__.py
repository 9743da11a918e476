"""Influence functions: how a net would differ without some of its training rows."""

from skunlearn.influence._influence import influence
from skunlearn.influence._projected import projected_influence
from skunlearn.influence.influence_unlearner import InfluenceUnlearner
from skunlearn.influence.inverse_curvature import InverseCurvature
from skunlearn.influence.puma import PUMAUnlearner

__all__ = [
    "InfluenceUnlearner",
    "InverseCurvature",
    "PUMAUnlearner",
    "influence",
    "projected_influence",
]
