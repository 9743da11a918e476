"""One net in two processes over gloo, by accelerate."""

import socket
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.frozen import FrozenEstimator
from skorch import NeuralNetClassifier

from skunlearn import FineTuneUnlearner, RetrainUnlearner
from skunlearn.exceptions import UnlearningError
from skunlearn.nets import Accelerated
from skunlearn.utils._check_tools import parameters
from tests.distributed_tools import Fixed, task
from tests.production_task import CONTEXT  # its server has imported torch

pytest.importorskip("accelerate", reason="accelerate is not installed")
from tests import accelerate_script


class Net(Accelerated, NeuralNetClassifier):
    pass


def test_two_processes_end_with_the_model_of_one(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    pair = [
        CONTEXT.Process(target=accelerate_script.main, args=(tmp_path, rank, port))
        for rank in (0, 1)
    ]
    try:
        for process in pair:
            process.start()
        for process in pair:
            process.join(300)
        assert [process.exitcode for process in pair] == [0, 0]
    finally:
        for process in pair:
            process.kill()
            process.join()
    one, other = (dict(np.load(tmp_path / f"process-{i}.npz")) for i in (0, 1))
    assert one["processes"] == 2
    assert one.keys() == other.keys()
    for key in one:
        assert np.array_equal(one[key], other[key]), f"the processes differ in {key}"
        assert np.isfinite(one[key]).all()
    X, y, forget = task()
    net = NeuralNetClassifier(
        Fixed, criterion=torch.nn.CrossEntropyLoss, lr=0.1, max_epochs=3, batch_size=12,
        train_split=None, verbose=0,
    )  # fmt: skip
    alone = RetrainUnlearner(net, random_state=0).fit(X, y)
    for key, value in parameters(alone.estimator_).items():
        assert np.allclose(value, one[f"fit {key}"], atol=1e-5), key
    alone.unlearn(indices=np.flatnonzero(forget))
    for key, value in parameters(alone.estimator_).items():
        assert np.allclose(value, one[f"RetrainUnlearner {key}"], atol=1e-5), key
    retrained = one["RetrainUnlearner says"]
    for name in ("FineTuneUnlearner", "ProximalUnlearner", "NegGradPlusUnlearner"):
        assert one[f"{name} says"].shape == retrained.shape == (120, 2)
        assert np.mean(one[f"{name} says"].argmax(1)[~forget] == y[~forget]) > 0.6


def test_batches_that_are_not_divided_are_refused():
    group = SimpleNamespace(num_processes=2, split_batches=False, device_placement=False)
    group.prepare = lambda module: module
    net = Net(Fixed, accelerator=group, criterion=torch.nn.CrossEntropyLoss)
    with pytest.raises(ValueError, match="split_batches=True"):
        net.initialize()


@pytest.mark.parametrize(
    "frozen, error, words",
    [
        (False, UnlearningError, r"divided among processes \(a DTensor"),
        (True, TypeError, "cannot be copied, .*FSDP does not support deepcopy"),
    ],
)
def test_a_module_that_the_user_divides_is_refused(frozen, error, words):
    import torch.distributed as dist
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    class Divided(NeuralNetClassifier):
        def initialize_module(self):
            super().initialize_module()
            fully_shard(self.module_, mesh=init_device_mesh("cpu", (1,)))
            return self

    X, y, _ = task()
    net = Divided(
        Fixed, criterion=torch.nn.CrossEntropyLoss, lr=0.1, max_epochs=1, batch_size=32,
        train_split=None, verbose=0, device=None,
    )  # fmt: skip
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        if frozen:
            net = FrozenEstimator(net.fit(X, y))
        unlearner = FineTuneUnlearner(net, random_state=0)
        with pytest.raises(error, match=words):
            unlearner.fit(X, y)
        assert not hasattr(unlearner, "_fitted")
    finally:
        dist.destroy_process_group()


@pytest.mark.parametrize("kind", ["FSDP", "DEEPSPEED", "MEGATRON_LM"])
def test_modules_that_are_divided_among_processes_are_refused(kind):
    from accelerate import DistributedType

    group = SimpleNamespace(
        num_processes=2,
        split_batches=True,
        device_placement=False,
        distributed_type=DistributedType[kind],
    )
    group.prepare = lambda module: module
    net = Net(Fixed, accelerator=group, criterion=torch.nn.CrossEntropyLoss)
    with pytest.raises(ValueError, match=f"divides the module among processes .{kind}"):
        net.initialize()
