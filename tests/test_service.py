"""The example service: every answer comes from one whole model."""

import importlib.util
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from skunlearn.datasets import load_digits_images
from skunlearn.production import DeletionQueue
from skunlearn.production._store import Store

pytest.importorskip("fastapi", reason="needs fastapi: pip install skunlearn[service]")
pytest.importorskip("httpx2", reason="needs httpx2: pip install skunlearn[service]")

EXAMPLE = Path(__file__).parents[1] / "examples" / "deletion_service.py"


@pytest.fixture(scope="module")
def service():
    spec = importlib.util.spec_from_file_location("deletion_service", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def models(monkeypatch):
    """Every model that a worker has taken, by version."""
    found, take = {}, Store.take

    def watched(self, model, number, origin, n):
        found[number] = model
        take(self, model, number, origin, n)

    monkeypatch.setattr(Store, "take", watched)
    return found


def wait_until_done(queue, request_id):
    end = time.monotonic() + 120
    while (found := queue.status(request_id))["finished"] is None:
        assert time.monotonic() < end, found
        time.sleep(0.02)
    return found


# A few digits are hardly remembered to begin with, which the method says.
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
def test_answers_come_from_whole_models(service, models, tmp_path):
    from fastapi.testclient import TestClient

    X, _ = load_digits_images(return_X_y=True)
    few = X[:20]
    asked = {"rows": few.reshape(20, -1).tolist()}
    answers, done = [], threading.Event()
    with TestClient(service.create_app(tmp_path, batch_size=2, poll=0.05)) as client:

        def ask():
            while not done.is_set():
                answers.append(client.post("/predict", json=asked).json())

        threads = [threading.Thread(target=ask) for _ in range(2)]
        for thread in threads:
            thread.start()
        queue = DeletionQueue(tmp_path, batch_size=2)
        for k in range(12):
            body = {"request_id": f"ticket-{k}", "ids": [f"digit-{k}"]}
            assert client.post("/deletions", json=body).status_code == 202
        states = [wait_until_done(queue, f"ticket-{k}")["state"] for k in range(12)]
        assert states == [client.get(f"/deletions/ticket-{k}").json()["state"] for k in range(12)]
        # Some of the names belong to test rows, which the model has never seen.
        assert set(states) == {"applied", "refused"}
        done.set()
        for thread in threads:
            thread.join()
        health = client.get("/health").json()
        assert (health["stopped"], health["error"]) == (None, None)
        assert client.get("/deletions/none").status_code == 404
        again = {"request_id": "ticket-0", "ids": ["digit-99"]}
        assert client.post("/deletions", json=again).status_code == 409
        nameless = {"request_id": "", "ids": ["digit-99"]}
        assert client.post("/deletions", json=nameless).status_code == 422
        assert client.post("/predict", json={"rows": [[1.0, 2.0]]}).status_code == 422
    assert len({answer["version"] for answer in answers}) > 2
    expected = {version: model.predict_proba(few) for version, model in models.items()}
    for answer in answers:
        found = np.asarray(answer["probabilities"], dtype=np.float32)
        np.testing.assert_array_equal(found, expected[answer["version"]])
    assert not np.allclose(expected[0], expected[max(expected)], atol=1e-4)


def test_a_worker_in_trouble_is_seen(service, monkeypatch, tmp_path):
    from fastapi.testclient import TestClient

    with TestClient(service.create_app(tmp_path, poll=0.01)) as client:
        monkeypatch.setattr(service.DeletionWorker, "run_once", full_disk)
        end = time.monotonic() + 60
        while client.get("/health").json()["error"] is None:
            assert time.monotonic() < end
        assert "No space left" in client.get("/health").json()["error"]
        X, _ = load_digits_images(return_X_y=True)
        asked = {"rows": X[:2].reshape(2, -1).tolist()}
        assert client.post("/predict", json=asked).status_code == 200


def full_disk(self, **kwargs):
    raise OSError(28, "No space left on device")
