"""Optimizers, callbacks, splits and iterators."""

import os
import queue
import threading

import torch
from skorch import NeuralNetClassifier
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
from torch.optim.lr_scheduler import OneCycleLR, ReduceLROnPlateau
from torch.utils.data import DataLoader, TensorDataset, WeightedRandomSampler, default_collate

from skunlearn.nets import MicroBatches
from tests.kinds.registry import (
    EVERY,
    NO_KERNEL,
    ONE_LAYER_LEARNS,
    OWN_STEPS,
    N,
    classifier,
    kind,
    plain,
    refusals,
    rows,
)

# ------------------------------------------------------------------ optimizers


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


# ------------------------------------------------------------------ callbacks


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


# ------------------------------------------------------------------ splits and iterators


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
plain(
    "one batch",
    refused=refusals("over before there was a state to go back to", "Rewind"),
    batch_size=-1,
    module__normed=True,
)
plain("batches of one row", batch_size=1, max_epochs=1, module__normed=True)
