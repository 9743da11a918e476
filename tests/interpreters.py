"""Interpreters that tests start: without what takes seconds to import and is not needed there."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
# It holds a torch_geometric that cannot be imported.
LIGHT = str(Path(__file__).with_name("light"))


def environment(*folders, **more):
    """Variables of a process that looks for modules in `folders`, and then where this one does."""
    path = [LIGHT, *map(str, folders), str(ROOT), *filter(None, sys.path)]
    return os.environ | {"PYTHONPATH": os.pathsep.join(path)} | more
