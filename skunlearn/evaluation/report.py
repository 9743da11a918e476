"""What an audit returns: figures, verdicts, warnings, and their ways out."""

import html
import json
from dataclasses import dataclass, field

import numpy as np

from skunlearn.evaluation.figures import direction_of

_PERCENT = (
    "test",
    "retained test",
    "retained train",
    "over-fit",
    "forget train",
    "forget unseen",
    "TPR at 1% FPR",
    "forget agreement",
    "unseen agreement",
    "average gap",
)
_PLAIN = ("unmatched AUC", "seconds", "of retraining")  # without intervals in tables


@dataclass(frozen=True, repr=False)
class Report:
    """Figures of one or several models beside the original and the retrained one.

    Made by `audit`, `audit_logits` and `compare`. ``print(report)`` shows everything; notebooks
    show it as a table.

    Attributes
    ----------
    frame : pandas.DataFrame
        One row per model and figure, tidy: ``model``, ``metric``, ``value`` with ``low`` and
        ``high``; ``reference`` (the retrained model's value, or chance without one) with
        ``reference low`` and ``reference high``; ``direction`` ("higher", "lower", or
        "retrained": nearer to the reference is better); ``inside``, whether the value lies in
        the reference's interval.
    verdicts : dict of str to Verdict
        For each candidate, in words.
    warnings : list of str
    roles : dict
        "original" and "retrained": names of those models, or None.
    curves : dict of str to dict
        Per model the scores of the main attack on ``forget`` and ``unseen`` rows with
        ``weights`` of the unseen ones, for pictures.
    ceiling : float
        Highest accuracy over all unseen rows that a model without the forgotten classes can
        have.
    confidence : float
    """

    frame: object
    verdicts: dict
    warnings: list
    roles: dict
    curves: dict = field(hash=False)
    ceiling: float = 1.0
    confidence: float = 0.95

    @property
    def wide(self):
        """Values alone: one row per model, one column per figure.

        Returns
        -------
        table : pandas.DataFrame
            ``table.attrs["directions"]`` says what a good value is.
        """
        table = self.frame.pivot(index="model", columns="metric", values="value")
        table = table.loc[self.frame["model"].unique(), self.frame["metric"].unique()]
        table.index.name = table.columns.name = None
        table.attrs["directions"] = {name: direction_of(name) for name in table}
        return table

    def table(self):
        """The figures as text, one row per figure and one column per model.

        Returns
        -------
        table : pandas.DataFrame of str
            With intervals in brackets; the first column says what is better. Accuracies and
            agreement in per cent.
        """
        import pandas as pd

        rows = {}
        for metric, group in self.frame.groupby("metric", sort=False):
            cells = {"better": direction_of(metric)}
            for row in group.to_dict("records"):
                cells[row["model"]] = _cell(metric, row)
            rows[f"{metric}, %" if metric in _PERCENT else metric] = cells
        columns = ["better", *self.frame["model"].unique()]
        return pd.DataFrame.from_dict(rows, orient="index", columns=columns).fillna("")

    def __str__(self):
        lines = [self.table().to_string(), "", _notes(self)]
        lines += [f"{name}: {verdict}." for name, verdict in self.verdicts.items()]
        lines += [f"Warning: {text}" for text in self.warnings]
        return "\n".join(lines)

    def __repr__(self):
        said = "; ".join(f"{name}: {v.kind}" for name, v in self.verdicts.items())
        return f"<Report of {', '.join(self.frame['model'].unique())}; {said or 'no verdict'}>"

    def _repr_html_(self):
        return self.to_html()

    def to_html(self, path=None):
        """The whole report as an HTML fragment, or as a page in the file `path`.

        Returns
        -------
        html : str
        """
        said = "".join(
            f"<li><b>{html.escape(n)}</b>: {html.escape(str(v))}.</li>"
            for n, v in self.verdicts.items()
        )
        warned = "".join(f"<li>⚠ {html.escape(w)}</li>" for w in self.warnings)
        body = (
            f"<div class='skunlearn-report'>{self.table().to_html(border=0)}<ul>{said}{warned}"
            f"</ul><p><small>{html.escape(_notes(self))}</small></p></div>"
        )
        page = (
            "<!doctype html><html lang='en'><head><meta charset='utf-8'><title>Unlearning report"
            "</title><style>body{font-family:sans-serif}th,td{text-align:left;padding:.2em .8em}"
            f"</style></head><body>{body}</body></html>\n"
        )
        return body if path is None else _write(path, page, body)

    def to_json(self, path=None):
        """Figures, verdicts and warnings as JSON; missing figures are null.

        Returns
        -------
        json : str
        """
        plain = self.frame.astype(object).where(self.frame.notna(), None)
        text = json.dumps(
            {
                "figures": plain.to_dict("records"),
                "verdicts": {n: {"kind": v.kind, "text": v.text} for n, v in self.verdicts.items()},
                "warnings": self.warnings,
                "roles": self.roles,
                "ceiling": self.ceiling,
                "confidence": self.confidence,
            },
            indent=2,
            default=lambda value: value.item(),
            allow_nan=False,
        )
        return text if path is None else _write(path, text + "\n", text)

    def to_csv(self, path=None):
        """The tidy frame as CSV.

        Returns
        -------
        csv : str
        """
        text = self.frame.to_csv(index=False)
        return text if path is None else _write(path, text, text)

    def to_latex(self, path=None):
        """The table for a paper (package booktabs), verdicts as comments above it.

        Returns
        -------
        latex : str
        """
        table = self.table().map(_latex)
        table.index, table.columns = map(_latex, table.index), map(_latex, table.columns)
        rows = [" & ".join(["", *table.columns]) + r" \\", r"\midrule"]
        rows += [" & ".join([i, *row]) + r" \\" for i, row in zip(table.index, table.values)]
        text = "\n".join(
            [f"% {n}: {v}" for n, v in self.verdicts.items()]
            + [rf"\begin{{tabular}}{{l{'l' * table.shape[1]}}}", r"\toprule"]
            + rows
            + [r"\bottomrule", r"\end{tabular}"]
        )
        return text if path is None else _write(path, text + "\n", text)


def _cell(metric, row):
    value, low, high = row["value"], row["low"], row["high"]
    if np.isnan(value):
        return "-"
    scale, digits = (100, 1) if metric in _PERCENT else (1, 3)
    if metric in _PLAIN:
        return f"{value:.3g}"
    if np.isnan(low):
        return f"{scale * value:.{digits}f}"
    return f"{scale * value:.{digits}f} [{scale * low:.{digits}f}, {scale * high:.{digits}f}]"


def _notes(report):
    if "test" not in set(report.frame["metric"]):
        return (
            f"In brackets: {100 * report.confidence:g} % intervals; that of an R² is its mean "
            "squared error's. AUC: attack on forgotten against unseen rows by their squared error; "
            "nearer to the retrained model's value is better, on both sides. MSE: mean squared "
            "error. forget distance: mean squared difference of predictions to the retrained "
            "model's."
        )
    return (
        f"In brackets: {100 * report.confidence:g} % intervals. AUC: attack on forgotten against "
        "unseen rows, these weighted to the forget set's classes; nearer to the retrained model's "
        "value is better, on both sides. AUC difference: to the retrained model's (to one half "
        "without one), by the attack that the verdict rests on; of several scores the largest. "
        "over null: distance to the retrained models over theirs to each other. unmatched AUC: "
        "against all unseen rows, which sees the difference between classes, also in the retrained "
        "model.\n"
        "* A model that has truly forgotten a class gets its unseen rows wrong, so that accuracy "
        f"over all classes rewards remembering: read the retained classes first.{_highest(report)}"
    )


def _highest(report):
    """What is left to a model without the forgotten classes, where any is gone."""
    if report.ceiling == 1:
        return ""
    return f" No model without the forgotten classes can exceed {100 * report.ceiling:.1f} % there."


_LATEX = {c: f"\\{c}" for c in "&%$#_{}"} | {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}


def _latex(text):
    text = str(text).replace("\\", "\0")
    text = "".join(_LATEX.get(c, c) for c in text)
    return text.replace("\0", r"\textbackslash{}").replace("ε", r"$\varepsilon$")


def _write(path, text, returned):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return returned
