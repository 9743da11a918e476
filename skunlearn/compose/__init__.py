"""Methods made of parts: pipelines that forget, and unlearners of unlearners."""

from skunlearn.compose.pipeline import UnlearningPipeline
from skunlearn.compose.rum import RUMUnlearner
from skunlearn.compose.uam import UAMUnlearner

__all__ = [
    "RUMUnlearner",
    "UAMUnlearner",
    "UnlearningPipeline",
]
