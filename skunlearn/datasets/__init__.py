"""Data sets to forget of, your own folders of images, and margins of nets that others retrained."""

from skunlearn.datasets.cifar10 import fetch_cifar10
from skunlearn.datasets.cora import load_cora
from skunlearn.datasets.digits import load_digits_images
from skunlearn.datasets.easydub import load_easydub
from skunlearn.datasets.faces import load_faces
from skunlearn.datasets.image_folder import load_image_folder

__all__ = [
    "fetch_cifar10",
    "load_cora",
    "load_digits_images",
    "load_easydub",
    "load_faces",
    "load_image_folder",
]
