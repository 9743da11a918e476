"""Methods that go on training on the retained rows."""

from skunlearn.finetuning.cfk import CFkUnlearner
from skunlearn.finetuning.cfw import CFWUnlearner
from skunlearn.finetuning.coun import CoUnUnlearner
from skunlearn.finetuning.ct import CTUnlearner
from skunlearn.finetuning.euk import EUkUnlearner
from skunlearn.finetuning.finetune import FineTuneUnlearner
from skunlearn.finetuning.l1_sparse import L1SparseUnlearner
from skunlearn.finetuning.msg import MSGUnlearner
from skunlearn.finetuning.no_t import NoTUnlearner
from skunlearn.finetuning.proximal import ProximalUnlearner
from skunlearn.finetuning.rewind import RewindUnlearner
from skunlearn.finetuning.rni import RNIUnlearner
from skunlearn.finetuning.shrink_perturb import ShrinkPerturbUnlearner

__all__ = [
    "CFWUnlearner",
    "CFkUnlearner",
    "CTUnlearner",
    "CoUnUnlearner",
    "EUkUnlearner",
    "FineTuneUnlearner",
    "L1SparseUnlearner",
    "MSGUnlearner",
    "NoTUnlearner",
    "ProximalUnlearner",
    "RNIUnlearner",
    "RewindUnlearner",
    "ShrinkPerturbUnlearner",
]
