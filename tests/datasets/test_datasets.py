"""Loaders: digits, folders and archives of images, CIFAR-10."""

import io
import os
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.utils import Bunch

from skunlearn.datasets import _cache, fetch_cifar10, load_digits_images, load_image_folder
from skunlearn.datasets.cifar10 import CLASSES

# Written out of order, so that sorting has something to do.
PIXELS = {("dog", "b.png"): 200, ("cat", "1.png"): 11, ("dog", "a.png"): 100, ("cat", "0.png"): 10}
SORTED = [10, 11, 100, 200]


@pytest.fixture(autouse=True)
def nothing_outside(tmp_path, monkeypatch):
    """No test writes to the user's folders."""
    monkeypatch.setenv("SKUNLEARN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))


def png(value, mode="RGB", size=(5, 4)):
    """Encoded image of one colour; size is (width, height)."""
    stream = io.BytesIO()
    Image.new(mode, size, (value, 0, 255) if mode == "RGB" else value).save(stream, "PNG")
    return stream.getvalue()


def write_folders(root, pixels=PIXELS, **kwargs):
    for (name, file), value in pixels.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        (root / name / file).write_bytes(png(value, **kwargs))
    return root


def write_tar(path, members, mode="w"):
    with tarfile.open(path, mode) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def members(prefix="", **kwargs):
    return {f"{prefix}{name}/{file}": png(v, **kwargs) for (name, file), v in PIXELS.items()}


def test_digits_are_scikit_learns():
    bunch = load_digits_images()
    reference = load_digits()
    assert bunch.data.shape == (1797, 1, 8, 8)
    assert bunch.data.dtype == np.float32
    assert bunch.target.dtype == np.int64
    np.testing.assert_array_equal(bunch.data[:, 0] * 16, reference.images)
    np.testing.assert_array_equal(bunch.target, reference.target)
    assert bunch.images is bunch.data
    X, y = load_digits_images(n_class=3, return_X_y=True)
    assert set(y) == {0, 1, 2}
    assert len(X) == len(y) == 537  # rows of digits 0 to 2 in scikit-learn 1.9.1


def test_folders(tmp_path):
    bunch = load_image_folder(write_folders(tmp_path / "in"))
    assert isinstance(bunch.data, np.memmap)
    assert bunch.data.dtype == np.uint8
    assert bunch.data.shape == (4, 3, 4, 5)
    assert bunch.data[:, 0, 0, 0].tolist() == SORTED
    assert np.all(bunch.data[:, 1] == 0)
    assert np.all(bunch.data[:, 2] == 255)
    assert bunch.target.dtype == np.int64
    assert bunch.target.tolist() == [0, 0, 1, 1]
    assert bunch.target_names.tolist() == ["cat", "dog"]
    assert bunch.filenames.tolist() == ["cat/0.png", "cat/1.png", "dog/a.png", "dog/b.png"]
    X, y = load_image_folder(tmp_path / "in", return_X_y=True)
    assert np.array_equal(X, bunch.data)
    assert np.array_equal(y, bunch.target)


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
@pytest.mark.parametrize("prefix, subset", [("", None), ("./", None), ("all/train/", "all/train")])
def test_archives(tmp_path, mode, prefix, subset):
    path = write_tar(tmp_path / "a.tar", members(prefix), mode)
    bunch = load_image_folder(path, subset=subset)
    assert bunch.data[:, 0, 0, 0].tolist() == SORTED
    assert bunch.target.tolist() == [0, 0, 1, 1]


def test_archives_are_never_extracted_and_other_members_ignored(tmp_path):
    image = png(99)
    others = {
        "../evil/0.png": image,
        "/evil/0.png": image,
        "evil/../0.png": image,
        "0.png": image,
        "cat/deeper/0.png": image,
        "cat/notes.txt": b"no image",
        "cat/._0.png": b"left by an operating system",
        ".git/0.png": image,
    }
    path = write_tar(tmp_path / "a.tar", members() | others)
    with tarfile.open(path, "a") as archive:
        link = tarfile.TarInfo("cat/link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    bunch = load_image_folder(path)
    assert bunch.data[:, 0, 0, 0].tolist() == SORTED
    written = {file.name for file in tmp_path.rglob("*") if file.is_file()}
    assert written == {"a.tar", "images.npy", "rows.json"}


def test_the_second_call_decodes_nothing(tmp_path, monkeypatch):
    source = write_folders(tmp_path / "in")
    first = load_image_folder(source)
    monkeypatch.setattr(Image, "open", lambda *_: pytest.fail("decoded again"))
    assert np.array_equal(load_image_folder(source).data, first.data)


def test_writing_to_the_array_leaves_the_cache_alone(tmp_path):
    source = write_folders(tmp_path / "in")
    load_image_folder(source).data[:] = 7
    assert load_image_folder(source).data[:, 0, 0, 0].tolist() == SORTED


@pytest.mark.parametrize("archive", [False, True])
def test_a_deleted_row_does_not_live_on_in_the_cache(tmp_path, archive):
    source = tmp_path / "in"
    kept = {name: content for name, content in members().items() if name != "dog/b.png"}
    if archive:
        write_tar(source, members())
    else:
        write_folders(source)
    load_image_folder(source)
    load_image_folder(source, size=2)
    if archive:
        write_tar(source, kept)
        os.utime(source, ns=(1, 1))  # the archive's size may be the same, padded to blocks
    else:
        (source / "dog" / "b.png").unlink()
    assert load_image_folder(source).data[:, 0, 0, 0].tolist() == [10, 11, 100]
    caches = list((tmp_path / "cache").rglob("images.npy"))
    assert len(caches) == 1  # the resized copy of the deleted row is gone as well
    assert len(np.load(caches[0])) == 3


def test_a_changed_pixel_of_the_same_file_size_is_seen(tmp_path):
    source = write_folders(tmp_path / "in")
    load_image_folder(source)
    file = source / "cat" / "0.png"
    file.write_bytes(png(12))
    os.utime(file, ns=(1, 1))
    assert load_image_folder(source).data[0, 0, 0, 0] == 12


def test_a_kill_in_the_middle_leaves_no_half_cache(tmp_path, monkeypatch):
    source = write_folders(tmp_path / "in")

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            load_image_folder(source)
    assert not list((tmp_path / "cache").rglob("*.npy"))
    # A kill that runs no clean-up leaves a temporary folder: ignored, and removed when old.
    load_image_folder(source)
    (place,) = (tmp_path / "cache" / "images").iterdir()
    shutil.rmtree(next(place.iterdir()))
    left = place / "tmp-killed"
    left.mkdir(parents=True)
    (left / "images.npy").write_bytes(b"half")
    assert load_image_folder(source).data[:, 0, 0, 0].tolist() == SORTED
    assert left.exists()  # may belong to a process that is still at work
    os.utime(left, (0, 0))
    load_image_folder(source)
    assert not left.exists()


def test_two_processes_at_once(tmp_path, monkeypatch):
    source = write_folders(tmp_path / "in")
    replace = os.replace

    def other_process_first(temporary, final):
        monkeypatch.setattr(os, "replace", replace)
        load_image_folder(source)
        replace(temporary, final)

    monkeypatch.setattr(os, "replace", other_process_first)
    assert load_image_folder(source).data[:, 0, 0, 0].tolist() == SORTED
    assert not list((tmp_path / "cache").rglob("tmp-*"))


def test_the_cache_folder(tmp_path, monkeypatch):
    source = write_folders(tmp_path / "in")
    load_image_folder(source, cache_dir=tmp_path / "mine")
    assert list((tmp_path / "mine").rglob("images.npy"))
    assert not (tmp_path / "cache").exists()
    monkeypatch.delenv("SKUNLEARN_CACHE")
    load_image_folder(source)
    assert list((tmp_path / "xdg" / "skunlearn").rglob("images.npy"))
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert _cache.default_home() == Path.home() / ".cache" / "skunlearn"


def test_sizes(tmp_path):
    source = write_folders(tmp_path / "in")
    (source / "dog" / "c.png").write_bytes(png(1, size=(8, 6)))
    with pytest.raises(ValueError, match=r"dog/c\.png .* is 6×8 pixels .* cat/0\.png .* is 4×5"):
        load_image_folder(source)
    assert not list((tmp_path / "cache").rglob("*.npy"))
    assert load_image_folder(source, size=3).data.shape == (5, 3, 3, 3)
    bunch = load_image_folder(source, size=(2, 7))
    assert bunch.data.shape == (5, 3, 2, 7)
    assert bunch.data[:, 0, 0, 0].tolist() == [*SORTED, 1]


def test_channels(tmp_path):
    grey = load_image_folder(write_folders(tmp_path / "grey", mode="L"))
    assert grey.data.shape == (4, 1, 4, 5)
    assert grey.data[:, 0, 0, 0].tolist() == SORTED
    assert load_image_folder(tmp_path / "grey", channels=3).data.shape == (4, 3, 4, 5)
    (tmp_path / "grey" / "cat" / "2.png").write_bytes(png(1))
    with pytest.raises(ValueError, match=r"cat/0\.png .* is grey, cat/2\.png .* is not"):
        load_image_folder(tmp_path / "grey")
    assert load_image_folder(tmp_path / "grey", channels=1).data.shape == (5, 1, 4, 5)


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", r"cat/bad\.png .* cannot be decoded"),
        (png(1)[:50], r"cat/bad\.png .* cannot be decoded"),
        (png(1, mode="I;16"), r"cat/bad\.png .* do not fit into 8 bits"),
    ],
)
def test_bad_images_are_named(tmp_path, content, message):
    source = write_folders(tmp_path / "in")
    (source / "cat" / "bad.png").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        load_image_folder(source)


def test_a_name_twice_in_an_archive(tmp_path):
    write_tar(tmp_path / "a.tar", members())
    with tarfile.open(tmp_path / "a.tar", "a") as archive:
        info = tarfile.TarInfo("./cat/0.png")
        info.size = len(png(10))
        archive.addfile(info, io.BytesIO(png(10)))
    with pytest.raises(ValueError, match="same file name twice"):
        load_image_folder(tmp_path / "a.tar")


def test_bad_sources(tmp_path):
    write_folders(tmp_path / "in" / "train")
    write_tar(tmp_path / "a.tar", members("train/"))
    (tmp_path / "text").write_text("no archive")
    with pytest.raises(FileNotFoundError, match="no such folder or archive"):
        load_image_folder(tmp_path / "absent")
    with pytest.raises(FileNotFoundError, match="no folder 'test'"):
        load_image_folder(tmp_path / "in", subset="test")
    with pytest.raises(ValueError, match="neither a folder nor a tar archive"):
        load_image_folder(tmp_path / "text")
    for path in ("in", "a.tar"):
        with pytest.raises(ValueError, match=r"what lies there: train.*subset="):
            load_image_folder(tmp_path / path)
    with pytest.raises(ValueError, match="relative path"):
        load_image_folder(tmp_path / "in", subset="../in")


@pytest.mark.parametrize(
    "params, error",
    [
        ({"size": 0}, ValueError),
        ({"size": (1, 2, 3)}, TypeError),
        ({"size": 2.5}, TypeError),
        ({"size": "4"}, TypeError),
        ({"channels": 2}, ValueError),
    ],
)
def test_bad_parameters(tmp_path, params, error):
    with pytest.raises(error, match=next(iter(params))):
        load_image_folder(tmp_path, **params)


@pytest.fixture
def tiny_cifar():
    """Encoded images of the ten classes: class k has red value 10 k."""
    return {
        f"{part}/{name}/{i:04}.png": png(10 * k + i, size=(32, 32))
        for part, n in (("train", 2), ("test", 1))
        for k, name in enumerate(CLASSES)
        for i in range(n)
    }


def check_tiny(bunch):
    assert bunch.X_train.shape == (20, 3, 32, 32)
    assert bunch.X_test.shape == (10, 3, 32, 32)
    assert bunch.y_train.tolist() == np.repeat(np.arange(10), 2).tolist()
    assert bunch.y_test.tolist() == list(range(10))
    assert bunch.X_test[:, 0, 0, 0].tolist() == list(range(0, 100, 10))
    assert bunch.X_train.dtype == np.uint8
    assert bunch.y_train.dtype == np.int64
    assert bunch.target_names.tolist() == list(CLASSES)


def unpack(encoded, root):
    for name, content in encoded.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def test_cifar10_from_folders_and_archives(tmp_path, tiny_cifar, monkeypatch):
    folders = unpack(tiny_cifar, tmp_path / "folders")
    check_tiny(fetch_cifar10(folders, download=False))
    (tmp_path / "packed").mkdir()
    write_tar(tmp_path / "packed" / "cifar10-any.tar.xz", tiny_cifar, "w:xz")
    monkeypatch.setenv("SKUNLEARN_DATA", str(tmp_path / "packed"))
    check_tiny(fetch_cifar10(download=False))
    bunch = fetch_cifar10(folders, download=False)
    assert str(folders) in bunch.DESCR  # the argument comes before the variable
    bunch = fetch_cifar10(tmp_path / "absent", download=False)
    assert "cifar10-any" in bunch.DESCR


def test_cifar10_from_the_default_folder(tmp_path, tiny_cifar, monkeypatch):
    monkeypatch.setenv("SKUNLEARN_DATA", "")
    unpack(tiny_cifar, tmp_path / "xdg" / "skunlearn")
    check_tiny(fetch_cifar10(download=False))


def test_cifar10_from_a_read_only_folder(tmp_path, tiny_cifar):
    folders = unpack(tiny_cifar, tmp_path / "folders")
    before = {path: path.stat().st_mtime_ns for path in folders.rglob("*")}
    for path in [folders, *before]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        check_tiny(fetch_cifar10(folders, download=False))
        assert {path: path.stat().st_mtime_ns for path in folders.rglob("*")} == before
    finally:
        for path in [folders, *before]:
            path.chmod(0o755)


def test_cifar10_not_found_names_every_place(tmp_path, monkeypatch):
    monkeypatch.setenv("SKUNLEARN_DATA", str(tmp_path / "variable"))
    (tmp_path / "argument" / "train" / "cat").mkdir(parents=True)  # not the ten classes
    with pytest.raises(FileNotFoundError, match="download=True") as info:
        fetch_cifar10(tmp_path / "argument", download=False)
    for place in ("argument", "variable", "xdg"):
        assert str(tmp_path / place) in str(info.value)


def test_archives_of_other_classes_are_refused(tmp_path, tiny_cifar):
    tiny_cifar["train/zebra/0000.png"] = png(1, size=(32, 32))
    write_tar(tmp_path / "cifar10.tar.gz", tiny_cifar, "w:gz")
    with pytest.raises(ValueError, match="zebra"):
        fetch_cifar10(tmp_path, download=False)


class FakeTorchvision:
    """Stands in for torchvision.datasets.CIFAR10: no network, no MD5."""

    calls = []

    def __init__(self, root, train, download):
        FakeTorchvision.calls.append((Path(root), download))
        self.data = np.zeros((3, 32, 32, 3), dtype=np.uint8)
        self.data[1, 2, 5, 0] = 9  # row, height, width, channel
        self.targets = [3, 1, 2] if train else [0, 0, 7]


def test_cifar10_through_torchvision(tmp_path, monkeypatch):
    monkeypatch.setattr("torchvision.datasets.CIFAR10", FakeTorchvision)
    FakeTorchvision.calls.clear()
    monkeypatch.setenv("SKUNLEARN_DATA", "")
    (tmp_path / "home").mkdir()
    downloaded = fetch_cifar10(tmp_path / "home")
    assert FakeTorchvision.calls == [(tmp_path / "home", True)] * 2
    (tmp_path / "home" / "cifar-10-batches-py").mkdir()
    found = fetch_cifar10(tmp_path / "home")
    assert FakeTorchvision.calls[2:] == [(tmp_path / "home", False)] * 2
    for bunch in (downloaded, found):
        assert isinstance(bunch, Bunch)
        assert bunch.X_train.shape == (3, 3, 32, 32)
        assert bunch.X_train[1, 0, 2, 5] == 9
        assert bunch.X_train.sum() == 9
        assert bunch.X_train.flags.c_contiguous
        assert bunch.y_train.tolist() == [3, 1, 2]
        assert bunch.y_test.tolist() == [0, 0, 7]


def test_a_failed_download_says_where_to_put_the_files(tmp_path, monkeypatch):
    def offline(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr("torchvision.datasets.CIFAR10", offline)
    monkeypatch.setenv("SKUNLEARN_DATA", "")
    with pytest.raises(
        FileNotFoundError, match=r"Looked in .* failed: no route to host.*data_home"
    ):
        fetch_cifar10(tmp_path)


@pytest.mark.long  # fifteen seconds of decoding
def test_real_cifar10(monkeypatch, tmp_path_factory):
    home = os.environ.get("SKUNLEARN_DATA")
    if not home:
        pytest.skip("SKUNLEARN_DATA names no folder with CIFAR-10")
    # Decoding takes seconds: once per run of the tests, outside this test's own folder.
    cache = tmp_path_factory.getbasetemp().parent / "skunlearn-cifar10"
    monkeypatch.setenv("SKUNLEARN_CACHE", str(cache))
    bunch = fetch_cifar10(home, download=False)
    assert bunch.X_train.shape == (50000, 3, 32, 32)
    assert bunch.X_test.shape == (10000, 3, 32, 32)
    assert np.bincount(bunch.y_train).tolist() == [5000] * 10
    assert np.bincount(bunch.y_test).tolist() == [1000] * 10
    # The published channel means of the binary release are 125.3, 123.0 and 113.9.
    np.testing.assert_allclose(bunch.X_train[::10].mean((0, 2, 3)), [125.3, 123.0, 113.9], atol=2)
