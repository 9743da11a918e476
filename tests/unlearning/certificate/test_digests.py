"""Digests of weights, in memory and in files."""

import copy
import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sklearn.base import clone
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsRegressor

from skunlearn import RetrainUnlearner
from skunlearn._unlearning.certificate.model_digests import model_digest
from tests.instances import all_instances
from tests.unlearning.certificate.documents import wrong


def test_weights_before_and_after(saved, forgotten):
    _, unlearner = saved
    for fitted in (unlearner, forgotten):
        certificate = fitted.certificate()
        first, second = (entry["weights"] for entry in certificate["deletions"])
        assert first["digest"] == second["before"] != second["digest"]
        assert certificate["model"]["weights"]["digest"] == second["digest"]
        assert certificate["model"]["version"] == 2
    assert "LogisticRegression" in first["of"]
    assert saved[1].certificate()["model"]["file"]["name"] == "two.safetensors"


def test_the_digest_is_of_weights_alone(saved, tmp_path):
    """Not of their order in the file, and of each name, dtype, shape and byte."""
    folder, _ = saved
    tensors = load_file(folder / "two.safetensors")
    plain = {k.removeprefix("net."): v for k, v in tensors.items() if k.startswith("net.")}
    changes = {
        "same": dict(reversed(plain.items())),
        "module": {k.removeprefix("module."): v for k, v in plain.items()},
        "renamed": {k.replace("weight", "height"): v for k, v in plain.items()},
        "widened": {k: v.double() for k, v in plain.items()},
        "reshaped": {k: v[None] for k, v in plain.items()},
        "less": dict(list(plain.items())[1:]),
    }
    for name, held in changes.items():
        save_file(held, tmp_path / f"{name}.safetensors")
        found = wrong(folder / "two.json", tmp_path / f"{name}.safetensors")
        assert bool(found) == (name not in ("same", "module")), name


def test_every_dtype_has_the_same_digest_in_memory_and_file(tmp_path):
    from skunlearn._files.digests import digest_of_lines, file_digests, torch_line

    kinds = "float64 float32 float16 bfloat16 int64 int32 int16 int8 uint8 bool complex64"
    kinds += " float8_e4m3fn float8_e5m2"
    tensors = {k: torch.arange(6.0).reshape(2, 3).to(getattr(torch, k)) for k in kinds.split()}
    tensors |= {"scalar": torch.tensor(1.5), "empty": torch.zeros(0, 3)}
    del tensors["complex64"]  # a file may hold it from safetensors 0.5 on
    save_file(tensors, tmp_path / "t.safetensors")
    ours = digest_of_lines([torch_line(name, value) for name, value in tensors.items()])
    assert file_digests(tmp_path / "t.safetensors")["names as in the file"] == ours


@pytest.mark.parametrize("unlearner", all_instances(), ids=lambda u: type(u).__name__)
def test_the_digest_of_every_kind_of_model(unlearner):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(24, 6)).astype(np.float32)
    y = np.arange(24) % 2
    if not hasattr(unlearner.estimator, "classes") and "Ridge" in type(unlearner).__name__:
        y = y * 1.0
    model = unlearner.estimator
    if type(model).__module__.startswith("skorch"):
        return  # `test_weights_before_and_after`
    model = copy.deepcopy(model).fit(X, y)
    digest = model_digest(model)["digest"]
    assert model_digest(pickle.loads(pickle.dumps(model)))["digest"] == digest
    other = copy.deepcopy(model).fit(X[3:], y[3:])
    assert model_digest(other)["digest"] != digest


def test_a_model_that_was_changed_afterwards(iris):
    X, y = iris
    unlearner = RetrainUnlearner(GaussianNB()).fit(X, y).unlearn(indices=[3])
    assert unlearner.certificate()["notes"] == []
    unlearner.estimator_.theta_[0, 0] += 1
    assert "changed since" in unlearner.certificate()["notes"][0]


def test_questions_do_not_change_the_digest_of_a_tree_of_neighbours():
    X = np.random.default_rng(0).normal(size=(300, 3))
    for algorithm in ("kd_tree", "ball_tree"):
        model = KNeighborsRegressor(algorithm=algorithm).fit(X, X[:, 0])
        before = model_digest(model)
        model.predict(X + 0.01)
        assert model_digest(model) == before
        assert model_digest(clone(model).fit(X + 1e-9, X[:, 0])) != before
