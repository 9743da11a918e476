"""skunlearn: machine unlearning with the manners of scikit-learn."""

from skunlearn._version import __version__
from skunlearn.ascent import GradientAscentUnlearner, NegGradPlusUnlearner
from skunlearn.auto import AutoUnlearner
from skunlearn.backbone import PublicBackbone
from skunlearn.base import BaseUnlearner
from skunlearn.certified import (
    CertifiedRemovalUnlearner,
    DescentToDeleteUnlearner,
    LangevinUnlearner,
)
from skunlearn.compose import RUMUnlearner, UnlearningPipeline
from skunlearn.distillation import (
    BadTeacherUnlearner,
    DELETEUnlearner,
    OracleMatchingUnlearner,
    SCRUBUnlearner,
)
from skunlearn.editing import (
    AmnesiacUnlearner,
    FisherForgettingUnlearner,
    LFSSDUnlearner,
    SSDUnlearner,
)
from skunlearn.exact import (
    ForestUnlearner,
    RetrainUnlearner,
    RidgeUnlearner,
    ShardedUnlearner,
    SufficientStatisticsUnlearner,
)
from skunlearn.finetuning import (
    CFkUnlearner,
    CoUnUnlearner,
    CTUnlearner,
    EUkUnlearner,
    FineTuneUnlearner,
    L1SparseUnlearner,
    MSGUnlearner,
    NoTUnlearner,
    ProximalUnlearner,
    ShrinkPerturbUnlearner,
)
from skunlearn.influence import InfluenceUnlearner, PUMAUnlearner
from skunlearn.net_unlearner import NetUnlearner
from skunlearn.relabelling import (
    BoundaryUnlearner,
    RandomLabelUnlearner,
    SalUnUnlearner,
    UNSIRUnlearner,
)
from skunlearn.torch_net import from_torch

__all__ = [
    "AmnesiacUnlearner",
    "AutoUnlearner",
    "BadTeacherUnlearner",
    "BaseUnlearner",
    "BoundaryUnlearner",
    "CFkUnlearner",
    "CTUnlearner",
    "CertifiedRemovalUnlearner",
    "CoUnUnlearner",
    "DELETEUnlearner",
    "DescentToDeleteUnlearner",
    "EUkUnlearner",
    "FineTuneUnlearner",
    "FisherForgettingUnlearner",
    "ForestUnlearner",
    "GradientAscentUnlearner",
    "InfluenceUnlearner",
    "L1SparseUnlearner",
    "LFSSDUnlearner",
    "LangevinUnlearner",
    "MSGUnlearner",
    "NegGradPlusUnlearner",
    "NetUnlearner",
    "NoTUnlearner",
    "OracleMatchingUnlearner",
    "PUMAUnlearner",
    "PublicBackbone",
    "ProximalUnlearner",
    "RUMUnlearner",
    "RandomLabelUnlearner",
    "RetrainUnlearner",
    "RidgeUnlearner",
    "SCRUBUnlearner",
    "SSDUnlearner",
    "SalUnUnlearner",
    "ShardedUnlearner",
    "ShrinkPerturbUnlearner",
    "SufficientStatisticsUnlearner",
    "UNSIRUnlearner",
    "UnlearningPipeline",
    "__version__",
    "from_torch",
]
