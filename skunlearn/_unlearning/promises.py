"""What a method says about itself, for the base, the checks and the tables of methods."""

from dataclasses import dataclass, replace

_TASKS = ("takes_labels", "takes_outputs", "takes_positions", "takes_values")


@dataclass(frozen=True, kw_only=True)
class Promises:
    """What an unlearning method needs, takes and promises.

    A class of unlearners holds one as its attribute ``_promises``, made from that of its base by
    `dataclasses.replace`. Where it depends on parameters or on the log, the method
    ``_make_promises`` returns another for the instance.

    Attributes
    ----------
    reads_forget_rows : bool, default=True
        Whether the method reads the forget rows. Otherwise it is given None for them where they
        are already deleted.
    reads_forget_labels : bool, default=True
        Whether it reads their labels too.
    reads_retain_rows : bool, default=True
        Whether it trains on retained rows, or reads them.
    reads_validation_rows : bool, default=False
        Whether it looks at rows that the model has never seen, ``X_val`` of a request.
    judges_itself : bool, default=False
        Whether it compares forget rows with unseen ones itself, so that nobody need look at these
        a second time. What became of that in a request says its ``_has_judged``.
    class_only : bool, default=False
        Whether it is made for forgetting whole classes.
    exact : bool, default=False
        Whether the result is that of a training without the rows.
    guarantee : str, default="retrained without the rows"
        What the certificate says of an exact method.
    rtol : float, default=0.0
        Relative difference to a training without the rows that an exact method may leave, by
        rounding.
    certified : bool, default=False
        Whether it proves an (ε, δ).
    adds_noise : bool, default=False
        Whether it changes weights at random, and in no direction.
    accuracy_drop : float, default=0.1
        Loss of accuracy on the retained rows, as a share of them, above which a
        ``ModelDamagedWarning`` is given.
    takes_nets : bool, default=True
        Whether it takes skorch nets.
    takes_any_estimator : bool, default=False
        Whether it takes scikit-learn estimators of any kind.
    takes_labels : bool, default=True
        Whether it takes nets that give a row any number of labels.
    takes_outputs : bool, default=False
        Whether it takes classifiers with several outputs, each of which has classes of its own.
    takes_positions : bool, default=False
        Whether it takes nets that name a class for each of several positions of a row.
    takes_values : bool, default=True
        Whether it takes regressions.
    corrects : bool, default=False
        Whether the result is trained on all retained rows, so that `correct` may put new values
        among them.
    takes_new_inputs : bool, default=False
        Whether nothing but the weights ties it to the rows as ``fit`` saw them, so that steps of a
        pipeline in front may be fitted anew.
    edits_weights : bool, default=False
        Whether it reads off rows what the weights hold and edits these, so that a pipeline shows it
        the rows as the model was trained on them, and puts new steps in front afterwards.
    watches_training : bool, default=False
        Whether it must watch the training, so that it cannot start from a trained model.
    trains_from_scratch : bool, default=False
        Whether it trains the recipe from its first weights, inside a ``FrozenEstimator`` too.
    made_for : str, default="classes, rows"
        A word on what it forgets, or on its models, for the table of methods.
    not_in_files : tuple of str, default=()
        Attributes of its own that ``save`` leaves out without a warning.

    Examples
    --------
    >>> from dataclasses import replace
    >>> from skunlearn import NetUnlearner
    >>> class ShrinkUnlearner(NetUnlearner):
    ...     _promises = replace(NetUnlearner._promises, reads_forget_rows=False)
    >>> ShrinkUnlearner._promises.reads_forget_rows
    False
    """

    reads_forget_rows: bool = True
    reads_forget_labels: bool = True
    reads_retain_rows: bool = True
    reads_validation_rows: bool = False
    judges_itself: bool = False
    class_only: bool = False
    exact: bool = False
    guarantee: str = "retrained without the rows"
    rtol: float = 0.0
    certified: bool = False
    adds_noise: bool = False
    accuracy_drop: float = 0.1
    takes_nets: bool = True
    takes_any_estimator: bool = False
    takes_labels: bool = True
    takes_outputs: bool = False
    takes_positions: bool = False
    takes_values: bool = True
    corrects: bool = False
    takes_new_inputs: bool = False
    edits_weights: bool = False
    watches_training: bool = False
    trains_from_scratch: bool = False
    made_for: str = "classes, rows"
    not_in_files: tuple = ()

    def pass_on(self, inner):
        """These, of a method that hands its work to others, with what comes from them.

        What one of them needs is needed, and what one does not bear is not borne. None of their
        guarantees is passed on: each is about the whole work of a method of its own.

        Parameters
        ----------
        inner : list of Promises
            Those of the methods inside; without any nothing changes.

        Returns
        -------
        promises : Promises
        """
        if not inner:
            return self
        needed = (
            *("reads_retain_rows", "reads_validation_rows", "class_only", "adds_noise"),
            "edits_weights",
        )
        found = {name: any(getattr(p, name) for p in inner) for name in needed}
        tasks = {name: all(getattr(p, name) for p in (self, *inner)) for name in _TASKS}
        return replace(
            self,
            **found,
            **tasks,
            takes_new_inputs=all(p.takes_new_inputs for p in inner),
            trains_from_scratch=any(p.trains_from_scratch for p in (self, *inner)),
            accuracy_drop=max(p.accuracy_drop for p in inner),
        )
