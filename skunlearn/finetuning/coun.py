"""CoUn: fine-tuning with a contrastive term."""

from dataclasses import replace

import torch
from skorch.utils import to_device
from torch.nn.functional import cross_entropy, normalize

from skunlearn._rows.constraints import NOT_NEGATIVE, POSITIVE
from skunlearn._torch import net_layers, skorch_nets
from skunlearn._torch.batches.training_batch import mean
from skunlearn.ascent._floating_rows import say_what_they_are
from skunlearn.exceptions import UnlearningError
from skunlearn.finetuning.finetune import FineTuneUnlearner
from skunlearn.nets._augment import flip_and_shift
from skunlearn.search_spaces import LogUniform, Uniform


class CoUnUnlearner(FineTuneUnlearner):
    """Fine-tune on retained rows while pulling two views of each row together (CoUn).

    Choose it for single rows where plain fine-tuning forgets too slowly and features matter,
    images above all. The contrastive term moves the features of all rows by their likeness, the
    forgotten ones with them. `strength` matters most, with `lr`.

    It minimises CE(D_r) + λ · InfoNCE between the penultimate features of two views of the rows
    of a batch.

    Parameters
    ----------
    {estimator}
        A classifier.
    strength : float, default=0.1
        λ; the paper searched 0.1 to 6, in 50 epochs. In few epochs more costs accuracy.
    temperature : float, default=0.1
        τ; the paper searched up to 0.3.
    augment : callable or None, default=None
        Makes a random view of a batch of rows, tensor to tensor (or dictionary to dictionary, where
        rows are such). None mirrors and shifts images
        (four dimensions, floating point; by an eighth of their width), and adds noise of a tenth
        of the spread to other rows, which tokens do not take.
    {lr, max_epochs, batch_size, schedule}
    {early_stopping, validation_fraction, n_iter_no_change, average_weights}
    {random_state, memory, store_data, verbose}

    Attributes
    ----------
    {estimator_, classes_, deletions_}

    References
    ----------
    Y. Khalil, M. Setayesh, H. Li, "CoUn: Empowering Machine Unlearning via Contrastive Learning",
    NeurIPS 2025, https://arxiv.org/abs/2509.16391

    Examples
    --------
    >>> from skunlearn import CoUnUnlearner
    >>> from skunlearn.datasets import load_digits_images
    >>> from skunlearn.nets import digits_classifier
    >>> X, y = load_digits_images(return_X_y=True)
    >>> unlearner = CoUnUnlearner(digits_classifier(max_epochs=5), random_state=1)
    >>> unlearner.fit(X, y).unlearn(X[:20], y[:20]).deletions_[0]["rows"]
    20
    """

    _promises = replace(FineTuneUnlearner._promises, takes_positions=False)

    _parameter_constraints = {
        **FineTuneUnlearner._parameter_constraints,
        "strength": [NOT_NEGATIVE],
        "temperature": [POSITIVE],
        "augment": [callable, None],
    }

    def __init__(
        self,
        estimator,
        *,
        strength=0.1,
        temperature=0.1,
        augment=None,
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
        self.strength = strength
        self.temperature = temperature
        self.augment = augment

    def _first_model(self, rows):
        needs = {"several": "one tensor each", "tokens": "floating-point numbers"}
        if self.augment is None and (what := say_what_they_are(self, rows, view_of)):
            raise ValueError(_NEEDS.format(needs[what]))
        return super()._first_model(rows)

    def _unlearn(self, net, retain, forget):
        head = net_layers.layers_in_order(net, retain)[-1]
        augment = self.augment or view_of

        def loss(batch):
            x = to_device(batch.x, net.device)
            if self.augment is None and not isinstance(x, torch.Tensor):
                raise UnlearningError(_NEEDS.format("one tensor each"))
            try:
                a, b = (features(net, head, augment(x)) for _ in range(2))
            except (RuntimeError, IndexError) as error:
                if self.augment is None and not x.is_floating_point():  # tokens, say
                    raise UnlearningError(_NEEDS.format("floating-point numbers")) from error
                raise
            if a.requires_grad:  # frozen layers are pulled by nothing
                # One view after the other, and nothing of it meanwhile: PyTorch would hold a
                # gradient of each until it has added them to one. They come before the rows, while
                # there is no gradient to add to.
                ends = [view.detach().float().requires_grad_() for view in (a, b)]
                contrast = self.strength * info_nce(*ends, self.temperature, batch.weights)
                first, second = torch.autograd.grad(contrast, ends)
                contrast = contrast.detach()
                del ends
                # It does not depend on how long a view is, so that these sums are zero.
                pulled = contrast + (a.float() * first).sum()
                del a, first
                yield pulled
                pulled = (b.float() * second).sum()
                del b, second
                yield pulled
            yield batch.loss()

        self._fine_tune(net, retain, loss=loss)

    def _space(self):
        return super()._space() | {
            "strength": LogUniform(0.1, 6.0),
            "temperature": Uniform(0.05, 0.3),
        }


_NEEDS = (
    "CoUnUnlearner makes views of rows by noise, for which they must be {}. Pass augment=, a "
    "function that makes a random view of a batch as the module takes it (with some tokens masked, "
    "say)."
)


def features(net, head, x):
    """What enters the last layer, one row each."""
    seen = []
    hook = head.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    try:
        skorch_nets.make_eager(net).infer(x)
    finally:
        hook.remove()
    return seen[-1].flatten(1)


def info_nce(a, b, temperature, weights=None):
    """Cross-entropy of finding each row's other view among all views, both ways (InfoNCE)."""
    a, b = normalize(a.float(), dim=1), normalize(b.float(), dim=1)
    likeness = a @ b.T / temperature
    own = torch.arange(len(a), device=a.device)
    found = (cross_entropy(z, own, reduction="none") for z in (likeness, likeness.T))
    return mean(sum(found) / 2, weights)


def view_of(x):
    """A random view of each row."""
    if x.ndim == 4 and x.is_floating_point() and x.shape[-1] >= 8:
        return flip_and_shift(x, x.shape[-1] // 8)
    x = x.float()
    return x + 0.1 * x.std() * torch.randn_like(x)
