"""The kinds by name, in the order in which they are registered."""

import numpy as np
from skorch import NeuralNetClassifier
from torch import nn

from skunlearn.utils import all_unlearners
from tests.batch_tools import Plain

N, BATCH = 41, 8  # a last batch of one row
KINDS = {}
EVERY = sorted(all_unlearners(nets=True))


def refusals(pattern, *methods):
    """These methods refuse in these words."""
    return {f"{method}Unlearner": pattern for method in methods}


FROM_SCRATCH = ("RetrainUnlearner", "ShardedUnlearner")
NO_KERNEL = refusals("square kernels", "CT")
NO_PROOF = refusals("hides weights by noise", "NoisyFineTune")
OWN_STEPS = refusals("knows the steps of skorch", "NoisyFineTune")
FEW_BITS = refusals("32 or 64 bits", "NoisyFineTune")
ONE_LAYER_LEARNS = NO_PROOF | NO_KERNEL | refusals("layer in front of the last one", "NoT")
NO_STEPS = {  # rows that are tokens, or several tensors
    **refusals("one tensor of floating-point", "AMUN", "Boundary", "UNSIR"),
    **refusals("augment=", "CoUn"),
    **refusals("one tensor of floating-point", "JiT", "MUMis"),
}
TOKENS = NO_KERNEL | NO_STEPS
NO_CLASSES = refusals(
    "for classifiers",
    *("AMUN", "Boundary", "DELETE", "FCS", "MUMis", "PRMQ", "Potion", "RUM", "RandomLabel"),
    *("SalUn", "UNSIR"),
)
NO_LIKELIHOOD = refusals(r"log p\(y\|x\)", "FisherForgetting", "SSD")
NARROW = refusals("float32 or all float64", "Influence", "PUMA")


def kind(name, refused=None, **fit):
    """Register a function that returns a net and its rows, given a folder to write to.

    `refused` says of methods what their refusals say, and `fit` is what else ``fit`` is given.
    """

    def register(make):
        KINDS[name] = make
        make.refused, make.fit = refused or {}, fit
        return make

    return register


def rows(n=N):
    """Random rows of twelve floats in three classes."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, 12)).astype(np.float32), rng.permutation(np.arange(n) % 3)


def classifier(module=Plain, *, cls=NeuralNetClassifier, **params):
    """A net that trains in two short epochs."""
    given = {
        "criterion": nn.CrossEntropyLoss, "lr": 0.05, "max_epochs": 2, "batch_size": BATCH,
        "train_split": None, "verbose": 0,
    }  # fmt: skip
    return cls(module, **(given | params))


def plain(name, module=Plain, refused=None, **params):
    """A kind that differs from a plain classifier by its module or parameters."""

    @kind(name, refused)
    def make(folder):
        return classifier(module, **params), *rows()
