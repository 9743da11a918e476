"""The lines of ``verbose=1``: what is being done, and what came of it."""


def announce_request(estimator, n_rows):
    """Say how many rows are about to go, of how many that the model still holds."""
    if estimator.verbose:
        left = int(estimator._record.retained.sum())
        print(f"unlearning {n_rows:,} of {left:,} rows …", flush=True)


def announce_result(estimator):
    """Say how long the last request took, and what became of the loss on its rows."""
    if estimator.verbose:
        print(describe_result(estimator.deletions_[-1]), flush=True)


def describe_result(entry):
    """An entry of the log in a line."""
    seconds = entry["seconds"]
    said = f"done in {seconds:.1f} s" if seconds >= 0.1 else f"done in {seconds:.2f} s"
    measured = entry.get("measured", {})
    losses = [(measured.get(f"forget_{when}") or {}).get("loss") for when in ("before", "after")]
    if None in losses:
        return said
    return f"{said}, forget loss {losses[0]:.3f} → {losses[1]:.3f}"
