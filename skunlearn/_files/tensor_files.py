"""Files of arrays and JSON that are complete or absent, and whose reading runs no code."""

import json

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, safe_open, save_file

from skunlearn._files.digests import digest_of_lines, torch_line
from skunlearn._files.write_whole import written_whole

_FORMAT = 1


def write(path, tensors, state):
    """Write tensors by name and a `state` of JSON's types; beside `path` first, then renamed."""
    text = json.dumps(state)
    with written_whole(path) as part:
        save_file(tensors, part, metadata={"skunlearn": text, "content": _digest(tensors, text)})


def read(path):
    """What `write` was given; ValueError where a file holds anything else."""
    try:
        with safe_open(path, framework="pt") as file:
            about = file.metadata() or {}
    except SafetensorError as error:
        raise ValueError(f"{path} is not a safetensors file: {error}") from error
    tensors, text = load_file(path), about.get("skunlearn", "{}")
    if about.get("content") not in (None, _digest(tensors, text)):  # 0.2.0 wrote none
        raise ValueError(
            f"{path} is not the file that was written: its checksum differs, so that some of it "
            "has changed on its way or on the disk. Restore it from a backup."
        )
    return tensors, json.loads(text)


def _digest(tensors, text):
    """Of all that a file holds."""
    return digest_of_lines([text, *(torch_line(name, held) for name, held in tensors.items())])


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


# ------------------------------------------------------------------ values made of arrays


def is_json(value):
    """Whether JSON gives a value back as it was."""
    try:
        return json.loads(json.dumps(value)) == value
    except (TypeError, ValueError):
        return False


def take_apart(value, name):
    """The form of a value in JSON's types, and its tensors by name; None where it has none.

    Parameters
    ----------
    value : tensor, array of numbers, list, tuple or dict of such, of text or numbers
    name : str
        With which the names of the tensors begin.
    """
    if isinstance(value, torch.Tensor):  # copied, as no file takes two that share memory
        return "torch", {name: value.detach().cpu().contiguous().clone()}
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return "numpy", {name: torch.from_numpy(np.ascontiguousarray(value).copy())}
    if value is None or isinstance(value, bool | int | float | str):
        return ["plain", value], {}
    kind = next((kind for kind in (list, tuple, dict) if isinstance(value, kind)), None)
    if kind is None:
        return None
    keys = list(value) if kind is dict else []
    apart = [
        take_apart(part, f"{name}.{i}")
        for i, part in enumerate(value.values() if kind is dict else value)
    ]
    if None in apart or not all(isinstance(key, int | float | str) for key in keys):
        return None
    tensors = {key: tensor for _, found in apart for key, tensor in found.items()}
    return [kind.__name__, [form for form, _ in apart], keys], tensors


def put_together(form, name, tensors):
    """The value that `take_apart` took apart."""
    if isinstance(form, str):
        return tensors[name].numpy() if form == "numpy" else tensors[name]
    kind, parts, *keys = form
    if kind == "plain":
        return parts
    values = [put_together(part, f"{name}.{i}", tensors) for i, part in enumerate(parts)]
    if kind == "dict":
        return dict(zip(*keys, values))
    return tuple(values) if kind == "tuple" else values
