"""RUM: forget the little memorised, then the much memorised rows, each in its own way."""

from dataclasses import replace

import numpy as np
from sklearn.base import clone

from skunlearn._recipe import training
from skunlearn._recipe.from_scratch import check_reference
from skunlearn._rows.constraints import StrOptions
from skunlearn._rows.memorisation import confidence_proxy, gain
from skunlearn._rows.seeding import derive_seed
from skunlearn._torch import skorch_nets
from skunlearn._torch.observation import observe
from skunlearn.base import BaseUnlearner
from skunlearn.finetuning import FineTuneUnlearner
from skunlearn.net_unlearner import NetUnlearner
from skunlearn.relabelling import SalUnUnlearner


def refuse_inside(unlearner, words):
    """Raise where a method cannot be handed a part of the work."""
    promises, method = unlearner._make_promises(), type(unlearner).__name__
    if promises.watches_training:
        raise TypeError(
            f"{words} that start from a trained one, and {method} must watch the training. Use "
            "it by itself."
        )
    if promises.certified:
        raise TypeError(
            f"{words} that prove nothing: what {method} proves is about all of its own steps, and "
            "would not hold inside another method. Use it by itself."
        )


class RUMUnlearner(BaseUnlearner):
    """Split the forget set by memorisation and forget each part with a method of its own (RUM).

    Choose it for requests that mix rows which the net has memorised with rows that it would know
    anyway: the former need a stronger method than the latter bear. The list of methods matters
    most.

    Parameters
    ----------
    {estimator}
        A classifier.
    unlearners : list of unlearner, default=None
        One for each part, from the least to the most memorised; their own estimators are
        ignored. None takes fine-tuning, fine-tuning and `SalUnUnlearner`.
    memorisation : {"confidence", "retrain"}, default="confidence"
        "confidence" takes rows that the net is least sure of for most memorised, a cheap proxy
        (the code of [1]_ averages it over the epochs of the training, which has nobody watched
        here). "retrain" trains one net on the retained rows and takes the difference of
        the probabilities of the true class: the estimate of [2]_ with the whole forget set left
        out at once; it costs a retraining.
    {random_state, memory, store_data, verbose}

    Attributes
    ----------
    {estimator_, classes_}
    deletions_ : list of dict
        The log of requests; ``"parts"`` holds the method of each part of the rows that was not
        empty, and what it has noted, such as ``"stop"``.

    References
    ----------
    .. [1] K. Zhao et al., "What Makes Unlearning Hard and What to Do About It", NeurIPS 2024,
       https://arxiv.org/abs/2406.01257
    .. [2] V. Feldman, "Does Learning Require Memorization? A Short Tale about a Long Tail", STOC
       2020, https://arxiv.org/abs/1906.05271

    Examples
    --------
    >>> from skunlearn import RUMUnlearner
    >>> from skunlearn.datasets import load_digits_images
    >>> from skunlearn.nets import digits_classifier
    >>> X, y = load_digits_images(return_X_y=True)
    >>> unlearner = RUMUnlearner(digits_classifier(max_epochs=5), random_state=0)
    >>> unlearner.fit(X, y).unlearn(X[:30], y[:30]).deletions_[0]["rows"]
    30
    """

    _promises = replace(BaseUnlearner._promises, takes_new_inputs=True, takes_values=False)

    _parameter_constraints = {
        **BaseUnlearner._parameter_constraints,
        "unlearners": [list, tuple, None],
        "memorisation": [StrOptions({"confidence", "retrain"})],
    }

    def __init__(
        self,
        estimator,
        *,
        unlearners=None,
        memorisation="confidence",
        random_state=None,
        memory=None,
        store_data=True,
        verbose=0,
    ):
        super().__init__(
            estimator,
            random_state=random_state,
            memory=memory,
            store_data=store_data,
            verbose=verbose,
        )
        self.unlearners = unlearners
        self.memorisation = memorisation

    def _make_promises(self):
        methods = self._methods()
        methods = methods if isinstance(methods, list | tuple) else []  # `fit` refuses others
        given = [m._make_promises() for m in methods if isinstance(m, NetUnlearner)]
        own, retrains = super()._make_promises(), self.memorisation == "retrain"
        promises = replace(own, trains_from_scratch=retrains).pass_on(given)
        return replace(promises, reads_retain_rows=retrains or promises.reads_retain_rows)

    def _attempt(self, retain, forget, seed):
        order, self._parts = (
            np.argsort(self._measure_memorisation(retain, forget), kind="stable"),
            [],
        )
        model = self.estimator_
        for part, (unlearner, rows) in enumerate(
            zip(self._methods(), np.array_split(order, len(self._methods())), strict=True)
        ):
            if not len(rows):
                continue
            worker = clone(unlearner).set_params(estimator=self.estimator, memory=None)
            worker._check_parameters()
            worker._fitted = replace(self._fitted, model=model, deletions=[])
            model = worker._attempt(retain, forget.take(rows), derive_seed(seed, part))
            self._parts.append({"method": type(worker).__name__} | worker._describe_attempt())
        return model

    def _describe_attempt(self):
        return super()._describe_attempt() | {"parts": self._parts}

    def _commit(self):
        super()._commit()
        vars(self).pop("_parts", None)

    def _measure_memorisation(self, retain, forget):
        """How much the net owes its knowledge of each row to the row itself."""
        losses = observe(self.estimator_, forget, self._classes).losses()
        if self.memorisation == "confidence":
            return confidence_proxy(losses)
        recipe = skorch_nets.unwrap(self.estimator)
        check_reference(recipe, "memorisation='retrain'", "Use memorisation='confidence'.")
        never = training.train(
            recipe,
            retain,
            self._classes,
            self._seed,
            memory=self.memory,
        )
        return gain(losses, [observe(never, forget, self._classes).losses()])

    def _methods(self):
        if self.unlearners is not None:
            return self.unlearners
        net = self.estimator
        return [FineTuneUnlearner(net), FineTuneUnlearner(net), SalUnUnlearner(net)]

    def _check_parameters(self):
        super()._check_parameters()
        methods = self._methods()
        if not methods:
            raise TypeError(f"unlearners must be a list of unlearners, got {methods!r}.")
        for unlearner in methods:
            if not isinstance(unlearner, NetUnlearner):
                raise TypeError(
                    f"unlearners must hold unlearners of nets, got {type(unlearner).__name__}."
                )
            refuse_inside(unlearner, "unlearners must hold unlearners of nets")
