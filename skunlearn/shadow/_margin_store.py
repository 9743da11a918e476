"""Margins of finished shadow models on disk, so that a killed run goes on where it was."""

import json
from pathlib import Path

import numpy as np

from skunlearn._files.write_whole import write_whole, written_whole
from skunlearn._rows import row_forms
from skunlearn._rows.containers import match

_NOTE, _INDEX = "task.json", "rows.npy"


class Store:
    """A folder of finished models' margins; None keeps them in memory.

    Parameters
    ----------
    folder : path-like or None
    key : str
        Digest of the task. A folder that holds another task's results is refused.
    rows : TrainingRecord, default=None
        All rows that models are trained on. Their digests are kept beside the results, so that
        these can be found when a row is forgotten.
    """

    def __init__(self, folder, key, rows=None):
        self.folder = None if folder is None else Path(folder)
        self._memory = {}
        if self.folder is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        note = self.folder / _NOTE
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
            # The rows first: no result is ever without them.
            with written_whole(self.folder / _INDEX) as part, open(part, "wb") as file:
                np.save(file, rows.digests)
            form = row_forms.describe(rows.row_like())
            write_whole(note, json.dumps({"key": key, "row": form}).encode())

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


def list_files(folder):
    """What stores have written to a folder; results first."""
    names = [*folder.glob("model-*.npy"), folder / _NOTE, folder / _INDEX]
    return [path for path in names if path.exists()]


def knows(folder, record):
    """Whether the models of a folder were trained on a row that a record has forgotten.

    None where that cannot be told.
    """
    try:
        form = json.loads((folder / _NOTE).read_text())["row"]
        index = np.load(folder / _INDEX, allow_pickle=False)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if record.digests is None or form != row_forms.describe(record.row_like()):
        return None
    return any(map(len, match(index, record.digests[~record.retained])))


def delete(paths):
    """Delete files; those after the results go with the last of these. Return what is left."""
    left = []
    for path in paths:
        if left and path.name in (_NOTE, _INDEX):  # by which the others are found again
            left.append(path)
            continue
        try:
            path.unlink(missing_ok=True)
        except OSError:
            left.append(path)
    return left
