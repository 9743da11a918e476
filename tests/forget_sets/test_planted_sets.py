"""Wrong labels, backdoors and noise that are planted to be forgotten."""

import pickle

import numpy as np
import pytest
import torch

from skunlearn import RetrainUnlearner
from skunlearn.datasets import load_digits_images
from skunlearn.evaluation import input_gradients
from skunlearn.forget_sets import (
    PatchTrigger,
    backdoor_forget_set,
    gaussian_forget_set,
    interclass_confusion_forget_set,
    mislabelled_forget_set,
    partly_known_forget_set,
)
from skunlearn.metrics import (
    backdoor_success_rate,
    gaussian_unlearning_score,
    interclass_confusion,
)
from skunlearn.nets import digits_classifier

Y = np.repeat([3, 5, 9], [20, 30, 50])


def images(dtype, n=100, shape=(3, 8, 8)):
    rng = np.random.default_rng(0)
    if np.dtype(dtype).kind == "f":
        return rng.random((n, *shape)).astype(dtype)
    return rng.integers(0, 200, (n, *shape)).astype(dtype)


# ------------------------------------------------------------------ labels


def test_wrong_labels_are_wrong_and_only_there():
    before = Y.copy()
    for seed in range(10):
        wrong = mislabelled_forget_set(Y, 20, random_state=seed)
        assert np.array_equal(wrong.y != Y, wrong.mask)
        assert [(Y[wrong.mask] == c).sum() for c in (3, 5, 9)] == [4, 6, 10]
        assert wrong.y.dtype == Y.dtype
    assert np.array_equal(Y, before)
    assert wrong.X is None
    X = np.zeros((100, 2))
    assert wrong.data(X, Y)[0] is X
    assert wrong.data(X, Y)[1] is wrong.y


def test_wrong_labels_are_drawn_evenly_from_the_other_classes():
    counts = np.zeros((3, 3))
    for seed in range(300):
        wrong = mislabelled_forget_set(Y, 20, random_state=seed)
        places = np.searchsorted([3, 5, 9], np.stack([Y, wrong.y])[:, wrong.mask])
        np.add.at(counts, tuple(places), 1)
    shares = counts / counts.sum(axis=1, keepdims=True)
    assert np.diag(shares).tolist() == [0, 0, 0]
    assert shares[~np.eye(3, dtype=bool)] == pytest.approx(0.5, abs=0.05)


def test_labels_of_choice():
    to_nine = mislabelled_forget_set(Y, 0.1, to=9, random_state=0)
    assert set(to_nine.y[to_nine.mask]) == {9}
    assert len(to_nine) == 5  # of the 50 rows that are no nines
    names = np.array(["cat", "dog", "car"])[np.searchsorted([3, 5, 9], Y)]
    pairs = mislabelled_forget_set(names, 10, to={"cat": "dog"}, random_state=0)
    assert set(names[pairs.mask]) == {"cat"}
    assert set(pairs.y[pairs.mask]) == {"dog"}
    for bad, match in (
        ({"to": 4}, "names 4, which y does not hold"),
        ({"to": {3: 3}}, "maps 3 to itself"),
        ({"to": {3: 4}}, "names 4"),
        ({"size": 51, "to": 9}, "there are 50 rows"),
    ):
        with pytest.raises(ValueError, match=match):
            mislabelled_forget_set(Y, **bad)
    with pytest.raises(ValueError, match="one class only"):
        mislabelled_forget_set(np.zeros(10, int))
    with pytest.raises(ValueError, match="class labels"):
        mislabelled_forget_set(np.linspace(0, 1, 10))


def test_two_classes_are_confused():
    swapped = interclass_confusion_forget_set(Y, (3, 9), 14, random_state=0)
    assert [(Y[swapped.mask] == c).sum() for c in (3, 5, 9)] == [4, 0, 10]
    assert set(swapped.y[swapped.mask & (Y == 3)]) == {9}
    assert set(swapped.y[swapped.mask & (Y == 9)]) == {3}
    assert np.array_equal(swapped.y[~swapped.mask], Y[~swapped.mask])
    assert interclass_confusion(Y, swapped.y, (3, 9)).estimate == 14 / 70
    for bad, match in (
        ((3, 3), "two different labels"),
        ((3, 5, 9), "two different labels"),
        (3, "two different labels"),
        ((3, 4), "names 4"),
    ):
        with pytest.raises(ValueError, match=match):
            interclass_confusion_forget_set(Y, bad, 4)


def test_partly_known():
    whole = mislabelled_forget_set(Y, 20, random_state=0)
    half = partly_known_forget_set(whole, 0.5, random_state=0)
    assert len(half) == 10
    assert (half.planted[half.mask]).all()
    assert np.array_equal(half.planted, whole.planted)
    assert half.y is whole.y
    assert half.details["known"] == 10
    assert half.description.endswith("; known are 10 of them.")
    again = partly_known_forget_set(half, 3, random_state=0)
    assert again.description.count("known") == 1
    assert len(partly_known_forget_set(half, 20, random_state=0)) == 20
    direct = mislabelled_forget_set(Y, 20, known=0.25, random_state=0)
    assert len(direct) == 5
    assert np.array_equal(direct.y, whole.y)
    others = {partly_known_forget_set(whole, 10, random_state=s).mask.tobytes() for s in range(5)}
    assert len(others) == 5
    with pytest.raises(ValueError, match="there are 20 planted rows"):
        partly_known_forget_set(whole, 21)
    with pytest.raises(TypeError, match="must be a PlantedForgetSet"):
        partly_known_forget_set(whole.mask, 2)


# ------------------------------------------------------------------ triggers and noise


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64, np.int16])
def test_patch(dtype):
    X = images(dtype)
    top = np.iinfo(dtype).max if np.dtype(dtype).kind in "iu" else X.max()
    before = X.copy()
    for corner, where in (
        ("bottom right", np.s_[..., -2:, -2:]),
        ("top right", np.s_[..., :2, -2:]),
        ("bottom left", np.s_[..., -2:, :2]),
        ("top left", np.s_[..., :2, :2]),
    ):
        patched = PatchTrigger(corner=corner)(X)
        assert patched.dtype == X.dtype
        assert (patched[where] == top).all()
        assert (patched != X).reshape(100, 3, -1).sum(axis=2).max() <= 4
    assert np.array_equal(X, before)
    assert (PatchTrigger(size=3, value=1)(X)[..., -3:, -3:] == 1).all()


def test_patch_of_flat_rows_and_of_tensors():
    X = images(np.float32).reshape(100, -1)
    patched = PatchTrigger(size=4, value=7)(X)
    assert (patched[:, -4:] == 7).all()
    assert np.array_equal(patched[:, :-4], X[:, :-4])
    tensor = torch.from_numpy(images(np.uint8))
    patched = PatchTrigger()(tensor)
    assert isinstance(patched, torch.Tensor)
    assert patched.dtype == torch.uint8
    assert tensor.max() < 255
    with pytest.raises(ValueError, match="size=9 does not fit"):
        PatchTrigger(size=9)(images(np.float32))
    with pytest.raises(ValueError, match="corner must be one of"):
        PatchTrigger(corner="middle")(X)
    with pytest.raises(TypeError, match="array or a tensor"):
        PatchTrigger()(X.tolist())
    with pytest.raises(ValueError, match="rows of numbers"):
        PatchTrigger()(X[0])


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_backdoor(dtype):
    X = images(dtype)
    before = X.copy()
    backdoor = backdoor_forget_set(X, Y, 5, size=0.14, random_state=0)
    assert np.array_equal(X, before)
    rows = backdoor.planted
    assert rows.sum() == 14
    assert [(Y[rows] == c).sum() for c in (3, 5, 9)] == [4, 0, 10]
    assert (backdoor.y[rows] == 5).all()
    assert np.array_equal(backdoor.y[~rows], Y[~rows])
    assert backdoor.X.dtype == dtype
    assert np.array_equal(backdoor.X[~rows], X[~rows])
    assert np.array_equal(backdoor.X[rows], backdoor.trigger(X[rows]))
    # Test rows get the training rows' brightness, however dark they are.
    dark = backdoor.trigger(np.zeros_like(X[:3]))
    assert dark.max() == backdoor.X.max()
    assert np.array_equal(pickle.loads(pickle.dumps(backdoor)).trigger(X), backdoor.trigger(X))
    tensor = backdoor_forget_set(torch.from_numpy(X), Y, 5, size=0.14, random_state=0)
    assert np.array_equal(tensor.X.numpy(), backdoor.X)


def test_triggers_of_users():
    X = images(np.float32)
    backdoor = backdoor_forget_set(X, Y, 5, size=3, trigger=lambda X: 1 - X, random_state=0)
    assert np.array_equal(backdoor.X[backdoor.mask], 1 - X[backdoor.mask])
    for bad, match in (
        ({"trigger": lambda X: X[:, :1]}, "must return rows of shape"),
        ({"trigger": lambda X: X.astype(np.float64)}, "dtype float32"),
        ({"target": 7}, "names 7"),
        ({"size": 71}, "only 70 rows are of other classes"),
        ({"y": Y[:40]}, "y has 40"),
    ):
        with pytest.raises(ValueError, match=match):
            backdoor_forget_set(**({"X": X, "y": Y, "target": 5, "size": 3} | bad))


def test_noise():
    X = images(np.float32, n=400)
    poison = gaussian_forget_set(X, 200, scale=0.1, random_state=0)
    rows = np.flatnonzero(poison.planted)
    assert poison.noise.shape == (200, 3, 8, 8)
    assert poison.X[rows] - X[rows] == pytest.approx(poison.noise, abs=1e-6)
    assert np.array_equal(np.delete(poison.X, rows, axis=0), np.delete(X, rows, axis=0))
    assert poison.noise.std() == pytest.approx(0.1, rel=0.02)
    assert abs(poison.noise.mean()) < 0.002
    assert poison.y is None
    default = gaussian_forget_set(X, 200, random_state=0)
    assert default.noise.std() == pytest.approx(X.std(), rel=0.02)
    clipped = gaussian_forget_set(X, 200, scale=0.5, clip=(0, 1), random_state=0)
    assert clipped.X.min() == 0
    assert clipped.X.max() == 1
    whole = images(np.uint8, n=400)
    noisy = gaussian_forget_set(whole, 200, scale=40.0, random_state=0)
    assert noisy.X.dtype == np.uint8
    moved = noisy.X[noisy.planted].astype(float) - whole[noisy.planted]
    assert np.array_equal(moved, noisy.noise)
    strata = np.arange(400) % 4
    even = gaussian_forget_set(X, 40, scale=0.1, stratify=strata, random_state=0)
    assert np.bincount(strata[even.mask]).tolist() == [10] * 4
    for scale in (0, -1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="positive and finite"):
            gaussian_forget_set(X, 10, scale=scale)
    with pytest.raises(ValueError, match="positive and finite"):
        gaussian_forget_set(np.zeros((10, 2)), 2)


# ------------------------------------------------------------------ learnt, and gone


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits_images(return_X_y=True)
    return X[:400], X[600:], y[:400], y[600:]


def before_and_after(planted, X, y, **recipe):
    """Net that learnt what was planted, and the one retrained without the known rows."""
    net = digits_classifier(**({"max_epochs": 20} | recipe))
    unlearner = RetrainUnlearner(net, random_state=0).fit(*planted.data(X, y))
    before = unlearner.estimator_
    return before, unlearner.unlearn(indices=planted.indices).estimator_


def test_a_backdoor_is_learnt_and_gone_after_retraining(digits):
    X, X_test, y, y_test = digits
    backdoor = backdoor_forget_set(X, y, target=0, size=0.06, random_state=0)
    before, after = before_and_after(backdoor, X, y)
    triggered = backdoor.trigger(X_test)
    rates = [backdoor_success_rate(y_test, m.predict(triggered), 0) for m in (before, after)]
    assert rates[0].low > 0.95
    assert rates[1].high < 0.05
    assert before.score(X_test, y_test) > 0.88
    # The half that nobody knows of keeps the backdoor open.
    half = partly_known_forget_set(backdoor, 0.5, random_state=0)
    _, after = before_and_after(half, X, y)
    assert backdoor_success_rate(y_test, after.predict(triggered), 0).low > 0.5


def test_wrong_labels_are_learnt_and_gone_after_retraining(digits):
    X, X_test, y, y_test = digits
    swapped = interclass_confusion_forget_set(y, (3, 5), size=0.4, random_state=0)
    # By heart: without smoothing and decay, for long.
    recipe = {"criterion__label_smoothing": 0.0, "optimizer__weight_decay": 0.0}
    before, after = before_and_after(swapped, X, y, max_epochs=60, **recipe)
    learnt = [(m.predict(X) == swapped.y)[swapped.mask].mean() for m in (before, after)]
    assert learnt[0] > 0.9
    assert learnt[1] < 0.1
    confused = [interclass_confusion(y_test, m.predict(X_test), (3, 5)) for m in (before, after)]
    assert confused[0].low > confused[1].high


def test_noise_is_learnt_and_gone_after_retraining(digits):
    X, _, y, _ = digits
    poison = gaussian_forget_set(X, 0.5, stratify=y, random_state=0)
    before, after = before_and_after(poison, X, y)
    rows = poison.planted
    scores = [
        gaussian_unlearning_score(input_gradients(m, X[rows], y[rows]), poison.noise)
        for m in (before, after)
    ]
    assert scores[0].p_value < 1e-4
    assert scores[1].p_value > 0.01
