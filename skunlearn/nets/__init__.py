"""Nets worth forgetting with: small ones that train in seconds to minutes on a CPU."""

from skunlearn._torch.batches.batching import BatchLoader
from skunlearn.nets._accelerated import Accelerated
from skunlearn.nets._options import Autocast, MicroBatches
from skunlearn.nets.cifar_resnet import CIFARResNet18
from skunlearn.nets.digits_net import DigitsNet, digits_classifier
from skunlearn.nets.fast_cifar_net import FastCIFARNet

__all__ = [
    "Accelerated",
    "Autocast",
    "BatchLoader",
    "CIFARResNet18",
    "DigitsNet",
    "FastCIFARNet",
    "MicroBatches",
    "digits_classifier",
]
