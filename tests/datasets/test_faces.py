"""load_faces: the release, an archive of it, or scikit-learn's version."""

import io
import os
import tarfile

import numpy as np
import pytest
from PIL import Image
from sklearn.utils import Bunch

from skunlearn.datasets import faces, load_faces

DATA = os.environ.get("SKUNLEARN_DATA")
PEOPLE, SHOTS = (1, 2, 10), (1, 2, 10)  # by name "s10" sorts before "s2"


@pytest.fixture(autouse=True)
def nothing_outside(tmp_path, monkeypatch):
    """No test reads or writes the user's folders, or the network."""
    monkeypatch.setenv("SKUNLEARN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.delenv("SKUNLEARN_DATA", raising=False)
    monkeypatch.setattr(faces, "fetch_olivetti_faces", offline)


def offline(*_, download_if_missing, **__):
    raise OSError("no route to host")


def pgm(value):
    stream = io.BytesIO()
    Image.new("L", (3, 4), value).save(stream, "PPM")
    return stream.getvalue()


def files():
    return {f"s{p}/{k}.pgm": pgm(10 * p + k) for p in PEOPLE for k in SHOTS} | {"README": b"hello"}


@pytest.fixture
def folder(tmp_path):
    for name, content in files().items():
        path = tmp_path / "home" / "att_faces" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "home"


@pytest.fixture
def archive(tmp_path):
    (tmp_path / "tar").mkdir()
    with tarfile.open(tmp_path / "tar" / "att-faces.tar.xz", "w:xz") as tar:
        for name, content in files().items():
            info = tarfile.TarInfo(f"att_faces/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return tmp_path / "tar"


@pytest.mark.parametrize("kind", ["folder", "archive"])
def test_the_release(kind, request, monkeypatch):
    home = request.getfixturevalue(kind)
    bunch = load_faces(home, download=False)
    assert bunch.data.shape == (9, 1, 4, 3)
    assert bunch.data.dtype == np.uint8
    assert bunch.data[:, 0, 0, 0].tolist() == [10 * p + k for p in PEOPLE for k in SHOTS]
    assert bunch.target.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert bunch.target_names.tolist() == ["s1", "s2", "s10"]
    assert bunch.filenames[[0, 2, 8]].tolist() == ["s1/1.pgm", "s1/10.pgm", "s10/10.pgm"]
    assert str(home) in bunch.DESCR
    monkeypatch.setenv("SKUNLEARN_DATA", str(home))
    X, y = load_faces(size=(8, 6), return_X_y=True)
    assert X.shape == (9, 1, 8, 6)
    assert np.array_equal(y, bunch.target)


def test_scikit_learns_version(tmp_path, monkeypatch):
    images = np.arange(4 * 64 * 64).reshape(4, 64, 64) % 256

    def fetch(data_home, download_if_missing):
        if not download_if_missing:
            raise OSError("not there")
        values = (images / np.float32(255)).astype(np.float32)
        return Bunch(images=values, target=np.array([0, 0, 1, 1]))

    monkeypatch.setattr(faces, "fetch_olivetti_faces", fetch)
    bunch = load_faces(tmp_path)
    assert np.array_equal(bunch.data[:, 0], images)
    assert bunch.filenames.tolist() == ["s1/1.pgm", "s1/2.pgm", "s2/1.pgm", "s2/2.pgm"]
    assert bunch.target.tolist() == [0, 0, 1, 1]
    assert load_faces(tmp_path, size=32).data.shape == (4, 1, 32, 32)


def test_what_scikit_learn_has_kept_is_found_without_a_download(tmp_path, monkeypatch):
    (tmp_path / "olivetti_py3.pkz").touch()
    asked = []

    def fetch(data_home, download_if_missing):
        asked.append((data_home, download_if_missing))
        return Bunch(images=np.zeros((1, 64, 64), np.float32), target=np.array([0]))

    monkeypatch.setattr(faces, "fetch_olivetti_faces", fetch)
    assert len(load_faces(tmp_path, download=False).data) == 1
    assert asked == [(tmp_path, False)]


def test_not_found(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"Looked in .*data_home="):
        load_faces(tmp_path / "nothing", download=False)
    assert not (tmp_path / "nothing").exists()
    with pytest.raises(FileNotFoundError, match=r"failed: no route to host.*SKUNLEARN_DATA"):
        load_faces(tmp_path)


def test_other_folders_are_refused(folder):
    (folder / "att_faces" / "anna").mkdir()
    (folder / "att_faces" / "anna" / "1.pgm").write_bytes(pgm(3))
    with pytest.raises(ValueError, match=r"not the AT&T release.*anna"):
        load_faces(folder)


@pytest.mark.skipif(not DATA, reason="SKUNLEARN_DATA names no folder with the faces")
def test_the_real_faces():
    bunch = load_faces(DATA, download=False)
    assert len(bunch.data) == 400
    assert np.bincount(bunch.target).tolist() == [10] * 40
    assert bunch.target_names.tolist() == [f"s{k}" for k in range(1, 41)]
