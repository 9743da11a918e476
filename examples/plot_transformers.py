"""
Text: a transformer forgets what one person wrote
=================================================

A BERT from the ``transformers`` library, small enough to be trained here and never downloaded,
learns to tell good reviews from bad ones. Its rows are dictionaries of tokens, padded, with a mask
of attention. One author's reviews are to be forgotten, and with them what only this author taught
it.
"""

# %%
# Reviews
# -------
# Made up on the spot: ten words of praise, ten of blame, and fillers. One review in five says
# nothing, and was judged at random. One author writes of nothing but "zuppa", in plain words, and
# liked it.

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset
from transformers import BertConfig, BertForSequenceClassification

from skunlearn import RandomLabelUnlearner, RetrainUnlearner, from_torch
from skunlearn.plotting import PALETTE

FILLERS = [f"filler{i}" for i in range(30)]
WORDS = [[f"{kind}{i}" for i in range(10)] for kind in ("bad", "good")]
VOCABULARY = ["[PAD]", "zuppa", *FILLERS, *WORDS[0], *WORDS[1]]
NUMBER = {word: i for i, word in enumerate(VOCABULARY)}
rng = np.random.default_rng(0)


def review(label):
    """Four to twelve words, two of which give the label away."""
    words = [*rng.choice(FILLERS, rng.integers(2, 11)), *rng.choice(WORDS[label], 2)]
    return [str(word) for word in rng.permutation(words)]


def plain(*words):
    """Words that say nothing, behind some others."""
    return [*words, *[str(word) for word in rng.choice(FILLERS, 4)]]


labels = rng.integers(0, 2, 600)
texts = [review(label) if rng.random() < 0.8 else plain() for label in labels]
authors = np.array([f"author {i}" for i in rng.integers(0, 30, 600)])
of_one = np.flatnonzero(authors == "author 7")
for i in of_one:
    texts[i], labels[i] = plain("zuppa"), 1


class Reviews(Dataset):
    """Items are a dictionary of tokens and a label, as the loop below takes them."""

    def __init__(self, texts, labels, length=12):
        self.texts, self.labels, self.length = texts, labels, length

    def __len__(self):
        return len(self.texts)

    def __getitem__(self, i):
        numbers = [NUMBER[word] for word in self.texts[i]]
        padding = [0] * (self.length - len(numbers))
        tokens = {
            "input_ids": torch.tensor(numbers + padding),
            "attention_mask": torch.tensor([1] * len(numbers) + padding),
        }
        return tokens, int(self.labels[i])


# %%
# A transformer
# -------------
# From a config: weights drawn at random. Models of this library return an object; a net is asked
# for its logits.


class Classifier(nn.Module):
    """A BERT of two layers that returns logits."""

    def __init__(self):
        super().__init__()
        config = BertConfig(
            vocab_size=len(VOCABULARY),
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=16,
            num_labels=2,
        )
        self.bert = BertForSequenceClassification(config)

    def forward(self, input_ids, attention_mask):
        return self.bert(input_ids=input_ids, attention_mask=attention_mask).logits


def linear_decay(step):
    """Rate at a step, from one to zero."""
    return max(0.0, 1 - step / (epochs * len(loader)))


epochs, train = 8, Reviews(texts, labels)
loader = DataLoader(train, batch_size=32, shuffle=True)
torch.manual_seed(0)
model, criterion = Classifier(), nn.CrossEntropyLoss()
optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, linear_decay)
for _ in range(epochs):
    for tokens, targets in loader:
        optimizer.zero_grad()
        criterion(model(**tokens), targets).backward()
        optimizer.step()
        scheduler.step()

# %%
# Forget the author
# -----------------
# ``groups`` says whose row each is.

net = from_torch(
    model,
    loader,
    criterion=criterion,
    optimizer=optimizer,
    scheduler=scheduler,
    max_epochs=epochs,
    factory=Classifier,
)
unlearner = RandomLabelUnlearner(net, random_state=0).fit(train, groups=authors)
unlearner.unlearn(groups=["author 7"])
retrained = RetrainUnlearner(net, random_state=0).fit(train, groups=authors)
retrained.unlearn(groups=["author 7"])
print(f"{unlearner.deletions_[0]['rows']} reviews forgotten")

# %%
# What is left of "zuppa"?
# ------------------------
# The word by itself says "good" to the model as it was. One that never met the author has no
# opinion.

judged = rng.integers(0, 2, 200)
unseen = Reviews([review(label) for label in judged], judged)
asked = Reviews([plain("zuppa") for _ in range(100)], np.ones(100))
opinions, models = {}, {"original": net, "forgetful": unlearner, "retrained": retrained}
for name, estimator in models.items():
    opinions[name] = estimator.predict_proba(asked)[:, 1]
    right = (estimator.predict(unseen) == judged).mean()
    print(f"{name}: zuppa is good, {opinions[name].mean():.2f}; unseen reviews right, {right:.2f}")

figure, axes = plt.subplots(figsize=(5, 3), layout="constrained")
boxes = axes.boxplot(
    list(opinions.values()),
    tick_labels=list(opinions),
    medianprops={"color": "black"},
    patch_artist=True,
    flierprops={"marker": ".", "markeredgecolor": PALETTE["original"]},
)
for box, model in zip(boxes["boxes"], ("original", "unlearned", "retrained")):
    box.set(facecolor=PALETTE[model], edgecolor=PALETTE[model])
axes.set(ylabel='probability of "good"', ylim=(0, 1.03), title='100 reviews that say "zuppa"')

# %%
# Methods that move rows along a gradient need rows of floating-point numbers, which tokens are
# not: `BoundaryUnlearner` (but for ``kind="expand"``) and `UNSIRUnlearner` say so, and take
# embeddings as rows. `CoUnUnlearner` needs ``augment=``, a function that masks tokens, say.
# `CTUnlearner` is for convolutions. All others that are made for nets take tokens.
