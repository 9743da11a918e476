"""
Predictions over HTTP while deletions are applied
=================================================

A service that answers predictions and takes deletion requests, to start from. Requests are on disk
before they are acknowledged; a thread applies them in batches; every answer comes from one whole
model, and says from which version. Kill it at any moment and start it again: it goes on where it
was. Asked to stop (SIGTERM), it finishes the batch that it is at, if that takes no longer than
``SKUNLEARN_STOP_WITHIN`` seconds.

.. code-block:: console

   pip install "skunlearn[service]"
   export SKUNLEARN_QUEUE=queue
   export SKUNLEARN_PREDICT_KEY=$(openssl rand -hex 32)    # who asks the model
   export SKUNLEARN_DELETE_KEY=$(openssl rand -hex 32)     # who takes requests from people
   export SKUNLEARN_OPERATOR_KEY=$(openssl rand -hex 32)   # who runs it: may do and know everything
   uvicorn --app-dir examples --factory deletion_service:app_of_the_environment \
       --limit-concurrency 100 --timeout-keep-alive 5
   curl localhost:8000/health
   curl -X POST localhost:8000/deletions -H "Content-Type: application/json" \
       -H "Authorization: Bearer $SKUNLEARN_DELETE_KEY" \
       -d '{"request_id": "ticket-1", "ids": ["digit-17"]}'
   curl localhost:8000/operator/requests/ticket-1 -H "Authorization: Bearer $SKUNLEARN_OPERATOR_KEY"

Whether an id was in the training set is for operators to know. To the holder of the other keys a
request for an id that nobody has ever heard of looks like any other: it is received, and it is
closed once it is done and ``SKUNLEARN_ANSWER_AFTER`` seconds have passed, so that the time tells
nothing either. Who holds the keys for deletions *and* predictions may see the model change after a
request of his own: give the two to different parties, and let requests wait for others
(``SKUNLEARN_MIN_BATCH``). TLS is for the server in front.
"""

# sphinx_gallery_thumbnail_path = "_static/generated/deletion_service.png"

import hashlib
import hmac
import os
import sqlite3
import threading
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

import numpy as np
from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from pydantic import AwareDatetime, BaseModel, Field, FiniteFloat
from sklearn.model_selection import train_test_split

from skunlearn import FineTuneUnlearner
from skunlearn.datasets import load_digits_images
from skunlearn.exceptions import QueueStoppedError
from skunlearn.nets import digits_classifier
from skunlearn.production import DeletionQueue, DeletionWorker

MOST_BYTES = 1_000_000  # of a body
MOST_ROWS = 500  # of a question
MOST_IDS = 1000  # of a request

Name = Annotated[str, Field(min_length=1, max_length=200)]
Row = Annotated[list[FiniteFloat], Field(min_length=64, max_length=64)]


class Question(BaseModel):
    """Images of 64 pixels between 0 and 1, row by row."""

    rows: Annotated[list[Row], Field(min_length=1, max_length=MOST_ROWS)]


class Answer(BaseModel):
    """Probabilities of the ten digits for each row, from one version of the model."""

    version: int
    probabilities: list[list[float]]


class Deletion(BaseModel):
    """A request, under an id of the sender's choice that says nothing about a person."""

    request_id: Name
    ids: Annotated[list[Name], Field(min_length=1, max_length=MOST_IDS)]


class Receipt(BaseModel):
    """What somebody who may not know who was in the training set learns of a request."""

    request_id: str
    state: Literal["received", "closed", "refused"]
    received: datetime
    answer_by: datetime
    reason: str | None = Field(default=None, description="Of a refusal by a person")


class Status(BaseModel):
    """Everything about a request."""

    request_id: str
    what: Literal["deletion", "correction"]
    kind: str
    state: Literal["pending", "running", "applied", "refused", "delayed"]
    received: datetime
    deadline: datetime
    finished: datetime | None
    batch: int | None
    tries: int
    reason: str | None
    next: str
    digests: list[str]


class Decision(BaseModel):
    """Why a request is refused or delayed, in words for the person."""

    reason: Annotated[str, Field(min_length=1, max_length=2000)]
    deadline: AwareDatetime | None = Field(default=None, description="A new one, of a delay")


class Health(BaseModel):
    """Whether questions are answered."""

    status: Literal["ok", "stopping"]


class OperatorHealth(Health):
    """How the worker is doing."""

    version: int
    stopped: dict | None
    error: str | None
    requests: dict[str, int]


def make_worker(folder, **settings):
    """A net on the digits, each of them under the name of its owner."""
    X, y = load_digits_images(return_X_y=True)
    ids = np.array([f"digit-{i}" for i in range(len(X))])
    X, X_test, y, y_test, ids, _ = train_test_split(X, y, ids, test_size=0.4, random_state=0)
    unlearner = FineTuneUnlearner(digits_classifier(max_epochs=15), max_epochs=2, random_state=0)
    queue = DeletionQueue(folder, **settings)
    worker = DeletionWorker(queue, unlearner, X_test, y_test, max_accuracy_drop=0.05)
    return worker.start(X, y, ids=ids.tolist())


class Metrics:
    """What Prometheus is told; who may know is for the key to say."""

    def __init__(self, app):
        self.app, self.registry = app, CollectorRegistry()
        self.seconds = Histogram(
            "skunlearn_http_seconds", "Time of answers", ["path"], registry=self.registry
        )
        self.answers = Counter(
            "skunlearn_http_answers", "Answers", ["path", "status"], registry=self.registry
        )
        self.registry.register(self)

    def collect(self):
        """Figures of the queue, as they are when they are asked for."""
        if not hasattr(self.app.state, "worker"):
            return
        worker = self.app.state.worker
        states = GaugeMetricFamily("skunlearn_requests", "Deletion requests", labels=["state"])
        for state, count in worker.queue.counts().items():
            states.add_metric([state], count)
        yield states
        yield GaugeMetricFamily("skunlearn_version", "Version served", value=worker.version)
        trouble = self.app.state.error is not None or worker.queue.stopped() is not None
        yield GaugeMetricFamily("skunlearn_worker_in_trouble", "0 or 1", value=int(trouble))


def create_app(folder, *, keys, answer_after=86400.0, poll=0.5, stop_within=30.0, **settings):
    """The application.

    Parameters
    ----------
    folder : str or path-like
        Of the queue and its models.
    keys : dict of str to str
        The API keys of "predict", "delete" and "operator", of 16 characters at least.
    answer_after : float
        Seconds before which no request is said to be closed.
    poll : float
        Seconds between two looks at the queue.
    stop_within : float
        Seconds for the batch at work, when the service is asked to stop.
    **settings
        Of the `DeletionQueue`.
    """
    allow = permissions(keys)

    @asynccontextmanager
    async def life(app):
        app.state.worker, app.state.stopping = make_worker(folder, **settings), False
        stop = threading.Event()
        thread = threading.Thread(target=work, args=(app.state.worker, stop), daemon=True)
        thread.start()
        yield
        app.state.stopping = True
        stop.set()
        thread.join(stop_within)  # a batch that is cut off is taken up by the next start

    def work(worker, stop):
        while not stop.is_set():
            try:
                done = worker.run_once()
                app.state.error = None
                if done is None:
                    stop.wait(poll)
            except QueueStoppedError:
                app.state.error = None
                stop.wait(poll)  # until somebody has looked, and called queue.release()
            except Exception as error:  # a full disk, say: predictions go on, and health tells
                app.state.error = f"{type(error).__name__}: {error}"
                stop.wait(10 * poll)

    app = FastAPI(title="skunlearn deletion service", lifespan=life, max_body_size=MOST_BYTES)
    app.state.error, app.state.stopping = None, False
    metrics = Metrics(app)

    @app.middleware("http")
    async def measured(request: Request, call_next):
        began = time.perf_counter()
        response = await call_next(request)
        path = getattr(request.scope.get("route"), "path", "none")  # never what was sent
        metrics.seconds.labels(path).observe(time.perf_counter() - began)
        metrics.answers.labels(path, response.status_code).inc()
        return response

    @app.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError):
        # Without what was sent: it may be no JSON (NaN), and ids have no place in logs.
        found = [{key: part[key] for key in ("type", "loc", "msg")} for part in error.errors()]
        return JSONResponse({"detail": found}, 422)

    @app.exception_handler(OSError)
    @app.exception_handler(sqlite3.OperationalError)
    def unavailable(request: Request, error: Exception):
        return Response("The record cannot be written now.", 503, {"Retry-After": "30"})

    @app.get("/health")
    def health() -> Health:
        return Health(status="stopping" if app.state.stopping else "ok")

    @app.post("/predict", dependencies=allow["predict"])
    def predict(question: Question) -> Answer:
        model, version = app.state.worker.present
        X = np.asarray(question.rows, dtype=np.float32).reshape(-1, 1, 8, 8)
        return Answer(version=version, probabilities=model.predict_proba(X).tolist())

    @app.post("/deletions", status_code=202, dependencies=allow["delete"])
    def submit(deletion: Deletion) -> Receipt:
        try:
            status = app.state.worker.queue.submit(deletion.request_id, ids=deletion.ids)
        except TypeError as error:
            raise HTTPException(422, str(error)) from error
        except ValueError as error:  # an id twice, or a request_id that stands for another request
            raise HTTPException(409, str(error)) from error
        return receipt(status, answer_after)

    @app.get("/deletions/{request_id:path}", dependencies=allow["delete"])
    def ask(request_id: str) -> Receipt:
        return receipt(known(request_id), answer_after)

    @app.get("/operator/health", dependencies=allow["operator"])
    def operator_health() -> OperatorHealth:
        worker = app.state.worker
        return OperatorHealth(
            status=health().status,
            version=worker.version,
            stopped=worker.queue.stopped(),
            error=app.state.error,
            requests=worker.queue.counts(),
        )

    @app.get("/operator/requests", dependencies=allow["operator"])
    def requests(state: str | None = None) -> list[Status]:
        return [s for s in app.state.worker.queue.log() if state in (None, s["state"])]

    @app.get("/operator/requests/{request_id:path}", dependencies=allow["operator"])
    def status(request_id: str) -> Status:
        return known(request_id)

    @app.post("/operator/requests/{request_id:path}/{verb}", dependencies=allow["operator"])
    def decide(
        request_id: str,
        verb: Literal["refuse", "delay", "retry"],
        decision: Decision | None = None,
    ) -> Status:
        queue, _ = app.state.worker.queue, known(request_id)
        if verb != "retry" and decision is None:
            raise HTTPException(422, "A reason is needed.")
        try:
            if verb == "retry":
                queue.retry(request_id)
            elif verb == "refuse":
                queue.refuse(request_id, decision.reason)
            else:
                queue.delay(request_id, decision.reason, deadline=decision.deadline)
        except (TypeError, ValueError) as error:
            raise HTTPException(409, str(error)) from error
        return known(request_id)

    @app.post("/operator/release", dependencies=allow["operator"])
    def release(retrain: bool = False) -> OperatorHealth:
        try:
            app.state.worker.queue.release(retrain=retrain)
        except ValueError as error:
            raise HTTPException(409, str(error)) from error
        return operator_health()

    @app.get("/metrics", dependencies=allow["operator"])
    def tell_metrics() -> Response:
        return Response(generate_latest(metrics.registry), media_type="text/plain; version=0.0.4")

    def known(request_id):
        try:
            return app.state.worker.queue.status(request_id)
        except KeyError as error:
            raise HTTPException(404, "There is no such request.") from error

    return app


def receipt(status, answer_after):
    """The part of a status that does not tell whether rows were known."""
    received = datetime.fromisoformat(status["received"])
    state, reason = "received", None
    if status["state"] == "refused" and status["batch"] is None:
        state, reason = "refused", status["reason"]  # by a person; the worker's look like applied
    elif status["finished"] and datetime.now(UTC) >= received + timedelta(seconds=answer_after):
        state = "closed"
    return Receipt(
        request_id=status["request_id"],
        state=state,
        received=received,
        answer_by=status["deadline"],
        reason=reason,
    )


def permissions(keys):
    """What a route depends on, by the role that may use it; operators may use every one."""
    if set(keys) != {"predict", "delete", "operator"} or len(set(keys.values())) < 3:
        raise ValueError("Three different keys are needed: predict, delete and operator.")
    if min(map(len, keys.values())) < 16:
        raise ValueError("API keys need 16 characters at least, which nobody can guess.")
    bearer = HTTPBearer(auto_error=False)
    digests = {role: _digest(key) for role, key in keys.items()}

    def of(role):
        def check(given: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]):
            if given is None:
                raise HTTPException(401, "A key is needed.", {"WWW-Authenticate": "Bearer"})
            sent = _digest(given.credentials)
            allowed = [hmac.compare_digest(sent, digests[r]) for r in (role, "operator")]
            if not any(allowed):
                raise HTTPException(403, "This key is not for that.")

        return [Depends(check)]

    return {role: of(role) for role in keys}


def _digest(key):
    return hashlib.sha256(key.encode()).digest()


def app_of_the_environment():
    """The application that the environment describes."""
    names = {role: f"SKUNLEARN_{role.upper()}_KEY" for role in ("predict", "delete", "operator")}
    missing = [name for name in names.values() if not os.environ.get(name)]
    if missing:
        raise SystemExit(f"Set {', '.join(missing)}: nobody may do anything without a key.")
    numbers = {
        name: _number(f"SKUNLEARN_{name.upper()}", kind)
        for name, kind in {
            "answer_after": float,
            "stop_within": float,
            "max_age": float,
            "batch_size": int,
            "min_batch": int,
        }.items()
        if os.environ.get(f"SKUNLEARN_{name.upper()}")
    }
    return create_app(
        os.environ.get("SKUNLEARN_QUEUE", "skunlearn-queue"),
        keys={role: os.environ[name] for role, name in names.items()},
        **({"max_age": 60.0, "batch_size": 10} | numbers),
    )


def _number(name, kind):
    try:
        return kind(os.environ[name])
    except ValueError:
        what = "a whole number" if kind is int else "a number of seconds"
        raise SystemExit(f"{name} must be {what}, got {os.environ[name]!r}.") from None
