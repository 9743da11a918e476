"""Check a certificate, and the model that it is about, without running anything of either.

``python -m skunlearn.verify certificate.json model.safetensors [--rows rows.npz] [--key key.pem]``
says what it has checked, line by line, and exits with 0 when all of it is right and 1 otherwise.
Certificates are JSON, models safetensors or skops, rows arrays of numpy: nothing is unpickled.
"""

import argparse
import json
import sys
from dataclasses import dataclass

import numpy as np
from safetensors import safe_open

from skunlearn._files.digests import (
    canonical,
    file_digests,
    find_broken_link,
    json_digest,
    read_header,
)
from skunlearn._files.write_whole import checksum
from skunlearn._rows import row_forms
from skunlearn._rows.containers import align, match, name_digests, row_digests
from skunlearn._unlearning.certificate import skops_files
from skunlearn._unlearning.certificate.document import Certificate, seal
from skunlearn._unlearning.certificate.exclusion import assert_excluded
from skunlearn._unlearning.certificate.schemas import find_problems, schema

__all__ = ["Certificate", "Finding", "assert_excluded", "schema", "verify"]

_CHAINS = ("deletions", "verification", "utility")


@dataclass(frozen=True)
class Finding:
    """One thing that `verify` has looked at.

    Attributes
    ----------
    what : str
        The part that was looked at.
    ok : bool
        Whether it is as it should be.
    text : str
        What was found, in words.
    """

    what: str
    ok: bool
    text: str

    def __str__(self):
        return f"{'ok' if self.ok else 'WRONG'}: {self.what}: {self.text}"


def verify(certificate, models=(), *, rows=None, public_key=None):
    """Check a certificate against itself, files of models, rows and a public key.

    Parameters
    ----------
    certificate : Certificate, str or path-like
        A certificate or the path of one.
    models : path-like or sequence of them, default=()
        Files that ``save`` or a `DeletionQueue` has written, of the version that the certificate
        is about or of later ones; or safetensors files of the net's module alone.
    rows : path-like or dict of str to array, default=None
        A file of ``numpy.savez``: rows as ``fit`` was given them under "X", identifiers under
        "ids", or both. They must be in no model's record of retained rows.
    public_key : bytes, default=None
        Of a PEM file: the certificate must be signed by its owner. What is not signed, its author
        can write anew as a whole; then only a copy that was kept elsewhere, or the log in a
        model's file, tells.

    Returns
    -------
    findings : list of Finding
        All of them ``ok`` when nothing is wrong.

    Raises
    ------
    TypeError, ImportError
        When the public key is of another kind, or cryptography is missing.

    Examples
    --------
    >>> import json
    >>> import numpy as np
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from skunlearn import RetrainUnlearner
    >>> from skunlearn.verify import Certificate, verify
    >>> X, y = np.arange(12.0).reshape(6, 2), np.array([0, 1, 0, 1, 0, 1])
    >>> unlearner = RetrainUnlearner(GaussianNB()).fit(X, y).unlearn(indices=[2])
    >>> certificate = unlearner.certificate()
    >>> all(finding.ok for finding in verify(certificate))
    True
    >>> changed = certificate.to_dict()
    >>> changed["deletions"][0]["rows"] = 100
    >>> wrong = [f for f in verify(Certificate(json.dumps(changed))) if not f.ok]
    >>> wrong[0].what
    'section deletions'
    """
    try:
        if not isinstance(certificate, Certificate):
            certificate = Certificate.read(certificate)
    except (OSError, ValueError) as error:
        return [Finding("certificate", False, str(error))]
    content = certificate.to_dict()
    findings = _form(content)
    if not all(finding.ok for finding in findings):
        return findings
    findings += [
        *_check_sections(content),
        *_check_chains(content),
        *_check_signature(content, public_key),
    ]
    models = [models] if isinstance(models, str) or hasattr(models, "__fspath__") else models
    for path in models:
        try:
            findings += _check_model(content, path)
        except (OSError, ValueError, ImportError) as error:
            findings.append(Finding(f"model {path}", False, str(error)))
    if rows is not None:
        try:
            findings += _check_rows(rows, models)
        except (OSError, ValueError, TypeError) as error:
            findings.append(Finding("rows", False, str(error)))
    return findings


def main(arguments=None):
    """The command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m skunlearn.verify", description=__doc__)
    parser.add_argument("certificate")
    parser.add_argument("models", nargs="*", metavar="model", help="a .safetensors or .skops file")
    parser.add_argument("--rows", help="an .npz file with X, ids or both")
    parser.add_argument("--key", help="a PEM file with the public key of who signed")
    given = parser.parse_args(arguments)
    key = None
    try:
        if given.key is not None:
            with open(given.key, "rb") as file:
                key = file.read()
        found = verify(given.certificate, given.models, rows=given.rows, public_key=key)
    except (OSError, TypeError, ValueError, ImportError) as error:
        found = [Finding("key", False, str(error))]
    for finding in found:
        print(finding)
    return 0 if all(finding.ok for finding in found) else 1


# ---------------------------------------------------------------------- the document


def _form(content):
    version = content.get("schema_version", 0)
    if version == 0:
        return [
            Finding(
                "certificate",
                False,
                "it was written by a version that put no digests into certificates, so that "
                "nothing can be checked. Issue it anew from the unlearner.",
            )
        ]
    wrong = find_problems(content)
    if wrong:
        return [Finding("certificate", False, text) for text in wrong]
    return [Finding("certificate", True, f"schema version {version}")]


def _check_sections(content):
    said, now = content["integrity"], seal(content)
    names = dict.fromkeys([*said["sections"], *now["sections"]])
    findings = []
    for name in names:
        if name not in now["sections"]:
            findings.append(Finding(f"section {name}", False, "it was removed"))
        elif name not in said["sections"]:
            findings.append(Finding(f"section {name}", False, "it was added"))
        elif said["sections"][name] != now["sections"][name]:
            findings.append(Finding(f"section {name}", False, "it was changed"))
    if said["document"] != json_digest(said["sections"]):
        findings.append(Finding("sections", False, "the list of their digests was changed"))
    if not findings:
        findings.append(Finding("sections", True, f"{len(names)} are as they were issued"))
    return findings


def _check_chains(content):
    findings, said = [], content["integrity"]
    for name in _CHAINS:
        entries = content[name]
        broken = find_broken_link(entries)
        if broken is not None:
            where = f"entry {broken + 1} of {len(entries)}"
            text = (
                "does not begin the chain: entries before it are gone, or were swapped"
                if broken == 0
                else f"does not fit entry {broken}: one was changed, dropped, added or swapped"
            )
            findings.append(Finding(f"chain of {name}", False, f"{where} {text}"))
        elif name == "deletions" and seal(content)["last_entry"] != said["last_entry"]:
            text = f"entry {len(entries)}, the last, was changed, or others followed it"
            findings.append(Finding(f"chain of {name}", False, text))
        else:
            findings.append(Finding(f"chain of {name}", True, f"{len(entries)} entries"))
    version, n = content["model"]["version"], len(content["deletions"])
    if version != n:
        text = f"{n} entries, but the model has fulfilled {version} requests"
        findings.append(Finding("chain of deletions", False, text))
    for name in ("verification", "utility"):
        for position, record in enumerate(content[name], 1):
            done = record["after_requests"]
            about = content["deletions"][:done]
            if len(about) < done or record["deletion"] != json_digest(about[-1]):
                text = f"record {position} is about a request that is not in this log"
                findings.append(Finding(f"chain of {name}", False, text))
    return findings


def _check_signature(content, public_key):
    signature = content.get("signature")
    if public_key is None:
        if signature is None:
            return []
        return [Finding("signature", True, "there is one; it was not checked, pass the public key")]
    from skunlearn._unlearning.certificate.signatures import is_signed_by

    if signature is None:
        return [Finding("signature", False, "there is none")]
    if is_signed_by(signature, content["integrity"]["document"], public_key):
        return [Finding("signature", True, "by the owner of this key")]
    return [Finding("signature", False, "it is not by the owner of this key, or was changed")]


# ---------------------------------------------------------------------- models


def _read_state(path):
    """What `save` wrote beside the tensors, and the state of the unlearner in it."""
    header, _ = read_header(path)
    text = header.get("__metadata__", {}).get("skunlearn")
    state = None if text is None else json.loads(text)
    if state is None:
        return None, None
    last = state.get("last", state)
    return (state, last) if isinstance(last.get("deletions"), list) else (None, None)


def _check_model(content, path):
    what = f"model {path}"
    if skops_files.is_skops(path):
        return [Finding(what, *_compare_skops(content, path))]
    _, state = _read_state(path)
    digests, log = file_digests(path), content["deletions"]
    wanted, version = content["model"]["weights"]["digest"], len(log)
    findings = []
    if state is not None:
        theirs = state["deletions"]
        same = [canonical(a) == canonical(b) for a, b in zip(log, theirs)]
        if not all(same):
            text = f"entry {same.index(False) + 1} of its log is another one than the certificate's"
            return [Finding(what, False, text)]
        if len(theirs) < len(log):
            text = (
                f"it has fulfilled {len(theirs)} of {len(log)} requests: an earlier version, "
                "which knows rows that were forgotten since"
            )
            return [Finding(what, False, text)]
        broken = find_broken_link(theirs)
        if broken is not None:
            text = f"the chain of its log breaks at entry {broken + 1} of {len(theirs)}"
            return [Finding(what, False, text)]
        version = len(theirs)
        if version > len(log):
            wanted = theirs[-1]["weights"]["digest"]
            text = f"a later version: its log goes on from the certificate's, to {version} requests"
            findings.append(Finding(what, True, text))
    if state is not None and state.get("method") == "retained rows":
        return [*findings, Finding(what, *_compare_rows_alone(content, path, state, wanted))]
    if wanted not in digests.values():
        return [*findings, Finding(what, False, _say_which(digests.values(), log))]
    findings.append(Finding(what, True, f"weights {wanted[:16]}... are those of version {version}"))
    known = content["model"]["file"]
    if known is not None and state is not None and version == len(log):
        if checksum(path) == known["sha256"]:
            findings.append(Finding(what, True, f"the very file {known['name']}"))
        else:
            text = (
                f"the weights are right, but it is not the very file {known['name']}: "
                "what stands beside the weights was changed, or it was saved again"
            )
            findings.append(Finding(what, False, text))
    return findings


def _compare_rows_alone(content, path, state, wanted):
    """Whether a version without weights, the list of its rows, is right, and that in words."""
    version = len(state["deletions"])
    if state["weights"] != wanted:
        return False, "it is of other weights than those of the certificate"
    with safe_open(path, framework="numpy") as file:
        left = int(file.get_tensor("retained").sum())
    if version == len(content["deletions"]) and left != content["retained_rows"]:
        return False, f"{left} rows are retained there, {content['retained_rows']} here"
    return True, (
        f"its log is that of version {version}. It holds no weights but their digest "
        f"{wanted[:16]}..., and which {left} rows are retained: a training on these gives the model"
    )


def _compare_skops(content, path):
    """Whether the weights in a file of skops are right, and that in words."""
    model, log = content["model"], content["deletions"]
    digests, note = skops_files.digest_models(path, model.get("steps", {}))
    wanted = model["weights"]["digest"]
    if wanted in digests:
        return True, f"weights {wanted[:16]}... are those of version {len(log)}{note}"
    return False, _say_which(digests, log) + skops_files.name_versions(content)


def _say_which(found, log):
    for position, entry in enumerate(log, 1):
        if entry.get("weights", {}).get("before") in found:
            return f"its weights are those from before request {position}"
    return "its weights are not those of the certificate"


# ---------------------------------------------------------------------- rows


def _check_rows(rows, models):
    if not models:
        raise ValueError("rows are looked for in the records of models: pass a model's file.")
    if not isinstance(rows, dict):
        with np.load(rows, allow_pickle=False) as file:
            rows = {name: file[name] for name in file.files}
    unknown = sorted(set(rows) - {"X", "ids"})
    if unknown or not rows:
        raise ValueError(f"rows must hold 'X', 'ids' or both; found {unknown or 'nothing'}.")
    findings = []
    for path in models:
        try:
            findings += [_look_up(path, kind, values) for kind, values in rows.items()]
        except (OSError, ValueError, TypeError) as error:
            findings.append(Finding(f"rows in {path}", False, str(error)))
    return findings


def _look_up(path, kind, values):
    what, tables = f"{kind} in the record of {path}", {}
    if skops_files.is_skops(path):
        raise ValueError(
            "a file of skops holds no record of rows; pass one that `save` has written."
        )
    state, _ = _read_state(path)
    if state is None:
        raise ValueError("the file holds no record of rows; pass one that `save` has written.")
    with safe_open(path, framework="numpy") as file:
        for name in file.keys():  # noqa: SIM118 (no mapping)
            if name.startswith("record."):
                tables[name.removeprefix("record.")] = file.get_tensor(name)
    table = tables.get("digests" if kind == "X" else "ids")
    if table is None:
        known = "position" if kind == "X" else "content or position, as fit was given no ids"
        return Finding(what, False, f"it cannot be told: rows are known there by {known}")
    exact = np.ones(len(values), dtype=bool)
    if kind == "X":
        values, exact = align(values, row_forms.empty(state["row"]), "X")
        wanted = row_digests(values)
    else:
        wanted = name_digests(values.tolist())
    retained = tables["retained"]
    hits = match(table, wanted)
    still = [i for i, hit in enumerate(hits) if exact[i] and retained[hit].any()]
    gone = sum(exact[i] and len(hit) > 0 and not retained[hit].any() for i, hit in enumerate(hits))
    if still:
        shown = ", ".join(map(str, still[:5])) + (", ..." if len(still) > 5 else "")
        return Finding(what, False, f"{len(still)} of {len(hits)} are retained there ({shown})")
    text = f"none of {len(hits)} is retained there; {gone} are known as forgotten"
    return Finding(what, True, text)


if __name__ == "__main__":
    sys.exit(main())
