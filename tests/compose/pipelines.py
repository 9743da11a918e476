"""Pipelines of all kinds of steps, and the rows that they forget."""

import numpy as np
import sklearn
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler, TargetEncoder
from sklearn.utils.fixes import parse_version

from skunlearn import FineTuneUnlearner, RetrainUnlearner, UnlearningPipeline
from tests.small import net

GONE = np.arange(0, 60, 7)

LEFT = np.setdiff1d(np.arange(60), GONE)


def logistic():
    return RetrainUnlearner(LogisticRegression(max_iter=500), random_state=0)


def retrained_net(**kwargs):
    return RetrainUnlearner(net(**kwargs), random_state=0)


def tuned_net(**kwargs):
    return FineTuneUnlearner(net(**kwargs), max_epochs=2, random_state=0)


def scaled(unlearner=None, **kwargs):
    steps = [("scale", StandardScaler()), ("model", unlearner or logistic())]
    return UnlearningPipeline(steps, **kwargs)


def columns(encoder):
    return make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), list("abcd")),
        (encoder, ["town"]),
        (Normalizer(), ["b", "c"]),
    )


def target_encoder():
    """One that draws nothing; its ``fit_transform`` is not ``fit`` and ``transform``."""
    if parse_version(sklearn.__version__) >= parse_version("1.9"):
        return TargetEncoder(cv=StratifiedKFold(3))
    return TargetEncoder(cv=3, shuffle=False)


def first_columns(X):
    return np.asarray(X)[:, :2]


def interrupt(*args):
    raise KeyboardInterrupt
