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
    with_outputs : bool, default=False
        Whether a model is finished only when its outputs are there too.
    """

    def __init__(self, folder, key, with_outputs=False):
        self.folder = None if folder is None else Path(folder)
        self.with_outputs = with_outputs
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
        if self.folder is None:
            return i in self._memory
        kinds = ("outputs", "model") if self.with_outputs else ("model",)
        return all(self._path(i, kind).exists() for kind in kinds)

    def put(self, i, margins, outputs=None):
        """Keep the margins of model `i`, and its outputs if given."""
        if self.folder is None:
            self._memory[i] = margins, outputs
            return
        if outputs is not None:
            self._write(i, outputs, "outputs")
        self._write(i, margins, "model")

    def get(self, i):
        """Margins of model `i`."""
        return self._memory[i][0] if self.folder is None else np.load(self._path(i, "model"))

    def get_outputs(self, i):
        """Outputs of model `i`, if kept."""
        return self._memory[i][1] if self.folder is None else np.load(self._path(i, "outputs"))

    def _write(self, i, values, kind):
        with written_whole(self._path(i, kind)) as part, open(part, "wb") as file:
            np.save(file, values)

    def _path(self, i, kind):
        return self.folder / f"{kind}-{i:05d}.npy"
