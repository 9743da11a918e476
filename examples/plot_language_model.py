"""
A language model that recites a telephone number
================================================

A small model of characters has learnt three hundred sentences by heart, numbers included. Four
people ask for theirs to be removed: the model shall know how sentences go, and not their numbers.
"""

# %%
# The texts
# ---------
# Eighty people, five sentences with the number of each. Those of twenty people the model never
# sees; they tell what it knows of a number that it has not read.

import matplotlib.pyplot as plt
import numpy as np
import torch
from skorch import NeuralNet
from torch import nn

from skunlearn import AutoUnlearner, RetrainUnlearner
from skunlearn.plotting import PALETTE

rng = np.random.default_rng(0)
syllables = ["an", "be", "cor", "da", "el", "fi", "gus", "ha", "lo", "mar", "ne", "ri", "sol", "tu"]
people = sorted({"".join(rng.choice(syllables, 3)).title() for _ in range(90)})[:80]
rng.shuffle(people)
numbers = {name: "".join(map(str, rng.integers(10, size=6))) for name in people}
ways = ["call {} at {}.", "{} has {}.", "the number of {}: {}.", "ask {}, {}.", "{} answers at {}."]

LENGTH = 40
letters = sorted({c for name in people for c in name} | set("".join(ways)) | set("0123456789 "))
code = {c: i for i, c in enumerate(letters)}


def rows_of(names):
    """Sentences as codes of characters, what follows each of these, and whose they are."""
    texts = [way.format(name, numbers[name]).ljust(LENGTH + 1) for name in names for way in ways]
    codes = np.array([[code[c] for c in text] for text in texts])
    return codes[:, :-1], codes[:, 1:], np.repeat(names, len(ways))


X, y, who = rows_of(people[:60])
X_new, y_new, _ = rows_of(people[60:])
print(len(X), "sentences,", "".join(letters[i] for i in X[0]).strip())

# %%
# The model
# ---------
# It names the next character at each position: logits of shape (rows, characters, positions), as
# ``CrossEntropyLoss`` wants them. So does any decoder whose output is transposed.


class NextCharacter(nn.Module):
    """A recurrent net over characters."""

    def __init__(self, n, width=128):
        super().__init__()
        self.embed = nn.Embedding(n, 32)
        self.read = nn.GRU(32, width, batch_first=True)
        self.name = nn.Linear(width, n)

    def forward(self, X):
        return self.name(self.read(self.embed(X))[0]).transpose(1, 2)


net = NeuralNet(
    NextCharacter,
    module__n=len(letters),
    criterion=nn.CrossEntropyLoss,
    optimizer=torch.optim.Adam,
    lr=0.01,
    max_epochs=40,
    batch_size=30,
    iterator_train__shuffle=True,
    train_split=None,
    verbose=0,
)
unlearner = AutoUnlearner(net, random_state=0).fit(X, y, groups=who)


def recite(model, beginning, n=6):
    """What the model writes after `beginning`, the likeliest character each time."""
    text = beginning
    for _ in range(n):
        shown = torch.tensor([[code[c] for c in text]])
        with torch.no_grad():
            text += letters[int(model(shown)[0, :, -1].argmax())]
    return text[len(beginning) :]


def share_known(unlearner, names):
    """Of the digits of these people, how many are right at their places."""
    module, found = unlearner.estimator_.module_.eval(), []
    for name in names:
        said = recite(module, f"the number of {name}: ")
        found += [a == b for a, b in zip(said, numbers[name])]
    return np.mean(found)


name = people[0]
print(name, "has", numbers[name])
print("the model says", recite(unlearner.estimator_.module_.eval(), f"the number of {name}: "))

# %%
# Forget
# ------
# Four people go. The sentences of people whom the model has never met are for it to judge itself.

gone, others = people[:4], people[4:60]
before = [share_known(unlearner, names) for names in (gone, others)]
unlearner.unlearn(groups=gone, X_val=X_new, y_val=y_new)
print("the model says", recite(unlearner.estimator_.module_.eval(), f"the number of {name}: "))

retrained = RetrainUnlearner(net, random_state=0).fit(X, y, groups=who).unlearn(groups=gone)
known = np.array(
    [before] + [[share_known(u, names) for names in (gone, others)] for u in (unlearner, retrained)]
)
done = unlearner.deletions_[-1]["auto"]
print(done["epochs"] + done["reference_epochs"], "epochs instead of", done["recipe_epochs"])

# %%
# One digit in ten is right by chance (the dotted line). Of the numbers of those who stay the model
# has learnt most again; a larger ``budget=`` gives it more epochs to do so.

figure, ax = plt.subplots(figsize=(6, 3), layout="constrained")
for k, model in enumerate(("original", "unlearned", "retrained")):
    ax.bar(np.arange(2) + 0.26 * (k - 1), known[k], 0.24, color=PALETTE[model], label=model)
ax.axhline(0.1, color="0.4", lw=1, ls=":")
ax.set(
    xticks=[0, 1], xticklabels=["the four who went", "the others"], ylabel="digits recited right"
)
ax.legend(frameon=False, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1))
ax.spines[["top", "right"]].set_visible(False)
