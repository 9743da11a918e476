"""Selective synaptic dampening without labels."""

from dataclasses import replace

from skunlearn._rows.constraints import StrOptions
from skunlearn._torch import inference
from skunlearn.editing.ssd import SSDUnlearner


class LFSSDUnlearner(SSDUnlearner):
    """`SSDUnlearner` without labels: importance for the length of the output (LFSSD).

    Choose it like `SSDUnlearner`, when the labels of the forget rows are missing or not to be
    trusted. `alpha` matters most.

    Of 36 nets that knew 31 rows of a digit among 1,000 the defaults left the digit named at most
    6 % of the time on 34, and 13 and 32 % on two, for up to 2.9 points of the others' accuracy;
    squares 0 to 10 %, and once 42 %. These were trained by SGD: of 12 convolutional nets for
    digits trained by AdamW instead ten stayed named 3 to 91 % of the time, which is warned of.

    The importance of a weight is the mean absolute derivative of ‖f(x)‖² by it, f(x) the net's raw
    output for a row.

    Parameters
    ----------
    {estimator}
    alpha : float or None, default=None
        α of `SSDUnlearner`. The ratio I_f / I cannot exceed the number r of all rows over that of
        forget rows, and is far from it where that is large: None takes r / 4, at most 2.25, for
        absolute values, and r / 2, at most 3, for squares.
    importance : {"absolute", "squared"}, default="absolute"
        "absolute" is that of the paper's authors [1]_, and of the continual learning that they
        took it from [2]_; "squared" takes squares, as the Fisher information of `SSDUnlearner`
        has them. Squares stand out more: the same `alpha` changes more weights.
    {dampening, importance_rows, random_state, memory, store_data, verbose}

    Attributes
    ----------
    {estimator_, classes_, deletions_}

    References
    ----------
    .. [1] J. Foster, S. Schoepf, A. Brintrup, "Loss-Free Machine Unlearning", ICLR 2024 (tiny
       papers), https://arxiv.org/abs/2402.19308
    .. [2] R. Aljundi et al., "Memory Aware Synapses: Learning What (Not) to Forget", ECCV 2018,
       https://arxiv.org/abs/1711.09601

    Examples
    --------
    >>> import warnings
    >>> from skunlearn import LFSSDUnlearner
    >>> from skunlearn.datasets import load_digits_images
    >>> from skunlearn.exceptions import ClassForgottenWarning, NotForgottenWarning
    >>> from skunlearn.nets import digits_classifier
    >>> X, y = load_digits_images(return_X_y=True)
    >>> unlearner = LFSSDUnlearner(digits_classifier(max_epochs=5), random_state=0)
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore", ClassForgottenWarning)
    ...     warnings.simplefilter("ignore", NotForgottenWarning)  # of traces in the logits
    ...     unlearner = unlearner.fit(X, y).unlearn(X[y == 8], y[y == 8])
    >>> unlearner.deletions_[0]["classes_forgotten"]
    [8]
    """

    _promises = replace(SSDUnlearner._promises, reads_forget_labels=False)

    _parameter_constraints = {
        **SSDUnlearner._parameter_constraints,
        "importance": [StrOptions({"absolute", "squared"})],
    }

    def __init__(
        self,
        estimator,
        *,
        alpha=None,
        importance="absolute",
        dampening=1.0,
        importance_rows=1000,
        random_state=None,
        memory=None,
        store_data=True,
        verbose=0,
    ):
        super().__init__(
            estimator,
            alpha=alpha,
            dampening=dampening,
            importance_rows=importance_rows,
            random_state=random_state,
            memory=memory,
            store_data=store_data,
            verbose=verbose,
        )
        self.importance = importance

    def _takes_squares(self):
        return self.importance == "squared"

    def _default_alpha(self, largest):
        return min(3, largest / 2) if self._takes_squares() else min(2.25, largest / 4)

    def _check_loss(self, net):
        pass

    def _row_loss(self, net, batch):
        return (inference.infer(net, batch[0]) ** 2).sum(dim=-1).mean()
