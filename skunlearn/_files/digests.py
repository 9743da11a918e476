"""Digests that anybody can take again: of JSON, of chains of entries, and of weights.

JSON is written in one form only, and every entry of a chain names the one before.

Of every tensor the SHA-256 of its bytes, the lowest first in every number, is written in a line
with its name, dtype (as safetensors names it) and shape; the digest is the SHA-256 of the sorted
lines. It is the same from memory and from a safetensors file. Neither order nor alignment nor other
metadata has a say.
"""

import hashlib
import json
import os

import numpy as np

START = "0" * 64  # what the first entry of a chain names
_CHUNK = 2**22
_LARGEST_HEADER = 10**8  # as the safetensors library has it


# ------------------------------------------------------------------ JSON


def canonical(value):
    """The bytes of a value of JSON's types: sorted keys, no spaces, no NaN."""
    plain = json.loads(json.dumps(value, allow_nan=False))
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def json_digest(value):
    """SHA-256 of the canonical form."""
    return hashlib.sha256(canonical(value)).hexdigest()


def link(entries):
    """What the next entry of a chain holds as ``"previous"``."""
    return json_digest(entries[-1]) if entries else START


def chain_entry(entries, entry):
    """`entries` with one more, which names the last."""
    return [*entries, {**entry, "previous": link(entries)}]


def find_broken_link(entries):
    """The first entry that does not name the one before it, by its position; None when all do."""
    for position, entry in enumerate(entries):
        if entry.get("previous") != link(entries[:position]):
            return position
    return None


# ------------------------------------------------------------------ weights


def tensor_line(name, dtype, shape, data):
    """The line of a tensor whose bytes are `data`, a buffer or an iterable of buffers."""
    whole = hashlib.sha256()
    for chunk in [data] if isinstance(data, bytes | memoryview) else data:
        whole.update(chunk)
    return json.dumps([name, dtype, list(shape), whole.hexdigest()])


def array_line(name, array):
    """The line of a numpy array of numbers or text."""
    array = np.asarray(array)
    array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).reshape(array.shape)
    return tensor_line(name, _name_of(array.dtype.name), array.shape, array.tobytes())


def torch_line(name, tensor):
    """The line of a torch tensor."""
    import torch

    tensor = tensor.detach().cpu()
    tensor = tensor.to_dense() if tensor.layout is not torch.strided else tensor
    if tensor.is_quantized:
        tensor = tensor.int_repr()
    data = tensor.resolve_conj().contiguous().reshape(-1).view(torch.uint8).numpy()
    dtype = _name_of(str(tensor.dtype).removeprefix("torch."))
    return tensor_line(name, dtype, tensor.shape, memoryview(data))


def digest_of_lines(lines):
    """The digest of all tensors."""
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def read_header(path):
    """The header of a safetensors file, and where its data begin. Nothing is executed.

    Raises ValueError where the file is no whole safetensors file.
    """
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        total = os.fstat(file.fileno()).st_size
        try:
            if not 0 < size <= min(_LARGEST_HEADER, total - 8):
                raise ValueError("its header has no possible length")
            header = json.loads(file.read(size))
            tensors = {key: value for key, value in header.items() if key != "__metadata__"}
            ends = [int(value["data_offsets"][1]) for value in tensors.values()]
            if max(ends, default=0) != total - 8 - size:
                raise ValueError("it is longer or shorter than its header says")
        except (ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
            raise ValueError(f"{path} is not a whole safetensors file: {error}.") from error
    return header, 8 + size


def file_digests(path):
    """Digests of a file's weights under the names that a certificate may know them by.

    Returns
    -------
    digests : dict of str to str
        By how the names were read: those of ``save`` without the prefix "net." alone; else as they
        are, and as those of a skorch net's module.
    """
    header, start = read_header(path)
    tensors = {key: value for key, value in header.items() if key != "__metadata__"}
    for prefix in ("net.", "last.net."):  # the latter of pipelines
        ours = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        if "skunlearn" in header.get("__metadata__", {}) and ours:
            return {"as saved": _digest(path, start, ours)}
    return {
        "names as in the file": _digest(path, start, tensors),
        "names of a module": _digest(path, start, {f"module.{k}": v for k, v in tensors.items()}),
    }


def _digest(path, start, tensors):
    with open(path, "rb") as file:
        lines = [
            tensor_line(name, value["dtype"], value["shape"], _chunks(file, start, value))
            for name, value in tensors.items()
        ]
    return digest_of_lines(lines)


def _chunks(file, start, described):
    begin, end = described["data_offsets"]
    file.seek(start + begin)
    left = end - begin
    while left > 0:
        data = file.read(min(_CHUNK, left))
        if not data:
            return
        left -= len(data)
        yield data


_NAMES = {"bool": "BOOL", "bfloat16": "BF16", "complex64": "C64"}


def _name_of(dtype):
    """A dtype as safetensors names it."""
    if dtype in _NAMES:
        return _NAMES[dtype]
    if dtype.startswith("float8_"):
        return "F8_" + dtype.removeprefix("float8_").removesuffix("fn").upper()
    for long, short in (("uint", "U"), ("int", "I"), ("float", "F")):
        if dtype.startswith(long) and dtype.removeprefix(long).isdigit():
            return short + dtype.removeprefix(long)
    return dtype
