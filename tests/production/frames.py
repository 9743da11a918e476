"""Wine as a table of people's records: words, categories, dates, whole numbers and gaps."""

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from skunlearn import RetrainUnlearner, UnlearningPipeline
from skunlearn.production import DeletionWorker

N = 140
NAMES = [f"grower-{i:04d}" for i in range(178)]
COLOURS = ["pale", "ruby", "inky"]


def table():
    """Rows as a frame of pandas, and labels as words."""
    data = load_wine(as_frame=True)
    order = np.random.default_rng(0).permutation(178)
    X, y = data.data.iloc[order].reset_index(drop=True), data.target.to_numpy()[order]
    frame = X[["alcohol", "proline"]].copy()
    frame["colour"] = pd.Categorical.from_codes(
        pd.cut(X["color_intensity"], [0, 3.5, 6, 20], labels=False), COLOURS
    )
    frame["grower"] = [f"{'Sélection ' * (i % 3)}{100 * v:.0f}" for i, v in enumerate(X["hue"])]
    frame["bottled"] = pd.Timestamp("1990-01-01") + pd.to_timedelta(X["magnesium"], unit="D")
    frame = frame.astype({"proline": "int64", "bottled": "datetime64[ns]"})
    frame["ash"] = X["ash"].where(X["ash"] > 2)
    return frame, np.array(["barolo", "grignolino", "barbera"])[y]


def to_polars(frame):
    import polars

    columns = {name: frame[name].tolist() for name in frame.columns}
    kinds = {"colour": polars.Enum(COLOURS), "bottled": polars.Datetime("ns")}
    return polars.DataFrame(columns, schema_overrides=kinds, nan_to_null=True)


MAKE = {"pandas": lambda frame: frame, "polars": to_polars}


def need(kind):
    """Skip where there are no such tables, or scikit-learn takes no columns of them by name."""
    pytest.importorskip(kind)
    try:
        make_column_transformer(("passthrough", ["alcohol"])).fit(MAKE[kind](table()[0]))
    except AttributeError as error:
        pytest.skip(f"this scikit-learn takes no columns of {kind} by name: {error}")


def days(X):
    """Days from dates, of a column of either kind."""
    values = X.to_numpy().astype("datetime64[D]").astype(np.int64)
    return values.reshape(len(X), 1) / 100.0


def gaps(X):
    """A column of numbers, those that are missing replaced."""
    return np.nan_to_num(X.to_numpy().astype(float).reshape(len(X), 1), nan=2.0)


def make_unlearner(kind="plain"):
    """Of the whole table: one estimator, or steps in front of one."""
    columns = make_column_transformer(
        (StandardScaler(), ["alcohol", "proline"]),
        (OneHotEncoder(handle_unknown="ignore"), ["colour", "grower"]),
        (FunctionTransformer(days), ["bottled"]),
        (FunctionTransformer(gaps), ["ash"]),
    )
    model = LogisticRegression(max_iter=2000)
    if kind == "plain":
        return RetrainUnlearner(make_pipeline(columns, model), random_state=0)
    return UnlearningPipeline(
        [("columns", columns), ("model", RetrainUnlearner(model, random_state=0))]
    )


def started(queue, make, unlearner, X=None, y=None, chosen=None):
    """A worker with these rows of the table, or all that train."""
    frame, labels = table()
    X, y = frame if X is None else X, labels if y is None else y
    chosen = np.arange(N) if chosen is None else chosen
    worker = DeletionWorker(queue, unlearner, make(frame.iloc[N:]), labels[N:])
    return worker.start(make(X.iloc[chosen]), y[chosen], ids=[NAMES[i] for i in chosen])


def new_values(rows=(7, 3)):
    """The table, its labels, and both with other values of these rows."""
    X, y = table()
    X_true, y_true = X.copy(), y.copy()
    words = [f"Ünterhölzner {number} & Co, \N{WINE GLASS}" for number in rows]
    X_true.loc[list(rows), "grower"] = words
    X_true.loc[list(rows), "colour"] = ["inky", "pale"]
    X_true.loc[list(rows), "bottled"] = pd.Timestamp("1998-03-29 02:30:00.000000007")
    X_true.loc[list(rows), "alcohol"] = [1 / 3, 12.875]
    X_true.loc[rows[0], "ash"] = np.nan
    y_true[rows[1]] = "barbera" if y[rows[1]] != "barbera" else "barolo"
    return X, y, X_true, y_true
