"""What a certificate promises, in words, and against whom."""

_AGAINST = {
    "exact": (
        "Whoever asks the model or has its weights: nothing in it comes from the forgotten rows. "
        "Not against whoever compares it with an older version, nor as to choices that were made "
        "by looking at the rows beforehand."
    ),
    "certified": (
        "Whoever computes anything from the published weights of this version, up to the stated "
        "epsilon and delta. Not against whoever has the secret state, or several published "
        "versions together."
    ),
    "none": (
        "Nobody by proof. What stands under verification was measured, by the attacks that are "
        "named there, on the rows that they were run on. An attack that nobody has run yet may "
        "find more."
    ),
}


def in_words(guarantee, content):
    """What a guarantee says, and against whom.

    Parameters
    ----------
    guarantee : str
    content : dict of the certificate

    Returns
    -------
    words : dict of str to str
        "text" and "against".
    """
    if not content["deletions"]:
        return {"text": "Nothing has been forgotten.", "against": _AGAINST["none"]}
    if guarantee == "none":
        text = "That the rows have no influence on the model any more is not proved."
        if not content["verification"]:
            text += " Nor has an audit been recorded: only the figures of the log were measured."
        return {"text": text, "against": _AGAINST["none"]}
    if guarantee == "(epsilon, delta)":
        proved = content.get("proved") or {}
        figures = ", ".join(
            f"{key} = {proved[key]}" for key in ("epsilon", "delta") if key in proved
        )
        text = (
            "The model can be told from one that was trained without the rows by no more than "
            f"(epsilon, delta) allow{f' ({figures})' if figures else ''}."
        )
        return {"text": text + _beside(proved), "against": _AGAINST["certified"]}
    text = f"The model does not depend on the forgotten rows: {guarantee}."
    return {"text": text, "against": _AGAINST["exact"]}


def _beside(proved):
    """What a retraining gives for the same budget, where a method measures it."""
    other = proved.get("retraining")
    if not other:
        return ""
    mine, theirs = (
        "no score" if other[key] is None else f"{other[key]:.3f}"
        for key in ("score_of_this_model", "score")
    )
    return (
        f" Its score on retained rows is {mine}; a model trained from scratch without the rows, in "
        f"as many epochs ({other['epochs']}), has {theirs}, and needs no epsilon."
    )
