"""The site: complete, and of one source with the README."""

import inspect
import re
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from matplotlib.patches import FancyBboxPatch

from tests.test_public_api import OBJECTS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
if not DOCS.exists():
    pytest.skip("the sdist holds no site", allow_module_level=True)
sys.path[:0] = [str(DOCS), str(DOCS / "_ext")]

import api_pages  # noqa: E402
import check_links  # noqa: E402
import explained  # noqa: E402
import first_minute  # noqa: E402
import method_table  # noqa: E402
import pictures  # noqa: E402
import readme  # noqa: E402
import run_code  # noqa: E402
import stored_figures  # noqa: E402
import taxonomy  # noqa: E402

from skunlearn.evaluation import Report, figures, verdicts  # noqa: E402
from skunlearn.evaluation.report import _caution  # noqa: E402
from skunlearn.plotting import PALETTE  # noqa: E402
from skunlearn.utils import all_unlearners, unlearner_table  # noqa: E402


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


def test_the_guide_lists_every_method_with_its_tags():
    """The pages' tables are generated; `unlearner_table` says the same in Markdown."""
    assert "generated/method_table.rst" in (DOCS / "guide" / "methods.rst").read_text()
    said = {}
    for row in "\n".join(method_table.everything()).split("   * - ")[2:]:
        cells = [cell.strip() for cell in re.split(r"\n     - ", row)]
        said[re.search(r"skunlearn\.(\w+)", cells[0])[1]] = cells[1:]
    table = [line.strip("| ").split(" | ") for line in unlearner_table().splitlines()[2:]]
    assert set(said) == {name.strip("`") for name, *_ in table} == set(all_unlearners())
    for name, _, forget, retain, kind in table:
        _, _, reads, made_for = said[name.strip("`")]
        assert reads == f"forget rows: {forget.removeprefix('yes, ')}; retained rows: {retain}"
        assert made_for == kind


def test_every_method_stands_under_its_promise():
    promises = {p: "\n".join(method_table.by_promise(p)) for p in ("exact", "proved", "measured")}
    for promise, text in promises.items():  # no columns that are empty from top to bottom
        names = [n for n, c in all_unlearners().items() if method_table.promise_of(c) == promise]
        assert ("Apart" in text) == any(any(method_table.measured(name)) for name in names)
    for name, cls in all_unlearners().items():
        stands = {p for p, text in promises.items() if f"skunlearn.{name}`" in text}
        assert stands == {method_table.promise_of(cls)}
    auto = promises["measured"].split("skunlearn.AutoUnlearner`")[1].split("* -")[0]
    time = stored_figures.spread("AutoUnlearner", "time")
    assert f"{time[0]:.2f}" in auto
    assert f"{time[1]:.2f}" in auto


def test_tasks_that_are_left_out_are_named():
    apart = {task: by["retrained"]["worst AUC"] for task, by in stored_figures.defaults().items()}
    for text in (readme.which(), "\n".join(method_table.context())):
        named = {task for task in apart if task in text}
        assert named == {task for task, value in apart.items() if value >= 0.1}
    assert named


def test_the_tree_has_at_most_five_questions_and_names_methods():
    assert len(method_table.TREE) <= 5
    named = {name for _, answers in method_table.TREE for _, names in answers for name in names}
    assert named <= set(all_unlearners())
    # Every kind of promise is reached, and every exact method.
    assert named >= set(all_unlearners(exact=True)) | set(all_unlearners(certified=True))


def section(name):
    """The part of the README that the site includes."""
    readme = (ROOT / "README.md").read_text()
    found = re.findall(rf"<!-- {name}: begin -->\n(.*?)<!-- {name}: end -->", readme, re.S)
    assert len(found) == 1, name
    return found[0]


@pytest.mark.parametrize(
    "name, page, source",
    [
        ("install", "start/install", "../../README.md"),
        ("first minute", "index", "../README.md"),
    ],
)
def test_readme_and_site_are_one_source(name, page, source):
    text = (DOCS / f"{page}.rst").read_text()
    assert f".. include:: {source}" in text
    assert f":start-after: <!-- {name}: begin -->" in text
    assert section(name).strip()
    # No second copy of the code that could drift away.
    assert "```" not in text
    assert ".. code-block::" not in text


def test_the_readme_shows_rows_learnt_by_heart_and_forgotten():
    """The first code that a newcomer meets; `make docs` runs it and compares what it prints."""
    readme = (ROOT / "README.md").read_text()
    assert readme.index("```python") > readme.index("<!-- first minute: begin -->")
    code, said, _ = run_code.blocks(ROOT / "README.md")[0]
    assert code in section("first minute")
    lines = [line for line in code.splitlines() if line and not line.startswith("from")]
    assert len(lines) == 9
    assert code.count("print(") == len(said.splitlines()) == 2
    before, after = (float(line.split("%")[0]) for line in said.splitlines())
    assert before >= 99
    assert after <= 3


def test_the_page_for_a_trained_net_shows_that_it_forgets():
    """`make docs` runs it, with warnings as errors, and compares what it prints."""
    found = run_code.blocks(DOCS / "start" / "trained_net.rst")
    assert any("AUC" in (said or "") for _, said, _ in found)
    (score,) = re.findall(r"right on ([\d.]+)%", found[1][1])
    assert float(score) > 90


def test_a_page_that_says_what_its_code_does_not_print_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "```python\nprint('found 3 rows', 0.51)\n```\n\n```text\nfound 3 rows 0.52\n```\n"
    )
    assert run_code.problems(page) == []
    for wrong in ("found 4 rows 0.52", "found 3 rows 0.62", "lost 3 rows 0.52", "found 3 rows 52%"):
        page.write_text(f"```python\nprint('found 3 rows', 0.51)\n```\n\n```text\n{wrong}\n```\n")
        assert len(run_code.problems(page)) == 1, wrong
    page.with_suffix(".rst").write_text(
        "A\n\n.. code-block:: python\n\n   for i in (1, 2):\n\n       print(i)\n\n"
        ".. code-block:: none\n\n   nothing\n\nB\n"
    )
    run_code.write(page.with_suffix(".rst"))
    assert run_code.blocks(page.with_suffix(".rst"))[0][1] == "1\n2\n"
    page.write_text("```python\nimport warnings; warnings.warn('no')\n```\n")
    with pytest.raises(RuntimeError, match="UserWarning: no"):
        run_code.problems(page)


@pytest.mark.parametrize(
    "page", ["README.md", "docs/start/quick_start.rst", "docs/start/trained_net.rst"]
)
def test_every_print_has_its_output_on_the_page(page):
    for code, said, _ in run_code.blocks(ROOT / page):
        assert ("print(" in code) == bool(said), code
        # What stands beside both side bars on a screen of 1280 pixels.
        assert all(len(line) <= 76 for line in [*code.splitlines(), *(said or "").splitlines()])
        assert not re.search(r"\S  # ", code), "comments stand above their lines"


def test_figures_of_the_readme_are_the_stored_ones():
    text = (ROOT / "README.md").read_text()
    assert readme.render(text) == text
    assert len(text.splitlines()) <= 112
    assert text.count("<!-- figures") == 2 * len(readme.PARTS)


def test_other_stored_figures_would_be_seen(monkeypatch):
    text = (ROOT / "README.md").read_text()
    stored = stored_figures.first_minute()
    stored["models"]["unlearned"]["repeated"] = 0.5
    monkeypatch.setattr(readme, "stored", lambda: stored)
    assert "After `unlearn` it\nrepeats 50.0 %" in readme.render(text)


# Of EUk another k was measured as well, and single scores.
QUOTING = [
    name
    for name, cls in all_unlearners().items()
    if "bench_defaults" in (cls.__doc__ or "") and name != "EUkUnlearner"
]


@pytest.mark.parametrize("name", QUOTING)
def test_docstrings_quote_the_stored_figures(name):
    parts = inspect.getdoc(all_unlearners()[name]).split("\n\n")
    quoted = set(re.findall(r"\b0\.\d{3}\b", " ".join(p for p in parts if "bench_defaults" in p)))
    beside = "floor", "original", "retrained", "FineTune", "GradientAscent"
    stored = {
        f"{by[method]['worst AUC']:.3f}"
        for by in stored_figures.defaults().values()
        for method in (name.removesuffix("Unlearner"), *beside)
    }
    assert quoted <= stored


def test_some_docstrings_quote_stored_figures():
    assert len(QUOTING) > 5


def test_the_first_picture_is_drawn_from_the_stored_figures():
    stored = stored_figures.first_minute()
    assert first_minute.PICTURE.read_text() == first_minute.draw(stored)
    stored["models"]["retrained"]["accuracy"] = 0.123
    assert ">12.3 %<" in first_minute.draw(stored)


def test_the_readme_names_the_methods_for_nets_that_give_a_guarantee():
    text = (ROOT / "README.md").read_text()
    (names,) = re.findall(r"methods for nets only (.*?) give a guarantee", text, re.S)
    exact, proved = (all_unlearners(nets=True, **{kind: True}) for kind in ("exact", "certified"))
    assert proved
    assert set(re.findall(r"`(\w+)`", names)) == exact.keys() | proved.keys()


def test_files_that_the_readme_links_are_there():
    text = (ROOT / "README.md").read_text()
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert len(links) > 8
    assert [link for link in links if not (ROOT / link).exists()] == []


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


def test_stored_runs_say_what_reports_say_today():
    """Of reports whose rows have a class that is gone, at the accuracy that the run has found."""
    told = r"^A model that has truly forgotten.*?can exceed ([\d.]+) %.*?$"
    runs = [path.read_text() for path in (DOCS / "stored").glob("*.txt")]
    found = [match for text in runs for match in re.finditer(told, text, re.M | re.S)]
    assert found
    for match in found:
        frame = pd.DataFrame({"metric": ["test"]})
        said = _caution(Report(frame, {}, [], {}, {}, ceiling=float(match[1]) / 100))
        assert match[0].split() == said.split()


def test_every_row_of_a_report_is_explained_on_its_page():
    rows = "\n".join(explained.rows())
    assert all(f"**{name}**" in rows for name in figures.DIRECTIONS)
    assert "generated/explained.rst" in (DOCS / "start" / "reading_report.rst").read_text()


def test_times_of_the_report_on_its_page_are_the_processors(monkeypatch):
    code = """
import time
clock = time.perf_counter
class report:
    to_html = staticmethod(lambda: clock)
"""
    monkeypatch.setattr(explained.run_code, "blocks", lambda page: [(code, None, None)])
    clock = time.perf_counter
    assert explained.real_report() is time.process_time
    assert time.perf_counter is clock


def test_the_difference_of_sets_has_a_sign_that_fonts_have():
    pytest.importorskip("latex2mathml")
    import mathml

    drawn = mathml._html(r"D \setminus D_f", "inline")
    assert "<mi>D</mi><mo>&#x02216;</mo><msub>" in drawn


def test_the_page_on_reports_says_when_they_warn():
    text = (DOCS / "start" / "reading_report.rst").read_text()
    assert f"From a width of {verdicts._WIDE} on the report warns" in text


def test_words_of_the_glossary_are_linked():
    terms = re.findall(r"^   (\S.*)$", (DOCS / "project" / "glossary.rst").read_text(), re.M)
    pages = "\n".join(path.read_text() for path in DOCS.rglob("*.rst"))
    linked = {word.casefold() for word in re.findall(r":term:`(?:[^`<]*<)?([^`<>]+)>?`", pages)}
    assert len(terms) > 20
    assert [term for term in terms if term.casefold() not in linked] == []


@pytest.mark.parametrize("page", sorted((DOCS / "guide").glob("*.rst")), ids=lambda p: p.stem)
def test_a_page_of_the_guide_begins_with_what_a_reader_needs(page):
    """A few lines, in words, before its first section: none begins with a detail."""
    text = page.read_text()
    title, line, _, first = text.split("\n")[:4]
    assert set(line) == {"="}
    assert len(line) >= len(title)
    if page.stem == "index":  # which is made of cards
        return
    assert re.match(r"\w|:\w", first), first
    opening = text.split("\n\n")[1]
    assert 15 <= len(opening.split()) <= 75


def test_the_front_page_leads_where_people_go():
    text = (DOCS / "index.rst").read_text()
    buttons = re.findall(r"\.\. button-ref:: (\S+)", text)
    assert buttons == ["start/quick_start", "start/which_method", "auto_examples/index"]
    assert text.index("generated/first_picture.rst") < text.index("../README.md")
    assert text.index("../README.md") < text.index("overview.svg")
    names = re.findall(r"^   (\w+) <", text, re.M)
    assert names == ["Methods", "Guide", "Examples", "API", "Benchmarks", "Comparison"]


def test_the_diagram_has_the_colours_of_all_pictures():
    axes = pictures.overview().axes[0]
    shades = {}
    for box, text in zip([p for p in axes.patches if isinstance(p, FancyBboxPatch)], axes.texts):
        shades.setdefault(text.get_text().split()[0], set()).add(box.get_facecolor()[:3])
    shades = {said: found.pop() for said, found in shades.items() if len(found) == 1}
    assert sorted(shades) == ["original", "retained", "retrained", "rows", "unlearned"]
    roles = {"rows": "forget", "retained": "retain"}
    for said, shade in shades.items():
        hue = np.array(to_rgb(PALETTE[roles.get(said, said)]))
        pale = np.array(shade)
        assert pale.min() > 0.75  # dark letters stand on it
        np.testing.assert_allclose((1 - pale) / (1 - pale).max(), (1 - hue) / (1 - hue).max())
