"""The rooms of the package stand on top of each other: imports run one way, names are unique."""

import ast
import functools
import sys
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
if not (ROOT / "docs").exists():
    pytest.skip("the sdist holds no site", allow_module_level=True)
sys.path[:0] = [str(ROOT / "docs" / "_ext"), str(ROOT / "benchmarks")]

import rooms  # noqa: E402
import walk_of_a_request  # noqa: E402

from skunlearn import FineTuneUnlearner  # noqa: E402

_READ = rooms.imports


@functools.cache
def read_once():
    """The package does not change while it is tested."""
    return _READ()


@pytest.fixture(autouse=True)
def reading_once(monkeypatch):
    """A drawing, and each circle that is looked for, would read every file again."""

    def imports(package=rooms.PACKAGE):
        return read_once() if package == rooms.PACKAGE else _READ(package)

    monkeypatch.setattr(rooms, "imports", imports)


# From the ground up. A room may import those before it and none after it, not even in a function.
ORDER = [
    *("exceptions", "_version", "search_spaces"),
    *("_files", "_rows", "backbone", "_torch", "torch_net", "callbacks", "nets", "_recipe"),
    *("_unlearning", "base", "net_unlearner", "_fitted_model", "verify"),
    *("ascent", "finetuning", "relabelling", "distillation", "editing", "influence"),
    *("exact", "certified", "graph", "compose"),
    *("metrics", "auto", "forget_sets", "shadow", "production", "datasets"),
    *("evaluation", "model_selection", "robustness", "plotting", "demo", "utils"),
]
# What lists all methods looks at the package as a whole.
EXCEPTED = {"utils.discovery imports skunlearn"}
# Private files that may stand at the top, beside the packages.
LOOSE = {"_version", "_fitted_model"}


def breaches(package=rooms.PACKAGE):
    """Imports that do not run downwards."""
    height = {room: i for i, room in enumerate(ORDER)}
    found = []
    for name, needed in rooms.imports(package).items():
        for other in needed if name else ():
            ours, theirs = rooms.room_of(name), rooms.room_of(other)
            if other == "":  # `from skunlearn import RetrainUnlearner` would need all of the house
                theirs = "skunlearn"
            if ours != theirs and height.get(theirs, len(ORDER)) >= height.get(ours, -1):
                found.append(f"{name} imports {other or theirs}")
    return sorted(found)


def inner(room, graph):
    """Which folders and files of a room import one another, a folder taken as one."""

    def part(name):
        return ".".join(name.split(".")[:2])

    found = defaultdict(set)
    for name, needed in graph.items():
        if name.startswith(f"{room}."):
            same = {part(other) for other in needed if other.startswith(f"{room}.")}
            found[part(name)] |= same - {part(name)}
    return dict(found)


def test_every_room_has_its_place():
    assert set(rooms.arrows()) == set(ORDER)


def test_imports_run_downwards():
    assert set(breaches()) == EXCEPTED


def test_nothing_imports_in_a_circle():
    graph = rooms.imports()
    assert rooms.circle(graph) is None
    assert rooms.circle(rooms.arrows()) is None
    for room in ORDER:
        assert rooms.circle(inner(room, graph)) is None, room


def test_no_private_file_stands_loose():
    loose = {path.stem for path in rooms.PACKAGE.glob("_*.py")} - {"__init__", "__main__"}
    assert loose == LOOSE


def test_no_name_of_a_file_has_two_meanings():
    places = defaultdict(list)
    for name, path in rooms.modules().items():
        if path.stem not in ("__init__", "__main__"):
            places[path.stem.lstrip("_")].append(name)
    assert {stem: names for stem, names in places.items() if len(names) > 1} == {}


def test_rooms_stay_small():
    folders = {path.parent for path in rooms.PACKAGE.rglob("*.py")}
    sizes = {str(f.relative_to(ROOT)): len(list(f.glob("*.py"))) - 1 for f in folders}
    assert {name: size for name, size in sizes.items() if size > 22} == {}


def test_files_stay_short():
    files = [*rooms.PACKAGE.rglob("*.py"), *(ROOT / "tests").rglob("*.py")]
    lines = {str(f.relative_to(ROOT)): f.read_text(encoding="utf-8").count("\n") for f in files}
    assert {name: n for name, n in lines.items() if n > 465} == {}


def test_the_contract_stands_on_one_screen():
    text = (rooms.PACKAGE / "base.py").read_text(encoding="utf-8")
    assert text.count("\n") <= 380
    tree = ast.parse(text)
    base = next(node for node in tree.body if isinstance(node, ast.ClassDef))
    methods = [node for node in base.body if isinstance(node, ast.FunctionDef)]
    names = [node.name for node in methods]
    first = names.index("fit")
    verbs = methods[first : first + 4]
    assert names[first : first + 4] == ["fit", "unlearn", "_fit", "_forget"]
    assert verbs[-1].end_lineno - verbs[0].lineno < 66


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_request_is_a_short_walk():
    """What is new in it should take the place of something, or have a good reason."""
    files, functions, _ = walk_of_a_request.walk(FineTuneUnlearner)
    assert len(files) <= 34
    assert len(functions) <= 221
    # The rest is reading rows, and a training.
    assert len(walk_of_a_request.keep_requests(files)) <= 12
    assert len(walk_of_a_request.keep_requests(functions)) <= 64


@pytest.mark.parametrize(
    ("file", "line", "breach"),
    [
        ("_torch/low.py", "from skunlearn.base import X", "_torch.low imports base"),
        ("_rows/low.py", "def f():\n    from skunlearn import base", "_rows.low imports base"),
        ("_rows/low.py", "import skunlearn.metrics", "_rows.low imports metrics"),
        ("exact/low.py", "from ..compose import X", "exact.low imports compose"),
        ("exact/low.py", "from skunlearn import X", "exact.low imports skunlearn"),
    ],
)
def test_an_import_upwards_is_found(tmp_path, file, line, breach):
    package = tmp_path / "skunlearn"
    for room in ("_torch", "_rows", "exact", "compose", "metrics"):
        (package / room).mkdir(parents=True)
        (package / room / "__init__.py").touch()
    for path in ("__init__.py", "base.py"):
        (package / path).touch()
    (package / file).write_text(line)
    assert breaches(package) == [breach]


def test_a_circle_is_found():
    assert rooms.circle({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == ["b", "c", "b"]
    assert rooms.circle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) is None
    with pytest.raises(ValueError, match="a > b > a"):
        rooms.storeys({"a": {"b"}, "b": {"a"}})


def test_arrows_that_follow_from_others_are_not_drawn():
    graph = {"a": {"b", "c"}, "b": {"c"}, "c": set()}
    assert rooms.nearest(graph) == {"a": {"b"}, "b": {"c"}, "c": set()}
    assert rooms.storeys(graph) == [["c"], ["b"], ["a"]]


def test_the_drawing_shows_every_room():
    shown = {text.get_text() for text in rooms.draw().axes[0].texts}
    assert shown == set(ORDER)
