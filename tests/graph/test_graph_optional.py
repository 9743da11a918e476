"""torch_geometric is optional: who needs it says so, and nobody else asks for it."""

import subprocess
import sys

import pytest

# One process starts the interpreter.
pytestmark = pytest.mark.xdist_group("graph optional")

# skorch itself imports torch_geometric where it can, so that skorch comes first here.
CODE = """
import sys
sys.modules["torch_geometric"] = None
import skorch
class Finder:
    def find_spec(name, path=None, target=None):
        if name.split(".")[0] == "torch_geometric":
            print("asked for", name)
for name in [name for name in sys.modules if name.split(".")[0] == "torch_geometric"]:
    del sys.modules[name]
sys.meta_path.insert(0, Finder)
import skunlearn, skunlearn.datasets, skunlearn.evaluation, skunlearn.metrics, skunlearn.shadow
import skunlearn.utils
print("done")
sys.meta_path.remove(Finder)
sys.modules["torch_geometric"] = None
for name in ("skunlearn.graph", "skunlearn.graph.graph_eraser"):
    try:
        __import__(name, fromlist=["GraphEraser"])
    except ImportError as error:
        print(error)
try:
    skunlearn.datasets.load_cora()
except ImportError as error:
    print(error)
"""


@pytest.fixture(scope="module")
def printed():
    """Lines that a fresh interpreter prints; warnings of torch_geometric go to stderr."""
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()


def test_the_error_names_the_extra(printed):
    first, second, third = printed[-3:]
    assert "pip install 'skunlearn[graph]'" in first
    assert second == first
    assert "pip install 'skunlearn[graph]'" in third


def test_importing_the_package_does_not_ask_for_it(printed):
    assert printed[:-3] == ["done"]
