"""Margins of others' nets, in small files of the layouts that their cards and code describe."""

import shutil

import numpy as np
import pytest
import torch

from skunlearn.datasets import load_easydub
from skunlearn.metrics import klom

N, N_TEST, MODELS = 40, 15, 24
FORGET = np.array([7, 3, 30])
KEPT = np.setdiff1d(np.arange(N), FORGET)
EASY, KLOM = "margins/cifar10", "oracles/CIFAR10"


def margins():
    """Of trained and retrained nets on all training rows, and on test rows."""
    rng = np.random.default_rng(0)
    trained, retrained = rng.normal(size=(2, MODELS, N)).astype(np.float32)
    trained[:, FORGET] += 20
    return trained, retrained, *rng.normal(size=(2, MODELS, N_TEST)).astype(np.float32)


def put(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array) if path.suffix == ".npy" else torch.save(torch.as_tensor(array), path)


def easydub(folder, order=FORGET):
    trained, retrained, trained_test, retrained_test = margins()
    put(folder / "forget_sets/cifar10/forget_set_2.npy", FORGET)
    places = {
        "pretrain/retain": trained,
        "pretrain/val": trained_test,
        "pretrain/forget_2": trained[:, order],
        "oracle/forget_2/retain": retrained[:, KEPT],
        "oracle/forget_2/val": retrained_test,
        "oracle/forget_2/forget": retrained[:, order],
    }
    for place, values in places.items():
        for i, row in enumerate(values):
            put(folder / EASY / place / f"resnet9/id_{i}_epoch_23.npy", row)


def klom_models(folder, whole=True, line="_"):
    trained, retrained, trained_test, retrained_test = margins()
    put(folder / "forget_set_indices/CIFAR10/forget_set_2.npy", FORGET)
    for which, ours, theirs in (
        ("train", trained, retrained),
        ("val", trained_test, retrained_test),
    ):
        if whole:
            put(folder / f"full_models/CIFAR10/{which}_margins_all.pt", ours)
        for i in range(MODELS):
            if not whole:
                put(folder / f"full_models/CIFAR10/{i}__{which}_margins{line}23.pt", ours[i])
            put(folder / KLOM / f"forget_set_2/{i}__{which}_margins{line}23.npy", theirs[i])


def one_file(folder, place):
    """As `klom_models`, with the retrained nets' margins in one file, where code reads them."""
    klom_models(folder)
    _, retrained, _, retrained_test = margins()
    shutil.rmtree(folder / KLOM)
    for which, values in (("train", retrained), ("val", retrained_test)):
        put(folder / place / f"forget_set_2/{which}_margins_all.pt", values)


LAYOUTS = {
    "EasyDUB": easydub,
    "sorted": lambda folder: easydub(folder, np.sort(FORGET)),
    "KLOM-models": klom_models,
    "single files": lambda folder: klom_models(folder, whole=False),
    "as written in training": lambda folder: klom_models(folder, whole=False, line="__"),
    "oracle_models": lambda folder: one_file(folder, "oracle_models/CIFAR10/only_margins"),
    "only_margins": lambda folder: one_file(folder, f"{KLOM}/only_margins"),
    "beside the nets": lambda folder: one_file(folder, KLOM),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(tmp_path, layout):
    LAYOUTS[layout](tmp_path)
    trained, retrained, trained_test, retrained_test = margins()
    for split, rows in (("forget", FORGET), ("retain", KEPT)):
        bench = load_easydub(tmp_path, 2, split=split)
        assert sorted(bench.rows) == sorted(rows)
        assert np.array_equal(bench.pretrained, trained[:, bench.rows])
        assert np.array_equal(bench.retrained, retrained[:, bench.rows])
        assert np.array_equal(bench.forget, FORGET)
    bench = load_easydub(str(tmp_path), 2, split="val", n_models=5)
    assert np.array_equal(bench.pretrained, trained_test[:5])
    assert np.array_equal(bench.retrained, retrained_test[:5])
    assert str(tmp_path) in bench.DESCR


def test_klom_without_an_oracle_of_ones_own(tmp_path):
    easydub(tmp_path)
    forgotten, kept = (load_easydub(tmp_path, 2, split=s) for s in ("forget", "retain"))
    apart = klom(forgotten.pretrained, forgotten.retrained).mean
    assert apart > 2 * klom(kept.pretrained, kept.retrained).mean


def test_what_is_missing_or_does_not_fit_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"neither margins/cifar10.*Download"):
        load_easydub(tmp_path, 2)
    easydub(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"forget_set_3.npy is missing"):
        load_easydub(tmp_path, 3)
    with pytest.raises(FileNotFoundError, match=r"id_24_epoch_23.npy is missing; 24 nets"):
        load_easydub(tmp_path, 2, n_models=25)
    with pytest.raises(ValueError, match="split must be one of"):
        load_easydub(tmp_path, 2, split="test")
    with pytest.raises(ValueError, match="n_models"):
        load_easydub(tmp_path, 2, n_models=0)
    place = tmp_path / EASY / "pretrain/forget_2/resnet9/id_0_epoch_23.npy"
    np.save(place, np.load(place)[::-1] + 1)
    with pytest.raises(ValueError, match="in no order that can be told"):
        load_easydub(tmp_path, 2)
    np.save(place, np.zeros(2))
    with pytest.raises(ValueError, match="margins of different rows"):
        load_easydub(tmp_path, 2)
    np.save(tmp_path / "forget_sets/cifar10/forget_set_2.npy", np.array([N]))
    with pytest.raises(ValueError, match=f"names row {N}, and the margins .* of {N} training rows"):
        load_easydub(tmp_path, 2, split="retain")


def test_places_that_were_searched_for_retrained_nets_are_named(tmp_path):
    one_file(tmp_path, "oracle_models/CIFAR10/only_margins")
    path = tmp_path / "oracle_models/CIFAR10/only_margins/forget_set_2/train_margins_all.pt"
    torch.save(torch.load(path, weights_only=True)[:20], path)
    with pytest.raises(ValueError, match=r"only_margins.* for each net, 24 of them; got shape"):
        load_easydub(tmp_path, 2, n_models=24)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"0__train_margins_23.npy.*oracle_models.*_all.pt"):
        load_easydub(tmp_path, 2)


def test_margins_of_retained_rows_alone_are_refused(tmp_path):
    klom_models(tmp_path)
    for i in range(MODELS):
        path = tmp_path / KLOM / f"forget_set_2/{i}__train_margins_23.npy"
        np.save(path, np.load(path)[KEPT])
    with pytest.raises(ValueError, match="do not fit each other: 40 margins of pretrained and 37"):
        load_easydub(tmp_path, 2)


def test_downloads_that_are_not_whole(tmp_path):
    easydub(tmp_path)
    place = tmp_path / EASY / "oracle/forget_2/forget/resnet9"
    (place / "id_5_epoch_23.npy").unlink()
    with pytest.raises(FileNotFoundError, match=r"id_5_epoch_23.npy is missing; 5 nets"):
        load_easydub(tmp_path, 2)  # the others would be left out without a word
    assert load_easydub(tmp_path, 2, n_models=5).retrained.shape == (5, 3)
    path = place / "id_0_epoch_23.npy"
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(ValueError, match=r"id_0_epoch_23.npy cannot be read .*download it again"):
        load_easydub(tmp_path, 2, n_models=5)
    np.save(path, np.zeros((3, 2)))
    with pytest.raises(ValueError, match=r"a margin for each row, got shape \(3, 2\)"):
        load_easydub(tmp_path, 2, n_models=5)


@pytest.mark.parametrize(
    "held", [np.array([]), np.array([[1, 2]]), np.array([1.5]), [1, 1], [-1], np.ones(40, bool)]
)
def test_forget_sets_that_name_no_rows(tmp_path, held):
    easydub(tmp_path)
    np.save(tmp_path / "forget_sets/cifar10/forget_set_2.npy", np.asarray(held))
    with pytest.raises(ValueError, match=r"forget_set_2.npy must (hold the numbers|name rows)"):
        load_easydub(tmp_path, 2)


def test_other_shapes_of_whole_files(tmp_path):
    klom_models(tmp_path)
    path = tmp_path / "full_models/CIFAR10/train_margins_all.pt"
    held = torch.load(path, weights_only=True)
    expected = load_easydub(tmp_path, 2).pretrained
    torch.save(list(held.double()), path)
    assert np.array_equal(load_easydub(tmp_path, 2).pretrained, expected)
    torch.save(held[:20], path)
    with pytest.raises(ValueError, match="for each net, 24 of them; got shape"):
        load_easydub(tmp_path, 2, n_models=24)
    torch.save(held[0], path)
    with pytest.raises(ValueError, match=r"a row of margins for each net; got shape \(40,\)"):
        load_easydub(tmp_path, 2)
    torch.save({"margins": held}, path)
    with pytest.raises(ValueError, match="must hold a tensor, got dict"):
        load_easydub(tmp_path, 2)


def test_pickles_are_not_run(tmp_path):
    easydub(tmp_path)
    np.save(tmp_path / "forget_sets/cifar10/forget_set_2.npy", np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle"):
        load_easydub(tmp_path, 2)


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 8000128\n"


@pytest.mark.parametrize(
    ("held", "said"),
    [(POINTER, "pointer of Git LFS"), (b"", "download"), (b"PK\x03\x04", "download")],
)
@pytest.mark.parametrize("name", [f"{KLOM}/forget_set_2/0__train_margins_23.npy", "whole"])
def test_files_that_are_none(tmp_path, name, held, said):
    klom_models(tmp_path)
    path = tmp_path / ("full_models/CIFAR10/train_margins_all.pt" if name == "whole" else name)
    path.write_bytes(held)
    with pytest.raises(ValueError, match=rf"{path.name} cannot be read .*{said}"):
        load_easydub(tmp_path, 2)


def test_pickles_of_torch_are_not_run(tmp_path):
    klom_models(tmp_path)
    path = tmp_path / "full_models/CIFAR10/train_margins_all.pt"
    torch.save({"run": print}, path)
    with pytest.raises(ValueError, match=r"cannot be read .*would run code"):
        load_easydub(tmp_path, 2)
