"""Random labels for the salient weights only."""

from numbers import Real

from skunlearn._rows.constraints import Interval
from skunlearn._torch import inference
from skunlearn._torch.loop.optimizer_steps import FrozenWeights, largest
from skunlearn._torch.parts.net_state import keep_weights
from skunlearn.relabelling.random_label import RandomLabelUnlearner
from skunlearn.search_spaces import Uniform


class SalUnUnlearner(RandomLabelUnlearner):
    """Random labels on the forget rows, learnt by the weights that these rows moved most (SalUn).

    Choose it over `RandomLabelUnlearner` where that costs too much accuracy: all other weights
    stay bitwise as they are. `share` matters most, with `lr`.

    Parameters
    ----------
    {estimator}
    share : float in (0, 1], default=0.5
        Share of all weights together, those with the largest gradient of the loss on the forget
        rows, that may move (the paper's).
    {redraw, exclude_true, order, stop, lr, max_epochs, batch_size, schedule}
    {random_state, memory, store_data, verbose}

    Attributes
    ----------
    {estimator_, classes_, deletions_}

    References
    ----------
    C. Fan et al., "SalUn: Empowering Machine Unlearning via Gradient-based Weight Saliency in
    Both Image Classification and Generation", ICLR 2024, https://arxiv.org/abs/2310.12508

    Examples
    --------
    >>> from skunlearn import SalUnUnlearner
    >>> from skunlearn.datasets import load_digits_images
    >>> from skunlearn.nets import digits_classifier
    >>> X, y = load_digits_images(return_X_y=True)
    >>> unlearner = SalUnUnlearner(digits_classifier(max_epochs=5), random_state=0)
    >>> unlearner.fit(X, y).unlearn(X[:20], y[:20]).deletions_[0]["rows"]
    20
    """

    _parameter_constraints = {
        **RandomLabelUnlearner._parameter_constraints,
        "share": [Interval(Real, 0, 1, closed="right")],
    }

    def __init__(
        self,
        estimator,
        *,
        share=0.5,
        redraw=True,
        exclude_true=True,
        order="mixed",
        stop=None,
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
            redraw=redraw,
            exclude_true=exclude_true,
            order=order,
            stop=stop,
            lr=lr,
            max_epochs=max_epochs,
            batch_size=batch_size,
            schedule=schedule,
            random_state=random_state,
            memory=memory,
            store_data=store_data,
            verbose=verbose,
        )
        self.share = share

    def _unlearn(self, net, retain, forget):
        free = salient_weights(net, forget, self.share, self._classes)
        frozen = FrozenWeights(free, keep_weights(free, net, self.estimator_))
        self._relabel_and_train(net, retain, forget, [("skunlearn_frozen", frozen)])

    def _space(self):
        return super()._space() | {"share": Uniform(0.1, 0.9)}


def salient_weights(net, forget, share, classes):
    """Masks of the `share` of all weights with the largest gradient on the forget rows.

    Parameters
    ----------
    net : skorch net
    forget : Rows
    share : float
        Of all weights together, not of each layer.
    classes : ndarray

    Returns
    -------
    masks : dict of parameter to bool tensor
    """
    params = [p for p in net.module_.parameters() if p.requires_grad]
    sizes = [g.abs_() for g in inference.loss_gradient(net, forget, params, classes)]
    count = max(1, round(share * sum(p.numel() for p in params)))
    return dict(zip(params, largest(sizes, count), strict=True))
