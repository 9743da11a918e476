"""Deletion requests in production: a queue on disk, a worker that applies it, model versions."""

from skunlearn.production.queue import DeletionQueue
from skunlearn.production.worker import DeletionWorker

__all__ = ["DeletionQueue", "DeletionWorker"]
