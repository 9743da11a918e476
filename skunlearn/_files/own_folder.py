"""A folder of an estimator's own, which follows its copies."""

import os
import shutil
import tempfile
import weakref

_HELD = weakref.WeakSet()  # folders that something in this process refers to
_GIVEN_UP = set()  # paths of those that go with the last of them


class Folder:
    """A new folder for safetensors files; under `parent`, or temporary when that is None.

    A temporary one goes when nobody refers to it. A pickle of it, when loaded, makes another with
    links to the same files, so that each copy of an estimator has its own to delete.
    """

    def __init__(self, parent=None, prefix="skunlearn-"):
        self.temporary, self.prefix = parent is None, prefix
        if not self.temporary:
            os.makedirs(parent, exist_ok=True)
        self.path = tempfile.mkdtemp(prefix=prefix, dir=parent)
        self._watch()

    def _watch(self):
        _HELD.add(self)
        if self.temporary:
            weakref.finalize(self, _remove, self.path, os.getpid())
        else:  # each copy may be the last that holds it, whichever gave it up
            weakref.finalize(self, _remove_given_up, self.path, os.getpid()).atexit = False

    def files(self):
        """Names of the files in it; none where it is gone."""
        found = os.listdir(self.path) if os.path.isdir(self.path) else []
        return [name for name in found if name.endswith(".safetensors")]

    def lacks(self, kept):
        """Whether some of the files `kept` are gone: a copy of the estimator has gone on in it."""
        return not set(kept) - {None} <= set(self.files())

    def fork(self, kept):
        """This folder; or where a copy has gone on in it, a new one with what is left of `kept`.

        What is in this one is the copy's then. It is given up by the next `sweep` of the new one.
        """
        if not self.lacks(kept):
            return self
        new = Folder(None if self.temporary else os.path.dirname(self.path), self.prefix)
        new._link(self.path, set(kept) & set(self.files()))
        new.left = self
        return new

    def describe(self, what, kept):
        """An entry of a certificate, of the files `kept`, which are all that should be there."""
        where = "a temporary folder" if self.temporary else os.path.basename(self.path)
        found = set(self.files())
        left = len(found - set(kept))
        if left:
            state, detail = "still there", f"{left} files that saw forgotten rows"
        elif found:
            state = "retrained"
            detail = f"{len(found)} files; those that saw forgotten rows were deleted or replaced"
        else:
            state, detail = "deleted", "no file is left"
        return {"what": f"{what} in {where}", "state": state, "detail": detail}

    def sweep(self, kept):
        """Delete all files but those `kept`; names of those that cannot be deleted."""
        if "left" in vars(self):
            vars(self).pop("left").give_up()
        left = []
        for name in sorted(set(self.files()) - set(kept)):
            try:
                os.unlink(os.path.join(self.path, name))
            except FileNotFoundError:  # another process was faster
                continue
            except OSError:  # no right to delete, say
                left.append(name)
        return left

    def remove(self):
        """Delete the folder and what is in it."""
        shutil.rmtree(self.path, ignore_errors=True)

    def give_up(self):
        """Delete it as soon as no copy of the estimator that wrote it holds it; its path."""
        if not self.temporary:  # those go by themselves
            _GIVEN_UP.add(self.path)
        return self.path

    def __getstate__(self):
        return vars(self)

    def __setstate__(self, state):
        vars(self).update(state)
        if not self.temporary:
            self._watch()
        elif os.path.isdir(self.path):
            Folder.__init__(self, prefix=self.prefix)
            self._link(state["path"], os.listdir(state["path"]))

    def _link(self, folder, names):
        """Have files of another folder in this one too."""
        for name in names:
            source, target = (os.path.join(path, name) for path in (folder, self.path))
            try:
                os.link(source, target)
            except OSError:  # no links on this file system
                shutil.copyfile(source, target)


def _remove(path, pid):
    if os.getpid() == pid:  # a forked child must not delete its parent's
        shutil.rmtree(path, ignore_errors=True)


def _remove_given_up(path, pid):
    if path in _GIVEN_UP and not any(folder.path == path for folder in list(_HELD)):
        _GIVEN_UP.discard(path)
        _remove(path, pid)
