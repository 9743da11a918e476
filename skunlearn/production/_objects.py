"""Where the files of a queue's models lie: a folder, or any store that fsspec knows.

A store has four verbs. Names are written once and never again with another content, and nobody
reads a name that the record of the queue does not hold; so that a reader sees a whole file or none,
whatever the store does with one that is half-written.
"""

import contextlib
import os

from skunlearn._files.write_whole import write_whole


class FolderObjects:
    """Files in a folder of this machine's."""

    def __init__(self, folder):
        self.folder = os.path.abspath(folder)

    def where(self, name):
        """A file's place, in words."""
        return os.path.join(self.folder, *name.split("/"))

    def write(self, name, data, guard=None):
        """Write a file; it is on disk when this returns, and appears within `guard`."""
        path = self.where(name)
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        write_whole(path, data, guard)

    def read(self, name):
        """The bytes of a file; FileNotFoundError when there is none."""
        with open(self.where(name), "rb") as file:
            return file.read()

    def names(self, folder):
        """Names of the files in a folder of the store; "" is the store itself."""
        try:
            return [f"{folder}/{name}".lstrip("/") for name in os.listdir(self.where(folder))]
        except FileNotFoundError:
            return []

    def delete(self, name):
        """Delete a file."""
        os.unlink(self.where(name))


class RemoteObjects:
    """Files in a store of fsspec's: s3://bucket/prefix, gs://..., memory://..."""

    def __init__(self, url, options):
        import fsspec

        self._fs, self._root = fsspec.url_to_fs(url, **options)
        self._url = url.rstrip("/")

    def where(self, name):
        """A file's place, in words."""
        return f"{self._url}/{name}"

    def _path(self, name):
        return f"{self._root.rstrip('/')}/{name}"

    def write(self, name, data, guard=None):
        """Write a file; the store has it when this returns. Nobody else writes that name."""
        path = self._path(name)
        with guard or contextlib.nullcontext():
            pass
        self._fs.makedirs(path.rpartition("/")[0], exist_ok=True)
        self._fs.pipe_file(path, data)

    def read(self, name):
        """The bytes of a file; FileNotFoundError when there is none."""
        return self._fs.cat_file(self._path(name))

    def names(self, folder):
        """Names of the files in a folder of the store; "" is the store itself."""
        self._fs.invalidate_cache()  # other machines write there
        try:
            found = self._fs.ls(self._path(folder), detail=False)
        except FileNotFoundError:
            return []
        return [f"{folder}/{path.rpartition('/')[2]}".lstrip("/") for path in found]

    def delete(self, name):
        """Delete a file."""
        self._fs.rm_file(self._path(name))


def open_objects(place, options=None):
    """The store at a path or URL."""
    place = os.fspath(place)
    if place.startswith("file://"):
        place = place[len("file://") :]
    if "://" in place or "::" in place:
        return RemoteObjects(place, options or {})
    if options:
        raise ValueError(f"store_options are for stores of fsspec's, not for the folder {place}.")
    return FolderObjects(place)
