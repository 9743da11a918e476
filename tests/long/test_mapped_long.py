"""A 20 GB array in a sparse file is fitted and unlearned within 2 GB of resident memory."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CHILD = '''
import sys
import warnings

import numpy as np
import torch
from sklearn.frozen import FrozenEstimator
from skorch import NeuralNetClassifier
from torch import nn

from skunlearn import FineTuneUnlearner, GradientAscentUnlearner, ProximalUnlearner

ROWS, WIDTH = int(sys.argv[2]), 2**18  # a row has a megabyte


class Net(nn.Module):
    """Looks at the first numbers of a row, which are not zero."""

    def __init__(self):
        super().__init__()
        self.hidden, self.out = nn.Linear(16, 32), nn.Linear(32, 2)

    def forward(self, X):
        return self.out(torch.relu(self.hidden(X[:, :16])))


def peak():
    """Highest resident memory so far, in bytes."""
    with open("/proc/self/status") as file:
        return 1024 * next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))


torch.set_num_threads(1)
warnings.simplefilter("ignore", UserWarning)
y = np.random.default_rng(0).integers(0, 2, ROWS)
with open(sys.argv[1], "wb") as file:  # sparse: 4 kB of a row are written
    for i, row in enumerate(np.random.default_rng(1).normal(size=(ROWS, 16)) + y[:, None]):
        file.seek(4 * WIDTH * i)
        file.write(row.astype(np.float32).tobytes())
    file.truncate(4 * WIDTH * ROWS)
X = np.memmap(sys.argv[1], np.float32, "r", shape=(ROWS, WIDTH))
net = NeuralNetClassifier(
    Net, criterion=nn.CrossEntropyLoss, lr=0.1, max_epochs=1, batch_size=32, train_split=None,
    iterator_train__shuffle=True, verbose=0,
)
print("imports", peak())
tuned = FineTuneUnlearner(net, random_state=0).fit(X, y)
print("fit", peak())
forget = np.arange(0, ROWS, 100)
tuned.unlearn(indices=forget)
print("FineTuneUnlearner", peak())
trained = FrozenEstimator(tuned.estimator_)
for cls in (ProximalUnlearner, GradientAscentUnlearner):
    tuned = cls(FrozenEstimator(tuned.estimator_), lr=0.01, random_state=0)
    tuned.estimator.estimator.history.clear()  # it counts the rows of the last training only
    tuned.fit(X, y).unlearn(indices=forget)
    print(cls.__name__, peak())
print("accuracy", int(1e9 * tuned.score(X[1:200], y[1:200])))
'''


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's /proc")
def test_twenty_gigabytes_within_two(tmp_path):
    gigabytes = 20
    path = tmp_path / "rows.dat"
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(path), str(gigabytes * 1024)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    found = dict(re.findall(r"(\w+) (\d+)", done.stdout))
    print(found)
    assert path.stat().st_size == gigabytes * 2**30
    path.unlink()
    assert int(found.pop("accuracy")) > 0.8e9
    assert len(found) == 5
    assert all(int(peak) < 2 * 2**30 for peak in found.values()), found
