"""Public backbones that nets are built on: what is declared of them, and that none is trained."""

import torch

from skunlearn._recipe.trained_before import walk
from skunlearn._torch.first_weights import digest_tensor
from skunlearn._torch.parts.net_state import parts
from skunlearn.exceptions import UnlearningError

_LOOKED_AT = 1000  # numbers of a tensor: whoever writes through `.data` changes nearly all


def list_declarations(estimator):
    """What is declared of each backbone below a net, under "step" its place in ``get_params``."""
    return [
        {"step": f"{where} ({type(backbone).__name__})", **backbone.declaration()}
        for where, backbone in walk(estimator, "estimator").backbones
    ]


def name_changed(then, now):
    """Names of what was declared in ``fit`` and is something else by now, for a certificate."""
    return [
        f"{item['step']}: not what was declared in fit, see its sha256"
        for item in then
        if item not in now
    ]


def digest_tensors(backbones):
    """Digests of the single tensors of backbones that are torch modules.

    And of what adapters that split weights into a size and a direction (DoRA) begin with: the norms
    of a matrix's rows, in which there is no more than in the matrix.
    """
    found = [p for backbone in backbones for p in _list_parameters(backbone)]
    sizes = [torch.linalg.norm(p.detach(), dim=1) for p in found if _is_matrix(p)]
    return {digest_tensor(p) for p in (*found, *sizes)}


def refuse_own_layers(backbones, net):
    """Raise where a net has the very layers of a backbone, or learns its very weights."""
    ours = [part for _, part in parts(net)]
    held = {id(layer) for part in ours for layer in part.modules()}
    held |= {id(p) for part in ours for p in part.parameters() if p.requires_grad}
    for path, backbone in backbones:
        if held & {id(own) for own in [*_list_layers(backbone), *_list_parameters(backbone)]}:
            raise TypeError(
                f"The net is built out of the very layers of {path}, a PublicBackbone, so that its "
                "training would change what is declared public. Call its frozen_module() in the "
                "module's __init__ instead, or copy.deepcopy its module to train that."
            )


class Untouched:
    """Sees to it that the training of a net leaves the backbones below it as they are.

    Parameters
    ----------
    estimator : net, or what holds nets
    """

    def __init__(self, estimator):
        self.backbones = walk(estimator, "estimator").backbones
        self._versions = self._count()

    def check_layers(self, net):
        """Refuse a net, before it is trained, that has the very layers of a backbone."""
        refuse_own_layers(self.backbones, net)

    def check_weights(self):
        """Raise when the weights of a backbone have been written to, or exchanged."""
        for (path, _), then, now in zip(self.backbones, self._versions, self._count()):
            if then != now:
                raise UnlearningError(
                    f"The training has changed the weights of {path}, a PublicBackbone: it is no "
                    "longer what was declared, and has to be loaded anew. Something has unfrozen "
                    "them, or an adapter writes into what it is put on (PiSSA and OLoRA of peft "
                    "do, and those that are merged for predictions); to train them, let the "
                    "module copy.deepcopy them."
                )

    def check_evaluation(self, net):
        """Raise where a net writes into a backbone when it is put into evaluation mode."""
        if not self.backbones:
            return
        before = self._count()
        for _, part in parts(net):
            was = part.training
            part.eval()
            now = self._count()
            part.train(was)
            for (path, _), one, other in zip(self.backbones, before, now):
                if one != other:
                    raise UnlearningError(
                        f"In evaluation mode the net merges its adapter into the weights of {path},"
                        " a PublicBackbone, on which every other net stands too. Turn that off "
                        "(merge_weights=False of loralib); to have a merged net, merge "
                        "copy.deepcopy(net). What is declared has to be loaded anew."
                    )

    def _count(self):
        # torch counts how often a tensor was written to, but not what goes through `.data`.
        return [
            [(p._version, p.data_ptr(), _sample(p)) for p in _list_parameters(backbone)]
            for _, backbone in self.backbones
        ]


def _sample(tensor):
    """Some of its numbers, as bytes."""
    flat = tensor.detach().reshape(-1)
    some = flat[:: max(1, flat.numel() // _LOOKED_AT)]
    return some.cpu().contiguous().view(torch.uint8).numpy().tobytes()


def _is_matrix(tensor):
    return tensor.ndim == 2 and tensor.is_floating_point()


def _list_layers(backbone):
    modules = getattr(backbone.module, "modules", None)
    return list(modules()) if callable(modules) else []


def _list_parameters(backbone):
    return [p for layer in _list_layers(backbone) for p in layer.parameters(recurse=False)]
