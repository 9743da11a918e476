"""Finished measurements on disk, one JSON object a line, so that a killed run goes on."""

import json
from pathlib import Path


class Records:
    """Measurements by key, in memory and in a file.

    Parameters
    ----------
    folder : path-like or None
        None keeps them in memory.
    name : str
        Of the file, a digest of the task.
    """

    def __init__(self, folder, name):
        self.path = None if folder is None else Path(folder) / f"robustness-{name}.jsonl"
        self.found = {}
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists():
            self._read()

    def _read(self):
        data = self.path.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        if len(whole) < len(data):
            # A kill cut the last line short.
            with open(self.path, "r+b") as file:
                file.truncate(len(whole))
        for number, line in enumerate(whole.splitlines(), 1):
            try:
                record = json.loads(line)
                self.found[record["key"]] = record
            except (ValueError, TypeError, KeyError) as error:
                raise ValueError(
                    f"line {number} of {self.path} is no measurement of ours: delete the file to "
                    "start afresh."
                ) from error

    def __contains__(self, key):
        return key in self.found

    def __getitem__(self, key):
        return self.found[key]

    def put(self, key, record):
        """Keep a measurement, out of this process before this returns."""
        record = {"key": key} | record
        if self.path is not None:
            with open(self.path, "ab") as file:
                file.write(json.dumps(record, allow_nan=False).encode() + b"\n")
        self.found[key] = record
