"""The methods of the guide for authors pass the checks as they are written there."""

import importlib
import re
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch

from skunlearn.utils._check_tools import sharing
from tests.small import quiet

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "extending.rst"


@pytest.fixture(scope="module")
def blocks():
    """The guide's whole blocks of code, in their order."""
    text = GUIDE.read_text(encoding="utf-8")
    found = re.findall(r"\.\. code-block:: python\n\n((?:    .*\n|\n)+)", text)
    return [textwrap.dedent(block) for block in found]


@quiet
def test_both_methods_pass_the_checks_as_written(blocks, tmp_path, monkeypatch):
    assert len(blocks) == 3
    (tmp_path / "methods_of_the_guide.py").write_text("\n\n".join(blocks), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)  # a file: classes in pickles are looked up by name
    with sharing({}):
        scope = vars(importlib.import_module("methods_of_the_guide"))  # runs the checks
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(120, 8)), np.arange(120) % 3  # of float64
    for name in ("HalfUnlearner", "PushUnlearner"):
        unlearner = scope[name](scope["net"], random_state=0).fit(X, y)
        before = [w.detach().clone() for w in unlearner.estimator_.module_.parameters()]
        unlearner.unlearn(X[:10])
        after = unlearner.estimator_.module_.parameters()
        assert not any(torch.equal(a, b) for a, b in zip(before, after))
    assert not scope["HalfUnlearner"]._promises.reads_forget_rows
    assert scope["PushUnlearner"]._promises.reads_forget_rows
