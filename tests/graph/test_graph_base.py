"""A public base below the nets of a graph's shards: quoted, and compared with that of fit."""

import json

import pytest

pytest.importorskip("torch_geometric", reason="needs torch_geometric (the extra graph)")

import torch
from skorch import NeuralNetClassifier
from torch import nn
from torch_geometric.nn import GCN

from skunlearn import PublicBackbone
from tests.graphs import make_eraser, planted


class Adapted(nn.Module):
    """Features by the base, and a graph net on them."""

    def __init__(self, base):
        super().__init__()
        self.base, self.net = base.frozen_module(), GCN(8, 8, 2, 3)

    def forward(self, x, edge_index):
        return self.net(self.base(x), edge_index)


def test_declared_bases_are_quoted_and_compared():
    base = PublicBackbone(nn.Linear(6, 8), trained_on="nothing", declared_by="A. Nother")
    net = NeuralNetClassifier(
        Adapted,
        module__base=base,
        criterion=nn.CrossEntropyLoss,
        max_epochs=2,
        batch_size=-1,
        train_split=None,
        verbose=0,
    )
    eraser = make_eraser().set_params(estimator=net).fit(planted()).unlearn(nodes=[3])
    certificate = json.loads(eraser.certificate())
    assert certificate["guarantee"] != "none"
    assert certificate["declared"][0]["sha256"] == base.declaration()["sha256"]
    with torch.no_grad():
        base.module.weight[0, 0] += 1
    certificate = json.loads(eraser.unlearn(nodes=[4]).certificate())
    assert certificate["guarantee"] == "none"
    assert any("not what was declared in fit" in note for note in certificate["notes"])
