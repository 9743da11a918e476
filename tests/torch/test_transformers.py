"""Nets of transformers and adapters of peft, under every method for nets."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from skunlearn import FineTuneUnlearner, RetrainUnlearner, from_torch
from skunlearn.utils import all_unlearners
from tests.small import quiet
from tests.turns import in_turns

transformers = pytest.importorskip("transformers", reason="the extra transformers brings it")

# What these methods ask of rows, or of the module.
REFUSED = {
    "AMUNUnlearner": "one tensor of floating-point numbers",
    "BoundaryUnlearner": "one tensor of floating-point numbers",
    "CoUnUnlearner": "one tensor each. Pass augment=",
    "JiTUnlearner": "one tensor of floating-point numbers",
    "MUMisUnlearner": "one tensor of floating-point numbers",
    "UNSIRUnlearner": "one tensor of floating-point numbers",
}
EPOCHS, N = 4, 120


class Classifier(nn.Module):
    """A BERT of one layer that returns logits."""

    def __init__(self):
        super().__init__()
        config = transformers.BertConfig(
            vocab_size=20,
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            max_position_embeddings=8,
            num_labels=3,
        )
        self.bert = transformers.BertForSequenceClassification(config)

    def forward(self, input_ids, attention_mask):
        return self.bert(input_ids=input_ids, attention_mask=attention_mask).logits


class Text(Dataset):
    """Token dictionaries of two to six words, padded to eight."""

    def __init__(self):
        rng = np.random.default_rng(0)
        self.y = rng.integers(0, 3, N)
        self.lengths = rng.integers(2, 7, N)
        self.tokens = rng.integers(4, 20, (N, 8))
        self.tokens[:, 0] = 1 + self.y

    def __len__(self):
        return N

    def __getitem__(self, i):
        mask = np.arange(8) < self.lengths[i]
        tokens = {
            "input_ids": np.where(mask, self.tokens[i], 0),
            "attention_mask": mask.astype(int),
        }
        return {key: torch.as_tensor(value) for key, value in tokens.items()}, int(self.y[i])


def run(model, loader, optimizer, epochs=EPOCHS):
    """A training loop."""
    model.train()
    for _ in range(epochs):
        for tokens, labels in loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(**tokens), labels).backward()
            optimizer.step()


@pytest.fixture(scope="module")
def net():
    """A trained transformer."""
    torch.manual_seed(0)
    model = Classifier()
    loader = DataLoader(Text(), batch_size=16, shuffle=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    run(model, loader, optimizer)
    recipe = {"criterion": nn.CrossEntropyLoss(), "optimizer": optimizer, "max_epochs": EPOCHS}
    return from_torch(model, loader, factory=Classifier, **recipe)


@quiet
@pytest.mark.parametrize("name", in_turns(all_unlearners(nets=True), 1))
def test_methods_take_tokens_or_say_what_they_take(net, name):
    cls = all_unlearners()[name]
    watches = name in ("AmnesiacUnlearner", "RewindUnlearner", "ShardedUnlearner")
    unlearner = cls(net.estimator if watches else net, random_state=0)
    how = {"sensitive": np.arange(N) < 20} if name == "AmnesiacUnlearner" else {}
    if name == "CTUnlearner":
        with pytest.raises(ValueError, match="kernels of convolutions"):
            unlearner.fit(Text())
        return
    if name in REFUSED:
        with pytest.raises(ValueError, match=REFUSED[name]):
            unlearner.fit(Text(), **how)
        return
    unlearner.fit(Text(), **how)
    unlearner.unlearn(indices=range(6))
    assert unlearner.predict_proba(Text()).shape == (N, 3)


@quiet
def test_an_adapter_is_all_that_changes(tmp_path):
    peft = pytest.importorskip("peft", reason="the extra transformers brings it")
    torch.manual_seed(0)
    torch.save(Classifier().state_dict(), tmp_path / "public.pt")

    def build():
        model = Classifier()
        model.load_state_dict(torch.load(tmp_path / "public.pt", weights_only=True))
        config = peft.LoraConfig(
            target_modules=["query", "value"], modules_to_save=["classifier"], r=2
        )
        return peft.get_peft_model(model, config)

    model = build()
    loader = DataLoader(Text(), batch_size=16, shuffle=True)
    optimizer = torch.optim.AdamW((p for p in model.parameters() if p.requires_grad), lr=5e-3)
    run(model, loader, optimizer)
    recipe = {"criterion": nn.CrossEntropyLoss(), "optimizer": optimizer, "max_epochs": EPOCHS}
    net = from_torch(model, loader, factory=build, **recipe)
    before = model.state_dict()
    for cls in (FineTuneUnlearner, RetrainUnlearner):
        unlearner = cls(net, random_state=0).fit(Text()).unlearn(indices=range(6))
        now = unlearner.estimator_.module_.state_dict()
        moved = {name for name in before if not torch.equal(before[name], now[name])}
        assert moved
        assert all("lora_" in name or "modules_to_save" in name for name in moved)
