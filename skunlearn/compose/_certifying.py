"""What is certified of a pipeline: its unlearner, and what the steps in front of it hold."""

from skunlearn._recipe import step_kinds
from skunlearn._unlearning.certificate.content import form_of_row
from skunlearn._unlearning.certificate.model_digests import model_digest

_SCOPE = (
    "The model of the unlearner and the steps before it, fitted on rows as fit was given them. "
    "What stands before or around the pipeline is no part of it."
)


def write_content(pipeline):
    """What a pipeline's certificate holds: as of its unlearner, and what the steps in front do.

    There is no guarantee as long as a step that has learnt from forgotten rows is kept, or
    one was fitted elsewhere; the notes name it. "declared" holds what was declared of each
    `PublicBackbone`, by whom, and the digest of its weights in ``fit``; when that has changed
    there is no guarantee either.
    """
    certificate = pipeline._final_estimator._certified_content() | {"scope": _SCOPE}
    certificate["record"] = {"row": form_of_row(pipeline._record)}
    certificate["model"]["steps"] = {
        name: model_digest(step)["digest"]
        for name, step in pipeline.steps[:-1]
        if step_kinds.learns(step)
    }
    inside = [entry["transformers"] for entry in pipeline.deletions_]
    clean = not any(steps["kept"] or steps["frozen"] for steps in inside)
    if pipeline._declared:
        certificate["declared"] = [*pipeline._declared, *certificate.get("declared", [])]
        clean &= _tell_declared(pipeline, certificate["notes"])
    last = pipeline.deletions_[-1]["transformers"] if pipeline.deletions_ else {}
    for key, what in (
        (
            "kept",
            "were fitted on forgotten rows and kept: they still hold statistics of them, or the "
            "rows themselves (a KNNImputer does)",
        ),
        ("frozen", "were fitted elsewhere, on rows that are not known here"),
    ):
        if last.get(key):
            certificate["notes"].append(f"Steps {', '.join(last[key])} {what}.")
    if pipeline.memory is not None and "caches" not in (pipeline.deletions_ or [{}])[-1]:
        certificate["notes"].append(
            "The pipeline's memory= cache may still hold transformers fitted on forgotten "
            "rows; clear it (joblib.Memory.clear) to complete the deletion."
        )
    if not clean:
        certificate["guarantee"] = "none"
        certificate.pop("proved", None)
    return certificate


def _tell_declared(pipeline, notes):
    """Say what is declared of the steps; False when one is no longer what it was in fit."""
    now, same = step_kinds.list_declarations(pipeline.steps[:-1]), True
    for then, declared in zip(pipeline._declared, now):
        notes.append(
            f"Step {then['step']} is declared to hold no training row, as it was trained on "
            f"{then['trained_on']}. Declared by: {then['declared_by']}. That is not checked."
        )
        if then != declared:
            same = False
            notes.append(f"Step {then['step']} has changed since fit: see its sha256.")
    return same
