"""Data sets to forget of: bundled digits, CIFAR-10, faces, Cora, and your own folders of images."""

from skunlearn.datasets.cifar10 import fetch_cifar10
from skunlearn.datasets.cora import load_cora
from skunlearn.datasets.digits import load_digits_images
from skunlearn.datasets.faces import load_faces
from skunlearn.datasets.image_folder import load_image_folder

__all__ = ["fetch_cifar10", "load_cora", "load_digits_images", "load_faces", "load_image_folder"]
