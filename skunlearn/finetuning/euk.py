"""The last layers anew."""

from skunlearn._rows.constraints import COUNT
from skunlearn._torch import net_layers
from skunlearn.finetuning.cfk import CFkUnlearner

_FEWEST = 2  # layers that are drawn anew, where there are as many


class EUkUnlearner(CFkUnlearner):
    """Initialise the last k layers again and train them on the retained rows (EU-k).

    Choose it over `CFkUnlearner` when the last layers must hold nothing of the forgotten rows; it
    takes longer, since they are trained from nothing. What the frozen layers remember stays. `k`
    matters most.

    The layers before the head hold rows that were learnt by heart as well: a new head alone gives
    rows of a class that is gone away, of which it is less sure than of unseen ones. On digits with
    a fifth of the labels wrong (three seeds of a convolutional net of three layers) the AUC of the
    entropy was -0.087, -0.106 and -0.048 from that of retrained nets with ``k=1``, and 0.032, 0.000
    and 0.018 with 2; on CIFAR-10 -0.043 with 1, -0.014 with 4 (``benchmarks/bench_defaults.py``,
    cnn-class and cifar-class).

    Parameters
    ----------
    {estimator}
    k : int or None, default=None
        Layers with weights to draw anew and train, see `CFkUnlearner`. None takes half of those
        that can be drawn anew, counted from the last up to one that is frozen, say, and two at
        least where there are as many: of a net with two layers that is all. Of a net that started
        from pretrained weights take few, as what is drawn anew learns from the retained rows alone.
    {lr, batch_size, schedule}
    max_epochs : int or None, default=None
        Passes over the retained rows; None takes the net's own, as many as the layers had.
    {random_state, memory, store_data, verbose}

    Attributes
    ----------
    {estimator_, classes_, deletions_}

    References
    ----------
    S. Goel et al., "Towards Adversarial Evaluations for Inexact Machine Unlearning",
    https://arxiv.org/abs/2201.06640

    Examples
    --------
    >>> from skunlearn import EUkUnlearner
    >>> from skunlearn.datasets import load_digits_images
    >>> from skunlearn.nets import digits_classifier
    >>> X, y = load_digits_images(return_X_y=True)
    >>> unlearner = EUkUnlearner(digits_classifier(max_epochs=5), k=2, random_state=0).fit(X, y)
    >>> len(unlearner.unlearn(X[:20], y[:20]).estimator_.history)
    5
    """

    _parameter_constraints = {**CFkUnlearner._parameter_constraints, "k": [COUNT, None]}

    def __init__(
        self,
        estimator,
        *,
        k=None,
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
            k=k,
            lr=lr,
            max_epochs=max_epochs,
            batch_size=batch_size,
            schedule=schedule,
            random_state=random_state,
            memory=memory,
            store_data=store_data,
            verbose=verbose,
        )

    def _list_layers(self, net, retain):
        if self.k is not None:
            return super()._list_layers(net, retain)
        most = net_layers.count_resettable(net, retain)
        k = min(most, max(_FEWEST, -(-most // 2)))
        return net_layers.last_layers(net, retain, max(1, k))  # of none it is said why

    def _prepare(self, net, layers):
        net_layers.reset(layers, net_layers.list_moved_parameters(net))

    def _usual_epochs(self, net):
        return net.max_epochs
