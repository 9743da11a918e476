"""Fine-tuning from weights that were drawn towards new random ones."""

from dataclasses import replace

from skunlearn._rows.constraints import SHARE
from skunlearn.finetuning._shrinking import shrink_net
from skunlearn.net_unlearner import NetUnlearner
from skunlearn.search_spaces import Uniform


class ShrinkPerturbUnlearner(NetUnlearner):
    r"""Draw all weights towards new random ones, then train on the retained rows.

    Choose it for rows that the net knows by heart, when some epochs of training can be afforded:
    `shrink` is the one dial from fine-tuning (1) to training anew (0). `AutoUnlearner` turns it by
    itself, where it is given unseen rows to look at.

    The start is :math:`w \leftarrow \alpha\, w_o + (1 - \alpha)\, w_{new}`, with the weights w_o of
    the present net and w_new of an untrained one, running statistics of normalisation layers among
    them. What the net knows in common of many rows is trained back within few epochs, on the
    retained rows; what it knows of single rows is not. It was made for warm starts [1]_.

    Parameters
    ----------
    {estimator}
        Built from a module class, as untrained weights are needed. Frozen layers stay as they are.
    shrink : float in [0, 1], default=0.3
        α, the share of the old weights. What is left of a row falls with about its square in nets
        of two layers, and faster in deeper ones: try 0.5 there.
    {lr, batch_size, schedule}
    max_epochs : int or None, default=None
        None takes a third of the net's own, rounded up.
    {random_state, memory, store_data, verbose}

    Attributes
    ----------
    {estimator_, classes_, deletions_}

    References
    ----------
    .. [1] J. Ash, R. Adams, "On Warm-Starting Neural Network Training", NeurIPS 2020,
       https://arxiv.org/abs/1910.08475

    Examples
    --------
    >>> from skunlearn import ShrinkPerturbUnlearner
    >>> from skunlearn.datasets import load_digits_images
    >>> from skunlearn.nets import digits_classifier
    >>> X, y = load_digits_images(return_X_y=True)
    >>> unlearner = ShrinkPerturbUnlearner(digits_classifier(max_epochs=6), random_state=0)
    >>> unlearner.fit(X, y).unlearn(X[:20], y[:20]).deletions_[0]["rows"]
    20
    """

    _promises = replace(
        NetUnlearner._promises,
        takes_positions=True,
        reads_forget_rows=False,
        trains_from_scratch=True,  # w_new
        accuracy_drop=0.4,  # retained rows known by heart, wrong labels say, are known less as well
    )

    _parameter_constraints = {
        **NetUnlearner._parameter_constraints,
        "shrink": [SHARE],
    }

    def __init__(
        self,
        estimator,
        *,
        shrink=0.3,
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
        self.shrink = shrink

    def _unlearn(self, net, retain, forget):
        shrink_net(self, net, retain, self.shrink)
        self._run(net, retain)

    def _usual_epochs(self, net):
        return -(-net.max_epochs // 3)

    def _space(self):
        return super()._space() | {"shrink": Uniform(0.1, 0.7)}
