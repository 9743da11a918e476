"""Folders of shadow models after a deletion: what knows the rows goes."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from skunlearn import RetrainUnlearner, UnlearningPipeline
from skunlearn.exceptions import AlreadyForgottenError
from skunlearn.shadow import ShadowModels
from skunlearn.verify import verify


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 3))
    return X, (X[:, 0] > 0).astype(int)


def tree():
    return DecisionTreeClassifier(max_depth=2, random_state=0)


def shadows(folder, *rows):
    return ShadowModels(tree(), n_models=4, folder=folder, random_state=0).fit(*rows)


def test_a_deletion_purges_the_folder(rows, tmp_path):
    kept = shadows(tmp_path / "attack", *rows)
    unlearner = RetrainUnlearner(tree()).fit(*rows)
    assert kept.purge(unlearner) == []
    unlearner.unlearn(indices=[3])
    margins = kept.margins_.copy()
    # Without a fit, as whoever tidies up later has it.
    found = ShadowModels(tree(), folder=tmp_path / "attack").purge(unlearner)
    assert [(item["what"], item["state"]) for item in found] == [
        ("shadow models in attack", "deleted")
    ]
    assert list((tmp_path / "attack").iterdir()) == []
    assert np.array_equal(kept.margins_, margins)
    certificate = unlearner.record(derived=found).certificate()
    assert certificate["derived"][-1]["what"] == "shadow models in attack"
    assert certificate["derived"][-1]["state"] == "deleted"
    assert all(finding.ok for finding in verify(certificate))
    # The folder is free for the next attack, on the rows that are left.
    left = np.delete(rows[0], 3, axis=0), np.delete(rows[1], 3)
    shadows(tmp_path / "attack", *left)
    assert kept.purge(unlearner) == []
    assert len(list((tmp_path / "attack").glob("model-*.npy"))) == 4


def test_pipelines_know_rows_as_they_come(rows, tmp_path):
    kept = shadows(tmp_path, *rows)
    steps = [("scale", StandardScaler()), ("model", RetrainUnlearner(tree()))]
    pipeline = UnlearningPipeline(steps).fit(*rows).unlearn(rows[0][[5]])
    with pytest.raises(AlreadyForgottenError):
        pipeline.unlearn(rows[0][[5]])
    assert [item["state"] for item in kept.purge(pipeline)] == ["deleted"]


def test_what_cannot_be_told_is_left_alone(rows, tmp_path):
    X, y = rows
    kept = shadows(tmp_path, X, y)
    for other in (
        RetrainUnlearner(tree()).fit(X.astype(np.float32), y).unlearn(indices=[3]),
        RetrainUnlearner(tree()).fit(X[:, :2], y).unlearn(indices=[3]),
    ):
        assert [item["state"] for item in kept.purge(other)] == ["unknown"]
    unlearner = RetrainUnlearner(tree()).fit(X, y).unlearn(indices=[3])
    (tmp_path / "rows.npy").unlink()
    (found,) = kept.purge(unlearner)
    assert found["state"] == "unknown"
    assert len(list(tmp_path.glob("model-*.npy"))) == 4
    with pytest.raises(ValueError, match="in memory only"):
        ShadowModels(tree()).purge(unlearner)


def test_files_that_cannot_be_deleted(rows, tmp_path, monkeypatch):
    kept = shadows(tmp_path, *rows)
    unlearner = RetrainUnlearner(tree()).fit(*rows).unlearn(indices=[3])
    plain = Path.unlink

    def refuse(path, missing_ok=False):
        if path.name.endswith("00002.npy"):
            raise PermissionError(path)
        plain(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    (found,) = kept.purge(unlearner)
    assert found["state"] == "still there"
    assert found["detail"].startswith("3 of 6 files")
    # The index is still there: the next try finds what is left.
    monkeypatch.undo()
    assert [item["state"] for item in kept.purge(unlearner)] == ["deleted"]
    assert list(tmp_path.iterdir()) == []


def test_a_correction_purges_what_knows_the_old_values(rows, tmp_path):
    X, y = rows
    kept = shadows(tmp_path, X, y)
    unlearner = UnlearningPipeline([("model", RetrainUnlearner(tree()))]).fit(X, y)
    unlearner.correct(indices=[3], X_new=X[[3]] + 1)
    assert [item["state"] for item in kept.purge(unlearner)] == ["deleted"]
    # Models of the corrected rows know nothing of the old ones.
    X = X.copy()
    X[3] += 1
    assert shadows(tmp_path, X, y).purge(unlearner) == []


def test_which_label_they_know_cannot_be_told(rows, tmp_path):
    X, y = rows
    kept = shadows(tmp_path, X, y)
    unlearner = UnlearningPipeline([("model", RetrainUnlearner(tree()))]).fit(X, y)
    unlearner.correct(indices=[3], y_new=[1 - y[3]])
    assert [item["state"] for item in kept.purge(unlearner)] == ["unknown"]
    assert kept.purge(unlearner.unlearn(indices=[3]))[0]["state"] == "deleted"


def test_what_a_killed_run_has_half_written_goes_too(rows, tmp_path):
    kept = shadows(tmp_path, *rows)
    (tmp_path / ".skunlearn-half").write_bytes(b"margins")
    unlearner = RetrainUnlearner(tree()).fit(*rows).unlearn(indices=[3])
    assert [item["state"] for item in kept.purge(unlearner)] == ["deleted"]
    assert list(tmp_path.iterdir()) == []
