"""skunlearn: machine unlearning with the manners of scikit-learn."""

from skunlearn._version import __version__
from skunlearn.ascent import GradientAscentUnlearner, NegGradPlusUnlearner
from skunlearn.base import BaseUnlearner
from skunlearn.distillation import BadTeacherUnlearner, DELETEUnlearner, SCRUBUnlearner
from skunlearn.exact import RetrainUnlearner
from skunlearn.finetuning import (
    CFkUnlearner,
    CTUnlearner,
    EUkUnlearner,
    FineTuneUnlearner,
    L1SparseUnlearner,
    MSGUnlearner,
    NoTUnlearner,
    ProximalUnlearner,
)
from skunlearn.net_unlearner import NetUnlearner
from skunlearn.relabelling import RandomLabelUnlearner, SalUnUnlearner

__all__ = [
    "BadTeacherUnlearner",
    "BaseUnlearner",
    "CFkUnlearner",
    "CTUnlearner",
    "DELETEUnlearner",
    "EUkUnlearner",
    "FineTuneUnlearner",
    "GradientAscentUnlearner",
    "L1SparseUnlearner",
    "MSGUnlearner",
    "NegGradPlusUnlearner",
    "NetUnlearner",
    "NoTUnlearner",
    "ProximalUnlearner",
    "RandomLabelUnlearner",
    "RetrainUnlearner",
    "SCRUBUnlearner",
    "SalUnUnlearner",
    "__version__",
]
