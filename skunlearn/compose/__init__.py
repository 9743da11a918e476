"""Methods made of parts: pipelines that forget, and unlearners of unlearners."""

from skunlearn.compose.pipeline import UnlearningPipeline
from skunlearn.compose.rum import RUMUnlearner

__all__ = [
    "RUMUnlearner",
    "UnlearningPipeline",
]
