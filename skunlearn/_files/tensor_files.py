"""Files of arrays and JSON that are complete or absent, and whose reading runs no code."""

import json

from safetensors import SafetensorError
from safetensors.torch import load_file, safe_open, save_file

from skunlearn._files.write_whole import written_whole

_FORMAT = 1


def write(path, tensors, state):
    """Write tensors by name and a `state` of JSON's types; beside `path` first, then renamed."""
    with written_whole(path) as part:
        save_file(tensors, part, metadata={"skunlearn": json.dumps(state)})


def read(path):
    """What `write` was given."""
    try:
        with safe_open(path, framework="pt") as file:
            state = json.loads((file.metadata() or {}).get("skunlearn", "{}"))
    except SafetensorError as error:
        raise ValueError(f"{path} is not a safetensors file: {error}") from error
    return load_file(path), state


def header(method):
    """The first entries of a state: by which class and in which form it was written."""
    return {"format": _FORMAT, "method": method}


def check_header(state, method, path):
    """Raise ValueError where a state is not of this class and form."""
    if state.get("format") != _FORMAT or state.get("method") != method:
        raise ValueError(
            f"{path} was not written by {method}.save "
            f"(method {state.get('method')}, format {state.get('format')})."
        )


def part(tensors, prefix):
    """The tensors whose names begin with `prefix`, without it."""
    return {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)}
