"""Margins of finished shadow models on disk, so that a killed run goes on where it was."""

import json
from pathlib import Path

import numpy as np

from skunlearn._files.write_whole import write_whole, written_whole


class Store:
    """A folder of finished models' margins; None keeps them in memory.

    Parameters
    ----------
    folder : path-like or None
    key : str
        Digest of the task. A folder that holds another task's results is refused.
    """

    def __init__(self, folder, key):
        self.folder = None if folder is None else Path(folder)
        self._memory = {}
        if self.folder is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        note = self.folder / "task.json"
        if note.exists():
            found = json.loads(note.read_text())["key"]
            if found != key:
                raise ValueError(
                    f"{self.folder} holds shadow models of another task: other rows, another "
                    "estimator, or another random_state. Name another folder, or empty this one."
                )
        elif any(self.folder.glob("model-*.npy")):
            raise ValueError(f"{self.folder} holds results without a task.json; empty it.")
        else:
            write_whole(note, json.dumps({"key": key}).encode())

    def has(self, i):
        """Whether model `i` is finished."""
        return i in self._memory or (self.folder is not None and self._path(i).exists())

    def put(self, i, margins):
        """Keep the margins of model `i`."""
        if self.folder is None:
            self._memory[i] = margins
        else:
            with written_whole(self._path(i)) as part, open(part, "wb") as file:
                np.save(file, margins)

    def get(self, i):
        """Margins of model `i`."""
        return self._memory[i] if self.folder is None else np.load(self._path(i))

    def _path(self, i):
        return self.folder / f"model-{i:05d}.npy"
