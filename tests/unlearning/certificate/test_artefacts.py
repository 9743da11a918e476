"""Folders of a method's own in the certificate, and digests of what lies in parameters."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import StandardScaler

from skunlearn import AmnesiacUnlearner, ShardedUnlearner
from skunlearn._unlearning.certificate.model_digests import model_digest
from tests.unlearning.certificate.documents import plain_net


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 4)).astype(np.float32)
    return X, (X[:, 0] > 0).astype(np.int64)


def artefacts(unlearner):
    return [d for d in unlearner.certificate()["derived"] if "folder" in d["what"]]


@pytest.mark.filterwarnings("ignore::skunlearn.exceptions.NotForgottenWarning")  # a row of few
@pytest.mark.parametrize("cls", [ShardedUnlearner, AmnesiacUnlearner])
def test_files_that_saw_forgotten_rows_are_accounted_for(cls, rows):
    own = {"n_shards": 2, "n_slices": 2} if cls is ShardedUnlearner else {}
    unlearner = cls(plain_net(batch_size=4), random_state=0, **own).fit(*rows)
    assert artefacts(unlearner) == []  # nothing was asked to be forgotten
    folder = unlearner._folder if cls is ShardedUnlearner else unlearner._updates.folder
    old = {name: Path(folder.path, name).read_bytes() for name in folder.files()}
    unlearner.unlearn(indices=[3])
    (found,) = artefacts(unlearner)
    assert found["state"] in ("retrained", "deleted")
    assert found["by"] == "skunlearn"
    # A copy that somebody has put back is seen.
    gone = next(name for name in old if name not in folder.files())
    Path(folder.path, gone).write_bytes(old[gone])
    (found,) = artefacts(unlearner)
    assert found["state"] == "still there"
    assert found["detail"].startswith("1 files")


@pytest.mark.parametrize(
    "model",
    [
        make_pipeline(StandardScaler(), LogisticRegression()),
        FeatureUnion([("scale", StandardScaler())]),
        make_pipeline(FeatureUnion([("scale", StandardScaler())]), LogisticRegression()),
    ],
    ids=["pipeline", "union", "both"],
)
def test_digests_see_what_is_kept_in_parameters(model, rows):
    X, y = rows
    before = model_digest(model.fit(X, y))["digest"]
    assert model_digest(model.fit(X, y))["digest"] == before
    frozen = model_digest(FrozenEstimator(model))["digest"]
    model.fit(X + 1e-3 * X**2, y)
    assert model_digest(model)["digest"] != before
    assert model_digest(FrozenEstimator(model))["digest"] != frozen
