"""skunlearn: machine unlearning with the manners of scikit-learn."""

from skunlearn._version import __version__
from skunlearn.base import BaseUnlearner
from skunlearn.exact import RetrainUnlearner
from skunlearn.finetuning import FineTuneUnlearner, ProximalUnlearner
from skunlearn.net_unlearner import NetUnlearner

__all__ = [
    "BaseUnlearner",
    "FineTuneUnlearner",
    "NetUnlearner",
    "ProximalUnlearner",
    "RetrainUnlearner",
    "__version__",
]
