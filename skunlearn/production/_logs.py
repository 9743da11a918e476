"""Versions of models that a training gives again: the retained rows, and the log of requests."""

import json

import numpy as np
import torch
from safetensors.torch import save

from skunlearn._files import tensor_files
from skunlearn._unlearning.certificate.content import form_of_row
from skunlearn._unlearning.certificate.model_digests import model_digest


def pack(unlearner, retained):
    """The bytes of a version; `retained` is a mask of the rows of the first start.

    Of the rows that are left it holds digests too, so that an auditor finds no other.
    """
    final = getattr(unlearner, "_final_estimator", unlearner)
    record, log = unlearner._record, unlearner.deletions_
    digest = log[-1]["weights"]["digest"] if log else model_digest(final.estimator_)["digest"]
    state = {
        **tensor_files.header("retained rows"),
        "weights": digest,
        "row": form_of_row(record),
        "deletions": log,
        "records": final._records,
        "key": final._key.hex(),
    }
    tables = {"retained": retained, "record.retained": np.ones(record.retained.sum(), dtype=bool)}
    for name, table in (("digests", record.digests), ("ids", record.ids)):
        if table is not None and state["row"] is not None:
            tables[f"record.{name}"] = table[record.retained]
    tensors = {k: torch.from_numpy(np.array(table)) for k, table in tables.items()}
    return save(tensors, metadata={"skunlearn": json.dumps(state)})


def read_state(data):
    """What stands beside the tensors in the bytes of a version."""
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return json.loads(header.get("__metadata__", {}).get("skunlearn", "{}"))


def go_on(unlearner, data):
    """Give a model that was trained again the log of its version; whether it is that in the log."""
    state, final = read_state(data), getattr(unlearner, "_final_estimator", unlearner)
    final._change(
        deletions=state["deletions"], records=state["records"], key=bytes.fromhex(state["key"])
    )
    return model_digest(final.estimator_)["digest"] == state["weights"]
