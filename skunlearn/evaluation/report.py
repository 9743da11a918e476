"""What an audit returns: figures, verdicts, warnings, and their ways out."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime

from skunlearn.evaluation._showing import page, printed
from skunlearn.evaluation._showing.key_figures import cell, title_of
from skunlearn.evaluation.figures import direction_of

_BIAS = (
    "A short reference stands for a full retraining: over four tasks its AUC was at most 0.035 "
    "from that one's in the mean, where a second full retraining was 0.023; two epochs were 0.14 "
    "off on mislabelled rows (benchmarks/bench_short_reference.py)."
)


@dataclass(frozen=True, repr=False)
class Report:
    """Figures of one or several models beside the original and the retrained one.

    Made by `audit`, `audit_logits` and `compare`. ``print(report)`` shows the verdicts, six key
    figures and the warnings, `table` all figures; notebooks show it as a page with a picture.

    Attributes
    ----------
    frame : pandas.DataFrame
        One row per model and figure, tidy: ``model``, ``metric``, ``value`` with ``low`` and
        ``high``; ``reference`` (the retrained model's value, or chance without one) with
        ``reference low`` and ``reference high``; ``direction`` ("higher", "lower", or
        "retrained": nearer to the reference is better); ``inside``, whether the value lies in
        the reference's interval; ``difference`` to the reference with ``difference low`` and
        ``difference high``, the interval of paired rows where there is one.
    verdicts : dict of str to Verdict
        For each candidate, in words.
    warnings : list of str
        What is to be known before the figures are believed.
    roles : dict
        "original", "retrained", and "floor" (trained anew for the same budget): names of those
        models, or None.
    curves : dict of str to dict
        Per model the scores of the main attack on ``forget`` and ``unseen`` rows with
        ``weights`` of the unseen ones, for pictures.
    ceiling : float, default=1.0
        Highest accuracy over all unseen rows that a model without the forgotten classes can
        have.
    confidence : float, default=0.95
        Nominal coverage of all intervals.
    rows : dict of str to int
        How many rows were looked at: "forget", "unseen" and, where it is at hand, "retain".
    made : datetime.datetime
        When, in UTC.
    error : str or None, default=None
        Of a regression the error by which it is judged: "squared error", or that of the net's
        criterion ("Huber loss (delta=1)", say), whose means are then figures of their own.
    """

    frame: object
    verdicts: dict
    warnings: list
    roles: dict
    curves: dict = field(hash=False)
    ceiling: float = 1.0
    confidence: float = 0.95
    rows: dict = field(default_factory=dict, hash=False)
    made: datetime = field(default_factory=lambda: datetime.now(UTC), compare=False)
    error: str | None = None

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
                cells[row["model"]] = cell(row, metric)
            rows[title_of(metric)] = cells
        columns = ["better", *self.frame["model"].unique()]
        return pd.DataFrame.from_dict(rows, orient="index", columns=columns).fillna("")

    def __str__(self):
        return printed.describe(self, _caution(self))

    def __repr__(self):
        said = "; ".join(f"{name}: {v.kind}" for name, v in self.verdicts.items())
        return f"<Report of {', '.join(self.frame['model'].unique())}; {said or 'no verdict'}>"

    def _repr_html_(self):
        return self.to_html()

    def to_html(self, path=None):
        """The whole report as an HTML fragment, or as a page in the file `path`.

        Verdicts, warnings, a picture and six key figures; all others are folded. What a figure is
        shows when the pointer rests on its name.

        Parameters
        ----------
        path : str, path-like or None, default=None
            A file to write a whole page to; what is returned is the fragment, whatever it is.

        Returns
        -------
        html : str
        """
        body = page.fragment(self, _notes(self))
        return body if path is None else _write(path, page.page(body), body)

    def to_json(self, path=None):
        """Figures, verdicts and warnings as JSON; missing figures are null.

        Parameters
        ----------
        path : str, path-like or None, default=None
            A file to write the text to as well.

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
                "rows": self.rows,
                "error": self.error,
                "made": self.made.isoformat(timespec="seconds"),
            },
            indent=2,
            default=lambda value: value.item(),
            allow_nan=False,
        )
        return text if path is None else _write(path, text + "\n", text)

    def to_csv(self, path=None):
        """The tidy frame as CSV.

        Parameters
        ----------
        path : str, path-like or None, default=None
            A file to write the text to as well.

        Returns
        -------
        csv : str
        """
        text = self.frame.to_csv(index=False)
        return text if path is None else _write(path, text, text)

    def to_latex(self, path=None):
        """The table for a paper (package booktabs), verdicts as comments above it.

        Parameters
        ----------
        path : str, path-like or None, default=None
            A file to write the text to as well.

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


def _notes(report):
    if "test" not in set(report.frame["metric"]):
        own = report.error if "test error" in set(report.frame["metric"]) else None
        return (
            f"In brackets: {100 * report.confidence:g} % intervals; that of an R² is its mean "
            "squared error's. "
            + (f"error: mean {own}, the net's own criterion. " if own else "")
            + "AUC: attack on forgotten against unseen rows by their "
            f"{own or 'squared error'}; "
            "nearer to the retrained model's value is better, on both sides. MSE: mean squared "
            "error. forget distance: mean squared difference of predictions to the retrained "
            "model's; worst row and 95% row: the largest of a set, and its 95 % quantile, beside "
            "those of retrained models among themselves."
            + (f"\n{_BIAS}" if _is_short(report) else "")
        )
    return (
        f"In brackets: {100 * report.confidence:g} % intervals. AUC: attack on forgotten against "
        "unseen rows, these weighted to the forget set's classes; nearer to the retrained model's "
        "value is better, on both sides. AUC difference: to the retrained model's (to one half "
        "without one), by the attack that the verdict rests on; of several scores the largest. "
        "over null: distance to the retrained models over theirs to each other. worst row and 95% "
        "row: the largest such distance of a set, and the 95 % quantile; those of a retrained "
        "model are to the others. spread: AUC of a forgotten class's rows against unseen rows of "
        "the others, by how sure the model is of these, and of the nearest alone. unmatched AUC: "
        "against all unseen rows, which sees the difference between classes, also in the retrained "
        "model.\n"
        f"* {_over_all_classes(report)}" + (f"\n{_BIAS}" if _is_short(report) else "")
    )


def _caution(report):
    """What must be said beside the key figures: where a class is gone, or a reference short."""
    said = [_BIAS] if _is_short(report) else []
    if report.ceiling < 1 and "test" in set(report.frame["metric"]):
        said.append(_over_all_classes(report))
    return "\n".join(said)


def _is_short(report):
    return (report.roles.get("retrained") or "").startswith("short reference")


def _over_all_classes(report):
    return (
        "A model that has truly forgotten a class gets its unseen rows wrong, so that accuracy "
        f"over all classes rewards remembering: read the retained classes first.{_highest(report)}"
    )


def _highest(report):
    """What is left to a model without the forgotten classes, where any is gone."""
    if report.ceiling == 1:
        return ""
    ceiling = f"{100 * report.ceiling:.1f} %"
    return f"\nOver all classes no model without the forgotten ones can exceed {ceiling}."


_LATEX = {c: f"\\{c}" for c in "&%$#_{}"} | {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}


def _latex(text):
    text = str(text).replace("\\", "\0")
    text = "".join(_LATEX.get(c, c) for c in text)
    return text.replace("\0", r"\textbackslash{}").replace("ε", r"$\varepsilon$")


def _write(path, text, returned):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return returned
