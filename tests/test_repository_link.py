"""The site links to its repository where it knows one, and invents none."""

import sys
from pathlib import Path

import pytest

EXTENSIONS = Path(__file__).parents[1] / "docs" / "_ext"
if not EXTENSIONS.exists():
    pytest.skip("the sdist holds no docs", allow_module_level=True)
sys.path.insert(0, str(EXTENSIONS))

import repository  # noqa: E402

ADDRESS = "https://forge.example/a/b"


def test_the_metadata_name_it(tmp_path):
    pyproject = tmp_path / "pyproject.toml"
    pyproject.write_text(f'[project]\nname = "x"\n[project.urls]\nRepository = "{ADDRESS}"\n')
    assert repository.find_repository(pyproject, {"GITHUB_REPOSITORY": "c/d"}) == ADDRESS


def test_else_the_forge_does(tmp_path):
    pyproject = tmp_path / "pyproject.toml"
    pyproject.write_text('[project]\nname = "x"\n')
    forge = {"GITHUB_SERVER_URL": "https://forge.example", "GITHUB_REPOSITORY": "a/b"}
    assert repository.find_repository(pyproject, forge) == ADDRESS
    assert repository.find_repository(pyproject, {}) is None


def test_the_link_is_shown(tmp_path):
    pytest.importorskip("pydata_sphinx_theme")
    from sphinx.application import Sphinx

    (tmp_path / "index.rst").write_text("Title\n=====\n\nText.\n")
    pages = []
    for address in (ADDRESS, None):
        out = tmp_path / str(bool(address))
        settings = {
            "html_theme": "pydata_sphinx_theme",
            "html_theme_options": repository.link_repository(address),
        }
        folders = [str(folder) for folder in (tmp_path, out, out / "trees")]
        Sphinx(folders[0], None, *folders[1:], "html", settings, status=None, warning=None).build()
        pages.append((out / "index.html").read_text())
    assert f'href="{ADDRESS}"' in pages[0]
    assert ADDRESS not in pages[1]
