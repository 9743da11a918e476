"""What importing the package does, seen by one fresh interpreter."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# skorch and scikit-learn import torch_geometric and pandas where they can; we must not need them.
CODE = """
import json, random, sys, warnings
sys.path.insert(0, sys.argv[1])
optional = ("pandas", "torch_geometric")
for name in optional:
    sys.modules[name] = None
import numpy as np, sklearn, torch

def state():
    return {
        "torch's generator": torch.get_rng_state().tolist(),
        "numpy's generator": repr(np.random.get_state()),
        "Python's generator": random.getstate(),
        "warnings": list(warnings.filters),
        "scikit-learn": sklearn.get_config(),
        "threads": torch.get_num_threads(),
        "dtype": torch.get_default_dtype(),
        "errors": np.geterr(),
        "printing": np.get_printoptions(),
        "cudnn": torch.backends.cudnn.benchmark,
        "determinism": torch.are_deterministic_algorithms_enabled(),
    }

before = state()
import skorch, sklearn.frozen, safetensors.torch
theirs = state()
# accelerate draws when skorch imports it
others = {"warnings", "Python's generator"}
found = {"theirs": [key for key in before if before[key] != theirs[key] and key not in others]}
asked = []
class Finder:
    def find_spec(name, path=None, target=None):
        if name.split(".")[0] in optional:
            asked.append(name)
for name in [name for name in sys.modules if name.split(".")[0] in optional]:
    del sys.modules[name]
sys.meta_path.insert(0, Finder)
loaded = set(sys.modules)
import skunlearn
after = state()
found["ours"] = [key for key in theirs if theirs[key] != after[key]]
found["file"] = skunlearn.__file__
new = {name.split(".")[0] for name in set(sys.modules) - loaded}
found["new"] = sorted(new & {"torchvision", "matplotlib", "pandas", "pytest", "PIL"})
found["loaded"] = sorted({"matplotlib", "torchvision"} & set(sys.modules))
found["asked at once"] = list(asked)
import skunlearn.datasets, skunlearn.evaluation, skunlearn.metrics, skunlearn.shadow
import skunlearn.utils
found["asked"] = [name for name in asked if name.split(".")[0] == "torch_geometric"]
sys.meta_path.remove(Finder)
sys.modules["torch_geometric"] = None
found["errors"] = []
for name in ("skunlearn.graph", "skunlearn.graph.graph_eraser"):
    try:
        __import__(name, fromlist=["GraphEraser"])
    except ImportError as error:
        found["errors"].append(str(error))
try:
    skunlearn.datasets.load_cora()
except ImportError as error:
    found["errors"].append(str(error))
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What the interpreter has seen; warnings of other packages go to stderr."""
    done = subprocess.run(
        [sys.executable, "-c", CODE, ROOT],
        cwd=tmp_path_factory.mktemp("elsewhere"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_import_changes_nothing_and_is_light(found):
    assert found["theirs"] == found["ours"] == []
    assert found["new"] == []
    assert found["asked at once"] == []


def test_import_leaves_heavy_modules_alone(found):
    assert Path(found["file"]) == ROOT / "skunlearn" / "__init__.py"
    assert found["loaded"] == []


def test_the_error_names_the_extra(found):
    first, second, third = found["errors"]
    assert "pip install 'skunlearn[graph]'" in first
    assert second == first
    assert "pip install 'skunlearn[graph]'" in third


def test_importing_the_package_does_not_ask_for_it(found):
    assert found["asked"] == []
