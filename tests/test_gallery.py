"""The gallery: its sections, its pictures, and what is shown without being run."""

import inspect
import re
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
if not DOCS.exists():
    pytest.skip("the sdist holds no site", allow_module_level=True)
sys.path[:0] = [str(DOCS), str(DOCS / "_ext")]

import gallery  # noqa: E402
import pictures  # noqa: E402


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


def test_examples_that_are_not_run_have_a_picture(monkeypatch):
    monkeypatch.setattr(gallery, "missing_packages", lambda path: [])
    runs = re.compile(gallery.settings(DOCS)["filename_pattern"])
    drawn = {f"_static/generated/{draw.__name__}.png" for draw in pictures.THUMBNAILS}
    for path in (ROOT / "examples").glob("*.py"):
        if not runs.search(str(path)):
            (thumbnail,) = re.findall(r"sphinx_gallery_thumbnail_path = \"(.*)\"", path.read_text())
            assert thumbnail in drawn or (DOCS / thumbnail).exists(), path.name
    for draw in pictures.THUMBNAILS:
        width, height = draw().get_size_inches()
        assert width / height == pytest.approx(400 / 280)


def test_the_gallery_has_four_sections(tmp_path):
    assert len(gallery.SECTIONS) == 4
    known = [stem for stems in gallery.SECTIONS.values() for stem in stems]
    assert len(known) == len(set(known))
    assert {f"{stem}.py" for stem in known} <= {path.name for path in (ROOT / "examples").iterdir()}
    thumbnail = (
        '.. raw:: html\n\n    <div class="sphx-glr-thumbcontainer" tooltip="A">\n\n'
        "  :doc:`/auto_examples/{}`\n\n.. raw:: html\n\n    </div>\n\n\n"
    )
    names = ["plot_forest", "plot_quick_start", "plot_of_somebody_else"]
    page = (
        'Gallery\n=======\n\n.. raw:: html\n\n    <div class="sphx-glr-thumbnails">\n\n'
        ".. thumbnail-parent-div-open\n\n"
        + "".join(map(thumbnail.format, names))
        + ".. thumbnail-parent-div-close\n\n.. raw:: html\n\n    </div>\n\n\n.. toctree::\n"
    )
    divided = gallery.divide(page)
    places = [divided.index(text) for text in (
        "Start\n-----", "plot_quick_start", "Exact and certified\n---", "plot_forest",
        "Nets, graphs, and requests that keep coming\n---", "plot_of_somebody_else", ".. toctree",
    )]  # fmt: skip
    assert places == sorted(places)
    assert "Is it forgotten?" not in divided
    assert divided.count("sphx-glr-thumbnails") == divided.count("div-close") == 3
    assert divided.count("</div>") == 3 + len(names)


def test_thumbnails_of_tall_pictures_show_their_upper_part(tmp_path):
    picture = Image.new("RGB", (500, 1500), "green")
    picture.paste("red", (0, 0, 500, 350))
    picture.save(tmp_path / "tall.png")
    gallery.crop(tmp_path / "tall.png", tmp_path / "thumb.png")
    with Image.open(tmp_path / "thumb.png") as thumbnail:
        assert thumbnail.size == (400, 280)
        assert thumbnail.getcolors() == [(400 * 280, (255, 0, 0))]
    picture.crop((0, 0, 500, 560)).save(tmp_path / "three_panels.png")
    gallery.crop(tmp_path / "three_panels.png", tmp_path / "upper.png")
    assert (tmp_path / "upper.png").exists()
    picture.crop((0, 0, 500, 500)).save(tmp_path / "square.png")
    gallery.crop(tmp_path / "square.png", tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()


def test_examples_are_described():
    """The gallery takes a title and a sentence from each."""
    for path in (ROOT / "examples").glob("plot_*.py"):
        doc = inspect.cleandoc(re.match(r'"""(.*?)"""', path.read_text(), re.S).group(1))
        title, line, *_ = doc.splitlines()
        assert set(line) == {"="}, path.name
        assert len(line) >= len(title), path.name
