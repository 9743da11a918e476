"""Nets as people have them, each with the rows that it is trained on: a name for each kind."""

import os
import queue
import threading
import warnings

import numpy as np
import pandas as pd
import torch
from skorch import (
    NeuralNet,
    NeuralNetBinaryClassifier,
    NeuralNetClassifier,
    NeuralNetRegressor,
)
from skorch.callbacks import (
    Callback,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    Freezer,
    GradientNormClipping,
    Initializer,
    InputShapeSetter,
    LRScheduler,
    ParamMapper,
    PrintLog,
    TrainEndCheckpoint,
)
from skorch.dataset import ValidSplit
from skorch.helper import predefined_split
from torch import nn
from torch.nn.utils.parametrizations import weight_norm
from torch.optim.lr_scheduler import OneCycleLR, ReduceLROnPlateau
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, TensorDataset, WeightedRandomSampler, default_collate

from skunlearn.nets import Autocast, MicroBatches
from skunlearn.utils import all_unlearners
from tests.batch_tools import Plain
from tests.odd_nets import Learned
from tests.torch.test_collating import Texts, collate_texts
from tests.torch.test_own_losses import Checked, Named, OfMapping, TakesWeights, Twofold, Weighted

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
    *("AMUN", "Boundary", "DELETE", "FCS", "MUMis", "Potion", "RUM", "RandomLabel", "SalUn"),
    "UNSIR",
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


# ---------------------------------------------------------------------- layers


class Conv(Plain):
    """The plain net with a layer behind its convolution."""

    def __init__(self, middle=nn.Identity, n_out=3):
        super().__init__(n_out=n_out)
        self.norm = middle()


class Frozen(Plain):
    """Its convolution does not learn."""

    def __init__(self):
        super().__init__()
        self.conv.requires_grad_(False)


class Shared(nn.Module):
    """One layer's weights are another's."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.out = nn.Linear(12, 12), nn.Linear(12, 12), nn.Linear(12, 3)
        self.second.weight = self.first.weight

    def forward(self, X):
        return self.out(torch.relu(self.second(torch.relu(self.first(X.float())))))


class Typed(Plain):
    """Weights of another dtype."""

    def __init__(self, dtype):
        super().__init__()
        self.to(dtype)

    def forward(self, X):
        X = torch.relu(self.conv(X.to(self.conv.weight.dtype).reshape(-1, 1, 3, 4)).flatten(1))
        return self.out(X)


class WholeHalf(Typed):
    """Gives out what it computes with."""


class Widening(Typed):
    """Gives out float32."""

    def forward(self, X):
        return super().forward(X).float()


class Probabilities(Plain):
    """Ends in a softmax, as NLLLoss has it in skorch."""

    def forward(self, X):
        return super().forward(X).softmax(1)


class Parametrised(Plain):
    """Weights that are made from others."""

    def __init__(self):
        super().__init__()
        self.out = weight_norm(self.out)


class Lazy(nn.Module):
    """Takes its shapes from the first rows."""

    def __init__(self):
        super().__init__()
        self.hidden, self.norm, self.out = nn.LazyLinear(8), nn.LazyBatchNorm1d(), nn.Linear(8, 3)

    def forward(self, X):
        return self.out(torch.relu(self.norm(self.hidden(X.float()))))


class Recurrent(nn.Module):
    """An LSTM over the columns."""

    def __init__(self):
        super().__init__()
        self.lstm, self.out = nn.LSTM(1, 4, batch_first=True), nn.Linear(4, 3)

    def forward(self, X):
        return self.out(self.lstm(X.float()[..., None])[0][:, -1])


class Checkpointed(Plain):
    """Trades memory for time, in the old manner."""

    def forward(self, X):
        X = torch.relu(self.conv(X.float().reshape(-1, 1, 3, 4))).flatten(1)
        return checkpoint(self.out, X, use_reentrant=True)


class NoGradient(Plain):
    """Its backbone is passed without a gradient."""

    def forward(self, X):
        with torch.no_grad():
            X = torch.relu(self.conv(X.float().reshape(-1, 1, 3, 4))).flatten(1)
        return self.out(X)


class Resting(Plain):
    """Its backbone is frozen and stays in evaluation mode."""

    def __init__(self):
        super().__init__(normed=True)
        self.conv.requires_grad_(False)
        self.norm.requires_grad_(False)

    def train(self, mode=True):
        super().train(mode)
        self.norm.eval()
        return self


class Unused(Plain):
    """Has weights that no row reaches, and one that is a number."""

    def __init__(self):
        super().__init__()
        self.spare, self.scale = nn.Linear(4, 4), nn.Parameter(torch.tensor(1.0))

    def forward(self, X):
        return self.scale * super().forward(X)


class Linear(nn.Linear):
    """Nothing but one layer."""

    def __init__(self):
        super().__init__(12, 3)


plain("batch normalisation", module__normed=True)
plain("dropout", Conv, module__middle=nn.Dropout)
plain("frozen layers", Frozen, ONE_LAYER_LEARNS)
plain("shared weights", Shared, NO_KERNEL)
plain("compiled", module__normed=True, compile=True, compile__backend="eager")
plain("bfloat16 weights", WholeHalf, NARROW | FEW_BITS, module__dtype=torch.bfloat16)
plain("float16 weights", WholeHalf, NARROW | FEW_BITS, module__dtype=torch.float16)
plain("float64 weights", WholeHalf, module__dtype=torch.float64)
plain("bfloat16 inside", Widening, NARROW | FEW_BITS, module__dtype=torch.bfloat16)
plain("parametrised", Parametrised, refusals("parametrizations", "EUk"))
plain("lazy", Lazy, NO_KERNEL)
plain("recurrent", Recurrent, NO_KERNEL)
plain("one layer", Linear, NO_KERNEL)


plain(
    "backbone under no_grad", NoGradient, refusals("none reaches them", "AMUN", "Boundary", "MUMis")
)
plain("backbone in evaluation mode", Resting, ONE_LAYER_LEARNS)
plain("unused weights", Unused, refusals("no reset_parameters", "EUk"))
plain(
    "reentrant checkpoints",
    Checkpointed,
    refusals(
        "PyTorch says: (When use_reentrant=True|element 0 of tensors)",
        "AMUN", "Boundary", "CFk", "EUk", "FisherForgetting", "Influence", "LFSSD", "MSG", "PUMA",
        "MUMis", "Potion", "RUM", "SFRon", "SSD", "SalUn", "UAM", "UNSIR",
    ),
)  # fmt: skip


@kind("scripted", {k: "torch.jit.script" for k in EVERY if k not in FROM_SCRATCH})
def scripted(folder):
    def make():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it is deprecated
            return torch.jit.script(nn.Sequential(nn.Linear(12, 6), nn.ReLU(), nn.Linear(6, 3)))

    return classifier(make), *rows()


def autocast():
    """A module whose layers compute in bfloat16."""
    return Autocast(Plain)


plain("autocast", autocast)


# ---------------------------------------------------------------------- outputs and losses


class Focal(nn.Module):
    """A criterion of the user's own."""

    def forward(self, out, y):
        log_p = out.log_softmax(1).gather(1, y[:, None])[:, 0]
        return -((1 - log_p.exp()) ** 2 * log_p).mean()


class OfFirst(nn.CrossEntropyLoss):
    """Takes all that the module returns."""

    def forward(self, out, y):
        return super().forward(out[0], y) + 1e-3 * out[1].square().mean()


class Column(Plain):
    """One output, without a dimension of its own."""

    def __init__(self):
        super().__init__(n_out=1)

    def forward(self, X):
        return super().forward(X)[:, 0]


class TwoHeads(NeuralNetClassifier):
    """Trains a second output on a target that it makes from the rows."""

    def get_loss(self, y_pred, y_true, X=None, training=False):
        logits, features = y_pred
        return super().get_loss(logits, y_true) + (features.mean(1) - X.mean(1)).square().mean()


plain("tuple", Twofold, criterion=OfFirst)
plain("own get_loss", Twofold, cls=Checked)
plain("get_loss of two outputs", Twofold, cls=TwoHeads)
plain("mapping", Named, cls=OfMapping)
plain("probabilities", Probabilities, criterion=nn.NLLLoss)
plain("class weights", criterion__weight=torch.tensor([1.0, 2.0, 0.5]))
plain("label smoothing", criterion__label_smoothing=0.1)
plain("summed loss", criterion__reduction="sum", lr=0.005)
plain("own criterion", refused=NO_LIKELIHOOD, criterion=Focal)
plain("criterion that learns", criterion=Learned)
plain("more outputs than classes", module__n_out=5)


@kind("binary")
def binary(folder):
    X, y = rows()
    net = classifier(Column, cls=NeuralNetBinaryClassifier, criterion=nn.BCEWithLogitsLoss)
    return net, X, y % 2


@kind("regression", NO_CLASSES)
def regression(folder):
    X, _ = rows()
    net = classifier(cls=NeuralNetRegressor, criterion=nn.MSELoss, module__n_out=1)
    return net, X, X[:, :1] + 1


@kind(
    "multi-output regression",
    NO_CLASSES | NO_LIKELIHOOD | refusals("straight pieces", "Influence", "PUMA"),
)
def several_targets(folder):
    X, _ = rows()
    net = classifier(cls=NeuralNetRegressor, criterion=nn.L1Loss, module__n_out=3)
    return net, X, X[:, :3] + 1


@kind(
    "multi-label",
    refusals("one class per row", "AMUN", "Boundary", "DELETE", "FCS", "MUMis", "Potion", "UNSIR"),
)
def multi_label(folder):
    X, _ = rows()
    net = classifier(cls=NeuralNet, criterion=nn.BCEWithLogitsLoss)
    return net, X, (X[:, :3] > 0).astype(np.float32)


class Aided(Plain):
    """Says something of the rows besides."""

    def __init__(self):
        super().__init__(n_out=2)

    def forward(self, X):
        out = super().forward(X)
        return out[:, :1], out[:, 1:]


class OfBoth(NeuralNetRegressor):
    def get_loss(self, y_pred, y_true, X=None, training=False):
        said, aside = y_pred
        return nn.functional.smooth_l1_loss(said, y_true) + (aside - X[:, 3:4]).square().mean()


class Recorded(NeuralNetClassifier):
    """Writes into its history, and has a penalty on its weights."""

    def get_loss(self, *args, **kwargs):
        loss = super().get_loss(*args, **kwargs)
        self.history.record_batch("task", loss.item())
        return loss + 1e-3 * sum(p.abs().sum() for p in self.module_.parameters())


plain("get_loss that records", cls=Recorded)


@kind("regression with a second output", NO_CLASSES)
def aided(folder):
    X, _ = rows()
    net = classifier(Aided, cls=OfBoth, criterion=nn.MSELoss)
    return net, X, X[:, :1] + 1


# ---------------------------------------------------------------------- inputs


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


# ---------------------------------------------------------------------- weights of rows


@kind("sample weights", sample_weight=np.linspace(0, 2, N))
def sample_weights(folder):
    return classifier(module__normed=True), *rows()


@kind("weights in X", NO_STEPS)
def weights_in_X(folder):
    X, y = rows()
    weights = np.linspace(0, 1, N, dtype=np.float32)
    return classifier(TakesWeights, cls=Weighted), {"X": X, "sample_weight": weights}, y


# ---------------------------------------------------------------------- optimizers

GROUPS = [("conv.*", {"lr": 0.01}), ("out.weight", {"lr": 0.1, "weight_decay": 0.01})]


class OwnStep(NeuralNetClassifier):
    """Clips gradients in a train step of its own."""

    def train_step_single(self, batch, **fit_params):
        step = super().train_step_single(batch, **fit_params)
        nn.utils.clip_grad_norm_(self.module_.parameters(), 1.0)
        return step


plain("own train step", refused=OWN_STEPS, cls=OwnStep)
plain("parameter groups", optimizer__param_groups=GROUPS)
plain("LBFGS", refused=OWN_STEPS, optimizer=torch.optim.LBFGS, optimizer__max_iter=3)
plain("AdamW", optimizer=torch.optim.AdamW, lr=0.01)
plain("momentum", optimizer__momentum=0.9, optimizer__nesterov=True)
plain("fused Adam", optimizer=torch.optim.Adam, optimizer__fused=True, optimizer__amsgrad=True)
plain("Rprop", optimizer=torch.optim.Rprop, lr=0.01)
plain("Adafactor", optimizer=torch.optim.Adafactor)


@kind("gradients added up", OWN_STEPS)
def gradients_added_up(folder):
    Small = type("Small", (MicroBatches, NeuralNetClassifier), {})
    return classifier(cls=Small, batch_size=16, micro_batch_size=4), *rows()


# ---------------------------------------------------------------------- callbacks


class Locked(Callback):
    """Holds what cannot be copied."""

    def __init__(self):
        self.lock = threading.Lock()


class OpenWriter(Callback):
    """Writes to an open file through a thread of its own, as TensorBoard's SummaryWriter does."""

    def __init__(self, path):
        self.file = open(path, "a")  # noqa: SIM115
        self.lock, self.queue = threading.RLock(), queue.Queue()
        self.thread = threading.Thread(target=self.work, daemon=True)
        self.thread.start()

    def work(self):
        for line in iter(self.queue.get, None):
            with self.lock:
                self.file.write(f"{line}\n")
                self.file.flush()
            self.queue.task_done()

    def on_epoch_end(self, net, **kwargs):
        self.queue.put(net.history[-1, "train_loss"])
        self.queue.join()


class Listens(Callback):
    """Looks at everything that it is told."""

    def on_batch_end(self, net, X=None, y=None, batch=None, training=False, **kwargs):
        assert torch.isfinite(kwargs["loss"])
        assert training in (True, False)

    def on_grad_computed(self, net, named_parameters, **kwargs):
        assert all(p.grad is None or p.grad.isfinite().all() for _, p in named_parameters)

    def on_epoch_end(self, net, dataset_train=None, dataset_valid=None, **kwargs):
        assert len(dataset_train)
        assert net.history[-1, "batches", :, "train_loss"]


class Looks(Callback):
    """Looks at the rows before a training."""

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        assert X.shape == (len(y), 12)


class Sized(nn.Sequential):
    """Is told how wide the rows are."""

    def __init__(self, input_dim=1):
        super().__init__(nn.Linear(input_dim, 6), nn.ReLU(), nn.Linear(6, 3))


@kind("callbacks that look at the rows", NO_KERNEL)
def looks(folder):
    return classifier(Sized, callbacks=[InputShapeSetter(), Looks()]), *rows()


def valid():
    """Rows of their own, to validate on."""
    X, y = rows(10)
    return predefined_split(TensorDataset(torch.from_numpy(X), torch.from_numpy(y)))


@kind("schedules")
def schedules(folder):
    policy = LRScheduler(OneCycleLR, max_lr=0.05, total_steps=100, step_every="batch")
    return classifier(callbacks=[policy]), *rows()


@kind("early stopping")
def early_stopping(folder):
    stop = [
        ("stop", EarlyStopping(patience=1, load_best=True)),
        ("best", Checkpoint(dirname=str(folder), load_best=True)),
        ("rate", LRScheduler(ReduceLROnPlateau, monitor="valid_loss")),
    ]
    return classifier(callbacks=stop, train_split=valid()), *rows()


@kind("early stopping on the training loss")
def train_loss(folder):
    stop = [EarlyStopping("train_loss", patience=1), TrainEndCheckpoint(dirname=str(folder))]
    return classifier(callbacks=stop), *rows()


@kind("scores and logs")
def scores(folder):
    found = [
        EpochScoring("accuracy", on_train=True, name="seen"),
        EpochScoring("roc_auc_ovr", lower_is_better=False, on_train=True),
        PrintLog(sink=list),
        Listens(),
    ]
    return classifier(callbacks=found), *rows()


@kind("clipping and a lock")
def clipping(folder):
    return classifier(callbacks=[GradientNormClipping(0.5), ("mine", Locked()), Listens]), *rows()


@kind("an open file and a thread")
def open_writer(folder):
    return classifier(callbacks=[OpenWriter(os.path.join(folder, "losses"))]), *rows()


@kind("freezer and initializer", ONE_LAYER_LEARNS)
def freezer(folder):
    start = Initializer("out.weight", fn=nn.init.zeros_)
    later = ParamMapper("out.bias", fn=nn.init.zeros_, at=2)
    return classifier(callbacks=[Freezer("conv.*"), ("start", start), ("later", later)]), *rows()


# ---------------------------------------------------------------------- splits and iterators


class Balanced(DataLoader):
    """Draws classes alike often, from the rows that it is given."""

    def __init__(self, dataset, batch_size):
        labels = [int(label) for _, label in dataset]
        weights = [1 / labels.count(label) for label in labels]
        sampler = WeightedRandomSampler(weights, len(labels))
        super().__init__(dataset, batch_size=batch_size, sampler=sampler)


plain("predefined split", train_split=valid())
plain("internal split", train_split=ValidSplit(5, stratified=True))
plain(
    "early stopping on an internal split",
    train_split=ValidSplit(5, stratified=True),
    callbacks=[EarlyStopping()],
)
plain("another internal split", train_split=ValidSplit(0.3))
plain("workers", iterator_train__num_workers=1, max_epochs=1, batch_size=32)
plain("sampler", iterator_train=Balanced)
plain(
    "fixed sampler",
    refused=dict.fromkeys(EVERY, "made for a fixed set of rows"),
    iterator_train__sampler=WeightedRandomSampler([1.0] * N, N),
)
plain("own collate function", iterator_train__collate_fn=default_collate, module__normed=True)
plain("shuffled, last batch dropped", iterator_train__shuffle=True, iterator_train__drop_last=True)
plain("one batch", batch_size=-1, module__normed=True)
plain("batches of one row", batch_size=1, max_epochs=1, module__normed=True)
