"""Run in two processes, as torchrun would start them: each writes what it ended with."""

import gc
import os
import warnings
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator, DataLoaderConfiguration
from skorch import NeuralNetClassifier

from skunlearn import FineTuneUnlearner, NegGradPlusUnlearner, ProximalUnlearner, RetrainUnlearner
from skunlearn.nets import Accelerated
from skunlearn.utils._check_tools import parameters
from tests.distributed_tools import Fixed, task


class Net(Accelerated, NeuralNetClassifier):
    pass


def main(folder, rank, port):
    os.environ |= {"RANK": f"{rank}", "LOCAL_RANK": f"{rank}", "MASTER_PORT": f"{port}"}
    os.environ |= {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    X, y, forget = task()
    split = DataLoaderConfiguration(split_batches=True)
    accelerator = Accelerator(cpu=True, dataloader_config=split)
    net = Net(
        Fixed, accelerator=accelerator, device=None, criterion=torch.nn.CrossEntropyLoss, lr=0.1,
        max_epochs=3, batch_size=12, train_split=None, verbose=0,
    )  # fmt: skip
    found = {"processes": np.array(accelerator.num_processes)}
    for cls in (RetrainUnlearner, FineTuneUnlearner, ProximalUnlearner, NegGradPlusUnlearner):
        made = cls(net, random_state=0).fit(X, y)
        if cls is RetrainUnlearner:
            found |= {f"fit {k}": v for k, v in parameters(made.estimator_).items()}
        made.unlearn(indices=np.flatnonzero(forget))
        found |= {f"{cls.__name__} {k}": v for k, v in parameters(made.estimator_).items()}
        found[f"{cls.__name__} says"] = made.predict_proba(X)
    np.savez(Path(folder) / f"process-{accelerator.process_index}.npz", **found)
    # A process that leaves while another still talks to it has been seen to abort at its end.
    del made, net
    gc.collect()
    accelerator.wait_for_everyone()
    accelerator.end_training()
