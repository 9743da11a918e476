"""Models with certificates, for the tests of these."""

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

from skunlearn import RetrainUnlearner
from tests.unlearning.certificate.documents import NAMES, plain_net


@pytest.fixture(scope="module")
def iris():
    X, y = load_iris(return_X_y=True)
    return X.astype(np.float32), y


@pytest.fixture(scope="module")
def forgotten(iris):
    """Two requests to an unlearner around scikit-learn's logistic regression."""
    X, y = iris
    unlearner = RetrainUnlearner(LogisticRegression(max_iter=500), random_state=0)
    unlearner.fit(X[::2], y[::2], ids=NAMES[:75])
    return unlearner.unlearn(ids=NAMES[:20:2]).unlearn(ids=NAMES[50:53])


@pytest.fixture(scope="module")
def saved(iris, tmp_path_factory):
    """A net, its file after one and after two requests, and a certificate of each."""
    X, y = iris
    folder = tmp_path_factory.mktemp("saved")
    unlearner = RetrainUnlearner(plain_net(), random_state=0).fit(X, y, ids=NAMES)
    unlearner.save(folder / "zero.safetensors")
    for name, ids in (("one", NAMES[:3]), ("two", NAMES[70:72])):
        unlearner.unlearn(ids=ids).save(folder / f"{name}.safetensors")
        unlearner.certificate().save(folder / f"{name}.json")
    np.savez(folder / "rows.npz", X=X[:3], ids=np.array(NAMES[:3]))
    np.savez(folder / "kept.npz", X=X[100:102])
    return folder, unlearner
