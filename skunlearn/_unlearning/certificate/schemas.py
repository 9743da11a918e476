"""The JSON schema of certificates, and a check that needs no library."""

import json
from importlib.resources import files

_TYPES = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}


def schema():
    """The JSON schema of certificates, draft 2020-12.

    Returns
    -------
    schema : dict

    Examples
    --------
    >>> from skunlearn.verify import schema
    >>> schema()["properties"]["schema_version"]
    {'const': 1}
    """
    text = (
        files("skunlearn._unlearning.certificate")
        .joinpath("certificate.schema.json")
        .read_text("utf-8")
    )
    return json.loads(text)


def find_problems(content):
    """What a certificate lacks by its schema, in words: types and required entries alone.

    A library for JSON schemas checks the rest.
    """
    whole = schema()
    return list(_find_problems_in(content, whole, whole, "the certificate"))


def _find_problems_in(value, described, whole, where):
    if "$ref" in described:
        described = whole["$defs"][described["$ref"].rpartition("/")[2]]
    if "const" in described and value != described["const"]:
        yield f"{where} must be {described['const']!r}, found {value!r}"
    if "enum" in described and value not in described["enum"]:
        yield f"{where} must be one of {described['enum']}, found {value!r}"
    kinds = described.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(_is(value, kind) for kind in kinds):
        yield f"{where} must be of type {' or '.join(kinds)}, found {type(value).__name__}"
        return
    if isinstance(value, dict):
        for name in described.get("required", ()):
            if name not in value:
                yield f"{where} has no entry {name!r}"
        for name, inner in described.get("properties", {}).items():
            if name in value:
                yield from _find_problems_in(value[name], inner, whole, f"{name} of {where}")
    if isinstance(value, list) and "items" in described:
        for position, item in enumerate(value, 1):
            place = f"entry {position} of {where}"
            yield from _find_problems_in(item, described["items"], whole, place)


def _is(value, kind):
    if kind in ("integer", "number") and isinstance(value, bool):
        return False
    return isinstance(value, _TYPES[kind])
