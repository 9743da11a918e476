"""Two hundred random requests in a row to every exact method, and what has gathered after them."""

import pytest
import torch
from skorch import NeuralNetClassifier
from torch import nn

from skunlearn import PublicBackbone, ShardedUnlearner
from tests import fuzz_exact_kinds, fuzz_exact_queues
from tests.fuzz_exact_cases import CASES, Case
from tests.small import quiet

pytestmark = quiet


@pytest.mark.parametrize("name", CASES)
def test_two_hundred_requests(name):
    case = CASES[name]
    assert case.trial(1, n=150 if case.slow else 250).run(200) <= case.promised


# Of a few rough rows a linear model is not determined to its digits, and scikit-learn says so.
FIRM = [name for name, case in CASES.items() if not case.slow and case.promised <= 1e-9]


@pytest.mark.parametrize("name", FIRM)
def test_many_short_lives(name):
    """Down to a few rows, where classes go and come back."""
    case = CASES[name]
    for seed in range(3, 10):
        assert case.trial(seed, n=45).run(40) <= case.promised


@pytest.mark.parametrize("name", fuzz_exact_kinds.CASES)
def test_other_containers_labels_and_compositions(name):
    case = fuzz_exact_kinds.CASES[name]
    for seed in range(3):
        assert case.trial(seed, n=60).run(40) <= case.promised


@pytest.mark.parametrize("name", fuzz_exact_queues.CASES)
def test_queues(name):
    case = fuzz_exact_queues.CASES[name]
    for seed in range(3):
        assert case.trial(seed, n=60).run(40) <= case.promised


# ---------------------------------------------------------------------- an adapter for each shard


def sentences(rng, n):
    """Words, the first of which tells the class."""
    tokens = rng.integers(0, 30, (n, 6))
    return tokens, tokens[:, 0] % 3


class Public(nn.Module):
    """A small BERT that returns logits."""

    def __init__(self):
        super().__init__()
        from transformers import BertConfig, BertForSequenceClassification

        config = BertConfig(
            vocab_size=30,
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            max_position_embeddings=8,
            num_labels=3,
        )
        self.bert = BertForSequenceClassification(config)

    def forward(self, tokens):
        return self.bert(input_ids=tokens, attention_mask=torch.ones_like(tokens)).logits


class Adapted(nn.Module):
    """The public net and an adapter of its own."""

    def __init__(self, base):
        super().__init__()
        from peft import LoraConfig, get_peft_model

        targets = ["query", "value"]
        config = LoraConfig(r=2, target_modules=targets, modules_to_save=["classifier"])
        self.model = get_peft_model(base.frozen_module(), config)

    def forward(self, tokens):
        return self.model(tokens)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("n_slices", [1, 2])
def test_adapters(n_slices):
    pytest.importorskip("peft")
    pytest.importorskip("transformers")
    torch.manual_seed(0)
    base = PublicBackbone(Public(), trained_on="nothing", declared_by="this test")
    net = NeuralNetClassifier(
        Adapted,
        module__base=base,
        criterion=nn.CrossEntropyLoss,
        max_epochs=2,
        lr=0.05,
        batch_size=16,
        train_split=None,
        verbose=0,
    )

    def make():
        return ShardedUnlearner(net, n_shards=3, n_slices=n_slices, random_state=0)

    assert Case(make, sentences).trial(0, n=60).run(25) == 0
