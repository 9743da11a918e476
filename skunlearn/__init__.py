"""skunlearn: machine unlearning with the manners of scikit-learn."""

from skunlearn._version import __version__
from skunlearn.ascent import (
    GradientAscentUnlearner,
    JiTUnlearner,
    MUMisUnlearner,
    NegGradPlusUnlearner,
    SFRonUnlearner,
)
from skunlearn.auto import AutoUnlearner, make_unlearner
from skunlearn.backbone import PublicBackbone
from skunlearn.base import BaseUnlearner
from skunlearn.certified import (
    CertifiedRemovalUnlearner,
    DescentToDeleteUnlearner,
    LangevinUnlearner,
    NoisyFineTuneUnlearner,
)
from skunlearn.compose import RUMUnlearner, UAMUnlearner, UnlearningPipeline
from skunlearn.distillation import (
    BadTeacherUnlearner,
    DELETEUnlearner,
    KDEUnlearner,
    OracleMatchingUnlearner,
    PRMQUnlearner,
    SCRUBUnlearner,
)
from skunlearn.editing import (
    LEACE,
    AmnesiacUnlearner,
    FisherForgettingUnlearner,
    LFSSDUnlearner,
    NegMergeUnlearner,
    PotionUnlearner,
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
    CFWUnlearner,
    CoUnUnlearner,
    CTUnlearner,
    EUkUnlearner,
    FineTuneUnlearner,
    L1SparseUnlearner,
    MSGUnlearner,
    NoTUnlearner,
    ProximalUnlearner,
    RewindUnlearner,
    RNIUnlearner,
    ShrinkPerturbUnlearner,
)
from skunlearn.influence import InfluenceUnlearner, PUMAUnlearner
from skunlearn.net_unlearner import NetUnlearner
from skunlearn.relabelling import (
    AMUNUnlearner,
    BoundaryUnlearner,
    FCSUnlearner,
    RandomLabelUnlearner,
    SalUnUnlearner,
    UNSIRUnlearner,
)
from skunlearn.torch_net import from_torch

__all__ = [
    "LEACE",
    "AMUNUnlearner",
    "AmnesiacUnlearner",
    "AutoUnlearner",
    "BadTeacherUnlearner",
    "BaseUnlearner",
    "BoundaryUnlearner",
    "CFWUnlearner",
    "CFkUnlearner",
    "CTUnlearner",
    "CertifiedRemovalUnlearner",
    "CoUnUnlearner",
    "DELETEUnlearner",
    "DescentToDeleteUnlearner",
    "EUkUnlearner",
    "FCSUnlearner",
    "FineTuneUnlearner",
    "FisherForgettingUnlearner",
    "ForestUnlearner",
    "GradientAscentUnlearner",
    "InfluenceUnlearner",
    "JiTUnlearner",
    "KDEUnlearner",
    "L1SparseUnlearner",
    "LFSSDUnlearner",
    "LangevinUnlearner",
    "MSGUnlearner",
    "MUMisUnlearner",
    "NegGradPlusUnlearner",
    "NegMergeUnlearner",
    "NetUnlearner",
    "NoTUnlearner",
    "NoisyFineTuneUnlearner",
    "OracleMatchingUnlearner",
    "PRMQUnlearner",
    "PUMAUnlearner",
    "PotionUnlearner",
    "PublicBackbone",
    "ProximalUnlearner",
    "RNIUnlearner",
    "RUMUnlearner",
    "RandomLabelUnlearner",
    "RetrainUnlearner",
    "RewindUnlearner",
    "RidgeUnlearner",
    "SCRUBUnlearner",
    "SFRonUnlearner",
    "SSDUnlearner",
    "SalUnUnlearner",
    "ShardedUnlearner",
    "ShrinkPerturbUnlearner",
    "SufficientStatisticsUnlearner",
    "UAMUnlearner",
    "UNSIRUnlearner",
    "UnlearningPipeline",
    "__version__",
    "from_torch",
    "make_unlearner",
]
