"""Retraining from scratch on the retained rows."""

from dataclasses import replace

from skunlearn._recipe import training
from skunlearn._rows.constraints import COUNT
from skunlearn._torch import skorch_nets
from skunlearn.base import BaseUnlearner
from skunlearn.exact._squeezed_rates import SqueezedRates


class RetrainUnlearner(BaseUnlearner):
    """Train anew on the retained rows: the gold standard, and as slow as the first training.

    Choose it when the model is cheap to train, when the law asks for certainty, and as the
    reference that every other method is measured against. There is nothing to tune. With
    `max_epochs` it is the floor for them: what training anew gives for the same budget.

    Parameters
    ----------
    estimator : estimator object
        Any scikit-learn classifier or regressor or skorch net, trained or not. ``FrozenEstimator
        (model)`` means "already trained on the rows that ``fit`` is given"; `fit` then only
        remembers them. Inside the estimator it means that a part is never trained anew: the
        certificate names it, and guarantees nothing.
    max_epochs : int or None, default=None
        Epochs of a retraining, of nets; None takes the recipe's own. In fewer epochs the learning
        rates of the recipe's schedulers run their whole course (but for ``ReduceLROnPlateau``).
        Such a net has not seen the rows either, but is not the one that the recipe would have
        made: certificate and log say so. `fit` trains in full, and `memory` is not used.
    random_state : int, RandomState instance or None, default=None
        Seed of the training. The retraining uses the same seed, so that with an int
        ``fit(X, y).unlearn(rows)`` equals ``fit`` on the other rows, bit for bit on a CPU.
    memory : None, str or joblib.Memory, default=None
        Cache of trained models by recipe, rows and seed; needs an int `random_state` to be of
        use. The recipe is the parameters, the code of all classes that take part (not files that
        it reads during the training) and the first weights. ``unlearn`` deletes models from it
        that have seen forgotten rows; ``fit(forget=...)``, as in searches, does not.
    store_data : bool, default=True
        Whether pickles hold the retained rows.
    verbose : int, default=0
        1 prints skorch's table of epochs.

    Attributes
    ----------
    estimator_ : estimator object
        The current model.
    classes_ : ndarray of shape (n_classes,), or list of such
        Labels seen by ``fit``, of each of several outputs; classifiers only.
    deletions_ : list of dict
        The log of requests.

    Raises
    ------
    TypeError, ValueError
        From `fit` and `unlearn`, where `estimator` brings along what was trained before without
        saying so: a module instance among a net's parameters, at any depth, a fitted model that a
        function holds, a callback that starts from weights on disk.

    See Also
    --------
    FineTuneUnlearner : Faster, approximate.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skunlearn import RetrainUnlearner
    >>> X, y = load_iris(return_X_y=True)
    >>> unlearner = RetrainUnlearner(LogisticRegression(max_iter=500), random_state=0).fit(X, y)
    >>> unlearner.unlearn(indices=[0, 60, 120]).deletions_[0]["rows"]
    3
    >>> again = LogisticRegression(max_iter=500, random_state=0)
    >>> kept = np.delete(np.arange(150), [0, 60, 120])
    >>> bool(np.all(unlearner.estimator_.coef_ == again.fit(X[kept], y[kept]).coef_))
    True
    """

    _promises = replace(
        BaseUnlearner._promises,
        takes_any_estimator=True,
        takes_outputs=True,
        takes_positions=True,
        exact=True,
        corrects=True,
        takes_new_inputs=True,
        reads_forget_rows=False,
        trains_from_scratch=True,
    )

    _parameter_constraints = {
        **BaseUnlearner._parameter_constraints,
        "max_epochs": [COUNT, None],
    }

    def __init__(
        self,
        estimator,
        *,
        max_epochs=None,
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
        self.max_epochs = max_epochs

    def _attempt(self, retain, forget, seed):
        if self.max_epochs is None:
            return self._train(retain)
        return train_short(
            self.estimator, retain, self._classes, self._seed, self.max_epochs, self.verbose
        )

    def _make_promises(self):
        promises = super()._make_promises()
        last = (getattr(self, "deletions_", None) or [{}])[-1].get("epochs")
        if last is None or last[0] >= last[1]:
            return promises
        guarantee = f"{promises.guarantee}, for {last[0]} of the recipe's {last[1]} epochs"
        return replace(promises, guarantee=guarantee)

    def _describe_attempt(self):
        if self.max_epochs is None:
            return {}
        return {"epochs": [self.max_epochs, int(skorch_nets.unwrap(self.estimator).max_epochs)]}

    def _check_parameters(self):
        super()._check_parameters()
        if self.max_epochs is not None and not skorch_nets.is_net(
            skorch_nets.unwrap(self.estimator)
        ):
            raise TypeError(
                f"max_epochs= is for skorch nets; {type(self.estimator).__name__} has no "
                "epochs. Leave it at None."
            )


def train_short(estimator, rows, classes, seed, epochs, verbose=0):
    """A net trained by its recipe on `rows`, in fewer epochs or more: the floor of all methods."""
    recipe = skorch_nets.unwrap(estimator)
    net = training.train(
        skorch_nets.clone_net(recipe).set_params(max_epochs=epochs),
        rows,
        classes,
        seed,
        verbose=verbose,
        callbacks=[("skunlearn_squeezed", SqueezedRates(recipe.max_epochs))],
    )
    vars(net)["max_epochs"] = recipe.max_epochs
    return skorch_nets.drop_last_steps(net)
