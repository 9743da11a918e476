"""A report as HTML: what matters first, the rest folded, readable on a phone."""

import html
import re

from skunlearn.evaluation._showing.explained import explain
from skunlearn.evaluation._showing.key_figures import cell, key_figures, title_of
from skunlearn.evaluation._showing.palette import VERDICTS, sign_of
from skunlearn.evaluation._showing.panels import panels
from skunlearn.evaluation._showing.strips import draw

_ROWS = {"forget": "forgotten", "retain": "retained", "unseen": "unseen"}
# Dark letters on white wherever it is shown: dark notebooks and sites colour rows of tables
# by rules of their own, which nothing but "important" is sure to overrule.
_STYLE = """
.skunlearn-report{font:15px/1.45 system-ui,sans-serif;max-width:1080px;color:#222;
  color-scheme:light;background:#fff;padding:4px 12px;overflow-wrap:anywhere}
.skunlearn-report h1{font-size:1.4em;margin:.2em 0;color:#222}
.skunlearn-report .chip{border:2px solid;border-radius:1em;padding:0 .6em;white-space:nowrap}
.skunlearn-report .chip span{color:#222}
.skunlearn-report li{margin:.4em 0}
.skunlearn-report ul{list-style:none!important;padding:0!important;margin:1em 0!important}
.skunlearn-report .warn{border-left:4px solid #D55E00;padding-left:.7em}
.skunlearn-report .strips{display:flex;flex-wrap:wrap;gap:12px 16px}
.skunlearn-report svg{font:12px system-ui,sans-serif;fill:#222;max-width:100%}
.skunlearn-report .wide{overflow-x:auto;overflow-wrap:normal;margin:16px 0}
.skunlearn-report table{border-collapse:collapse;font-size:14px}
.skunlearn-report .held{white-space:nowrap}
.skunlearn-report tr,.skunlearn-report th,.skunlearn-report td{color:#222!important;
  background:#fff!important;text-align:left!important}
.skunlearn-report th,.skunlearn-report td{padding:.2em .8em .2em 0;
  vertical-align:top;border-bottom:1px solid #ddd}
.skunlearn-report th:first-child{position:sticky;left:0;min-width:8em}
.skunlearn-report abbr{text-decoration:underline dotted;cursor:help}
.skunlearn-report summary{cursor:pointer;padding:.4em 0}
@media(max-width:640px){
  .skunlearn-report thead{display:none}
  .skunlearn-report table,.skunlearn-report tbody,.skunlearn-report tr,
  .skunlearn-report th,.skunlearn-report td{display:block;padding-right:0;border:0}
  .skunlearn-report td:empty{display:none}
  .skunlearn-report tr{border-bottom:1px solid #ddd;padding:.4em 0}
  .skunlearn-report td[data-of]:before{content:attr(data-of) ": ";color:#555}}
"""


def fragment(report, notes):
    """The report as a piece of a page.

    Parameters
    ----------
    report : Report
    notes : str
    """
    keys = key_figures(report)
    names = list(report.frame["metric"].unique())
    rest = [name for name in names if name not in keys]
    counted = [
        f"{report.rows[key]:,} {word}" for key, word in _ROWS.items() if report.rows.get(key)
    ]
    said = [f"{report.made:%d %B %Y, %H:%M} UTC"]
    said += [f"rows: {', '.join(counted)}"] if counted else []
    parts = [
        f"<style>{_STYLE}</style><div class='skunlearn-report'><h1>Unlearning report</h1>",
        f"<p>{html.escape(' · '.join(said))}</p><ul>",
        *(_verdict(name, verdict) for name, verdict in report.verdicts.items()),
        "</ul>",
        *(f"<p class='warn'>⚠ {html.escape(text)}</p>" for text in report.warnings),
        _picture(report),
        _by_model(report, keys),
    ]
    if rest:
        parts.append(
            f"<details><summary>{len(rest)} more figures</summary>{_by_figure(report, rest)}"
            "</details>"
        )
    said = "".join(f"<p>{html.escape(line)}</p>" for line in notes.split("\n"))
    # Fingers and keyboards do not rest on names.
    said += "".join(map(_explain, [*keys, *rest]))
    parts.append(f"<details><summary>What the figures mean</summary>{said}</details></div>")
    return "".join(parts)


def page(body):
    """A whole page around a fragment."""
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        "<title>Unlearning report</title><style>body{margin:16px}</style></head>"
        f"<body>{body}</body></html>\n"
    )


def _verdict(name, verdict):
    chip = f"<span>{sign_of(verdict)} {verdict.kind}</span>"
    said = str(verdict).removeprefix(f"{verdict.kind}: ")  # the chip says it
    return (
        f"<li><span class='chip' style='color:{VERDICTS[verdict.kind]}'>{chip}</span> "
        f"<b>{html.escape(name)}</b>: {html.escape(said)}.</li>"
    )


def _picture(report):
    shown = panels(report)
    first = report.roles["retrained"]
    if not shown:
        return ""
    if first is None:
        said = "There is no retrained model to compare with."
    else:
        said = (
            f"Differences to {html.escape(first)} (green line; its own interval shaded), with "
            f"{100 * report.confidence:g} % intervals."
        )
    strips = "".join(draw(panel, report.roles) for panel in shown)
    return f"<p>{said}</p><div class='strips'>{strips}</div>"


def _by_model(report, metrics):
    """A row for each model, so that many fit."""
    held = _describe_held(report)
    head = "".join(f"<th>{_write_name(metric)}</th>" for metric in metrics)
    lines = []
    for name in report.frame["model"].unique():
        cells = "".join(
            _cell(title_of(metric), held.get((name, metric)), metric) for metric in metrics
        )
        lines.append(f"<tr><th>{html.escape(name)}</th>{cells}</tr>")
    return _frame(f"<th></th>{head}", lines)


def _by_figure(report, metrics):
    """A row for each figure."""
    held, models = _describe_held(report), list(report.frame["model"].unique())
    better = dict(zip(report.frame["metric"], report.frame["direction"]))
    head = "".join(f"<th>{html.escape(name)}</th>" for name in models)
    lines = []
    for metric in metrics:
        cells = "".join(_cell(name, held.get((name, metric)), metric) for name in models)
        good = f"<td data-of='better'>{html.escape(better[metric])}</td>"
        lines.append(f"<tr><th>{_write_name(metric)}</th>{good}{cells}</tr>")
    return _frame(f"<th></th><th>better</th>{head}", lines)


def _describe_held(report):
    return {(row["model"], row["metric"]): row for row in report.frame.to_dict("records")}


def _write_name(metric):
    """The name of a figure, and what it is for whom the pointer rests on it."""
    found = explain(metric)
    tip = html.escape(f"{found.name}: {found.text}", quote=True)
    return f"<abbr title='{tip}'>{html.escape(title_of(metric))}</abbr>"


def _explain(metric):
    found = explain(metric)
    name, also = title_of(metric), "" if found.name == metric else f" ({found.name})"
    return f"<p><b>{html.escape(name)}</b>{html.escape(f'{also}: {found.text}')}</p>"


def _cell(of, row, metric):
    text = "" if row is None else cell(row, metric)
    # Where there is no room for both an interval stands below its figure, in one piece.
    text = re.sub(r"\[.*?\]", r"<span class='held'>\g<0></span>", text)
    return f"<td data-of='{html.escape(of, quote=True)}'>{text}</td>"


def _frame(head, lines):
    return (
        f"<div class='wide'><table><thead><tr>{head}</tr></thead>"
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )
