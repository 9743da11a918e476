"""What ``verbose=1`` says of the two verbs, in one style; who calls has asked for it."""


def announce_fit(estimator, forget=None, what="rows"):
    """Say how many rows, or nodes, are about to be learnt, and how many to be forgotten then."""
    then = "" if forget is None else f", then unlearning {int(forget.sum()):,}"
    print(f"fitting {len(estimator._record.retained):,} {what}{then} …", flush=True)


def announce_fitted(estimator, seconds):
    """Say how long ``fit`` took, and what became of rows that it was to forget."""
    entry = estimator.deletions_[-1] if estimator.deletions_ else {}
    print(describe_result({**entry, "seconds": seconds}), flush=True)


def announce_request(estimator, n_rows, what="rows", of=None):
    """Say how many rows are about to go, of how many that the model still holds."""
    left = int(estimator._record.retained.sum()) if of is None else of
    print(f"unlearning {n_rows:,} of {left:,} {what} …", flush=True)


def announce_training(what, epochs):
    """Say which net the next table of epochs is of."""
    print(f"training {what}, for {epochs} epoch{'s' if epochs > 1 else ''} …", flush=True)


def announce_result(estimator):
    """Say how long the last request took, and what became of the loss on its rows."""
    print(describe_result(estimator.deletions_[-1]), flush=True)


def describe_result(entry):
    """An entry of the log in a line."""
    seconds = entry["seconds"]
    said = f"done in {seconds:.1f} s" if seconds >= 0.1 else f"done in {seconds:.2f} s"
    measured = entry.get("measured", {})
    losses = [(measured.get(f"forget_{when}") or {}).get("loss") for when in ("before", "after")]
    if None not in losses:
        said += f", forget loss {losses[0]:.3f} → {losses[1]:.3f}"
    if "not_looked_at" in entry:
        # Short: reports print it beside the method's name. The entry says what lacked.
        lacked = entry["not_looked_at"].partition(": ")[2]
        said += "; not compared with unseen rows" + " (X_val=)" * ("X_val=" in lacked)
    return said
