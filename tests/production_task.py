"""A small model with requests in a queue, for tests of what a kill leaves behind."""

import importlib
import itertools
import multiprocessing
import os
import signal
import sys
import warnings
from pathlib import Path

import numpy as np
import torch
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

import skunlearn.production
from skunlearn import FineTuneUnlearner, RetrainUnlearner, UnlearningPipeline
from skunlearn._torch.parts.net_state import weights
from skunlearn.production import DeletionQueue, DeletionWorker
from tests.small import net

FOLDER = os.path.dirname(skunlearn.production.__file__)
N_TRAIN = 48
# One server imports torch; each life is forked from it.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.without_geometric", "tests.production_task"])
# The first optimizer imports a thousand modules: once in the server, not in every life.
torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
REQUESTS = {f"ticket-{k}": [f"user-{2 * k}", f"user-{2 * k + 1}"] for k in range(7)}
IDS = [f"user-{i}" for i in range(N_TRAIN)]


def rows():
    """Training rows and labels, and others."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N_TRAIN + 24, 4)).astype(np.float32)
    y = (X[:, 0] > 0).astype(np.int64)
    return X[:N_TRAIN], y[:N_TRAIN], X[N_TRAIN:], y[N_TRAIN:]


def make_unlearner(kind):
    """One whose model is a file ("net", "pipeline"), and one that is trained again ("refit")."""
    if kind == "refit":
        return RetrainUnlearner(GaussianNB(), random_state=0)
    small = net(module__n_out=2, module__hidden=4, max_epochs=2)
    unlearner = FineTuneUnlearner(small, max_epochs=1, random_state=0)
    if kind == "pipeline":
        return UnlearningPipeline([("scale", StandardScaler()), ("model", unlearner)])
    return unlearner


def make_queue(folder):
    """A queue in which every two requests are a batch."""
    return DeletionQueue(folder, batch_size=2)


def make_worker(folder, kind="net", **kwargs):
    """A worker that has taken up its model, with all rows or those that are left."""
    X, y, X_test, y_test = rows()
    worker = DeletionWorker(make_queue(folder), make_unlearner(kind), X_test, y_test, **kwargs)
    return worker.start(X, y, ids=IDS)


def submit_all(folder):
    """Submit every request, whether it was before or not."""
    queue = make_queue(folder)
    for request_id, ids in REQUESTS.items():
        queue.submit(request_id, ids=ids)


def live(folder, kind):
    """A life: submit, start, apply everything."""
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        submit_all(folder)
        worker = make_worker(folder, kind)
        while worker.run_once(flush=True) is not None:
            pass
    return worker


def live_until(folder, kind, line):
    """A life that ends by SIGKILL at the n-th line that it runs of the package's code."""
    count = itertools.count(1)

    def local(frame, event, arg):
        if event == "line" and next(count) == line:
            os.kill(os.getpid(), signal.SIGKILL)
        return local

    def trace(frame, event, arg):
        return local if frame.f_code.co_filename.startswith(FOLDER) else None

    sys.settrace(trace)
    live(folder, kind)


def count_lines(folder, kind):
    """Lines of the package's code that a whole life runs."""
    seen = itertools.count()

    def local(frame, event, arg):
        if event == "line":
            next(seen)
        return local

    before = sys.gettrace()
    sys.settrace(lambda f, e, a: local if f.f_code.co_filename.startswith(FOLDER) else None)
    try:
        live(folder, kind)
    finally:
        sys.settrace(before)
    return next(seen)


def live_until_call(folder, kind, name, when):
    """A life that ends by SIGKILL before or after a method of the package is called."""
    kill_at_call(name, when)
    live(folder, kind)


def kill_at_call(name, when):
    """Let this process end by SIGKILL before or after a method of the package is called."""
    module, cls, method = name.split(".")
    cls = getattr(importlib.import_module(f"skunlearn.production.{module}"), cls)
    plain = getattr(cls, method)

    def last(*args, **kwargs):
        if when == "after":
            plain(*args, **kwargs)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(cls, method, last)


def end_of(target, *args, after=None):
    """Run a function of this module in a process; kill it after some seconds. Its exit code."""
    process = CONTEXT.Process(target=target, args=args)
    process.start()
    try:
        if after is not None:
            process.join(after)
            process.kill()
        process.join(120)
        return process.exitcode
    finally:
        process.kill()
        process.join()


def check_folder(folder, kind, expected):
    """Everything was applied once, and nothing else is left."""
    queue = make_queue(folder)
    log, batches = queue.log(), [b for b in queue.batches() if b["state"] == "applied"]
    assert [entry["request_id"] for entry in log] == list(REQUESTS)
    assert {entry["state"] for entry in log} == {"applied"}
    assert len(batches) == len(queue.batches()) == 4
    assert sum(batch["audit"]["requests"] for batch in batches) == len(REQUESTS)
    assert sum(batch["audit"]["rows"] for batch in batches) == 2 * len(REQUESTS)
    files = [path for path in Path(folder).rglob("*") if path.is_file()]
    assert [path.name for path in files if path.parent.name == "models"] == ["00000004.safetensors"]
    for path in files:
        assert b"user-1" not in path.read_bytes(), path
    model = make_worker(folder, kind).unlearner
    for a, b in zip(state_of(model), state_of(expected), strict=True):
        assert np.array_equal(a, b)
    if kind != "refit":
        # The log in the file says that nothing was applied twice.
        assert [entry["rows"] for entry in model.deletions_] == [4, 4, 4, 2]


def state_of(unlearner):
    """Arrays that make up the model."""
    if isinstance(unlearner, Pipeline):
        scale, last = unlearner[0], unlearner[-1]
        return [scale.mean_, scale.var_, *state_of(last)]
    model = unlearner.estimator_
    if isinstance(model, GaussianNB):
        return [model.theta_, model.var_, model.class_prior_]
    return [value.numpy() for value in weights(model).values()]
