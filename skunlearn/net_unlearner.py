"""The base of the methods that go on training a copy of the current net."""

from contextlib import nullcontext
from dataclasses import replace

from skunlearn._rows.constraints import COUNT, POSITIVE, StrOptions
from skunlearn._rows.seeding import seeded
from skunlearn._torch import skorch_nets
from skunlearn._torch.batches.batching import n_batches
from skunlearn._torch.batches.lone_rows import lone_row
from skunlearn._torch.batches.training_batch import main_output
from skunlearn._torch.held_out_rows import holding_out
from skunlearn._torch.loop import learning_rates
from skunlearn._torch.loop.epoch_loop import DirectStep
from skunlearn._torch.loop.fit_loop import batches, train
from skunlearn._torch.loop.norms import moving_norms, unmoved
from skunlearn._torch.parts.tasks import task_of
from skunlearn._torch.row_losses import Targets, labels_of, row_losses
from skunlearn.base import BaseUnlearner
from skunlearn.callbacks import LinearDecay
from skunlearn.exceptions import UnlearningError
from skunlearn.search_spaces import Integers, LogUniform, in_form

_SETTINGS = ("max_epochs", "batch_size", "iterator_train__batch_size")


class NetUnlearner(BaseUnlearner):
    """Base class of unlearners that go on training a copy of the current net.

    A method of another usual rate than the net's own says in ``_lr_share`` what share of it `lr`
    of None takes, and describes its own `lr`. One that takes the net apart, and has to train it
    back, says in ``_fewest_epochs`` how many `max_epochs` of None takes at least where the recipe
    is short, and describes its own.

    Parameters
    ----------
    {estimator}
    lr : float or None, default=None
        Learning rate to start from; None takes the net's own. Parameter groups with rates of
        their own (``optimizer__param_groups``) keep their ratio to it.
    max_epochs : int or None, default=None
        Passes over the retained rows; None takes a fifth of the net's own, rounded up.
    batch_size : int or None, default=None
        Rows in a batch, also where the net has ``iterator_train__batch_size``; None takes the
        net's own.
    schedule : {"linear", "constant", "net"}, default="linear"
        Learning rate over the passes: falling to zero with every batch, constant, or left to
        the LRScheduler among the net's callbacks. That one was laid out for a full training, of
        which a short run would see the first part only; hence the default. `lr` has no effect
        on schedulers with rates of their own (OneCycleLR, CyclicLR), and is refused with them.
    {random_state, memory, store_data, verbose}

    Attributes
    ----------
    {estimator_, classes_, deletions_}
    """

    _promises = replace(BaseUnlearner._promises, takes_new_inputs=True)
    _lr_share = 1.0  # of the net's own rate, where `lr` is None
    _fewest_epochs = 0  # or two fifths of the net's own, whichever is less

    _parameter_constraints = {
        **BaseUnlearner._parameter_constraints,
        "lr": [POSITIVE, None],
        "max_epochs": [COUNT, None],
        "batch_size": [COUNT, None],
        "schedule": [StrOptions({"linear", "constant", "net"})],
    }

    def __init__(
        self,
        estimator,
        *,
        lr=None,
        max_epochs=None,
        batch_size=None,
        schedule="linear",
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
        self.lr = lr
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.schedule = schedule

    def _unlearn(self, net, retain, forget):
        """Change `net`, a copy of the current one, in place, or return another.

        Parameters
        ----------
        net : skorch net
            Weights of the current model; new optimizer, callbacks and history.
        retain, forget : Rows
            `forget` is None when the rows are not at hand and the method promises not to read them.

        Returns
        -------
        net : skorch net or None
            None stands for the `net` that was passed in.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define _unlearn")

    def _attempt(self, retain, forget, seed):
        with seeded(seed):
            net = skorch_nets.copy_net(
                self.estimator_, verbose=self.verbose, keep_schedule=self.schedule == "net"
            )
            if not any(p.requires_grad for _, p in net.get_all_learnable_params()):
                raise UnlearningError(
                    "Every weight of the net is frozen: none requires a gradient. Let those learn "
                    "that are to forget (requires_grad_())."
                )
            own = learning_rates.rates(net)
            self._set_recipe(net)
            recipe = skorch_nets.unwrap(self.estimator)
            holds = skorch_nets.own_split(recipe) is not None
            holding = holding_out(net, recipe, retain) if holds else nullcontext(retain)
            with holding as kept, self._watched(net, kept, forget):
                other = self._unlearn(net, kept, forget)
        if self.schedule == "net":  # see `_set_recipe`
            net.callbacks_ = [
                (name, cb)
                for name, cb in net.callbacks_
                if not isinstance(cb, learning_rates.ScaledRates)
            ]
        # The settings of this request are not those of the net: the next one starts from its own.
        if other is None or other is net:
            learning_rates.set_rates(net, own)
        net = net if other is None else other
        own = vars(self.estimator_)
        vars(net).update({key: own[key] for key in _SETTINGS if key in own})
        return skorch_nets.drop_last_steps(net)  # who trains another net next needs the memory

    def _watched(self, net, retain, forget):
        """A context in which `net` is trained, for methods that look on."""
        return nullcontext()

    def _set_recipe(self, net):
        """Give the copy the settings of this request."""
        vars(net)["max_epochs"] = self._epochs()
        if self.batch_size is not None:
            learning_rates.set_batch_size(net, self.batch_size)
        share = self._lr_share if self.lr is None else self.lr / learning_rates.main_rate(net)
        if share == 1.0:
            return
        learning_rates.scale_rates(net, share)
        if self.schedule == "net":
            fixed = learning_rates.find_fixed_schedulers(net)
            if fixed and self.lr is not None:
                learning_rates.refuse_fixed(fixed)
            net.callbacks_ += [
                ("skunlearn_share", learning_rates.ScaledRates(cb, share)) for cb in fixed
            ]

    def _run(self, net, rows, callbacks=(), loss=None, relabels=False):
        """Train `net` on `rows` for its ``max_epochs`` and under the schedule asked for.

        See `skunlearn._torch.loop.fit_loop.train` for `loss` and `relabels`.
        """
        callbacks = list(callbacks)
        if self.schedule == "linear":
            callbacks.append(("skunlearn_decay", LinearDecay()))
        return train(net, rows, callbacks=callbacks, shuffle=True, loss=loss, relabels=relabels)

    def _row_losses(self, net, rows):
        """Losses of rows beside those that `net` is trained on; to be called before `_run`.

        Parameters
        ----------
        net : skorch net
        rows : Rows
            The forget rows, say.

        Returns
        -------
        pairs : iterator without end
            Of batches of `rows`, drawn anew in every pass, and a tensor of shape (b,) with the
            task's loss of each row. Gradients flow; running statistics of norms stay as they are.
        """
        given, targets, norms = batches(net, rows), Targets(net, rows), moving_norms(net)
        direct, plain = DirectStep(net), nullcontext()

        def asked(batch):
            labels = labels_of(batch, targets, self._classes, type(self).__name__)
            # In training mode the running statistics would end half-way to these rows, and
            # batches of them alone be normalised as no row is when the net is used.
            resting = unmoved(norms) if norms else plain
            with resting, lone_row(net, batch) if batch.n_rows == 1 else plain:
                out = main_output(direct.infer(batch.x))
            return batch, row_losses(net, out, labels, self._classes)

        return map(asked, given)

    def _whole_classes(self, retain, forget):
        """Whether the forget rows are of classes, or have labels, that no retained row has."""
        return task_of(self._classes).covers(retain.y, forget.y)

    def search_space(self, kind="random", *, n_points=4):
        """Where to look for this method's settings around its net.

        Parameters
        ----------
        kind : {"random", "grid", "optuna"}, default="random"
            Distributions for ``RandomizedSearchCV``, lists for ``GridSearchCV``, or Optuna's
            distributions for its ``OptunaSearchCV``.
        n_points : int, default=4
            Values of each numeric parameter in a grid.

        Returns
        -------
        space : dict of str to distribution or list
            Rates and penalties on a logarithmic scale, learning rates around the net's own.

        Raises
        ------
        ValueError
            When `kind` is unknown.
        ImportError
            When `kind` is "optuna" and Optuna is not installed.

        Examples
        --------
        >>> from skunlearn import ProximalUnlearner
        >>> from skunlearn.nets import digits_classifier
        >>> ProximalUnlearner(digits_classifier(lr=0.1)).search_space("grid", n_points=2)
        {'lr': [0.01, 0.3], 'max_epochs': [3, 12], 'penalty': [0.0001, 0.1], 'anchor': [0.1, 1.0]}
        """
        return in_form(self._space(), kind, n_points)

    def _space(self):
        net = skorch_nets.unwrap(self.estimator)
        rate = learning_rates.recipe_rate(net) * self._lr_share
        epochs = self._usual_epochs(net)
        return {
            "lr": LogUniform(rate / 10, rate * 3),
            "max_epochs": Integers(max(1, epochs // 2), max(2, 2 * epochs)),
        }

    @staticmethod
    def _reach(net, rows, mean):
        """How far a constant gradient of one would carry a weight in the whole run.

        `mean` is that of the learning rate over the run, as a share of the first.
        """
        steps = net.max_epochs * max(1, n_batches(net, len(rows)))
        return learning_rates.mean_reach(net) * steps * mean

    def _epochs(self):
        if self.max_epochs is not None:
            return self.max_epochs
        return self._usual_epochs(skorch_nets.unwrap(self.estimator))

    def _usual_epochs(self, net):
        """Those of `max_epochs=None`, around which a search looks."""
        return max(-(-net.max_epochs // 5), min(self._fewest_epochs, -(-2 * net.max_epochs // 5)))


def share_above(times):
    """A ``_lr_share`` of so many times the net's own rate.

    No more than that where callbacks of the net set it: then it is the highest of many.
    """

    def find_share(self):
        return 1.0 if skorch_nets.has_schedule(skorch_nets.unwrap(self.estimator)) else times

    return property(find_share)


def share_where_short(times):
    """A ``_lr_share`` of so many times the net's own rate where the recipe is short.

    That is where it has so few epochs that ``_fewest_epochs`` are more than a fifth of them: from
    its own rate, which it has never lowered, so few do not train a net back. Where callbacks set
    the rate it is the net's own.
    """

    def find_share(self):
        recipe = skorch_nets.unwrap(self.estimator)
        short = recipe.max_epochs < 5 * self._fewest_epochs
        return times if short and not skorch_nets.has_schedule(recipe) else 1.0

    return property(find_share)
