"""The short epoch does what skorch's does."""

import functools
import warnings

import numpy as np
import pytest
import torch
from skorch import NeuralNetClassifier
from skorch.callbacks import (
    Callback,
    EpochScoring,
    GradientNormClipping,
    LRScheduler,
    PrintLog,
)
from skorch.history import History
from torch import nn
from torch.optim import optimizer as optimizers

from skunlearn import NegGradPlusUnlearner, RetrainUnlearner
from skunlearn._rows.views import Rows
from skunlearn._torch.batches.batching import BatchLoader
from skunlearn._torch.batches.net_rows import make_net_rows
from skunlearn._torch.inference import _make_reader, outputs
from skunlearn._torch.loop import epoch_loop, fit_loop
from skunlearn._torch.loop.epoch_loop import DirectStep, short_epochs
from skunlearn._torch.loop.optimizer_steps import clip_gradients
from skunlearn._torch.parts.net_state import refuse_diverged
from skunlearn._torch.parts.tasks import task_of
from skunlearn.exceptions import UnlearningError
from skunlearn.utils._check_tools import parameters, same_parameters
from tests.instances import MLP, make_binary_net, make_net, make_regressor_net


class Heard(Callback):
    """Writes down what it is told, and looks at predictions after each batch."""

    def __init__(self):
        self.told = []

    def on_batch_begin(self, net, batch=None, training=False, **kwargs):
        self.told.append(("begin", training, len(batch[0])))

    def on_grad_computed(self, net, named_parameters, training=False, **kwargs):
        self.told.append(("grad", training, [name for name, p in named_parameters]))

    def on_batch_end(self, net, batch=None, training=False, loss=None, y_pred=None, **kwargs):
        net.history.record_batch("mine", len(self.told))
        net.evaluation_step(batch)
        self.told.append(("end", training, loss.item(), tuple(y_pred.shape)))


def trained(net, X, y, monkeypatch, *, short):
    calls = []
    with monkeypatch.context() as patch:
        plain = epoch_loop._epoch
        patch.setattr(epoch_loop, "_epoch", lambda *args: (calls.append(1), plain(*args)))
        if not short:
            patch.setattr(epoch_loop, "has_plain_steps", lambda net: False)
        fitted = RetrainUnlearner(net, random_state=0).fit(X, y).estimator_
    assert bool(calls) == short
    return fitted


def columns(net):
    return [{k: v for k, v in epoch.items() if k != "dur"} for epoch in net.history.to_list()]


def adam_net(**params):
    return NeuralNetClassifier(
        MLP, criterion=nn.CrossEntropyLoss, optimizer=torch.optim.AdamW, lr=0.01, train_split=None,
        verbose=0, **params,
    )  # fmt: skip


@pytest.mark.parametrize(
    "make, params",
    [
        (make_net, {"module__dropout": 0.5, "batch_size": 16}),
        (make_net, {"callbacks": [GradientNormClipping(0.1), LRScheduler("StepLR", step_size=2)]}),
        (make_net, {"callbacks": [EpochScoring("accuracy", on_train=True)]}),
        (make_net, {"batch_size": -1}),
        (adam_net, {}),
    ],
    ids=["dropout", "schedule", "scoring", "one batch", "adam"],
)
def test_same_weights_and_history(data, make, params, monkeypatch):
    X, y = data
    net = make(module__n_out=3, max_epochs=3, **params)
    long, short = (trained(net, X, y, monkeypatch, short=s) for s in (False, True))
    assert same_parameters(parameters(long), parameters(short))
    assert columns(long) == columns(short)


@pytest.mark.parametrize("make", [make_binary_net, make_regressor_net])
def test_other_nets(data, make, monkeypatch):
    X, y = data
    y = (y > 0).astype(int) if make is make_binary_net else y.astype(np.float32)
    long, short = (trained(make(max_epochs=3), X, y, monkeypatch, short=s) for s in (False, True))
    assert same_parameters(parameters(long), parameters(short))
    assert columns(long) == columns(short)


def test_callbacks_hear_the_same(data, monkeypatch):
    X, y = data
    nets, heard = [], []
    for short in (False, True):
        net = make_net(max_epochs=2, batch_size=16, module__n_out=3, module__dropout=0.5)
        torch.manual_seed(0)
        net.initialize()
        heard.append(Heard())
        with monkeypatch.context() as patch:
            if not short:
                patch.setattr(epoch_loop, "has_plain_steps", lambda net: False)
            fit_loop.train(net, Rows(X, y, np.arange(60)), callbacks=[("heard", heard[-1])])
        nets.append(net)
    assert heard[0].told == heard[1].told
    assert columns(nets[0]) == columns(nets[1])
    assert nets[1].module_.training is False  # the last look was an evaluation


def plain_net(**params):
    return make_net(module__n_out=3, **params).initialize()


class Mine(type(make_net())):
    def train_step_single(self, batch, **fit_params):
        return super().train_step_single(batch, **fit_params)


class Log(History):
    pass


def test_nets_with_loops_of_their_own_keep_them():
    net = plain_net()
    with short_epochs(net):
        assert "run_single_epoch" in vars(net)
    assert "run_single_epoch" not in vars(net)
    own = Mine(net.module, module__n_out=3).initialize()
    lbfgs = plain_net()
    lbfgs.optimizer_ = torch.optim.LBFGS(lbfgs.module_.parameters())
    logged = plain_net()
    logged.history_ = Log()
    for other in (own, lbfgs, logged):
        with short_epochs(other):
            assert "run_single_epoch" not in vars(other)


def test_modules_train_again_after_a_callback_has_evaluated(data):
    X, y = data
    modes = []

    class Look(Callback):
        def on_batch_end(self, net, batch=None, training=False, **kwargs):
            if training:
                net.evaluation_step(batch)

        def on_grad_computed(self, net, named_parameters, **kwargs):
            modes.append(net.module_.training)

    net = plain_net(batch_size=16, max_epochs=2)
    fit_loop.train(net, Rows(X, y, np.arange(60)), callbacks=[("look", Look())])
    assert all(modes)
    assert len(modes) == 8


@pytest.mark.parametrize("verbose", [0, 1])
def test_a_table_is_made_when_it_is_printed(data, verbose, monkeypatch, capsys):
    X, y = data
    made, plain = [], PrintLog.table
    monkeypatch.setattr(PrintLog, "table", lambda *args: made.append(1) or plain(*args))
    net = make_net(module__n_out=3, max_epochs=3)
    unlearner = RetrainUnlearner(net, random_state=0, verbose=verbose).fit(X, y)
    lines = capsys.readouterr().out.splitlines()
    assert len(made) == 3 * verbose
    assert len(lines) == (3 + 2 + 2) * verbose  # under two lines of a head, in two of the fit
    assert type(dict(unlearner.estimator_.callbacks_)["print_log"]) is PrintLog


def test_a_log_with_a_sink_of_its_own_gets_every_line(data):
    X, y = data
    lines = []
    net = make_net(module__n_out=3, max_epochs=3, callbacks__print_log__sink=lines.append)
    RetrainUnlearner(net, random_state=0).fit(X, y)
    assert len(lines) == 5


class Talkative(Callback):
    """Lets the net print from the second epoch on."""

    def on_epoch_begin(self, net, **kwargs):
        net.verbose = len(net.history) > 1


def test_a_callback_may_ask_for_lines_in_the_middle(data, capsys):
    X, y = data
    net = make_net(module__n_out=3, max_epochs=3, callbacks=[Talkative()])
    RetrainUnlearner(net, random_state=0).fit(X, y)
    assert len(capsys.readouterr().out.splitlines()) == 4  # two epochs under their head


def test_a_look_during_a_training_reads_whole_batches():
    """Not row by row with the training's own iterator, which took three times as long."""
    X = np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32)
    rows, read = Rows(X, np.arange(40) % 2, np.arange(40)), []

    class Look(Callback):
        def on_epoch_end(self, net, **kwargs):
            data = make_net_rows(net, rows.source, None, rows.index)
            read.append((type(_make_reader(net, data).get_iterator(data)), outputs(net, rows)))

    net = fit_loop.train(make_net(max_epochs=1).initialize(), rows, callbacks=[("look", Look())])
    (kind, during), after = read[0], outputs(net, rows)
    assert kind is BatchLoader
    torch.testing.assert_close(during, after)


class Shifted(NeuralNetClassifier):
    """Loses and infers in ways of its own."""

    def get_loss(self, y_pred, y_true, *args, **kwargs):
        return 2 * super().get_loss(y_pred, y_true, *args, **kwargs)

    def infer(self, x, **fit_params):
        return super().infer(x + 1, **fit_params)


class Probabilities(MLP):
    def forward(self, X):
        return super().forward(X).softmax(1)


@pytest.mark.parametrize(
    "cls, module, criterion, params",
    [
        (NeuralNetClassifier, Probabilities, nn.NLLLoss, {}),
        (NeuralNetClassifier, MLP, nn.CrossEntropyLoss, {"device": None}),
        (NeuralNetClassifier, MLP, nn.CrossEntropyLoss, {"criterion__label_smoothing": 0.1}),
        (Shifted, MLP, nn.CrossEntropyLoss, {}),
    ],
    ids=["NLLLoss", "no device", "smoothed", "own steps"],
)
@pytest.mark.parametrize("forget", [False, True], ids=["own loss", "a method's"])
def test_direct_steps_are_skorchs(data, cls, module, criterion, params, forget, monkeypatch):
    X, y = data
    net = cls(
        module, module__n_out=3, criterion=criterion, optimizer__momentum=0.9, lr=0.1, max_epochs=3,
        batch_size=16, train_split=None, verbose=0, **params,
    )  # fmt: skip
    made = NegGradPlusUnlearner if forget else RetrainUnlearner
    ways = []
    for direct in (True, False):
        with monkeypatch.context() as patch, warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            if not direct:
                patch.setattr(DirectStep, "_is_at_home", lambda self, value: False)
                patch.setattr(epoch_loop, "drop_gradients", lambda optimizer: optimizer.zero_grad())
            unlearner = made(net, random_state=0).fit(X, y)
            ways.append(unlearner.unlearn(indices=range(10)).estimator_)
    assert same_parameters(*map(parameters, ways))
    assert columns(ways[0]) == columns(ways[1])


def test_what_a_callback_puts_in_place_of_a_step_is_asked(data):
    X, y = data
    called = []

    class Replaces(Callback):
        def on_batch_begin(self, net, batch=None, training=False, **kwargs):
            if not training or "infer" in vars(net):
                return
            infer, get_loss, drop = net.infer, net.get_loss, net.optimizer_.zero_grad
            net.infer = lambda *args: called.append("infer") or infer(*args)
            net.get_loss = lambda *args, **kw: called.append("loss") or get_loss(*args, **kw)
            net.optimizer_.zero_grad = lambda: called.append("drop") or drop()

    net = plain_net(batch_size=30, max_epochs=1)
    fit_loop.train(net, Rows(X, y, np.arange(60)), callbacks=[("replaces", Replaces())])
    assert called == ["drop", "infer", "loss"] * 2


def test_losses_of_rows_are_their_likelihoods():
    """To the bit, with their gradients: a single call in place of two."""
    torch.manual_seed(0)
    for dtype, scale in [(torch.float32, 1), (torch.float32, 30), (torch.float64, 5)]:
        logits = (torch.randn(257, 7, dtype=dtype) * scale).requires_grad_()
        y, task = torch.randint(0, 7, (257,)), task_of(np.arange(7))
        once, twice = task.losses(logits, y), -task.log_likelihoods(logits, y)
        assert torch.equal(once, twice)
        grads = [torch.autograd.grad(v.clamp(max=2).mean(), logits)[0] for v in (once, twice)]
        assert torch.equal(*grads)


@pytest.mark.parametrize("size", [3, 300])  # a large weight is asked for its ends
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_weights_and_buffers_that_are_not_finite(size, dtype):
    module = nn.Linear(size, size).to(dtype)
    module.register_buffer("mask", torch.zeros(size, size))
    net = NeuralNetClassifier(module, train_split=None).initialize()
    place = net.module_.weight.data[1], net.module_.mask[1]
    for value in (np.inf, -np.inf, np.nan):
        place[0][2] = value
        with pytest.raises(UnlearningError, match=r"module\.weight holds NaN or infinity"):
            refuse_diverged(net)
        place[0][2] = torch.finfo(dtype).max
        place[1][2] = value  # infinity may be meant
        if np.isnan(value):
            with pytest.raises(UnlearningError, match=r"module\.mask holds NaN"):
                refuse_diverged(net)
        else:
            assert refuse_diverged(net) is net


def test_weights_of_other_kinds_that_are_not_finite():
    module = nn.Linear(3, 3)
    module.phase = nn.Parameter(torch.zeros(4, dtype=torch.complex64))
    module.register_buffer("scale", torch.ones(4).to(torch.float8_e4m3fn))
    module.register_buffer("count", torch.tensor(7))
    net = NeuralNetClassifier(module, train_split=None).initialize()
    assert refuse_diverged(net) is net
    net.module_.phase.data[1] = complex(0, np.inf)
    with pytest.raises(UnlearningError, match=r"module\.phase holds NaN or infinity"):
        refuse_diverged(net)
    net.module_.phase.data[1] = 0
    net.module_.scale[:2] = torch.full((2,), np.nan).to(torch.float8_e4m3fn)
    with pytest.raises(UnlearningError, match=r"module\.scale holds NaN"):
        refuse_diverged(net)


@pytest.mark.filterwarnings("ignore:Sparse CSR")
def test_masks_of_infinity_beside_numbers_of_other_kinds():
    """Which torch cannot ask whether they are finite."""
    module = nn.Linear(3, 3)
    module.register_buffer("mask", torch.full((2, 2), -np.inf))
    byte = torch.ones(4).to(torch.float8_e4m3fn)
    module.scale = nn.Parameter(byte, requires_grad=False)
    module.register_buffer("phase", torch.ones(2, dtype=torch.complex64).conj())
    module.register_buffer("links", torch.eye(3).to_sparse_csr())
    module.register_buffer("count", torch.tensor(7))
    net = NeuralNetClassifier(module, train_split=None).initialize()
    assert refuse_diverged(net) is net
    net.module_.scale.data[:2] = torch.full((2,), np.nan).to(torch.float8_e4m3fn)
    with pytest.raises(UnlearningError, match=r"module\.scale holds NaN or infinity"):
        refuse_diverged(net)


# ------------------------------------------------------------------ an optimizer's step


def one_step(monkeypatch=None):
    """The names of the steps that torch notes, while one is taken; and of the weight after it."""
    weight, noted = nn.Parameter(torch.ones(2)), []
    optimizer = torch.optim.SGD([weight], lr=0.5)
    weight.grad = torch.ones(2)
    plain = torch.autograd.profiler.record_function.__enter__

    def enter(self):
        noted.append(self.name)
        return plain(self)

    if monkeypatch is not None:
        monkeypatch.setattr(torch.autograd.profiler.record_function, "__enter__", enter)
    return optimizer, weight, noted


def test_a_step_notes_nothing_for_a_profiler_that_does_not_run(monkeypatch):
    optimizer, weight, noted = one_step(monkeypatch)
    epoch_loop.take_step(optimizer)
    assert weight.tolist() == [0.5, 0.5]
    assert noted == []
    optimizer.step()
    assert noted == ["Optimizer.step#SGD.step"]


def test_a_profiler_sees_the_steps():
    optimizer, _, _ = one_step()
    with torch.profiler.profile() as profile:
        epoch_loop.take_step(optimizer)
    assert "Optimizer.step#SGD.step" in {event.key for event in profile.key_averages()}


@pytest.mark.parametrize("which", ["pre", "post"])
@pytest.mark.parametrize("whose", ["its own", "of all"])
def test_hooks_on_steps_are_called(which, whose):
    optimizer, _, _ = one_step()
    called = []
    if whose == "its own":
        register = getattr(optimizer, f"register_step_{which}_hook")
    else:
        register = getattr(optimizers, f"register_optimizer_step_{which}_hook")
    handle = register(lambda *args: called.append(1))
    try:
        epoch_loop.take_step(optimizer)
    finally:
        handle.remove()
    epoch_loop.take_step(optimizer)
    assert called == [1]


def test_steps_that_others_have_replaced_are_taken(monkeypatch):
    optimizer, _, _ = one_step()
    taken, plain = [], torch.optim.SGD.step

    @functools.wraps(plain)
    def step(self, closure=None):
        taken.append("of the class")
        return plain(self, closure)

    with monkeypatch.context() as patch:
        patch.setattr(torch.optim.SGD, "step", step)
        epoch_loop.take_step(optimizer)
    optimizer.step = lambda: taken.append("of the object")
    epoch_loop.take_step(optimizer)
    assert taken == ["of the class", "of the object"]


@pytest.mark.parametrize("max_norm", [1e-3, 0.5, 1e9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_gradients_are_clipped_as_torch_clips_them(dtype, max_norm):
    torch.manual_seed(0)
    nets = [nn.Sequential(nn.Linear(13, 7), nn.Linear(7, 3)).to(dtype) for _ in range(2)]
    for p, q in zip(*(net.parameters() for net in nets), strict=True):
        p.grad = torch.randn_like(p)
        q.grad = p.grad.clone()
    _, clip = clip_gradients(max_norm)
    clip.on_grad_computed(None, nets[0].named_parameters())
    nn.utils.clip_grad_norm_(nets[1].parameters(), max_norm)
    for p, q in zip(*(net.parameters() for net in nets), strict=True):
        assert torch.equal(p.grad, q.grad)


def test_gradients_of_two_kinds_are_clipped_together():
    weights = [nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2, dtype=torch.float64))]
    for weight, value in zip(weights, (3.0, 4.0), strict=True):
        weight.grad = torch.tensor([value, 0.0], dtype=weight.dtype)
    _, clip = clip_gradients(1.0)
    clip.on_grad_computed(None, list(zip("ab", weights, strict=True)))
    assert [round(float(weight.grad[0]), 4) for weight in weights] == [0.6, 0.8]
