"""The last layers anew."""

from skunlearn._torch import net_layers
from skunlearn.finetuning.cfk import CFkUnlearner


class EUkUnlearner(CFkUnlearner):
    """Initialise the last k layers again and train them on the retained rows (EU-k).

    Choose it over `CFkUnlearner` when the last layers must hold nothing of the forgotten rows; it
    takes longer, since they are trained from nothing. What the frozen layers remember stays. `k`
    matters most.

    Parameters
    ----------
    {estimator, k, lr, batch_size, schedule}
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

    def _prepare(self, net, layers):
        net_layers.reset(layers, net_layers.list_moved_parameters(net))

    def _usual_epochs(self, net):
        return net.max_epochs
