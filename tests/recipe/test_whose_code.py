"""Whose code is looked at: the user's own, not that of packages, wherever these are installed."""

import importlib
import sys

import pytest

from skunlearn._recipe.signs import _is_library, is_users_own


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder as of ``pip install --target``, with a file of the user's own beside the package."""
    made = "installed_there/__init__.py", "installed_there/part.py", "of_the_user.py"
    (tmp_path / "installed_there").mkdir()
    for name in made:
        (tmp_path / name).write_text("def function():\n    pass\n")
    (tmp_path / "installed_there-1.0.dist-info").mkdir()
    lines = "".join(f"{name},sha256=x,1\n" for name in made[:2])
    (tmp_path / "installed_there-1.0.dist-info" / "RECORD").write_text(lines)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in "installed_there", "installed_there.part", "of_the_user":
        sys.modules.pop(name, None)
    _is_library.cache_clear()


@pytest.mark.parametrize(
    "name, own",
    [("installed_there", False), ("installed_there.part", False), ("of_the_user", True)],
)
def test_code_outside_of_site_packages(folder, name, own):
    assert is_users_own(importlib.import_module(name).function) == own


def test_parts_of_compiled_modules_are_of_their_package():
    assert _is_library("torch._C._nn")
