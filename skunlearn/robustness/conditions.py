"""The circumstances under which models are looked at: what becomes of the rows."""

from dataclasses import dataclass, field
from numbers import Integral, Real

import numpy as np
from sklearn.metrics import pairwise_distances_argmin_min
from sklearn.utils import check_scalar

from skunlearn._rows.checking import check_mask
from skunlearn._rows.containers import digest_of
from skunlearn._rows.seeding import derive_seed
from skunlearn.forget_sets._drawing import draw
from skunlearn.robustness._condition import Condition, Perturbed
from skunlearn.robustness.adversarial import ATTACKS, adversarial_rows
from skunlearn.robustness.corruptions import CORRUPTIONS, corrupt, suits

__all__ = ["Adversarial", "Corruption", "NearForgotten", "Subpopulation"]

_TEST, _FORGET, _CHOICE, _FOREIGN = range(4)  # streams of random numbers


@dataclass(frozen=True)
class Clean(Condition):
    """Rows as they are."""

    name = "clean"

    def perturb(self, task, seed):
        """All rows."""
        return Perturbed(task.X_test, task.all_test, task.X_forget, task.all_forget)


@dataclass(frozen=True)
class Corruption(Condition):
    """Test and forget rows under a common corruption.

    Attributes
    ----------
    kind : str
        One of `skunlearn.robustness.CORRUPTIONS`, as `corrupt` has them.
    severity : {1, 2, 3, 4, 5}, default=3
        How strong it is.

    Examples
    --------
    >>> from skunlearn.robustness import Corruption
    >>> Corruption("fog", severity=5).name
    'fog'
    """

    kind: str
    severity: int = 3

    def __post_init__(self):
        if self.kind not in CORRUPTIONS:
            raise ValueError(f"kind must be one of {', '.join(CORRUPTIONS)}, got {self.kind!r}.")
        check_scalar(self.severity, "severity", Integral, min_val=1, max_val=5)

    @property
    def name(self):
        """The kind."""
        return self.kind

    def suits(self, task):
        """Whether the rows have the shape that the corruption needs.

        Parameters
        ----------
        task : object
            Rows, labels and settings of the report: ``X_test``, ``y_test``, ``X_forget``,
            ``y_forget`` and more.
        """
        return suits(self.kind, task.X_test.shape)

    def perturb(self, task, seed):
        """The same noise for every model.

        Parameters
        ----------
        task : object
            Rows, labels and settings of the report: ``X_test``, ``y_test``, ``X_forget``,
            ``y_forget`` and more.
        seed : int
            Of all that is drawn.
        """
        test, forget = (
            corrupt(
                X,
                self.kind,
                self.severity,
                value_range=task.value_range,
                random_state=derive_seed(seed, stream) % 2**32,
            )
            for stream, X in ((_TEST, task.X_test), (_FORGET, task.X_forget))
        )
        return Perturbed(test, task.all_test, forget, task.all_forget)


@dataclass(frozen=True)
class Adversarial(Condition):
    """Rows moved against each model by its own gradients.

    Test rows are led away from their labels. Forget rows are led *towards* theirs, which shows how
    near the surface the knowledge of them lies; a retrained model gives in too, so read the figure
    beside its. For residual knowledge they are led away under the retrained model, and each model
    is asked about the same rows.

    Attributes
    ----------
    attack : {"fgsm", "pgd", "autoattack"}, default="pgd"
        One step along the sign of the gradient; many steps from a random start; or steps that
        adapt, and then a search without gradients, as in `adversarial_rows`.
    eps : float, default=8/255
        Largest change of a value, in shares of the range of values.
    n_iter : int or None, default=None
        Steps; None takes 20 for "pgd" and 100 for "autoattack".
    n_queries : int, default=200
        Of the search of "autoattack".
    to_float : callable or None, default=None
        For nets that take integers, or see rows through a data set of their own: turns a float
        tensor with the values of the rows into the tensor that gives the module the same input.
        None tries values as they are, divided by 255, and as the nets of this package do.
    max_rows : int, default=200
        Test rows, and forget rows, that are attacked: drawn at random when there are more, each
        class in its share.

    Examples
    --------
    >>> from skunlearn.robustness import Adversarial
    >>> Adversarial("fgsm", eps=0.1).name
    'fgsm 0.1'
    """

    attack: str = "pgd"
    eps: float = 8 / 255
    n_iter: int | None = None
    n_queries: int = 200
    to_float: object = None
    max_rows: int = 200

    white_box = True

    def __post_init__(self):
        if self.attack not in ATTACKS:
            raise ValueError(f"attack must be one of {', '.join(ATTACKS)}, got {self.attack!r}.")
        check_scalar(self.eps, "eps", Real, min_val=0, max_val=1, include_boundaries="right")
        check_scalar(self.max_rows, "max_rows", Integral, min_val=1)

    @property
    def name(self):
        """The attack and its reach."""
        return f"{self.attack} {self.eps:.3g}"

    def perturb(self, task, seed, model):
        """Rows moved against `model`; which rows they are is the same for all.

        Parameters
        ----------
        task : object
            Rows, labels and settings of the report: ``X_test``, ``y_test``, ``X_forget``,
            ``y_forget`` and more.
        seed : int
            Of all that is drawn.
        model : fitted classifier net or unlearner of one
            Whose gradients the rows follow.
        """
        test, forget = self._choose(task, seed)
        X, y = task.X_test[test], task.y_test[test]
        near = self._move(task, model, X, y, seed, _TEST)
        X, y = task.X_forget[forget], task.y_forget[forget]
        back = self._move(task, model, X, y, seed, _FORGET, targeted=True)
        return Perturbed(near, test, back, forget)

    def foreign(self, task, seed, retrained):
        """Forget rows moved against the retrained model.

        Parameters
        ----------
        task : object
            Rows, labels and settings of the report: ``X_test``, ``y_test``, ``X_forget``,
            ``y_forget`` and more.
        seed : int
            Of all that is drawn.
        retrained : fitted classifier net or unlearner of one
            The model that the rows are moved against.
        """
        _, rows = self._choose(task, seed)
        X, y = task.X_forget[rows], task.y_forget[rows]
        return self._move(task, retrained, X, y, seed, _FOREIGN)

    def _choose(self, task, seed):
        rng = np.random.RandomState(derive_seed(seed, _CHOICE))
        test = _some(rng, task.all_test, self.max_rows, task.y_test)
        return test, _some(rng, task.all_forget, self.max_rows, task.y_forget)

    def _move(self, task, model, X, y, seed, stream, targeted=False):
        return adversarial_rows(
            task.front(model),
            X,
            task.classes[y],
            self.attack,
            eps=self.eps,
            n_iter=self.n_iter,
            n_queries=self.n_queries,
            targeted=targeted,
            value_range=task.value_range,
            to_float=self.to_float,
            random_state=derive_seed(seed, stream),
        )


@dataclass(frozen=True)
class Trigger(Condition):
    """Test rows with the trigger of a backdoor; for forget sets that planted one."""

    name = "trigger"

    def suits(self, task):
        """Whether the forget set planted a trigger."""
        return task.trigger is not None

    def perturb(self, task, seed):
        """Test rows only."""
        return Perturbed(np.asarray(task.trigger(task.X_test)), task.all_test)


@dataclass(frozen=True, eq=False)
class Subpopulation(Condition):
    """Shift to a part of the test rows.

    Attributes
    ----------
    rows : bool array of shape (n_test,), or callable
        Which test rows. A callable is given ``(X_test, y_test)``, labels as passed to the report,
        and returns such a mask.
    name : str, default="sub-population"
        What the report calls it.

    Examples
    --------
    >>> from skunlearn.robustness import Subpopulation
    >>> Subpopulation(lambda X, y: y < 5, name="small digits").name
    'small digits'
    """

    rows: object = field(repr=False)
    name: str = "sub-population"

    def recipe(self, task):
        """Digest of the rows, wherever they come from.

        Parameters
        ----------
        task : object
            Rows, labels and settings of the report: ``X_test``, ``y_test``, ``X_forget``,
            ``y_forget`` and more.
        """
        return digest_of(b"sub-population", self._mask(task))

    def perturb(self, task, seed):
        """Test rows only.

        Parameters
        ----------
        task : object
            Rows, labels and settings of the report: ``X_test``, ``y_test``, ``X_forget``,
            ``y_forget`` and more.
        seed : int
            Of all that is drawn.
        """
        mask = self._mask(task)
        return Perturbed(task.X_test[mask], np.flatnonzero(mask))

    def _mask(self, task):
        rows = self.rows
        if callable(rows):
            rows = rows(task.X_test, task.classes[task.y_test])
        return check_mask(rows, len(task.X_test), f"rows of {self.name!r}")


@dataclass(frozen=True)
class NearForgotten(Condition):
    """Shift to the test rows of retained classes that are nearest to a forget row.

    What forgetting costs, it costs there first.

    Attributes
    ----------
    share : float, default=0.2
        Of the test rows of retained classes, above 0 and at most 1.

    Examples
    --------
    >>> from skunlearn.robustness import NearForgotten
    >>> NearForgotten(share=0.1)
    NearForgotten(share=0.1)
    """

    share: float = 0.2

    name = "near forgotten"

    def __post_init__(self):
        check_scalar(self.share, "share", Real, min_val=0, max_val=1, include_boundaries="right")

    def suits(self, task):
        """Whether some test row is of a retained class.

        Parameters
        ----------
        task : object
            Rows, labels and settings of the report: ``X_test``, ``y_test``, ``X_forget``,
            ``y_forget`` and more.
        """
        return bool(task.kept.any())

    def perturb(self, task, seed):
        """Test rows only; distances are Euclidean.

        Parameters
        ----------
        task : object
            Rows, labels and settings of the report: ``X_test``, ``y_test``, ``X_forget``,
            ``y_forget`` and more.
        seed : int
            Of all that is drawn.
        """
        rows = np.flatnonzero(task.kept)
        flat = [
            X.reshape(len(X), -1).astype(np.float32) for X in (task.X_test[rows], task.X_forget)
        ]
        _, distance = pairwise_distances_argmin_min(*flat)
        count = max(1, round(self.share * len(rows)))
        near = np.sort(rows[np.argsort(distance, kind="stable")[:count]])
        return Perturbed(task.X_test[near], near)


def _some(rng, rows, k, y):
    return rows if len(rows) <= k else draw(rng, rows, k, y)
