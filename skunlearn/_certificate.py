"""The log of deletions and the certificate made of it."""

import json
import platform

import numpy as np
import sklearn
import skorch
import torch
from sklearn.utils.validation import check_is_fitted

from skunlearn._data import digest_of
from skunlearn._version import __version__


def deletion_entry(unlearner, *, rows, identifiers, classes_forgotten, seconds, measured, when):
    """One entry of ``deletions_``, of plain JSON types."""
    params = {
        key: plain(value)
        for key, value in unlearner.get_params(deep=False).items()
        if key not in ("estimator", "memory", "verbose")
    }
    seed = int(unlearner._seed)
    if unlearner._is_certified:
        # Whoever can draw the noise again can take it away.
        seed = params["random_state"] = None
    return {
        "when": when.isoformat(timespec="seconds"),
        "method": type(unlearner).__name__,
        "exact": bool(unlearner._is_exact),
        "parameters": params,
        "seed": seed,
        "rows": int(rows),
        # Sorted, so that the digest does not depend on the order of the request.
        "identifiers_digest": digest_of(np.unique(identifiers, axis=0)),
        "classes_forgotten": [plain(label) for label in classes_forgotten],
        "seconds": round(float(seconds), 6),
        "measured": measured,
    }


class CertificateMixin:
    """``certificate()``."""

    def certificate(self):
        """What was forgotten, how, when, and what was measured, as JSON.

        Returns
        -------
        text : str
            A JSON object. ``"guarantee"`` is ``"retrained without the rows"`` for exact methods
            (or the solution without them, where it is computed), ``"(epsilon, delta)"`` for
            certified ones, with what was proved under ``"proved"``, and ``"none"`` for the
            others, which are judged by measurement only.

        Examples
        --------
        >>> import json
        >>> import numpy as np
        >>> from sklearn.linear_model import LogisticRegression
        >>> from skunlearn import RetrainUnlearner
        >>> X, y = np.eye(6), np.array([0, 1, 0, 1, 0, 1])
        >>> unlearner = RetrainUnlearner(LogisticRegression(), random_state=0).fit(X, y)
        >>> certificate = json.loads(unlearner.unlearn(X[:1]).certificate())
        >>> certificate["deletions"][0]["rows"], certificate["guarantee"]
        (1, 'retrained without the rows')
        """
        check_is_fitted(self)
        guarantee = "none"
        if self.deletions_ and self._is_certified:
            guarantee = "(epsilon, delta)"
        elif self.deletions_ and all(entry["exact"] for entry in self.deletions_):
            guarantee = self._exactness
        notes = []
        if self.memory is not None:
            notes.append(
                "The memory= cache may still hold models trained on forgotten rows; clear it "
                "(joblib.Memory.clear) to complete the deletion."
            )
        kept = self.deletions_[-1].get("statistics_kept") if self.deletions_ else None
        if kept:
            notes.append(
                f"Running statistics of {', '.join(kept)} are those from before the request: they "
                "could not be taken anew over retained rows, and still hold the forgotten ones."
            )
        return json.dumps(
            {
                "skunlearn": __version__,
                "versions": {
                    "python": platform.python_version(),
                    "torch": torch.__version__,
                    "skorch": skorch.__version__,
                    "scikit-learn": sklearn.__version__,
                },
                "retained_rows": int(self._record.retained.sum()),
                "forgotten_rows": int((~self._record.retained).sum()),
                "guarantee": guarantee,
                **({"proved": self._proved()} if guarantee == "(epsilon, delta)" else {}),
                "notes": notes,
                "deletions": self.deletions_,
            },
            indent=2,
        )


def plain(value):
    """`value` in JSON's types."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "shape"):  # rows, say, that are nobody's business here
        return f"{type(value).__name__} of shape {tuple(value.shape)}"
    return value if value is None or isinstance(value, bool | int | float | str) else repr(value)
