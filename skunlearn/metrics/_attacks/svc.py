"""The "MIA efficacy" of published tables: an RBF support-vector machine on confidences."""

from dataclasses import dataclass

import numpy as np
from sklearn.svm import SVC
from sklearn.utils import check_random_state

from skunlearn.metrics._logits import check_logits, true_class_confidence
from skunlearn.metrics._statistics.interval_forms import Interval
from skunlearn.metrics._statistics.true_positives import proportion

__all__ = ["Efficacy", "svc_efficacy"]


@dataclass(frozen=True)
class Efficacy:
    """Outcome of `svc_efficacy`.

    Attributes
    ----------
    efficacy : Interval
        Share of the forget set that the attack calls unseen. A retrained model's value is the
        target, neither 1 nor 0.
    n_train : int
        Retained rows, and as many unseen ones, on which the attack was trained.
    capped : bool
        Whether rows were left out for time.
    """

    efficacy: Interval
    n_train: int
    capped: bool

    def __str__(self):
        capped = ", capped" if self.capped else ""
        return (
            f"SVC efficacy {self.efficacy}: share of the forget set called unseen, trained on "
            f"{self.n_train} rows a side{capped}. Nearer to a retrained model's is better."
        )


def svc_efficacy(
    forget_logits,
    y_forget,
    retain_logits,
    y_retain,
    unseen_logits,
    y_unseen,
    *,
    max_rows=2000,
    confidence=0.95,
    random_state=None,
):
    """Share of the forget set that a support-vector machine takes for unseen rows.

    It is trained to tell retained from unseen rows by the probability of their true class, as
    in [1]_ and [2]_, so that their tables can be compared with. A well-generalising model gives
    it little to learn from; prefer `membership_inference`.

    Parameters
    ----------
    forget_logits, retain_logits, unseen_logits : array-like of shape (n, n_classes), float
        Logits (or log-probabilities) of the model for the rows that it was to forget, retained
        training rows, and rows that were in no training set.
    y_forget, y_retain, y_unseen : array-like of shape (n,), int
        Column of each row's true class.
    max_rows : int, default=2000
        Rows a side to train on, drawn at random. The papers take all; the time grows with the
        square (2,000 a side took 14 times as long as 500, 0.33 s).
    confidence : float, default=0.95
        Share of such intervals that hold the true value; 0.95 is the custom.
    random_state : int, RandomState instance or None, default=None
        Of the draw.

    Returns
    -------
    Efficacy

    Raises
    ------
    ValueError
        If shapes do not match, or a value is not finite or out of range.

    References
    ----------
    .. [1] Jia et al. (2023), "Model sparsity can simplify machine unlearning",
       https://arxiv.org/abs/2304.04934
    .. [2] Fan et al. (2024), "SalUn: Empowering machine unlearning via gradient-based weight
       saliency", https://arxiv.org/abs/2310.12508

    Examples
    --------
    >>> import numpy as np
    >>> from skunlearn.metrics import svc_efficacy
    >>> rng = np.random.default_rng(0)
    >>> sets = []
    >>> for boost in (0, 4, 0):  # forgotten like unseen, retained well known
    ...     y = rng.integers(3, size=300)
    ...     sets += [rng.normal(size=(300, 3)) + boost * np.eye(3)[y], y]
    >>> svc_efficacy(*sets, random_state=0).efficacy.estimate > 0.9
    True
    """
    if max_rows < 1:
        raise ValueError(f"max_rows must be at least 1, got {max_rows!r}.")
    sides = {}
    for name, logits, y in (
        ("forget", forget_logits, y_forget),
        ("retain", retain_logits, y_retain),
        ("unseen", unseen_logits, y_unseen),
    ):
        checked = check_logits(logits, y, logits_name=f"{name}_logits", y_name=f"y_{name}")
        sides[name] = true_class_confidence(*checked)[:, None]
    rng = check_random_state(random_state)
    whole = min(len(sides["retain"]), len(sides["unseen"]))
    n = min(whole, max_rows)
    train = [sides[name][rng.permutation(len(sides[name]))[:n]] for name in ("retain", "unseen")]
    attack = SVC(C=3, gamma="auto", kernel="rbf").fit(np.concatenate(train), np.repeat([1, 0], n))
    called_unseen = int((attack.predict(sides["forget"]) == 0).sum())
    return Efficacy(
        efficacy=proportion(called_unseen, len(sides["forget"]), confidence),
        n_train=n,
        capped=n < whole,
    )
