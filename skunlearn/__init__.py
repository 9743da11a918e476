"""skunlearn: machine unlearning with the manners of scikit-learn."""

from skunlearn._version import __version__
from skunlearn.base import BaseUnlearner, NetUnlearner
from skunlearn.exact import RetrainUnlearner
from skunlearn.finetuning import FineTuneUnlearner, ProximalUnlearner

__all__ = [
    "BaseUnlearner",
    "FineTuneUnlearner",
    "NetUnlearner",
    "ProximalUnlearner",
    "RetrainUnlearner",
    "__version__",
]
