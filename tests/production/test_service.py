"""The example service: who may do and know what; every answer comes from one whole model."""

import importlib.util
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest

from skunlearn.datasets import load_digits_images
from skunlearn.production import DeletionQueue
from skunlearn.production._store import Store
from tests.interpreters import environment

for name in ("fastapi", "httpx2", "prometheus_client", "uvicorn"):
    pytest.importorskip(name, reason=f"needs {name}: pip install skunlearn[service]")

EXAMPLE = Path(__file__).parents[2] / "examples" / "deletion_service.py"
KEYS = {role: f"the key of those who {role}" for role in ("predict", "delete", "operator")}
PREDICT, DELETE, OPERATOR = ({"Authorization": f"Bearer {key}"} for key in KEYS.values())

# A few digits are hardly remembered to begin with, which the method says.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")


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


def make_client(service, folder, **settings):
    from fastapi.testclient import TestClient

    settings = {"batch_size": 2, "poll": 0.02, "answer_after": 0.0, "keys": KEYS} | settings
    return TestClient(service.create_app(folder, **settings))


def question(n):
    X, _ = load_digits_images(return_X_y=True)
    return X[:n], {"rows": X[:n].reshape(n, -1).tolist()}


def wait_until(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def wait_until_done(queue, request_id):
    wait_until(lambda: queue.status(request_id)["finished"] is not None)
    return queue.status(request_id)


def assert_whole(answers, models, rows):
    """Every answer is that of the whole model of the version that it names."""
    expected = {version: model.predict_proba(rows) for version, model in models.items()}
    for answer in answers:
        found = np.asarray(answer["probabilities"], dtype=np.float32)
        np.testing.assert_array_equal(found, expected[answer["version"]])
    assert not np.allclose(expected[0], expected[max(expected)], atol=1e-4)


def test_answers_come_from_whole_models(service, models, tmp_path):
    few, asked = question(20)
    answers, done = [], threading.Event()
    with make_client(service, tmp_path) as client:

        def ask():
            while not done.is_set():
                answers.append(client.post("/predict", json=asked, headers=PREDICT).json())

        threads = [threading.Thread(target=ask) for _ in range(2)]
        for thread in threads:
            thread.start()
        queue = DeletionQueue(tmp_path, batch_size=2)
        for k in range(12):
            body = {"request_id": f"ticket-{k}", "ids": [f"digit-{k}"]}
            assert client.post("/deletions", json=body, headers=DELETE).status_code == 202
        states = [wait_until_done(queue, f"ticket-{k}")["state"] for k in range(12)]
        assert states == [
            client.get(f"/operator/requests/ticket-{k}", headers=OPERATOR).json()["state"]
            for k in range(12)
        ]
        # Some of the names belong to test rows, which the model has never seen.
        assert set(states) == {"applied", "refused"}
        # Who may not know whether it has seen them does not learn it.
        told = [client.get(f"/deletions/ticket-{k}", headers=DELETE).json() for k in range(12)]
        assert {answer["state"] for answer in told} == {"closed"}
        assert len({tuple(sorted(answer)) for answer in told}) == 1
        assert {answer["reason"] for answer in told} == {None}
        done.set()
        for thread in threads:
            thread.join()
        health = client.get("/operator/health", headers=OPERATOR).json()
        assert (health["stopped"], health["error"]) == (None, None)
        assert health["requests"]["applied"] == states.count("applied")
        assert client.get("/deletions/none", headers=DELETE).status_code == 404
        again = {"request_id": "ticket-0", "ids": ["digit-99"]}
        assert client.post("/deletions", json=again, headers=DELETE).status_code == 409
    assert len({answer["version"] for answer in answers}) > 2
    assert_whole(answers, models, few)


def test_a_receipt_tells_nothing_until_its_time(service, monkeypatch, tmp_path):
    """A request for unknown rows is done at once, one that needs a training later."""
    with make_client(service, tmp_path, answer_after=3600.0) as client:
        queue = DeletionQueue(tmp_path, batch_size=2)
        for k, name in enumerate(("digit-0", "digit-1", "nobody", "nobody else")):
            body = {"request_id": f"{k}", "ids": [name]}
            assert client.post("/deletions", json=body, headers=DELETE).status_code == 202
        for k in range(4):
            wait_until_done(queue, f"{k}")
        told = [client.get(f"/deletions/{k}", headers=DELETE).json() for k in range(4)]
        assert {answer["state"] for answer in told} == {"received"}
        status = queue.status("2")
    earlier = (datetime.now(UTC) - timedelta(seconds=3601)).isoformat()
    assert service.receipt(status | {"received": earlier}, 3600.0).state == "closed"
    failed = status | {"state": "delayed", "finished": None, "received": earlier}
    assert service.receipt(failed, 3600.0).state == "received"  # only known rows can fail


@pytest.mark.parametrize(
    "method, path, allowed",
    [
        ("POST", "/predict", {"predict", "operator"}),
        ("POST", "/deletions", {"delete", "operator"}),
        ("GET", "/deletions/x", {"delete", "operator"}),
        ("GET", "/operator/health", {"operator"}),
        ("GET", "/operator/requests", {"operator"}),
        ("GET", "/operator/requests/x", {"operator"}),
        ("POST", "/operator/requests/x/refuse", {"operator"}),
        ("POST", "/operator/release", {"operator"}),
        ("GET", "/metrics", {"operator"}),
    ],
)
def test_keys(service, tmp_path, method, path, allowed):
    from fastapi.testclient import TestClient

    client = TestClient(service.create_app(tmp_path, keys=KEYS), raise_server_exceptions=False)
    for headers in ({}, {"Authorization": "Basic eDp5"}, {"Authorization": "Bearer"}):
        assert client.request(method, path, headers=headers, json={}).status_code == 401
    for key in ("x", "the key of those who predict it", "clé"):
        sent = {"Authorization": f"Bearer {key}".encode()}
        assert client.request(method, path, headers=sent, json={}).status_code in (401, 403)
    for role, key in KEYS.items():
        sent = {"Authorization": f"Bearer {key}"}
        code = client.request(method, path, headers=sent, json={}).status_code
        assert (code == 403) == (role not in allowed), role


def test_no_key_is_without_protection(service, monkeypatch, tmp_path):
    for keys in (
        {},
        {**KEYS, "delete": "short"},
        {**KEYS, "delete": KEYS["predict"]},
        {**KEYS, "more": "the key of somebody else"},
    ):
        with pytest.raises(ValueError, match=r"keys"):
            service.create_app(tmp_path, keys=keys)
    monkeypatch.setenv("SKUNLEARN_QUEUE", str(tmp_path))
    for role, key in KEYS.items():
        with pytest.raises(SystemExit, match="without a key"):
            service.app_of_the_environment()
        monkeypatch.setenv(f"SKUNLEARN_{role.upper()}_KEY", key)
    assert service.app_of_the_environment().title == "skunlearn deletion service"
    monkeypatch.setenv("SKUNLEARN_BATCH_SIZE", "ten")
    with pytest.raises(SystemExit, match="SKUNLEARN_BATCH_SIZE must be a whole number, got 'ten'"):
        service.app_of_the_environment()


def test_bodies_are_bounded(service, tmp_path):
    with make_client(service, tmp_path) as client:
        row = [0.0] * 64
        for body in (
            {"rows": [[1.0, 2.0]]},
            {"rows": []},
            {"rows": [row] * 501},
            {"rows": [[*row[1:], "x"]]},
            {},
        ):
            assert client.post("/predict", json=body, headers=PREDICT).status_code == 422
        for text in ('{"rows": [[' + "NaN," * 63 + "NaN]]}", "{", "[" * 100_000):
            sent = PREDICT | {"Content-Type": "application/json"}
            assert client.post("/predict", content=text, headers=sent).status_code in (400, 422)
        for body in (
            {"request_id": "", "ids": ["digit-99"]},
            {"request_id": "a", "ids": []},
            {"request_id": "a", "ids": ["x"] * 1001},
            {"request_id": "a", "ids": ["x" * 201]},
            {"request_id": "a\0", "ids": ["x"]},
        ):
            assert client.post("/deletions", json=body, headers=DELETE).status_code == 422
        twice = {"request_id": "a", "ids": ["x", "x"]}
        assert client.post("/deletions", json=twice, headers=DELETE).status_code == 409
        large = b" " * 1_000_001
        assert client.post("/predict", content=large, headers=PREDICT).status_code == 413
        pieces = (b" " * 100_000 for _ in range(11))  # of a length that nobody has announced
        assert client.post("/predict", content=pieces, headers=PREDICT).status_code == 413
        assert client.get("/operator/requests", headers=OPERATOR).json() == []


@pytest.mark.parametrize("name", [pytest.param("a", marks=pytest.mark.long), "2026/11 ü?#%/refuse"])
def test_an_operator_decides(service, tmp_path, name):
    with make_client(service, tmp_path, batch_size=10) as client:
        body = {"request_id": name, "ids": ["digit-0"]}
        received = client.post("/deletions", json=body, headers=DELETE).json()
        assert received["state"] == "received"
        path = f"/operator/requests/{quote(name, safe='')}"

        def decide(verb, **body):
            return client.post(f"{path}/{verb}", json=body or None, headers=OPERATOR)

        later = "2031-01-01T00:00:00+00:00"
        found = decide("delay", reason="a dispute", deadline=later).json()
        assert (found["state"], found["reason"]) == ("delayed", "a dispute")
        assert found["deadline"].startswith("2031-01-01")
        listed = client.get("/operator/requests?state=delayed", headers=OPERATOR).json()
        assert [(s["request_id"], s["what"]) for s in listed] == [(name, "deletion")]
        assert client.get(path, headers=OPERATOR).json()["request_id"] == name
        assert decide("retry").json()["state"] == "pending"
        assert decide("retry").status_code == 409
        assert decide("refuse").status_code == 422
        assert decide("forget", reason="x").status_code == 422
        assert decide("refuse", reason="withdrawn").json()["state"] == "refused"
        assert decide("refuse", reason="withdrawn").status_code == 409
        told = client.get(f"/deletions/{quote(name, safe='')}", headers=DELETE).json()
        assert (told["state"], told["reason"]) == ("refused", "withdrawn")
        assert client.post("/operator/requests/none/retry", headers=OPERATOR).status_code == 404
        told = client.post("/operator/release", headers=OPERATOR)
        assert (told.status_code, "No batch is stopped" in told.text) == (409, True)


def test_a_worker_in_trouble_is_seen(service, monkeypatch, tmp_path):
    with make_client(service, tmp_path, poll=0.01) as client:
        monkeypatch.setattr(service.DeletionWorker, "run_once", full_disk)

        def error():
            return client.get("/operator/health", headers=OPERATOR).json()["error"]

        wait_until(lambda: error() is not None)
        assert all("No space left" in error() for _ in range(20))  # also while it tries again
        assert client.get("/health").json() == {"status": "ok"}
        metrics = client.get("/metrics", headers=OPERATOR).text
        assert "skunlearn_worker_in_trouble 1.0" in metrics
        asked = question(2)[1]
        assert client.post("/predict", json=asked, headers=PREDICT).status_code == 200
        monkeypatch.setattr(service.DeletionQueue, "submit", full_disk)
        body = {"request_id": "a", "ids": ["digit-0"]}
        answer = client.post("/deletions", json=body, headers=DELETE)
        assert answer.status_code == 503
        assert "Retry-After" in answer.headers


def full_disk(self, *args, **kwargs):
    raise OSError(28, "No space left on device")


def test_metrics(service, tmp_path):
    with make_client(service, tmp_path, batch_size=10) as client:
        client.post("/predict", json=question(2)[1], headers=PREDICT)
        client.get("/deletions/secret-name", headers=DELETE)
        client.get("/nowhere/secret-name")
        body = {"request_id": "a", "ids": ["digit-0"]}
        client.post("/deletions", json=body, headers=DELETE)
        text = client.get("/metrics", headers=OPERATOR).text
    assert 'skunlearn_http_answers_total{path="/predict",status="200"} 1.0' in text
    assert 'skunlearn_http_seconds_count{path="/predict"} 1.0' in text
    assert 'skunlearn_requests{state="pending"} 1.0' in text
    assert "skunlearn_version 0.0" in text
    assert "secret-name" not in text


def test_the_interface_is_described(service, tmp_path):
    described = service.create_app(tmp_path, keys=KEYS).openapi()
    schemas = described["components"]["schemas"]
    assert {"Question", "Answer", "Deletion", "Receipt", "Status", "OperatorHealth"} <= set(schemas)
    assert schemas["Question"]["properties"]["rows"]["maxItems"] == 500
    for path, methods in described["paths"].items():
        for method in methods.values():
            content = method["responses"][min(method["responses"])]["content"]
            assert path == "/metrics" or content["application/json"]["schema"]
            assert path == "/health" or method["security"]


# ---------------------------------------------------------------------- on loopback


@pytest.fixture
def served(service, tmp_path):
    """A server on a port of its own, and its process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = environment() | {
        **{f"SKUNLEARN_{role.upper()}_KEY": key for role, key in KEYS.items()},
        "SKUNLEARN_QUEUE": str(tmp_path / "queue"),
        "SKUNLEARN_BATCH_SIZE": "3",
        "SKUNLEARN_MAX_AGE": "1",
    }
    command = [sys.executable, "-m", "uvicorn", "--app-dir", str(EXAMPLE.parent), "--factory"]
    command += ["deletion_service:app_of_the_environment", "--port", str(port)]
    log = open(tmp_path / "log", "w")  # noqa: SIM115
    process = subprocess.Popen([*command, "--log-level", "warning"], env=env, stderr=log)
    try:
        yield f"http://127.0.0.1:{port}", process, tmp_path
    finally:
        process.kill()
        process.wait()
        log.close()


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGTERM")
def test_load_while_deletions_apply_and_a_graceful_stop(served):
    """Four clients ask without a break; no answer fails, and each is that of a whole model.

    Within a version every answer to the same question is the same.
    """
    import httpx2

    url, process, folder = served
    client = httpx2.Client(base_url=url, timeout=60)

    def is_up():
        assert process.poll() is None, (folder / "log").read_text()
        try:
            return client.get("/health").status_code == 200
        except httpx2.TransportError:
            return False

    wait_until(is_up)
    _, asked = question(5)
    answers, seconds, done = [], [], threading.Event()

    def ask():
        with httpx2.Client(base_url=url, headers=PREDICT, timeout=60) as own:
            while not done.is_set():
                began = time.perf_counter()
                answer = own.post("/predict", json=asked)
                seconds.append(time.perf_counter() - began)
                answers.append((answer.status_code, answer.json()))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for k in range(12):
        body = {"request_id": f"ticket-{k}", "ids": [f"digit-{k}"]}
        assert client.post("/deletions", json=body, headers=DELETE).status_code == 202

    def counts():
        return client.get("/operator/health", headers=OPERATOR).json()["requests"]

    wait_until(lambda: counts()["applied"] + counts()["refused"] == 12)
    done.set()
    for thread in threads:
        thread.join()
    assert {code for code, _ in answers} == {200}
    by_version = {}
    for _, answer in answers:
        by_version.setdefault(answer["version"], set()).add(json.dumps(answer["probabilities"]))
    assert len(by_version) >= 3
    assert {len(found) for found in by_version.values()} == {1}
    assert len(set.union(*by_version.values())) == len(by_version)
    assert np.quantile(seconds, 0.99) < 30  # the benchmark says how long it is
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) in (0, -signal.SIGTERM)
    queue = DeletionQueue(folder / "queue")
    assert queue.due() is False  # no batch was left in the middle
    client.close()
