"""Margins of finished shadow models on disk, so that a killed run goes on where it was."""

import json
from pathlib import Path

import numpy as np

from skunlearn._files.write_whole import PART, write_whole, written_whole
from skunlearn._rows import row_forms
from skunlearn._rows.containers import match

_NOTE, _INDEX = "task.json", "rows.npy"
_KINDS = "model", "outputs"


class Store:
    """A folder of finished models' margins; None keeps them in memory.

    Parameters
    ----------
    folder : path-like or None
    key : str
        Digest of the task. A folder that holds another task's results is refused.
    rows : TrainingRecord
        All rows that models are trained on. Their digests are kept beside the results, so that
        these can be found when a row is forgotten.
    with_outputs : bool, default=False
        Whether a model is finished only when its outputs are there too.
    """

    def __init__(self, folder, key, rows, with_outputs=False):
        self.folder = None if folder is None else Path(folder)
        self.with_outputs = with_outputs
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
        elif _list_results(self.folder):
            raise ValueError(f"{self.folder} holds results without a task.json; empty it.")
        else:
            # The rows first: no result is ever without them.
            with written_whole(self.folder / _INDEX) as part, open(part, "wb") as file:
                np.save(file, rows.digests)
            form = row_forms.describe(rows.like)
            write_whole(note, json.dumps({"key": key, "row": form}).encode())

    def has(self, i):
        """Whether model `i` is finished."""
        if self.folder is None:
            return i in self._memory
        kinds = _KINDS if self.with_outputs else _KINDS[:1]
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


def list_files(folder):
    """What stores have written to a folder, or half-written when killed; results first."""
    half = folder.glob(f"{PART}*")
    names = [*half, *_list_results(folder), folder / _NOTE, folder / _INDEX]
    return [path for path in names if path.exists()]


def knows(folder, record):
    """Whether the models of a folder were trained on a row that a record has forgotten.

    Or on what a corrected row held before. None where that cannot be told.
    """
    try:
        form = json.loads((folder / _NOTE).read_text())["row"]
        index = np.load(folder / _INDEX, allow_pickle=False)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if record.digests is None or form != row_forms.describe(record.like):
        return None
    if any(map(len, match(index, record.digests_gone))):
        return True
    # Of a row whose label alone was corrected the index does not say which one they know.
    old = record.old_digests
    return None if old is not None and any(map(len, match(index, old))) else False


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


def _list_results(folder):
    return [path for kind in _KINDS for path in folder.glob(f"{kind}-*.npy")]
