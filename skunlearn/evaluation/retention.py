"""What repeated requests cost the classes that stay: catastrophic forgetting, measured."""

from dataclasses import dataclass, field

import numpy as np
from sklearn.base import is_classifier

from skunlearn._fitted_model import read_rows
from skunlearn._torch.observation import observe
from skunlearn._torch.parts.tasks import need_one_class
from skunlearn._unlearning import words
from skunlearn.evaluation.streams import check_recipe, deletion_stream, retrain_model

__all__ = ["RetentionCurve", "retention_curve"]


@dataclass(frozen=True)
class RetentionCurve:
    """Accuracy of every class after every request.

    With :math:`a_{t,c}` the accuracy on unseen rows of class c after t requests, T requests in all,
    and the means over the classes in `kept`:

    - `backward_transfer` is the mean of :math:`a_{T,c} - a_{0,c}`, that of [1]_ where every class
      was learnt before the first request. Below 0 the requests have cost accuracy.
    - `forgetting` is the mean of :math:`\\max_{t<T} a_{t,c} - a_{T,c}` [2]_. As a maximum of
      measured values it is a little above 0 even where nothing is lost.

    Attributes
    ----------
    accuracy : pandas.DataFrame
        :math:`a_{t,c}`: a row for each audit, indexed by the requests done, from 0 on; a column
        for each class with unseen rows.
    kept : ndarray of bool
        Columns of classes of which rows are still retained after the last request.
    retrained : pandas.DataFrame or None, default=None
        The same for models trained anew on the rows that were left. The row at 0 is the
        original's.
    audits : list of dict, default=[]
        What `deletion_stream` said at the audits after the first.

    References
    ----------
    .. [1] D. Lopez-Paz and M. Ranzato, "Gradient Episodic Memory for Continual Learning", NeurIPS
       2017, https://arxiv.org/abs/1706.08840
    .. [2] A. Chaudhry et al., "Riemannian Walk for Incremental Learning: Understanding Forgetting
       and Intransigence", ECCV 2018, https://arxiv.org/abs/1801.10112

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from skunlearn.evaluation import RetentionCurve
    >>> accuracy = pd.DataFrame([[0.9, 0.75], [1.0, 0.75], [0.9, 0.5]], columns=["cat", "dog"])
    >>> curve = RetentionCurve(accuracy, kept=np.array([True, True]))
    >>> round(curve.backward_transfer(), 3), round(curve.forgetting(), 3)
    (-0.125, 0.175)
    """

    accuracy: object
    kept: np.ndarray
    retrained: object = None
    audits: list = field(default_factory=list, repr=False)

    @property
    def mean(self):
        """Mean accuracy of the kept classes after each audit, a pandas.Series."""
        return self.accuracy.loc[:, self.kept].mean(axis=1)

    @property
    def worst(self):
        """Accuracy of the worst kept class after each audit, a pandas.Series."""
        return self.accuracy.loc[:, self.kept].min(axis=1)

    def backward_transfer(self, *, against="original"):
        """Mean change of the kept classes' accuracy from before the first request to the end.

        Parameters
        ----------
        against : {"original", "retrained"}, default="original"
            "retrained" compares the end with a model trained anew on the same rows instead: what
            it lost as well is due to the missing rows, not to the method.

        Returns
        -------
        transfer : float
            In [-1, 1]; higher is better.

        Raises
        ------
        ValueError
            When `against` is unknown, or there is no retrained model.
        """
        return float(self.by_class(against=against).mean())

    def by_class(self, *, against="original"):
        """`backward_transfer` of each kept class.

        Parameters
        ----------
        against : {"original", "retrained"}, default="original"
            Whose accuracy is taken away: the model before the first request, or the one retrained
            without all of the forgotten rows (which must be there).

        Returns
        -------
        transfer : pandas.Series
        """
        if against not in ("original", "retrained"):
            raise ValueError(f"against must be 'original' or 'retrained', got {against!r}.")
        if against == "retrained" and self.retrained is None:
            raise ValueError("There is no retrained model; use retention_curve(reference=True).")
        base = self.accuracy.iloc[0] if against == "original" else self.retrained.iloc[-1]
        return (self.accuracy.iloc[-1] - base)[self.kept]

    def forgetting(self):
        """Mean loss of the kept classes from their best audit before the last one to the end.

        Returns
        -------
        forgetting : float
            In [-1, 1]; lower is better.
        """
        kept = self.accuracy.loc[:, self.kept]
        return float((kept.iloc[:-1].max() - kept.iloc[-1]).mean())


@words.explained(deletion_stream)
def retention_curve(unlearner, requests, X_test, y_test=None, *, every=1, reference=False):
    """Apply deletion requests in their order and follow the accuracy of every class.

    Parameters
    ----------
    unlearner : fitted classifier unlearner that holds its rows
        Changed, as by ``unlearn``.
    {requests}
        Those that the unlearner has fulfilled are skipped; the curve then
        begins after them.
    X_test, y_test : rows that the model has never seen, with labels
        A torch Dataset has its labels with it, and `y_test` is None.
    every : int, default=1
        Requests between two audits.
    reference : bool, default=False
        Whether each audit also trains the estimator anew on the rows that are left.

    Returns
    -------
    curve : RetentionCurve

    Raises
    ------
    TypeError
        When `unlearner` is no classifier, or a `reference` would start from what was trained
        before.
    ValueError
        When there is no request left.

    Examples
    --------
    >>> from skunlearn import RetrainUnlearner
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from skunlearn.evaluation import retention_curve
    >>> X, y = load_digits(return_X_y=True)
    >>> unlearner = RetrainUnlearner(GaussianNB(), random_state=0).fit(X[:1000], y[:1000])
    >>> curve = retention_curve(unlearner, range(3), X[1000:], y[1000:])
    >>> curve.accuracy.shape
    (4, 10)
    >>> abs(curve.backward_transfer()) < 0.01
    True
    """
    import pandas as pd

    stream = deletion_stream(unlearner, requests, X_test, y_test, every=every, reference=False)
    if not is_classifier(unlearner):
        raise TypeError(
            f"retention_curve needs a classifier, got a {type(unlearner).__name__} of a regressor."
        )
    need_one_class(unlearner._classes, "retention_curve", TypeError)
    if reference:
        check_recipe(unlearner)
    unseen = read_rows(unlearner, X_test, y_test)
    first = _by_class(unlearner, unlearner.estimator_, unseen)
    done = [len(unlearner.deletions_)]
    accuracy, retrained, audits = [first], [first], []
    for audit in stream:
        audits.append(audit)
        done.append(audit["requests"])
        accuracy.append(_by_class(unlearner, unlearner.estimator_, unseen))
        if reference:
            retrained.append(_by_class(unlearner, retrain_model(unlearner), unseen))
    if not audits:
        raise ValueError("No request is left: the unlearner has fulfilled all of them.")
    present = np.unique(unseen.y)
    index = pd.Index(done, name="requests")
    columns = pd.Index(unlearner._classes[present], name="class")

    def frame(values):
        return pd.DataFrame(np.array(values)[:, present], index=index, columns=columns)

    left = np.isin(present, unlearner._record.retained_y)
    return RetentionCurve(frame(accuracy), left, frame(retrained) if reference else None, audits)


def _by_class(unlearner, model, rows):
    """Accuracy of each class on the rows, NaN where it has none."""
    evidence = observe(model, rows, unlearner._classes)
    n = np.bincount(evidence.y, minlength=len(unlearner._classes))
    right = np.bincount(
        evidence.y[evidence.predicted == evidence.y], minlength=len(unlearner._classes)
    )
    return right / np.where(n > 0, n, np.nan)
