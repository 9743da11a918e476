"""One net trained by several processes, by Hugging Face accelerate."""

from sklearn.base import clone
from skorch.hf import AccelerateMixin
from torch import nn

__all__ = ["Accelerated"]

# accelerate's names of what gives each process a part of the module.
_DIVIDED = ("FSDP", "DEEPSPEED", "MEGATRON_LM", "TP")


class Accelerated(AccelerateMixin):
    """Mixin of skorch nets that are trained and unlearned data-parallel under accelerate.

    Every process runs the same script on the same rows; batches are divided among them and
    gradients averaged, so that all of them end with the same model, which is that of one process
    up to rounding and the order of batches. It is skorch's own mixin, made to work with criteria
    that have no parameters, and with the copies that an unlearning makes.

    Parameters
    ----------
    accelerator : accelerate.Accelerator
        With ``DataLoaderConfiguration(split_batches=True)``: `batch_size` is that of all processes
        together, so that learning rates and schedules mean the same for any number of them.
    *args, **kwargs
        Of the net.

    Raises
    ------
    ValueError
        When the net is initialised: batches are not split, or the accelerator divides the module
        itself among processes (FSDP, DeepSpeed, Megatron-LM, tensor parallelism), of which copies
        and digests would see a part.

    Notes
    -----
    Not for ``memory=``, shards, stopping callbacks of skorch (each process sees its own losses)
    and methods that look at single batches (`AmnesiacUnlearner`). End a script with
    ``accelerator.wait_for_everyone()`` and ``accelerator.end_training()``: a process that leaves
    while another still talks to it may abort at its very end.

    Examples
    --------
    In ``script.py``, started by ``torchrun --nproc_per_node 2 script.py`` (on CPUs with
    ``ACCELERATE_USE_CPU=true`` in the environment)::

        from accelerate import Accelerator, DataLoaderConfiguration
        from skorch import NeuralNetClassifier
        from skunlearn.nets import Accelerated

        class Net(Accelerated, NeuralNetClassifier):
            pass

        split = DataLoaderConfiguration(split_batches=True)
        net = Net(Module, accelerator=Accelerator(dataloader_config=split), device=None, ...)
    """

    def __init__(self, *args, accelerator, **kwargs):
        super().__init__(*args, accelerator=accelerator, **kwargs)

    def __sklearn_clone__(self):
        # The accelerator stands for the group of processes, of which there is one.
        params = self.get_params(deep=False)
        return type(self)(
            **{k: v if k == "accelerator" else clone(v, safe=False) for k, v in params.items()}
        )

    def _validate_params(self):
        super()._validate_params()
        kind = str(getattr(getattr(self.accelerator, "distributed_type", None), "value", ""))
        if kind in _DIVIDED:
            raise ValueError(
                f"The accelerator divides the module among processes ({kind}). An unlearning "
                "copies nets and writes down digests of their weights, and would see a part of "
                "them here. Use data parallelism (an Accelerator without such a plugin), with "
                "nets.Autocast and nets.MicroBatches where memory is short, or train low-rank "
                "adapters on a net whose other weights are frozen."
            )
        if self.accelerator.num_processes > 1 and not self.accelerator.split_batches:
            raise ValueError(
                "Several processes need Accelerator(dataloader_config=DataLoaderConfiguration("
                "split_batches=True)): otherwise a batch is as many times larger, and schedules "
                "count steps that never come."
            )

    def _initialize_accelerator(self):
        criteria = self._criteria
        self._criteria = [name for name in criteria if _learns(getattr(self, name + "_"))]
        try:
            return super()._initialize_accelerator()
        finally:
            self._criteria = criteria


def _learns(criterion):
    return isinstance(criterion, nn.Module) and any(p.requires_grad for p in criterion.parameters())
