"""A certificate in words: a letter to the person, and a page for the file."""

import html
import json

DISCLAIMER = (
    "This text was written by software. It is no legal advice, and whether a duty to delete is "
    "fulfilled is not for it to say. No authority has endorsed approximate unlearning as a way to "
    "fulfil one."
)
_STATES = {
    "applied": "It was applied.",
    "refused": "It was refused.",
    "delayed": "It is delayed, and not fulfilled yet.",
    "running": "It is being applied, and not fulfilled yet.",
    "pending": "It has not been applied yet.",
}


def as_letter(content):
    """Plain words for the person whose rows they were."""
    request, deletions = content.get("request"), content["deletions"]
    what = "delete data from"
    if request is not None and request.get("what") == "correction":
        what = "correct data in"
    lines = [f"About your request to {what} a machine-learning model", ""]
    if request is not None:
        lines += _describe_request(request)
    if request is None or request["state"] == "applied":
        lines += _describe_model(content, deletions)
        lines += _describe_findings(content)
        left = [d for d in content.get("derived", []) if d["state"] in ("still there", "unknown")]
        if left:
            lines += ["", "What was made of the data or the model, and may still hold something:"]
            lines += [f"- {item['what']}: {item['state']}" for item in left]
        lines += ["", f"What this is about: {content.get('scope', 'the model')}"]
    return "\n".join([*lines, "", DISCLAIMER, ""])


def _describe_request(request):
    lines = [
        f"Reference: {request['id']}",
        f"Received: {request.get('received') or 'not recorded'}",
    ]
    if request.get("deadline"):
        lines.append(f"To be answered by: {request['deadline']}")
    lines += ["", _STATES.get(request["state"], f"Its state is: {request['state']}.")]
    if request.get("done"):
        lines[-1] += f" That was on {request['done']}."
    if request.get("reason"):
        lines.append(f"Reason: {request['reason']}.".replace("..", "."))
    if request.get("next"):
        lines.append(f"What happens next: {request['next']}")
    return [*lines, ""]


def _describe_model(content, deletions):
    if not deletions:
        return ["Nothing has been deleted from the model so far."]
    last, rows = deletions[-1], sum(entry["rows"] for entry in deletions)
    corrected = sum(entry.get("corrected", 0) for entry in deletions)
    steps = f"in {len(deletions)} steps; the last of them" if len(deletions) > 1 else "in one step,"
    lines = [
        f"The model was made to forget {rows} records of the data that it had learnt from, {steps} "
        f"on {last['when'][:10]}, by the method {last['method']}."
    ]
    if corrected:
        lines.append(
            f"Of {corrected} of them the old values were forgotten and the corrected ones learnt."
        )
    words = content.get("guarantee_in_words")
    if words:
        lines += ["", words["text"], f"Against whom that holds: {words['against']}"]
    return lines


def _describe_findings(content):
    lines = []
    for record in content.get("verification", []):
        for name, verdict in (record["found"].get("verdicts") or {}).items():
            lines.append(f"- {name}: {verdict['text']}.")
    return ["", "What was measured afterwards:", *lines] if lines else []


def as_html(content):
    """One page for the file: every entry, as a table, with the words above it."""
    letter = html.escape(as_letter(content))
    rows = "".join(
        f"<tr><th>{html.escape(name)}</th><td>{_write_cell(value)}</td></tr>"
        for name, value in content.items()
    )
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'><title>Record of a deletion"
        "</title><style>body{font-family:sans-serif;max-width:60em;margin:2em auto}"
        "th,td{text-align:left;vertical-align:top;padding:.2em .8em;border-bottom:1px solid #ddd}"
        "pre{white-space:pre-wrap;overflow-wrap:anywhere;margin:0}</style></head><body>"
        f"<h1>Record of a deletion</h1><pre>{letter}</pre><table>{rows}</table></body></html>\n"
    )


def _write_cell(value):
    if isinstance(value, str | int | float) or value is None:
        return html.escape("" if value is None else str(value))
    return f"<pre>{html.escape(json.dumps(value, indent=1))}</pre>"
