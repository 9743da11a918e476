"""Where encoded images come from: class-named folders, on disk or inside a tar archive.

Both kinds list their images as ``(class name, file name)`` and hand out the encoded bytes. An
archive is only ever streamed: nothing is extracted, so that no member path can write anywhere.
"""

import hashlib
import os
import tarfile
from pathlib import Path, PurePosixPath

__all__ = ["ImageArchive", "ImageFolders", "open_source"]

SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})


def open_source(path, subset=None):
    """The images below `path`, a folder or a tar archive, in its folder `subset`."""
    path = Path(path).expanduser()
    parts = _subset_parts(subset)
    if path.is_dir():
        return ImageFolders(path, parts)
    if not path.is_file():
        raise FileNotFoundError(f"no such folder or archive: {path}")
    if not tarfile.is_tarfile(path):
        raise ValueError(
            f"{path} is neither a folder nor a tar archive that Python can read; "
            "give a folder <class>/<image> or a tar (plain, .gz, .bz2, .xz) of it"
        )
    return ImageArchive(path, parts)


def _subset_parts(subset):
    parts = PurePosixPath(subset or "").parts
    if ".." in parts or (parts and parts[0] == "/"):
        raise ValueError(f"subset must be a relative path below the source, got {subset!r}")
    return parts


def _is_image(name):
    # Names with a leading dot are left-overs of operating systems, such as macOS's ._0001.jpg.
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in SUFFIXES


class ImageFolders:
    """Images of the layout ``root/<subset>/<class>/<image>`` on disk."""

    def __init__(self, path, parts):
        self.path = path
        self.root = path.joinpath(*parts)
        if not self.root.is_dir():
            raise FileNotFoundError(f"no folder {'/'.join(parts)!r} in {path}")

    def fingerprint(self):
        """Digest of every image's name, size and modification time.

        A folder's own modification time says nothing about a file two levels below it.
        """
        digest = hashlib.sha256()
        for name, file in self._entries():
            stat = file.stat()
            digest.update(f"{name}/{file.name}\0{stat.st_size}\0{stat.st_mtime_ns}\0".encode())
        return digest.hexdigest()

    def __iter__(self):
        for name, file in self._entries():
            with open(file.path, "rb") as stream:
                yield name, file.name, stream.read()

    def describe(self):
        """What lies there instead, for an error message."""
        return sorted(entry.name for entry in os.scandir(self.root))

    def _entries(self):
        for folder in sorted(os.scandir(self.root), key=lambda entry: entry.name):
            if not folder.is_dir() or folder.name.startswith("."):
                continue
            for file in sorted(os.scandir(folder.path), key=lambda entry: entry.name):
                if _is_image(file.name) and file.is_file():
                    yield folder.name, file


class ImageArchive:
    """Images of the layout ``<subset>/<class>/<image>`` inside a tar archive."""

    def __init__(self, path, parts):
        self.path = path
        self.parts = parts

    def fingerprint(self):
        """Digest of the archive's size and modification time."""
        stat = self.path.stat()
        return hashlib.sha256(f"{stat.st_size}\0{stat.st_mtime_ns}".encode()).hexdigest()

    def __iter__(self):
        # "r|*" reads forwards only: a compressed archive would start over at every step back.
        with tarfile.open(self.path, "r|*") as archive:
            for member in archive:
                place = self._place(member)
                if place is not None:
                    yield *place, archive.extractfile(member).read()

    def describe(self):
        """What lies there instead, for an error message."""
        with tarfile.open(self.path, "r|*") as archive:
            names = {"/".join(PurePosixPath(m.name).parts[:-1]) for m in archive if m.isfile()}
        return sorted(names)

    def _place(self, member):
        """(class, file name) of a member inside the layout, else None."""
        parts = PurePosixPath(member.name).parts  # a leading "./" is gone
        depth = len(self.parts)
        if (
            not member.isfile()
            or len(parts) != depth + 2
            or parts[:depth] != self.parts
            or ".." in parts
            or parts[0] == "/"
            or parts[depth].startswith(".")
            or not _is_image(parts[-1])
        ):
            return None
        return parts[depth], parts[-1]
