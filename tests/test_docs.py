"""The site: complete, and of one source with the README."""

import inspect
import re
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from tests.test_public_api import OBJECTS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
if not DOCS.exists():
    pytest.skip("the sdist holds no site", allow_module_level=True)
sys.path[:0] = [str(DOCS), str(DOCS / "_ext")]

import api_pages  # noqa: E402
import check_links  # noqa: E402
import gallery  # noqa: E402
import taxonomy  # noqa: E402

from skunlearn.utils import all_unlearners  # noqa: E402


def listed(folder):
    """Objects that the pages in `folder` list, as ``defining module.name``."""
    found = set()
    for page in folder.glob("skunlearn*.rst"):
        module = sys.modules[page.stem]
        for name in re.findall(r"^   (\w+)$", page.read_text(), re.M):
            item = getattr(module, name)
            found.add(f"{item.__module__}.{item.__qualname__}")
    return found


def test_the_reference_lists_every_public_name(tmp_path, monkeypatch):
    monkeypatch.setattr(api_pages, "FOLDER", tmp_path)
    api_pages.write()
    assert set(OBJECTS) - listed(tmp_path) == set()
    index = (tmp_path / "index.rst").read_text()
    assert all(f"   {page.stem}\n" in index for page in tmp_path.glob("skunlearn*.rst"))


def test_a_name_that_is_missing_would_be_found(tmp_path, monkeypatch):
    monkeypatch.setattr(api_pages, "FOLDER", tmp_path)
    complete = api_pages.pages()
    complete["skunlearn"].remove("ProximalUnlearner")
    monkeypatch.setattr(api_pages, "pages", lambda: complete)
    api_pages.write()
    missing = set(OBJECTS) - listed(tmp_path)
    assert missing == {"skunlearn.finetuning.proximal.ProximalUnlearner"}


def test_the_built_site_has_every_public_name():
    inventory = ROOT / "build" / "docs" / "objects.inv"
    if not inventory.exists():
        pytest.skip("no built site; `make docs` builds it")
    newer = max(path.stat().st_mtime for path in (ROOT / "skunlearn").rglob("__init__.py"))
    if inventory.stat().st_mtime < newer:
        pytest.skip("the built site is older than the package")
    packed = inventory.read_bytes().split(b"\n", 4)[4]
    names = {line.split(" ")[0] for line in zlib.decompress(packed).decode().splitlines()}
    wanted = {f"{module}.{name}" for module, page in api_pages.pages().items() for name in page}
    assert wanted - names == set()


def test_every_method_has_a_place_in_the_taxonomy():
    assert set(all_unlearners()) - taxonomy.placed() == set()


def section(name):
    """The part of the README that the site includes."""
    readme = (ROOT / "README.md").read_text()
    found = re.findall(rf"<!-- {name}: begin -->\n(.*?)<!-- {name}: end -->", readme, re.S)
    assert len(found) == 1, name
    return found[0]


@pytest.mark.parametrize(
    "name, page",
    [
        ("install", "install"),
        ("trained", "trained_net"),
        ("quick start", "quick_start"),
        ("tune", "quick_start"),
    ],
)
def test_readme_and_site_are_one_source(name, page):
    text = (DOCS / "start" / f"{page}.rst").read_text()
    assert ".. include:: ../../README.md" in text
    assert f":start-after: <!-- {name}: begin -->" in text
    assert section(name).strip()
    # No second copy of the code that could drift away.
    assert "```" not in text
    assert ".. code-block::" not in text


def run_block(name):
    """What the code of a part of the README prints."""
    (code,) = re.findall(r"```python\n(.*?)```", section(name), re.S)
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert run.returncode == 0, run.stderr
    assert "AUC" in run.stdout
    return run


def test_the_first_code_of_the_readme_is_for_a_trained_net_and_runs():
    readme = (ROOT / "README.md").read_text()
    assert readme.index("```python") > readme.index("<!-- trained: begin -->")
    assert readme.count("```python", 0, readme.index("<!-- trained: end -->")) == 1
    run = run_block("trained")
    assert float(run.stdout.split()[0]) > 0.9
    assert "NotForgottenWarning" not in run.stderr


def test_the_quick_start_runs():
    run = run_block("quick start")
    assert '"guarantee": "none"' in run.stdout


def test_check_links_finds_what_is_broken(tmp_path):
    (tmp_path / "a.html").write_text(
        '<h1 id="top">A</h1><a href="b.html#there">b</a><a href="https://example.org">out</a>'
    )
    (tmp_path / "b.html").write_text('<p id="there"></p><a href="a.html">a</a>')
    assert check_links.problems(tmp_path) == []
    (tmp_path / "b.html").write_text(
        '<p id="here"></p><a href="c.html">c</a><img src="a.html"><a href="#nowhere">n</a>'
    )
    assert check_links.problems(tmp_path) == [
        "a.html: no such anchor: b.html#there",
        "b.html: picture without alt text: a.html",
        "b.html: no such file: c.html",
        "b.html: no such anchor: #nowhere",
    ]


def test_examples_without_their_packages_are_shown_and_not_run(tmp_path):
    example = tmp_path / "plot_it.py"
    example.write_text("import numpy.linalg\nfrom no_such_package.part import thing\n")
    assert gallery.missing_packages(example) == ["no_such_package"]


def test_examples_that_read_images_are_shown_and_not_run(monkeypatch):
    monkeypatch.setattr(gallery, "missing_packages", lambda path: [])
    pattern = re.compile(gallery.settings(DOCS)["filename_pattern"])
    for path in (ROOT / "examples").glob("plot_*.py"):
        reads_images = "fetch_cifar10(" in path.read_text() or "load_faces(" in path.read_text()
        assert bool(pattern.search(str(path))) is not reads_images, path.name


def test_examples_are_described():
    """The gallery takes a title and a sentence from each."""
    for path in (ROOT / "examples").glob("plot_*.py"):
        doc = inspect.cleandoc(re.match(r'"""(.*?)"""', path.read_text(), re.S).group(1))
        title, line, *_ = doc.splitlines()
        assert set(line) == {"="}, path.name
        assert len(line) >= len(title), path.name
