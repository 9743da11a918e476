"""What was made of the model or of its rows, and what has become of it."""

import os

from sklearn.frozen import FrozenEstimator
from skorch.callbacks import Checkpoint, TrainEndCheckpoint

from skunlearn._files.write_whole import checksum
from skunlearn._recipe import caches
from skunlearn._recipe.trained_before import walk

STATES = ("deleted", "retrained", "still there", "unknown")


def list_artefacts(unlearner, given):
    """What skunlearn wrote itself, and what the user has recorded; of each name the newest.

    Parameters
    ----------
    unlearner : fitted unlearner
    given : list of dict
        Records of the user's, with their "artefacts".

    Returns
    -------
    artefacts : list of dict
        "what", "state" (one of `STATES`), "by" ("skunlearn" or "declared"), and "detail".
    """
    if not unlearner.deletions_:
        return []
    found = [*_list_caches(unlearner), *_list_files(unlearner), *_list_checkpoints(unlearner)]
    found += unlearner._list_artefacts()
    artefacts = {item["what"]: item | {"by": "skunlearn"} for item in found}
    for record in given:
        for item in record["artefacts"]:
            artefacts[item["what"]] = item | {"by": "declared", "when": record["when"]}
    return list(artefacts.values())


def check_artefacts(artefacts):
    """The user's list, checked: each a dict with "what" and "state"."""
    checked = []
    for number, item in enumerate(artefacts):
        if not isinstance(item, dict) or not isinstance(item.get("what"), str):
            raise TypeError(
                f"derived[{number}] must be a dict with 'what', a text, and 'state'; got {item!r}."
            )
        if item.get("state") not in STATES:
            raise ValueError(
                f"derived[{number}] ({item['what']!r}) must have a state of {STATES}, got "
                f"{item.get('state')!r}."
            )
        unknown = set(item) - {"what", "state", "detail"}
        if unknown or not isinstance(item.get("detail", ""), str):
            raise TypeError(
                f"derived[{number}] takes 'what', 'state' and 'detail', all of them text; got "
                f"{item!r}."
            )
        checked.append(dict(item))
    return checked


def find_file(unlearner):
    """Name and checksum of the file that holds the present model; None where none does."""
    done = len(unlearner.deletions_)
    for name, requests, path in reversed(getattr(unlearner, "_saved_files", None) or ()):
        if requests == done and path is not None and os.path.isfile(path):
            return {"name": name, "sha256": checksum(path)}
    return None


def _list_caches(unlearner):
    report = unlearner.deletions_[-1].get("caches")
    if report is None:
        held = caches.list_caches(unlearner) if hasattr(unlearner, "get_params") else {}
        return [
            {"what": f"cache at {name}", "state": "unknown", "detail": "it was left alone"}
            for name in held
        ]
    found = [
        {"what": f"cache at {name}", "state": "deleted", "detail": "emptied"}
        for name in report["emptied"]
    ]
    found += [
        {"what": f"cache at {name}", "state": "unknown", "detail": "it could not be searched"}
        for name in report["left"]
    ]
    if "memory" not in report["left"]:
        models = sum((e.get("caches") or {}).get("models", 0) for e in unlearner.deletions_)
        detail = f"{models} models trained on forgotten rows, since fit"
        found.append({"what": "cache at memory", "state": "deleted", "detail": detail})
    return found


def _list_files(unlearner):
    """Files from before the last request, by what is at their place now."""
    files, done = getattr(unlearner, "_saved_files", None) or (), len(unlearner.deletions_)
    newest = {path: requests for _, requests, path in files if path is not None}
    found = []
    for name, requests, path in files:
        if requests == done:
            continue
        if path is None:
            state, detail = "unknown", "written by another process"
        elif newest[path] == done:
            state, detail = "retrained", "a file of the present model has taken its place"
        elif os.path.exists(path):
            state, detail = "still there", "it holds a model that knows rows forgotten since"
        else:
            gone = os.path.isdir(os.path.dirname(path))
            state, detail = ("deleted", "") if gone else ("unknown", "its folder is not there")
        item = {"what": f"file {name} of version {requests}", "state": state}
        found.append(item | ({"detail": detail} if detail else {}))
    return found


def _list_checkpoints(unlearner):
    """Files of checkpoint callbacks of nets, at any depth, which their first training wrote."""
    net, found = getattr(unlearner, "estimator", None), []
    net = net.estimator if isinstance(net, FrozenEstimator) else net
    nets = [] if net is None else [inner for _, inner in walk(net).nets]
    for given in [each for inner in nets for each in _list_callbacks(inner)]:
        callback = given[1] if isinstance(given, tuple | list) else given
        if isinstance(callback, type) and issubclass(callback, Checkpoint | TrainEndCheckpoint):
            callback = callback()
        if not isinstance(callback, Checkpoint | TrainEndCheckpoint):
            continue
        for key in sorted(vars(callback)):
            value = getattr(callback, key)
            if not key.startswith("f_") or not isinstance(value, str):
                continue
            name = (getattr(callback, "fn_prefix", None) or "") + value
            path = os.path.join(callback.dirname or "", name)
            state = "still there" if os.path.exists(path) else "deleted"
            state = "unknown" if "{" in name else state
            found.append({"what": f"checkpoint {os.path.basename(name)}", "state": state})
    return found


def _list_callbacks(net):
    return net.callbacks if isinstance(net.callbacks, list | tuple) else []
