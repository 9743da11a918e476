"""The base of methods that edit weights."""

from dataclasses import replace

from skunlearn._torch.gradients.faster import KeepsWays
from skunlearn.net_unlearner import NetUnlearner


class WeightEditor(KeepsWays, NetUnlearner):
    """Base class of unlearners that edit the weights of a copy, without training it.

    Parameters
    ----------
    {estimator, random_state, memory, store_data, verbose}
    """

    _promises = replace(NetUnlearner._promises, edits_weights=True)

    # Settings of a training, which there is none of.
    lr = max_epochs = batch_size = None
    schedule = "constant"

    def __init__(self, estimator, *, random_state=None, memory=None, store_data=True, verbose=0):
        self.estimator = estimator
        self.random_state = random_state
        self.memory = memory
        self.store_data = store_data
        self.verbose = verbose

    def _set_recipe(self, net):
        pass

    def _space(self):
        return {}
