"""Methods that go on training on the retained rows."""

from skunlearn.finetuning.coun import CoUnUnlearner
from skunlearn.finetuning.disturbed import CTUnlearner, MSGUnlearner, NoTUnlearner
from skunlearn.finetuning.finetune import FineTuneUnlearner
from skunlearn.finetuning.l1_sparse import L1SparseUnlearner
from skunlearn.finetuning.layerwise import CFkUnlearner, EUkUnlearner
from skunlearn.finetuning.proximal import ProximalUnlearner

__all__ = [
    "CFkUnlearner",
    "CTUnlearner",
    "CoUnUnlearner",
    "EUkUnlearner",
    "FineTuneUnlearner",
    "L1SparseUnlearner",
    "MSGUnlearner",
    "NoTUnlearner",
    "ProximalUnlearner",
]
