"""Fine-tuning on the retained rows that is held near the original weights."""

from numbers import Integral, Real

from skunlearn._rows import checking
from skunlearn._torch import net_layers
from skunlearn._torch.gradients.fisher import diagonal_fisher
from skunlearn.callbacks import ProximalStep
from skunlearn.finetuning._smoothing import soften_loss
from skunlearn.finetuning.finetune import FineTuneUnlearner
from skunlearn.search_spaces import LogUniform

_PULL = 0.25  # time that the pull acts, in units of its own time constant


class ProximalUnlearner(FineTuneUnlearner):
    r"""Fine-tune on the retained rows with a penalty for straying from the original weights.

    Choose it where plain fine-tuning over-fits: few retained rows, many epochs, repeated
    requests. `penalty` matters most: 0 is fine-tuning, a large one keeps everything, the
    forgotten rows included. Tune it with ``GridSearchCV`` on accuracy *and* forgetting.

    It minimises

    .. math:: CE(D_r) + \frac{\lambda}{2} \sum_i F_i (\theta_i - \theta_i^o)^2

    over the weights, with :math:`\theta^o` the weights before the request. The penalty is
    applied as a proximal step after every optimizer step, which is stable for every
    :math:`\lambda`; under plain or momentum SGD its fixed points are those of the sum above.

    Parameters
    ----------
    estimator : skorch net or FrozenEstimator of one
        See `FineTuneUnlearner`.
    penalty : float or None, default=None
        λ. None adapts it to the learning rate and the number of steps: the pull alone would undo
        a fifth of a displacement by the end of the run (λ times the sum of the rates is 0.25).
        Search it on a logarithmic scale from 1e-4 to 1, and 0.
    norm : {"l2", "fisher"}, default="l2"
        F: ones (L2-SP [1]_), or the mean over retained rows of the squared gradient of
        log p(y|x) (EWC [2]_), scaled to mean one over the penalised weights so that `penalty`
        means the same under both norms.
    fisher_rows : int, default=1000
        Retained rows from which F is estimated, one gradient each.
    exclude : str or sequence of str, default=()
        Parameters without a penalty: "head" (the layer that is last in the forward pass),
        "norm" (normalisation layers), "bias", or shell patterns such as ``"conv1.*"`` of
        parameter names.
    softening : {None, "label_smoothing", "confidence"}, default=None
        Term that keeps class boundaries from tightening around the retained rows: label
        smoothing [3]_ or a confidence penalty, the negative entropy of the prediction [4]_.
        Classifiers only.
    softening_strength : float, default=0.1
        Weight of that term (the value used throughout [4]_ and [3]_).
    lr, max_epochs, batch_size, schedule, early_stopping, validation_fraction, n_iter_no_change
        See `FineTuneUnlearner`.
    average_weights : bool, default=False
        See `FineTuneUnlearner`.
    random_state, memory, store_data, verbose
        See `FineTuneUnlearner`.

    Attributes
    ----------
    estimator_ : skorch net
        The current model.
    classes_ : ndarray of shape (n_classes,)
        Labels seen by ``fit``; classifiers only.
    deletions_ : list of dict
        The log of requests.

    References
    ----------
    .. [1] X. Li, Y. Grandvalet, F. Davoine, "Explicit Inductive Bias for Transfer Learning with
       Convolutional Networks", ICML 2018.
    .. [2] J. Kirkpatrick et al., "Overcoming catastrophic forgetting in neural networks", PNAS
       2017.
    .. [3] C. Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", CVPR
       2016.
    .. [4] G. Pereyra et al., "Regularizing Neural Networks by Penalizing Confident Output
       Distributions", ICLR workshop 2017.

    Examples
    --------
    >>> import torch
    >>> from skorch import NeuralNetClassifier
    >>> from skunlearn import ProximalUnlearner
    >>> from skunlearn.datasets import load_digits_images
    >>> from skunlearn.nets import DigitsNet
    >>> X, y = load_digits_images(return_X_y=True)
    >>> net = NeuralNetClassifier(
    ...     DigitsNet,
    ...     criterion=torch.nn.CrossEntropyLoss,
    ...     optimizer__momentum=0.9,
    ...     lr=0.1,
    ...     max_epochs=5,
    ...     iterator_train__shuffle=True,
    ...     train_split=None,
    ... )
    >>> unlearner = ProximalUnlearner(net, penalty=0.01, random_state=0).fit(X, y)
    >>> unlearner.unlearn(X[:20], y[:20]).deletions_[0]["parameters"]["penalty"]
    0.01
    """

    def __init__(
        self,
        estimator,
        *,
        penalty=None,
        norm="l2",
        fisher_rows=1000,
        exclude=(),
        softening=None,
        softening_strength=0.1,
        lr=None,
        max_epochs=None,
        batch_size=None,
        schedule="linear",
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=2,
        average_weights=False,
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
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            n_iter_no_change=n_iter_no_change,
            average_weights=average_weights,
            random_state=random_state,
            memory=memory,
            store_data=store_data,
            verbose=verbose,
        )
        self.penalty = penalty
        self.norm = norm
        self.fisher_rows = fisher_rows
        self.exclude = exclude
        self.softening = softening
        self.softening_strength = softening_strength

    def _unlearn(self, net, retain, forget):
        callbacks = []
        penalty = self._adapted(net, retain) if self.penalty is None else self.penalty
        if penalty > 0:
            params = net_layers.penalised_parameters(net, retain, self.exclude)
            anchors = {p: p.detach().clone() for p in params}
            importance = None
            if self.norm == "fisher" and params:
                sample = retain.sample(self.fisher_rows, self._seed)
                importance = diagonal_fisher(net, sample, params, self._classes)
            callbacks.append(("skunlearn_penalty", ProximalStep(anchors, penalty, importance)))
        loss = soften_loss(net, self.softening, self.softening_strength, self._classes)
        return self._fine_tune(net, retain, callbacks, loss)

    def _adapted(self, net, retain):
        mean = 1 / 2 if self.schedule == "linear" else 1
        return _PULL / self._reach(net, retain, mean)

    def _space(self):
        return super()._space() | {"penalty": LogUniform(1e-4, 0.1)}

    def _check_parameters(self):
        super()._check_parameters()
        check = checking.check_number
        if self.penalty is not None:
            check(self, "penalty", Real, low=0.0)
        check(self, "fisher_rows", Integral, low=1)
        # Label smoothing weighs the loss by one minus its strength.
        most = 1.0 if self.softening == "label_smoothing" else None
        check(self, "softening_strength", Real, low=0.0, high=most)
        if self.norm not in ("l2", "fisher"):
            raise ValueError(f"norm must be 'l2' or 'fisher', got {self.norm!r}.")
        if self.softening not in (None, "label_smoothing", "confidence"):
            raise ValueError(
                "softening must be None, 'label_smoothing' or 'confidence', got "
                f"{self.softening!r}."
            )
