"""What is shipped: an sdist and a wheel that hold everything, and run where nothing else is."""

import ast
import email
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SHIPPED = [
    "CHANGELOG.md",
    "CITATION.cff",
    "CONTRIBUTING.md",
    "LICENSE",
    "MANIFEST.in",
    "Makefile",
    "README.md",
    "examples",
    "pyproject.toml",
    "setup.cfg",
    "skunlearn",
    "tests",
]


def _project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def _version():
    """The version as build tools see it: a literal, found without running the package."""
    tree = ast.parse((ROOT / "skunlearn" / "_version.py").read_text())
    (node,) = (node for node in tree.body if isinstance(node, ast.Assign))
    assert node.targets[0].id == "__version__"
    return ast.literal_eval(node.value)


def _source_files(folder):
    """Files of a source folder as paths from the root.

    Caches and hidden files are none, nor are the pictures that examples leave where they run.
    """
    paths = (path.relative_to(ROOT) for path in (ROOT / folder).rglob("*") if path.is_file())
    hidden = re.compile(
        r"__pycache__|\..*|.*\.png" if folder == "examples" else r"__pycache__|\..*"
    )
    return {p.as_posix() for p in paths if not any(hidden.fullmatch(part) for part in p.parts)}


def _run(*command, cwd):
    """Run a command as on a desk where nothing is set; return what it printed."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PIP_", "PYTEST"))}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The built sdist and wheel, and what the build printed."""
    tree = tmp_path_factory.mktemp("build") / "source"
    tree.mkdir()
    ignore = shutil.ignore_patterns("__pycache__", ".*")
    for name in SHIPPED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tree / name, ignore=ignore)
        else:
            shutil.copy(ROOT / name, tree / name)
    # Through an sdist: what is missing there is missing in the wheel too. Without isolation: the
    # test needs no network.
    output = _run(sys.executable, "-m", "build", "--no-isolation", cwd=tree)
    (sdist,), (wheel,) = (tree / "dist").glob("*.tar.gz"), (tree / "dist").glob("*.whl")
    return sdist, wheel, output


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory):
    """The interpreter of a fresh environment that holds the wheel and borrows the dependencies."""
    folder = tmp_path_factory.mktemp("fresh") / "venv"
    venv.create(folder)
    paths = {"base": str(folder), "platbase": str(folder)}
    (site_packages,) = {sysconfig.get_path(key, "venv", paths) for key in ("purelib", "platlib")}
    # Folders named in a .pth file come last in sys.path, and .pth files inside them (an editable
    # installation of skunlearn, say) are not read.
    borrowed = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (Path(site_packages) / "borrowed.pth").write_text("\n".join(sorted(borrowed)))
    bin_folder = Path(sysconfig.get_path("scripts", "venv", paths))
    python = bin_folder / Path(sys.executable).name
    if not python.exists():
        python = bin_folder / "python"
    wheel = built[1]
    pip = sys.executable, "-m", "pip", "--python", python
    _run(*pip, "install", "--no-deps", "--no-index", wheel, cwd=folder)
    return python, folder


def test_build_prints_no_warning(built):
    files = re.compile("(adding|copying|creating|hard linking|reading|removing|writing) ")
    lines = [line for line in built[2].splitlines() if not files.match(line)]
    assert lines
    assert [line for line in lines if re.search("warning|deprecat", line, re.IGNORECASE)] == []


def test_wheel_holds_the_package_and_nothing_else(built):
    with zipfile.ZipFile(built[1]) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert names == _source_files("skunlearn")
    assert "skunlearn/py.typed" in names


def test_every_folder_with_code_is_a_package():
    """A folder without ``__init__.py`` would be left out of the wheel in silence."""
    folders = {Path(name).parent for name in _source_files("skunlearn") if name.endswith(".py")}
    assert [str(p) for p in sorted(folders) if not (ROOT / p / "__init__.py").is_file()] == []


def test_sdist_holds_sources_and_tests(built):
    with tarfile.open(built[0]) as sdist:
        names = {m.name.partition("/")[2] for m in sdist.getmembers() if m.isfile()}
    expected = set().union(*map(_source_files, ("skunlearn", "tests", "examples")))
    expected |= {name for name in SHIPPED if (ROOT / name).is_file()}
    assert expected - names == set()
    # Every script that the Makefile runs by its path, but the site's and the benchmarks'.
    scripts = set(
        re.findall(r"(?:examples|skunlearn|tests)/\w+\.py", (ROOT / "Makefile").read_text())
    )
    assert scripts
    assert scripts <= names


def test_wheel_metadata(built):
    project = _project()
    with zipfile.ZipFile(built[1]) as wheel:
        (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = email.message_from_bytes(wheel.read(name))
        assert name.replace("METADATA", "licenses/LICENSE") in wheel.namelist()
    assert metadata["Name"] == "skunlearn"
    assert metadata["Version"] == _version()
    assert metadata["Requires-Python"] == project["requires-python"]
    assert metadata["License-Expression"] == "BSD-3-Clause"
    assert metadata.get_payload().startswith("# ")
    needed = [line for line in metadata.get_all("Requires-Dist") if "extra ==" not in line]
    assert sorted(needed) == sorted(project["dependencies"])
    assert set(metadata.get_all("Provides-Extra")) == set(project["optional-dependencies"])


def test_the_package_index_would_take_them(built):
    pytest.importorskip("twine")
    sdist, wheel, _ = built
    output = _run(sys.executable, "-m", "twine", "check", "--strict", sdist, wheel, cwd=ROOT)
    assert output.count("PASSED") == 2


def test_the_citation_is_of_this_version():
    citation = (ROOT / "CITATION.cff").read_text()
    assert re.search(r"^version: (.+)$", citation, re.M)[1] == _version()
    assert re.search(r'^date-released: "\d{4}-\d\d-\d\d"$', citation, re.M)


def test_the_publishing_workflow_checks_what_it_uploads():
    path = ROOT / ".github" / "workflows" / "publish.yml"
    if not path.exists():
        pytest.skip("the sdist holds no workflow")
    jobs = pytest.importorskip("yaml").safe_load(path.read_text())["jobs"]
    runs = [step["run"] for step in jobs["build"]["steps"] if "run" in step]
    assert runs.index("python -m build") < runs.index("python -m twine check --strict dist/*")
    assert jobs["publish"]["needs"] == "build"
    # The step that compares the tag with the version reads the file as it is.
    (compares,) = (run for run in runs if "_version.py" in run)
    script = f"GITHUB_REF_NAME=v{_version()}; {compares}"
    assert _version() in _run("bash", "-c", script, cwd=ROOT)
    wrong = subprocess.run(["bash", "-c", f"GITHUB_REF_NAME=v9; {compares}"], cwd=ROOT, check=False)
    assert wrong.returncode != 0


def test_a_release_links_to_where_it_comes_from(tmp_path):
    path = ROOT / ".github" / "workflows" / "publish.yml"
    if not path.exists():
        pytest.skip("the sdist holds no workflow")
    steps = pytest.importorskip("yaml").safe_load(path.read_text())["jobs"]["build"]["steps"]
    runs = [step["run"] for step in steps if "run" in step]
    (writes,) = (run for run in runs if "[project.urls]" in run)
    assert runs.index(writes) < runs.index("python -m build")
    for name in ("pyproject.toml", "setup.cfg", "README.md", "LICENSE"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    package = tmp_path / "skunlearn"
    package.mkdir()
    for name in ("__init__.py", "_version.py", "py.typed"):
        (package / name).write_bytes((ROOT / "skunlearn" / name).read_bytes())
    forge = "GITHUB_SERVER_URL=https://forge.example GITHUB_REPOSITORY=a/b GITHUB_REF_NAME=v9"
    _run("bash", "-c", f"export {forge}; {writes}", cwd=tmp_path)
    code = "import setuptools.build_meta as b, sys; print(b.prepare_metadata_for_build_wheel('.'))"
    folder = _run(sys.executable, "-c", code, cwd=tmp_path).splitlines()[-1]
    metadata = email.message_from_bytes((tmp_path / folder / "METADATA").read_bytes())
    assert metadata.get_all("Project-URL") == [
        "Repository, https://forge.example/a/b",
        "Issues, https://forge.example/a/b/issues",
        "Changelog, https://forge.example/a/b/blob/v9/CHANGELOG.md",
    ]


def test_the_forge_runs_what_runs_here():
    path = ROOT / ".github" / "workflows" / "ci.yml"
    if not path.exists():
        pytest.skip("the sdist holds no workflow")
    jobs = pytest.importorskip("yaml").safe_load(path.read_text())["jobs"]
    (steps,) = (job["steps"] for job in jobs.values())
    (script,) = (step["run"] for step in steps if "run" in step)
    assert os.access(ROOT / script, os.X_OK)
    (python,) = (step["with"]["python-version"] for step in steps if "with" in step)
    assert f">={python}" == _project()["requires-python"]


def test_setup_cfg_and_pyproject_have_disjoint_jobs():
    """setuptools drops in silence what both name."""
    text = (ROOT / "setup.cfg").read_text()
    sections = re.findall(r"^\[(.+)\]", text, re.MULTILINE)
    keys = set(re.findall(r"^(\w+) =", text, re.MULTILINE))
    assert sections == ["metadata", "options", "options.packages.find", "options.package_data"]
    assert keys & set(_project()) == set()
    assert _project()["dynamic"] == ["version"]


def test_installed_wheel_runs(installed, tmp_path):
    python, folder = installed
    code = """
import sys
sys.modules["torch_geometric"] = None  # skorch imports it where it can, which takes seconds
import numpy as np
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
import skunlearn
print(skunlearn.__file__)
print(skunlearn.__version__)
missing = [name for name in skunlearn.__all__ if not hasattr(skunlearn, name)]
assert not missing, missing
X, y = load_iris(return_X_y=True)
unlearner = skunlearn.RetrainUnlearner(LogisticRegression(max_iter=1000)).fit(X, y)
unlearner.unlearn(indices=np.arange(5))
print(unlearner.score(X, y))
"""
    file, version, score = _run(python, "-c", code, cwd=tmp_path).splitlines()
    assert folder.resolve() in Path(file).resolve().parents
    assert version == _version()
    assert float(score) > 0.9


def test_floors_are_the_ones_that_are_run():
    project = _project()
    extras = project["optional-dependencies"]
    lines = [*project["dependencies"], *extras["graph"], *extras["skops"]]
    lines += extras["postgresql"] + extras["service"]
    floors = dict(re.sub(r"\[.*\]", "", line).split(">=") for line in lines)
    text = (ROOT / "tests" / "floors.txt").read_text()
    run = dict(line.split("==") for line in text.splitlines() if re.match(r"[\w-]+==", line))
    assert run == floors
