"""Fine-tuning of the last layers only."""

from dataclasses import replace

from skunlearn._rows.constraints import COUNT
from skunlearn._torch import net_layers
from skunlearn._torch.loop.optimizer_steps import norms_at_rest, only_trained
from skunlearn.exceptions import UnlearningError
from skunlearn.net_unlearner import NetUnlearner
from skunlearn.search_spaces import Integers


class CFkUnlearner(NetUnlearner):
    """Fine-tune the last k layers on the retained rows, the others frozen (CF-k).

    Choose it when fine-tuning is too slow or costs too much accuracy, and what is to go lives in
    the last layers, as whole classes do. It cannot remove what the frozen layers remember. `k`
    matters most.

    Parameters
    ----------
    {estimator}
    k : int, default=1
        Layers with weights to train, counted from the last in the order of the forward pass;
        normalisation layers among them come along. The frozen ones keep their running
        statistics too.
    {lr, max_epochs, batch_size, schedule, random_state, memory, store_data, verbose}

    Attributes
    ----------
    {estimator_, classes_, deletions_}

    References
    ----------
    S. Goel et al., "Towards Adversarial Evaluations for Inexact Machine Unlearning",
    https://arxiv.org/abs/2201.06640

    Examples
    --------
    >>> from skunlearn import CFkUnlearner
    >>> from skunlearn.datasets import load_digits_images
    >>> from skunlearn.nets import digits_classifier
    >>> X, y = load_digits_images(return_X_y=True)
    >>> unlearner = CFkUnlearner(digits_classifier(max_epochs=5), k=1, random_state=0).fit(X, y)
    >>> unlearner.unlearn(X[:20], y[:20]).deletions_[0]["parameters"]["k"]
    1
    """

    _promises = replace(NetUnlearner._promises, reads_forget_rows=False, takes_positions=True)

    _parameter_constraints = {
        **NetUnlearner._parameter_constraints,
        "k": [COUNT],
    }

    def __init__(
        self,
        estimator,
        *,
        k=1,
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
            lr=lr,
            max_epochs=max_epochs,
            batch_size=batch_size,
            schedule=schedule,
            random_state=random_state,
            memory=memory,
            store_data=store_data,
            verbose=verbose,
        )
        self.k = k

    def _unlearn(self, net, retain, forget):
        layers = self._list_layers(net, retain)
        self._prepare(net, layers)
        frozen = [m for m in net.module_.modules() if m not in layers]
        with (
            only_trained(net, net_layers.own_parameters(layers)),
            norms_at_rest(net, frozen),
        ):
            self._run(net, retain)

    def _list_layers(self, net, retain):
        """Modules that are trained."""
        return net_layers.last_layers(net, retain, self.k)

    def _prepare(self, net, layers):
        if net_layers.list_moved_parameters(net).isdisjoint(net_layers.own_parameters(layers)):
            raise UnlearningError(
                f"{type(self).__name__} trains the last {self.k} layers, which are frozen. Let "
                "them learn (requires_grad_()), or raise k."
            )

    def _space(self):
        return super()._space() | {"k": Integers(1, 3)}
