"""
Predictions over HTTP while deletions are applied
=================================================

A service that answers predictions and takes deletion requests. Requests are on disk before they are
acknowledged; a thread applies them in batches; every answer comes from one whole model, and says
from which version. Kill it at any moment and start it again: it goes on where it was.

.. code-block:: console

   pip install "skunlearn[service]"
   SKUNLEARN_QUEUE=queue uvicorn --app-dir examples deletion_service:app
   curl localhost:8000/health
   curl -X POST localhost:8000/deletions -H "Content-Type: application/json" \
       -d '{"request_id": "ticket-1", "ids": ["digit-17"]}'
   curl localhost:8000/deletions/ticket-1

Who may ask for what, and over which connection, is for the server in front of it to decide.
"""

import os
import threading
from contextlib import asynccontextmanager

import numpy as np
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel
from sklearn.model_selection import train_test_split

from skunlearn import FineTuneUnlearner
from skunlearn.datasets import load_digits_images
from skunlearn.exceptions import QueueStoppedError
from skunlearn.nets import digits_classifier
from skunlearn.production import DeletionQueue, DeletionWorker


class Rows(BaseModel):
    """Images of 64 pixels between 0 and 1, row by row."""

    rows: list[list[float]]


class Deletion(BaseModel):
    """A request, under an id of the sender's choice."""

    request_id: str
    ids: list[str]


def make_worker(folder, batch_size, max_age):
    """A net on the digits, each of them under the name of its owner."""
    X, y = load_digits_images(return_X_y=True)
    ids = np.array([f"digit-{i}" for i in range(len(X))])
    X, X_test, y, y_test, ids, _ = train_test_split(X, y, ids, test_size=0.4, random_state=0)
    unlearner = FineTuneUnlearner(digits_classifier(max_epochs=15), max_epochs=2, random_state=0)
    queue = DeletionQueue(folder, batch_size=batch_size, max_age=max_age)
    worker = DeletionWorker(queue, unlearner, X_test, y_test, max_accuracy_drop=0.05)
    return worker.start(X, y, ids=ids.tolist())


def create_app(folder, *, batch_size=10, max_age=60.0, poll=0.5):
    """The application; its queue and its models are in `folder`."""

    @asynccontextmanager
    async def life(app):
        app.state.worker = make_worker(folder, batch_size, max_age)
        stop = threading.Event()
        thread = threading.Thread(target=work, args=(app.state.worker, stop))
        thread.start()
        yield
        stop.set()
        thread.join()

    def work(worker, stop):
        while not stop.is_set():
            try:
                app.state.error = None
                worker.run(stop, poll=poll)
            except QueueStoppedError:
                stop.wait(poll)  # until somebody has looked, and called queue.release()
            except Exception as error:  # a full disk, say: predictions go on, and health tells
                app.state.error = f"{type(error).__name__}: {error}"
                stop.wait(10 * poll)

    app = FastAPI(title="skunlearn deletion service", lifespan=life)

    @app.post("/predict")
    def predict(given: Rows):
        model, version = app.state.worker.present
        try:
            X = np.asarray(given.rows, dtype=np.float32).reshape(-1, 1, 8, 8)
        except ValueError as error:
            raise HTTPException(422, "rows must be lists of 64 numbers") from error
        return {"version": version, "probabilities": model.predict_proba(X).tolist()}

    @app.post("/deletions", status_code=202)
    def submit(request: Deletion):
        try:
            return app.state.worker.queue.submit(request.request_id, ids=request.ids)
        except TypeError as error:
            raise HTTPException(422, str(error)) from error
        except ValueError as error:  # the id stands for another request already, for one
            raise HTTPException(409, str(error)) from error

    @app.get("/deletions/{request_id}")
    def status(request_id: str):
        try:
            return app.state.worker.queue.status(request_id)
        except KeyError as error:
            raise HTTPException(404, str(error)) from error

    @app.get("/health")
    def health():
        worker = app.state.worker
        return {
            "version": worker.version,
            "stopped": worker.queue.stopped(),
            "error": app.state.error,
        }

    return app


app = create_app(os.environ.get("SKUNLEARN_QUEUE", "skunlearn-queue"))
