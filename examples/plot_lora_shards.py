"""
One LoRA adapter a shard: a person is deleted by training one adapter again
===========================================================================

An exact deletion from a large model is a training without the rows, and a model for each shard
makes that cheap, but large: ten shards are ten models. Where the model is public and only a LoRA
adapter is trained on private rows, it is in memory once, and a shard is an adapter.
"""

# %%
# A public model
# --------------
# A small BERT stands for a large one. Sentences are made up, of numbered words: one that tells the
# subject, and eight that say nothing. It learns six subjects from public sentences.

import json
import pickle
import time

import matplotlib.pyplot as plt
import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from skorch import NeuralNetClassifier
from torch import nn
from transformers import BertConfig, BertForSequenceClassification

from skunlearn import PublicBackbone, RetrainUnlearner, ShardedUnlearner
from skunlearn.plotting import PALETTE

rng = np.random.default_rng(0)


def sentences(n):
    """Tokens of shape (n, 9) as a transformer takes them, and the word that counts."""
    word = rng.integers(0, 30, n)
    tokens = np.column_stack([word, rng.integers(30, 60, (n, 8))])
    return {"input_ids": tokens, "attention_mask": np.ones_like(tokens)}, word


class Public(nn.Module):
    """A BERT that returns logits."""

    def __init__(self):
        super().__init__()
        config = BertConfig(
            vocab_size=60,
            hidden_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=128,
            max_position_embeddings=16,
            num_labels=6,
        )
        self.bert = BertForSequenceClassification(config)

    def forward(self, input_ids, attention_mask):
        return self.bert(input_ids=input_ids, attention_mask=attention_mask).logits


def recipe(module, **settings):
    """How every net here is trained."""
    return NeuralNetClassifier(
        module,
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.AdamW,
        batch_size=50,
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
        **settings,
    )


torch.manual_seed(0)
X, words = sentences(2000)
public = recipe(Public, max_epochs=3, lr=2e-3).fit(X, words // 5)

# %%
# A base, an adapter
# ------------------
# ``PublicBackbone`` declares that the model holds no private row. Its ``frozen_module()`` gives new
# layers around the same weights, in which ``peft`` puts an adapter. Nothing else is to be done:
# what does not learn, and is the same in all shards, is kept once.


class Adapted(nn.Module):
    """The public model and an adapter of its own."""

    def __init__(self, base):
        super().__init__()
        config = LoraConfig(
            r=4,
            lora_alpha=8,
            target_modules=["query", "value", "dense"],
            modules_to_save=["classifier"],
        )
        self.model = get_peft_model(base.frozen_module(), config)

    def forward(self, input_ids, attention_mask):
        return self.model(input_ids=input_ids, attention_mask=attention_mask)


base = PublicBackbone(
    public.module_, trained_on="2,000 made-up public sentences", declared_by="the author"
)
adapted = recipe(Adapted, module__base=base, max_epochs=6, lr=5e-3)

# %%
# Two thousand private sentences of two hundred people, each of them at one of three desks. The
# shard of a person is drawn by a keyed hash of her name, so that it depends on no other person.

X, words = sentences(2000)
desks, person = words // 10, np.arange(2000) // 10
X_new, words_new = sentences(500)
began = time.process_time()
sharded = ShardedUnlearner(adapted, n_shards=10, random_state=0).fit(X, desks, groups=person)
fitted = time.process_time() - began
before = np.mean(sharded.predict(X_new) == words_new // 10)
print(f"trained in {fitted:.1f} s of processor time, right on {before:.1%} of unseen sentences")

# %%
# What it takes
# -------------

sizes = sharded.estimator_.count_bytes()
full, own = sum(p.numel() * 4 for p in base.module.parameters()), max(sizes["own"])
print(f"the model {full / 1e3:.0f} kB, of which shared {sizes['shared'] / 1e3:.0f} kB")
print(f"an adapter {own / 1e3:.0f} kB: {own / full:.1%} of the model")
print(f"ten shards {(sizes['shared'] + sum(sizes['own'])) / full:.2f} models in memory, not ten")

# %%
# (A pickle holds the base once too. Of so small a model each net's history and settings weigh
# more.)

size = len(pickle.dumps(sharded.estimator_))
print(
    f"pickle of the ensemble: {size / 1e3:.0f} kB, of ten models {10 * full / 1e3:.0f} kB and more"
)

# %%
# A person is deleted
# -------------------

began = time.process_time()
sharded.unlearn(groups=[7])
spent = time.process_time() - began
print(f"{sharded.deletions_[0]['shards_retrained']} adapter trained again, in {spent:.2f} s")

whole = RetrainUnlearner(adapted, random_state=0).fit(X, desks, groups=person)
began = time.process_time()
whole.unlearn(groups=[7])
retraining = time.process_time() - began
print(
    f"one adapter on all rows, retrained: {retraining:.2f} s, {retraining / spent:.1f} times that"
)

# %%
# The ensemble is, bit for bit, the one that never saw her sentences, and the certificate quotes who
# says that the model below did not either.

kept = person != 7
X_kept = {name: values[kept] for name, values in X.items()}
never = ShardedUnlearner(adapted, n_shards=10, random_state=0)
never.fit(X_kept, desks[kept], groups=person[kept])
print("equal:", np.array_equal(never.predict_proba(X_new), sharded.predict_proba(X_new)))
certificate = json.loads(sharded.certificate())
print(json.dumps({key: certificate[key] for key in ("guarantee", "declared")}, indent=1))

held = {"ten models": 10.0, "ten adapters": (sizes["shared"] + sum(sizes["own"])) / full}
took = {"all rows": retraining, "one shard": spent}
for bars, said, title in (
    (held, "models in memory", "What is held"),
    (took, "seconds of processor time", "What a deletion takes"),
):
    _, ax = plt.subplots(figsize=(5, 2), layout="constrained")
    ax.barh(list(bars), list(bars.values()), color=[PALETTE["retrained"], PALETTE["unlearned"]])
    ax.invert_yaxis()
    ax.set(xlabel=said, title=title)
