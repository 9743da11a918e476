"""Common corruptions: values, ranges, severities."""

import numpy as np
import pytest
import torch
from scipy import ndimage
from sklearn.model_selection import train_test_split

from skunlearn import RetrainUnlearner
from skunlearn.datasets import load_digits_images
from skunlearn.nets import digits_classifier
from skunlearn.robustness import CORRUPTIONS, corrupt
from skunlearn.robustness import _filters as filters
from tests.turns import in_turns

FLAT = ("gaussian_noise", "shot_noise", "impulse_noise", "brightness")


def images(dtype, shape=(20, 3, 16, 12)):
    values = np.random.default_rng(0).random(shape)
    smooth = ndimage.gaussian_filter(values, (0, 0, 2, 2))
    smooth = (smooth - smooth.min()) / np.ptp(smooth)
    return (np.rint(255 * smooth) if np.dtype(dtype) == np.uint8 else smooth).astype(dtype)


@pytest.mark.parametrize("kind", CORRUPTIONS)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_form_range_and_seed(kind, dtype):
    X = images(dtype)
    before = X.copy()
    found = [corrupt(X, kind, s, random_state=0) for s in range(1, 6)]
    assert np.array_equal(X, before)
    for corrupted in found:
        assert corrupted.shape == X.shape
        assert corrupted.dtype == X.dtype
        assert corrupted.min() >= 0
        assert corrupted.max() <= (255 if dtype == np.uint8 else 1)
        assert not np.array_equal(corrupted, X)
    # The harsher, the further away.
    distance = [np.abs(c.astype(float) - X).mean() for c in found]
    assert (np.diff(distance) > 0).all()
    assert np.array_equal(corrupt(X, kind, 3, random_state=0), found[2])
    drawn = kind in ("gaussian_noise", "shot_noise", "impulse_noise", "motion_blur", "fog")
    assert np.array_equal(corrupt(X, kind, 3, random_state=1), found[2]) == (not drawn)
    tensor = corrupt(torch.from_numpy(X), kind, 3, random_state=0)
    assert isinstance(tensor, torch.Tensor)
    assert np.array_equal(tensor.numpy(), found[2])


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_bytes_and_floats_agree(kind):
    X = images(np.uint8)
    as_bytes = corrupt(X, kind, 3, random_state=0).astype(float) / 255
    as_floats = corrupt(X.astype(np.float32) / 255, kind, 3, random_state=0)
    assert np.abs(as_bytes - as_floats).max() <= 0.5 / 255 + 1e-6
    grey = corrupt(X[:, 0], kind, 3, random_state=0)  # without an axis of channels
    assert grey.shape == (20, 16, 12)


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_flat_rows(kind):
    X = images(np.float32).reshape(20, -1)
    if kind in FLAT:
        assert corrupt(X, kind, 3, random_state=0).shape == X.shape
    else:
        with pytest.raises(ValueError, match="needs images"):
            corrupt(X, kind, 3)


def test_what_each_does():
    rng = np.random.RandomState(0)
    grey = np.full((50, 1, 20, 20), 0.5, dtype=np.float32)
    assert (filters.gaussian_noise(grey, 0.1, rng) - 0.5).std() == pytest.approx(0.1, rel=0.02)
    # Poisson: variance x / photons.
    assert filters.shot_noise(grey, 10, rng).var() == pytest.approx(0.05, rel=0.05)
    struck = filters.impulse_noise(grey, 0.2, rng)
    assert [(struck == v).mean() for v in (0, 1)] == pytest.approx([0.1, 0.1], abs=0.01)
    assert filters.brightness(grey, 0.2, rng) == pytest.approx(0.7)
    X = images(np.float32)
    faint = filters.contrast(X, 0.3, rng)
    assert faint.mean(axis=(2, 3)) == pytest.approx(X.mean(axis=(2, 3)), abs=1e-5)
    assert faint.std(axis=(2, 3)) == pytest.approx(0.3 * X.std(axis=(2, 3)), rel=1e-4)
    assert filters.gaussian_blur(X, 0.1, rng) == pytest.approx(
        np.stack([[ndimage.gaussian_filter(c, 1.2, mode="nearest") for c in x] for x in X]),
        abs=1e-6,
    )
    halves = filters.pixelate(X, 0.5, rng)
    blocks = X.reshape(20, 3, 8, 2, 6, 2).mean(axis=(3, 5))
    assert halves == pytest.approx(blocks.repeat(2, axis=2).repeat(2, axis=3), abs=1e-6)
    fogged = filters.fog(0 * X, 1.0, rng)
    assert fogged.min() == 0
    assert fogged.max() == pytest.approx(0.5)
    assert (fogged[:, 0] == fogged[:, 2]).all()  # no colour
    flat = np.full((40, 1, 9, 9), 0.3, dtype=np.float32)
    for name in ("motion_blur", "gaussian_blur", "pixelate"):
        assert getattr(filters, name)(flat, 0.5, rng) == pytest.approx(0.3, abs=1e-5)


def test_motion_blurs_along_a_line():
    kernel = filters._line(5, 0.0)
    assert kernel.sum() == pytest.approx(1, abs=1e-5)
    assert kernel.sum(axis=0) == pytest.approx(kernel[3])  # all of it in the middle row
    diagonal = filters._line(5, np.pi / 4)
    assert diagonal == pytest.approx(diagonal.T, abs=1e-5)
    assert np.trace(diagonal) > 0.5


def test_ranges_of_users():
    X = images(np.float32) * 10 - 5
    bright = corrupt(X, "brightness", 5, value_range=(-5, 5))
    assert bright == pytest.approx(np.minimum(X + 5, 5), abs=1e-4)
    assert corrupt(X, "gaussian_noise", 5, random_state=0).max() == pytest.approx(X.max())


@pytest.mark.parametrize(
    ("bad", "error", "match"),
    [
        ({"kind": "snow"}, ValueError, "kind must be one of gaussian_noise"),
        ({"severity": 0}, ValueError, "severity must be 1, 2, 3, 4 or 5"),
        ({"severity": 6}, ValueError, "severity must be"),
        ({"severity": True}, ValueError, "severity must be"),
        ({"severity": 2.0}, ValueError, "severity must be"),
        ({"X": [[1.0]]}, TypeError, "array or a tensor"),
        ({"X": np.ones(3)}, ValueError, "rows of numbers"),
        ({"X": np.array([["a"]])}, ValueError, "rows of numbers"),
        ({"value_range": (1, 1)}, ValueError, "rising numbers"),
    ],
)
def test_bad_input(bad, error, match):
    with pytest.raises(error, match=match):
        corrupt(**({"X": images(np.float32), "kind": "fog"} | bad))


@pytest.fixture(scope="module")
def trained():
    X, y = load_digits_images(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.4, stratify=y, random_state=0)
    net = digits_classifier(max_epochs=15)
    return RetrainUnlearner(net, random_state=0).fit(X, y), X_test, y_test


@pytest.mark.parametrize("kind", in_turns(CORRUPTIONS, 0, every=2))
def test_harsher_is_harder_for_a_trained_net(trained, kind):
    unlearner, X, y = trained
    clean = unlearner.score(X, y)
    # The same draws at every severity.
    accuracy = [unlearner.score(corrupt(X, kind, s, random_state=0), y) for s in range(1, 6)]
    # A row or two of the 719 may come back by luck.
    assert (np.diff([clean, *accuracy]) < 0.005).all(), accuracy
    assert accuracy[4] < clean - 0.03
    assert accuracy[4] < accuracy[0]
