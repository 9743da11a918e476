"""Nets as people have them, each with the rows that it is trained on: a name for each kind."""

import importlib

from tests.kinds.registry import EVERY, KINDS, N

__all__ = ["EVERY", "KINDS", "N"]

for _part in ("layers", "outputs", "inputs", "training"):  # tests take turns by this order
    importlib.import_module(f"tests.kinds.{_part}")
