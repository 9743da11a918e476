"""Data sets to forget rows of: bundled digits, CIFAR-10, and your own folders of images."""

from skunlearn.datasets.cifar10 import fetch_cifar10
from skunlearn.datasets.digits import load_digits_images
from skunlearn.datasets.image_folder import load_image_folder

__all__ = ["fetch_cifar10", "load_digits_images", "load_image_folder"]
