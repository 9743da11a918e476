"""Looks at models beside retrained ones, for `bench_defaults.py`."""

import numpy as np
from _defaults_store import SCORES

from skunlearn import RetrainUnlearner
from skunlearn.metrics import auc, membership_scores

REFERENCES = 3


def outputs(model, X, n_classes):
    """Log-probabilities."""
    p = np.full((len(X), n_classes), np.finfo(np.float32).tiny)
    p[:, model.classes_] = np.maximum(model.predict_proba(X), np.finfo(np.float32).tiny)
    return np.log(p)


def hellinger(a, b):
    overlap = np.exp((a + b) / 2).sum(axis=1)
    return np.sqrt(np.clip(1 - overlap, 0, None)).mean()


class Referee:
    """Judges models of one task.

    Attributes
    ----------
    seconds : float or None
        CPU time of a retraining, which the run sets when it has timed one: those that models are
        judged by may have been kept.
    """

    def __init__(self, model, X, y, X_unseen, y_unseen, forget, seed, memory=None):
        self.rows, self.n_classes = (X[forget], y[forget]), y.max() + 1
        kept = np.setdiff1d(np.arange(len(y)), forget)
        gone = np.setdiff1d(y[forget], y[kept])
        twins = np.isin(y_unseen, gone) if len(gone) else np.isin(y_unseen, y[forget])
        self.twins = X_unseen[twins], y_unseen[twins]
        stay = ~np.isin(y_unseen, gone)
        self.others = X_unseen[stay], y_unseen[stay]
        self.seconds, looks = None, []
        for k in range(REFERENCES):
            one = RetrainUnlearner(model, random_state=100 * seed + k, memory=memory)
            one.fit(X[kept], y[kept])
            looks.append(self.look(one))
        self.auc = {s: np.mean([found["auc"][s] for found in looks]) for s in SCORES}
        self.said = [found["said"] for found in looks]
        pairs = [(i, j) for i in range(REFERENCES) for j in range(i)]
        self.null = np.mean([hellinger(self.said[i], self.said[j]) for i, j in pairs])
        self.accuracy = np.mean([found["accuracy"] for found in looks])

    def look(self, model):
        said, twins = (
            outputs(model, rows, self.n_classes) for rows in (self.rows[0], self.twins[0])
        )
        found = {
            score: auc(
                membership_scores(said, self.rows[1], score),
                membership_scores(twins, self.twins[1], score),
            )
            for score in SCORES
        }
        named = np.mean(said.argmax(axis=1) == self.rows[1])
        return {"auc": found, "said": said, "named": named, "accuracy": model.score(*self.others)}

    def judge(self, model, seconds):
        seen = self.look(model)
        apart = np.mean([hellinger(seen["said"], said) for said in self.said])
        return {
            "AUC": {score: float(seen["auc"][score] - self.auc[score]) for score in SCORES},
            "distance": float(apart / self.null),
            "named": float(seen["named"]),
            "accuracy": float(seen["accuracy"] - self.accuracy),
            "time": seconds / self.seconds if seconds else 0.0,
        }
