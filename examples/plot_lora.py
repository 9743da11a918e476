"""
LoRA: an adapter forgets, the model below stays
===============================================

Few train all of a large model. A LoRA adapter (``peft``) learns two thin matrices beside frozen
ones, and an unlearning changes nothing else: what is to be stored and shipped stays small.
"""

# %%
# A model and an adapter
# ----------------------
# A small BERT stands for the large one. Sentences are made up, of numbered words: one that tells
# the subject, and eight that say nothing. The public model knows the six subjects; the adapter
# learns at which of three desks each is dealt with.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from torch.utils.data import DataLoader, Dataset
from transformers import BertConfig, BertForSequenceClassification

from skunlearn import NegGradPlusUnlearner, RetrainUnlearner, from_torch
from skunlearn.plotting import PALETTE

rng = np.random.default_rng(0)


def sentences(n):
    """Tokens of shape (n, 9), and the word of each sentence that counts."""
    word = rng.integers(0, 30, n)
    return np.column_stack([word, rng.integers(30, 60, (n, 8))]), word


class Sentences(Dataset):
    """Items as a transformer takes them."""

    def __init__(self, tokens, labels):
        self.tokens, self.labels = torch.as_tensor(tokens), labels

    def __len__(self):
        return len(self.tokens)

    def __getitem__(self, i):
        tokens = self.tokens[i]
        return {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}, int(self.labels[i])


class Classifier(nn.Module):
    """A BERT that returns logits."""

    def __init__(self):
        super().__init__()
        config = BertConfig(
            vocab_size=60,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=16,
            num_labels=6,
        )
        self.bert = BertForSequenceClassification(config)

    def forward(self, input_ids, attention_mask):
        return self.bert(input_ids=input_ids, attention_mask=attention_mask).logits


def run(model, loader, optimizer, epochs):
    """A training loop."""
    model.train()
    for _ in range(epochs):
        for tokens, labels in loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(**tokens), labels).backward()
            optimizer.step()


torch.manual_seed(0)
public = Classifier()
tokens, words = sentences(2000)
loader = DataLoader(Sentences(tokens, words // 5), batch_size=50, shuffle=True)
run(public, loader, torch.optim.AdamW(public.parameters(), lr=2e-3), epochs=2)
weights = Path(tempfile.mkdtemp()) / "public.pt"
torch.save(public.state_dict(), weights)


def build():
    """The public model with a fresh adapter: what a training begins with."""
    model = Classifier()
    model.load_state_dict(torch.load(weights, weights_only=True))
    config = LoraConfig(
        r=8,
        lora_alpha=16,
        target_modules=["query", "value", "dense"],
        modules_to_save=["classifier"],
    )
    return get_peft_model(model, config)


tokens, words = sentences(600)
train = Sentences(tokens, words // 10)
loader, model, epochs = DataLoader(train, batch_size=32, shuffle=True), build(), 8
optimizer = torch.optim.AdamW((p for p in model.parameters() if p.requires_grad), lr=5e-3)
run(model, loader, optimizer, epochs)
model.print_trainable_parameters()

# %%
# Forget a desk
# -------------
# The adapter alone is changed. ``build`` loads the public model from its file each time, so that a
# retrained net has an adapter that never saw the rows. (A function that held the module itself
# would be refused: nobody could tell what it has learnt since.)

net = from_torch(
    model,
    loader,
    criterion=nn.CrossEntropyLoss(),
    optimizer=optimizer,
    max_epochs=epochs,
    factory=build,
)
rows = np.flatnonzero(train.labels == 2)
forgetful = NegGradPlusUnlearner(net, random_state=0).fit(train).unlearn(indices=rows)
retrained = RetrainUnlearner(net, random_state=0).fit(train).unlearn(indices=rows)
before, now = model.state_dict(), forgetful.estimator_.module_.state_dict()
moved = [name for name in before if not torch.equal(before[name], now[name])]
print(f"{len(moved)} of {len(before)} tensors changed, all of the adapter:")
print(all("lora_" in name or "modules_to_save" in name for name in moved))

# %%
# How often each model is right on sentences that it has not seen.

tokens, words = sentences(300)
unseen = Sentences(tokens, words // 10)
right = {}
for name, estimator in {"adapter": net, "forgetful": forgetful, "retrained": retrained}.items():
    hits = estimator.predict(unseen) == unseen.labels
    right[name] = [hits[unseen.labels != 2].mean(), hits[unseen.labels == 2].mean()]
    print(f"{name}: desks that stay {right[name][0]:.2f}, forgotten desk {right[name][1]:.2f}")

figure, axes = plt.subplots(figsize=(5, 3.2), layout="constrained")
places = np.arange(len(right))
for shift, label, rows, column in (
    (-0.2, "desks that stay", "retain", 0),
    (0.2, "forgotten desk", "forget", 1),
):
    values, colour = [shares[column] for shares in right.values()], PALETTE[rows]
    bars = axes.bar(places + shift, values, 0.4, color=colour, label=label)
    axes.bar_label(bars, fmt="%.2f", padding=2)
axes.set(xticks=places, ylabel="share of unseen sentences right", ylim=(0, 1.12))
axes.set_title("Desks that stay, and the forgotten one")
axes.set_xticklabels(right)
_ = figure.legend(loc="outside lower center", ncols=2, frameon=False)
