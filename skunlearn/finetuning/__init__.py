"""Methods that go on training on the retained rows."""

from skunlearn.finetuning.finetune import FineTuneUnlearner
from skunlearn.finetuning.proximal import ProximalUnlearner

__all__ = ["FineTuneUnlearner", "ProximalUnlearner"]
