"""How many files and functions of skunlearn one request enters.

    python benchmarks/walk_of_a_request.py [-v] [-o] [Method ...]

Counted with ``sys.setprofile`` over one ``unlearn(X[:5])`` on 120 rows; functions are those of
skunlearn's own code, each once, and a change of file is a call from one of its files into another.
Comprehensions and lambdas count as functions, as Python before 3.12 runs them; how many functions
have a name of their own is said beside it, and how many are about the request itself, rather than
about rows, nets and files. ``-v`` lists what was entered by file, and ``-o`` in the order of the
calls, each below its caller.
"""

import os
import sys
import warnings

import numpy as np
from skorch import NeuralNetClassifier
from torch import nn

import skunlearn

_ROOT = os.path.dirname(skunlearn.__file__) + os.sep
# The rooms that know of no request: what is in them serves trainings and measurements as well.
_GROUND = ("_files", "_rows", "_torch", "_recipe")


def _mlp():
    return nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 3))


def walk(method):
    """Files, functions in the order of their first calls with their depths, and changes of file."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(120, 12)).astype(np.float32), rng.integers(0, 3, 120)
    net = NeuralNetClassifier(
        _mlp, criterion=nn.CrossEntropyLoss, train_split=None, max_epochs=5, verbose=0
    )
    unlearner = method(net, random_state=0).fit(X, y)
    functions, changes, stack = {}, 0, [None]

    def watch(frame, event, _):
        nonlocal changes
        name = frame.f_code.co_filename
        if not name.startswith(_ROOT) or event not in ("call", "return"):
            return
        if event == "return":
            if len(stack) > 1:
                stack.pop()
            return
        functions.setdefault((name, frame.f_code.co_qualname), len(stack))
        changes += name != stack[-1]
        stack.append(name)

    sys.setprofile(watch)
    try:
        unlearner.unlearn(X[:5])
    finally:
        sys.setprofile(None)
    return {name for name, _ in functions}, functions, changes


def keep_requests(entered):
    """Those files, or functions with their files, that are about the request itself."""
    ground = tuple(_ROOT + room + os.sep for room in _GROUND)
    names = [name if isinstance(name, str) else name[0] for name in entered]
    return [one for one, name in zip(entered, names) if not name.startswith(ground)]


def main(names):
    """Print the counts of each method, and what was entered."""
    for name in [n for n in names if n not in ("-v", "-o")] or ["FineTuneUnlearner"]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            files, functions, changes = walk(getattr(skunlearn, name))
        named = sum(not function.endswith(">") for _, function in functions)
        print(
            f"{name}: {len(files)} files, {len(functions)} functions ({named} with a name), "
            f"{changes} changes of file; of the request itself {len(keep_requests(files))} files, "
            f"{len(keep_requests(functions))} functions"
        )
        if "-o" in names:
            for (file, function), depth in functions.items():
                print(f"{'  ' * depth}{function}  ({file.removeprefix(_ROOT)})")
        if "-v" in names:
            for file in sorted(files):
                inside = sorted(f for place, f in functions if place == file)
                print(f"  {file.removeprefix(_ROOT)}: {', '.join(inside)}")


if __name__ == "__main__":
    main(sys.argv[1:])
