"""Everything on a GPU, in one command: every method, speed, memory, shadow models, influence.

    python benchmarks/gpu.py                       # a bare machine with torch, torchvision, skorch
    python benchmarks/gpu.py --device cpu --small  # every line of it where there is none, minutes

Made-up images of 3 x 32 x 32 (8 x 8 with ``--small``, whose ratios mean nothing); ratios are of
rounds after the first. A line that says FAIL names what the method raised, and the script ends with
an error. Afterwards run ``python -m pytest tests/gpu``.
"""

import argparse
import statistics
import sys
import time
import warnings

import numpy as np
import torch
from _goals import goal
from skorch import NeuralNetClassifier
from torch import nn

from skunlearn import FineTuneUnlearner
from skunlearn.influence import influence
from skunlearn.nets import Autocast, BatchLoader, CIFARResNet18
from skunlearn.shadow import ShadowModels
from skunlearn.utils import all_unlearners


class Small(nn.Sequential):
    """Two convolutions with norms, and a head."""

    def __init__(self):
        super().__init__(
            nn.Conv2d(3, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(4),
            nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.AdaptiveAvgPool2d(2),
            nn.Flatten(), nn.Linear(256, 10),
        )  # fmt: skip


class WithoutNorms(nn.Sequential):
    """What can be stacked: no running statistics."""

    def __init__(self):
        super().__init__(
            nn.Conv2d(3, 16, 3, stride=2), nn.ReLU(), nn.Conv2d(16, 32, 3, stride=2), nn.ReLU(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10),
        )  # fmt: skip


NETS = {"small": Small, "resnet18": CIFARResNet18}
EPOCHS = 8


def recipe(module, device, batch_size, **kwargs):
    return NeuralNetClassifier(
        Autocast, module__module=module, module__channels_last=True,
        criterion=nn.CrossEntropyLoss, lr=0.01, optimizer__momentum=0.9, max_epochs=1,
        batch_size=batch_size, iterator_train=BatchLoader, iterator_train__shuffle=True,
        iterator_train__resident=True, iterator_valid__batch_size=1024, train_split=None,
        verbose=0, device=device, **kwargs,
    )  # fmt: skip


def waited(device):
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize()


def spent(act, device):
    waited(device)
    began = time.perf_counter()
    result = act()
    waited(device)
    return result, time.perf_counter() - began


def peak(device):
    return torch.cuda.max_memory_allocated() / 2**20 if device == "cuda" else float("nan")


def every_method(module, X, y, device, batch_size):
    """Fit and one request of each; names of those that raised."""
    gone, failed = min(32, len(y) // 8), []
    print(f"\n{module.__name__}, {len(y)} rows: seconds of fit and of forgetting {gone}, peak MiB")
    for name, cls in all_unlearners(nets=True).items():
        unlearner = cls(recipe(module, device, batch_size), random_state=0)
        if "max_epochs" in unlearner.get_params(deep=False):
            unlearner.set_params(max_epochs=1)
        declared = {"forget": np.arange(len(y)) < gone} if name == "AmnesiacUnlearner" else {}
        if device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        try:
            _, fitted = spent(lambda u=unlearner, d=declared: u.fit(X, y, **d), device)
            asked = 0.0
            if not declared:
                _, asked = spent(lambda u=unlearner: u.unlearn(indices=range(gone)), device)
            print(f"  {name:26} {fitted:8.2f} {asked:8.2f} {peak(device):8.0f}", flush=True)
        except Exception as error:  # the table goes on
            print(f"  {name:26} FAIL {type(error).__name__}: {str(error)[:200]}", flush=True)
            failed.append(name)
    return failed


def throughput(module, X, y, device, batch_size, rounds):
    """Epochs of fine-tuning against a loop over rows that lie on the device, and a request's sum.

    What a request does once, sending the rows and looking at them, is told from its epochs by
    their number.
    """
    rows, labels = torch.from_numpy(X).to(device), torch.from_numpy(y).to(device)
    model = Autocast(module, channels_last=True).to(device).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

    def by_hand():
        for _ in range(EPOCHS):
            order = torch.randperm(len(y), device=device)
            for i in range(0, len(y), batch_size):
                batch = order[i : i + batch_size]
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(rows[batch]), labels[batch]).backward()
                optimizer.step()

    unlearner = FineTuneUnlearner(recipe(module, device, batch_size), random_state=0).fit(X, y)

    def ask(epochs):
        unlearner.set_params(max_epochs=epochs).unlearn(indices=[len(unlearner.deletions_)])

    times = []
    for _ in range(rounds + 1):
        _, hand = spent(by_hand, device)
        _, short = spent(lambda: ask(1), device)
        _, whole = spent(lambda: ask(1 + EPOCHS), device)
        times.append((hand, hand / (whole - short), short - (whole - short) / EPOCHS))
    hand, loop, once = (statistics.median(column) for column in zip(*times[1:]))
    print(f"\n{module.__name__}: an epoch by hand {hand / EPOCHS:.3f} s; besides its epochs "
          f"a request takes {once:.3f} s")  # fmt: skip
    goal(f"hand-written epoch / ours on the device, {module.__name__}", loop, at_least=0.95)


def shadows(X, y, device, n_models):
    half = min(len(y), 4000) // 2
    for module in (WithoutNorms, Small):
        times = {}
        for backend in ("sequential", "auto"):
            models = ShadowModels(
                recipe(module, device, 64).set_params(module__channels_last=False),
                n_models=n_models, backend=backend, random_state=0,
            )  # fmt: skip
            _, times[backend] = spent(
                lambda models=models: models.fit(X[: 2 * half], y[: 2 * half]), device
            )
        print(f"\n{n_models} shadow models of {half} rows, {module.__name__}: "
              f"{times['auto']:.1f} s, {times['auto'] / times['sequential']:.2f} of "
              "one after the other")  # fmt: skip


def influences(X, y, device):
    X, y = X[:500], y[:500]
    net = NeuralNetClassifier(
        Small, criterion=nn.CrossEntropyLoss, lr=0.01, optimizer__momentum=0.9, max_epochs=5,
        batch_size=64, train_split=None, verbose=0, device=device,
    )  # fmt: skip
    _, trained = spent(lambda: net.fit(X, y), device)
    _, asked = spent(lambda: influence(net, X, y, X[:5], y[:5]), device)
    print(f"influence of {len(y)} rows on 5: {asked:.1f} s, {5 * asked / trained:.0f} epochs")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--net", choices=[*NETS, "both"], default="both")
    parser.add_argument("--small", action="store_true", help="few small images, to try it out")
    options = parser.parse_args()
    if options.small:
        options.rows, options.batch, options.rounds = 64, 16, 1
    side, n_models = (8, 4) if options.small else (32, 32)
    warnings.simplefilter("ignore", UserWarning)
    device = options.device
    rng = np.random.default_rng(0)
    X = rng.normal(size=(options.rows, 3, side, side)).astype(np.float32)
    y = rng.integers(0, 10, options.rows)
    where = torch.cuda.get_device_name() if device == "cuda" else device
    print(f"{where}, torch {torch.__version__}, {options.rows} rows, batch {options.batch}")
    names = NETS if options.net == "both" else [options.net]
    for name in names:
        throughput(NETS[name], X, y, device, options.batch, options.rounds)
    shadows(X, y, device, n_models)
    influences(X, y, device)
    failed = [
        each for name in names for each in every_method(NETS[name], X, y, device, options.batch)
    ]
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
