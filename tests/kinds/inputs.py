"""What a net is given, and weights of its rows."""

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.utils.data import TensorDataset

from tests.batch_tools import Plain
from tests.kinds.registry import EVERY, NO_STEPS, TOKENS, N, classifier, kind, refusals, rows
from tests.torch.test_collating import Texts, collate_texts
from tests.torch.test_own_losses import TakesWeights, Weighted

# ------------------------------------------------------------------ inputs


class Two(Plain):
    """Takes two entries of a mapping."""

    def forward(self, left, right):
        return super().forward(torch.cat([left, right], 1))


class Tokens(nn.Module):
    """A Transformer over padded tokens."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(20, 8, padding_idx=0)
        self.encoder = nn.TransformerEncoderLayer(8, 2, 8, batch_first=True)
        self.out = nn.Linear(8, 3)

    def forward(self, input_ids, attention_mask):
        mask = attention_mask.float()[..., None]
        h = self.encoder(self.embed(input_ids), src_key_padding_mask=attention_mask == 0)
        return self.out((mask * h).sum(1) / mask.sum(1))


class Sparse(nn.Module):
    """An embedding with sparse gradients."""

    def __init__(self):
        super().__init__()
        self.embed, self.out = nn.Embedding(20, 8, sparse=True), nn.Linear(8, 3)

    def forward(self, X):
        return self.out(self.embed(X).mean(1))


class Pooled(Sparse):
    """An embedding whose gradient has no gradient."""

    def __init__(self):
        super().__init__()
        self.embed = nn.EmbeddingBag(20, 8)

    def forward(self, X):
        return self.out(self.embed(X))


class Bag(nn.Module):
    """The mean of the embeddings of a padded text."""

    def __init__(self):
        super().__init__()
        self.embed, self.out = nn.Embedding(30, 8), nn.Linear(8, 3)

    def forward(self, tokens, mask):
        return self.out((self.embed(tokens) * mask[..., None]).sum(1))


def tokens(n=N):
    """Numbers of words, and how many of them are no padding."""
    rng = np.random.default_rng(0)
    ids, length = rng.integers(1, 20, (n, 5)), rng.integers(1, 6, n)
    mask = (np.arange(5) < length[:, None]).astype(np.int64)
    return ids * mask, mask


class Tagger(Sparse):
    """Says a class of each token."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(20, 8)

    def forward(self, X):
        return self.out(self.embed(X)).transpose(1, 2)


@kind("a class for each token", dict.fromkeys(EVERY, "class for each of several positions"))
def tagger(folder):
    X, _ = tokens()
    return classifier(Tagger), X, X % 3


@kind("several inputs", NO_STEPS)
def several_inputs(folder):
    X, y = rows()
    return classifier(Two), {"left": X[:, :5], "right": X[:, 5:]}, y


@kind("attention masks", TOKENS)
def attention_masks(folder):
    ids, mask = tokens()
    return classifier(Tokens), {"input_ids": ids, "attention_mask": mask}, rows()[1]


@kind("sparse embedding", TOKENS)
def sparse_embedding(folder):
    return classifier(Sparse), tokens()[0], rows()[1]


@kind("embedding bag", TOKENS | refusals("_embedding_bag_backward", "Influence", "PUMA"))
def embedding_bag(folder):
    return classifier(Pooled), tokens()[0], rows()[1]


@kind("texts of several lengths", TOKENS)
def texts(folder):
    collate = {f"iterator_{name}__collate_fn": collate_texts for name in ("train", "valid")}
    return classifier(Bag, **collate), Texts(N), Texts(N).y


@kind("data frame and text labels")
def frame(folder):
    X, y = rows()
    return classifier(), pd.DataFrame(X, columns=list("abcdefghijkl")), np.array(["x", "y", "z"])[y]


@kind("data set")
def data_set(folder):
    X, y = rows()
    return classifier(), TensorDataset(torch.from_numpy(X), torch.from_numpy(y)), None


# ------------------------------------------------------------------ weights of rows


@kind("sample weights", sample_weight=np.linspace(0, 2, N))
def sample_weights(folder):
    return classifier(module__normed=True), *rows()


@kind("weights in X", NO_STEPS)
def weights_in_X(folder):
    X, y = rows()
    weights = np.linspace(0, 1, N, dtype=np.float32)
    return classifier(TakesWeights, cls=Weighted), {"X": X, "sample_weight": weights}, y
