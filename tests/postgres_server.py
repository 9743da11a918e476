"""A PostgreSQL server of the tests' own, where one is installed."""

import contextlib
import glob
import importlib.util
import os
import shutil
import subprocess
import tempfile


def reason_against():
    """Why no server can be started here, or None."""
    for name in ("sqlalchemy", "psycopg"):
        if importlib.util.find_spec(name) is None:
            return f"needs {name}: pip install skunlearn[postgresql]"
    if _program("initdb") is None:
        return "needs a PostgreSQL server (Debian: apt-get install postgresql)"
    if _user() == "":
        return "PostgreSQL does not run as root, and there is no user postgres"
    return None


@contextlib.contextmanager
def server():
    """The URL of a server that listens in a folder of its own, and nowhere else."""
    user = _user()
    folder = tempfile.mkdtemp(prefix="skunlearn-pg-")
    try:
        if user is not None:
            shutil.chown(folder, user)
        data = os.path.join(folder, "data")
        run = {"user": user, "check": True, "cwd": folder, "stdin": subprocess.DEVNULL}
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.STDOUT}
        command = [_program("initdb"), "-D", data, "-U", "tests", "-A", "trust", "-N", "-E", "UTF8"]
        subprocess.run([*command, "--locale=C"], **run, **quiet)
        options = f"-k {folder} -c listen_addresses= -c fsync=off"
        log = os.path.join(folder, "log")
        start = [_program("pg_ctl"), "-D", data, "-l", log, "-w", "-o", options, "start"]
        subprocess.run(start, **run, **quiet)
        try:
            yield f"postgresql+psycopg://tests@/postgres?host={folder}"
        finally:
            stop = [_program("pg_ctl"), "-D", data, "-m", "immediate", "-w", "stop"]
            subprocess.run(stop, **run, **quiet)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _program(name):
    """Path of a program of PostgreSQL's; Debian keeps them out of the path."""
    found = [shutil.which(name), *sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"))]
    found = [path for path in found if path]
    return found[-1] if found else None


def _user():
    """The user that must run the server; None for this one, "" when there is none."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return None
    import pwd

    try:
        return pwd.getpwnam("postgres").pw_name
    except KeyError:
        return ""
