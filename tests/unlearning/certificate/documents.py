"""What the tests of certificates share."""

import torch
from skorch import NeuralNetClassifier

from skunlearn._unlearning.certificate.document import issue
from skunlearn.verify import verify

KEY = b"a secret of the user's own"

NAMES = [f"person-{i}" for i in range(150)]


class Plain(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden, self.out = torch.nn.Linear(4, 5), torch.nn.Linear(5, 3)

    def forward(self, X):
        return self.out(torch.relu(self.hidden(X)))


def plain_net(**params):
    return NeuralNetClassifier(
        Plain, criterion=torch.nn.CrossEntropyLoss, max_epochs=1, train_split=None, **params
    )


def wrong(*args, **kwargs):
    """What `verify` finds wrong: text by what was looked at."""
    return {f.what: f.text for f in verify(*args, **kwargs) if not f.ok}


def reissued(content):
    return issue(content)
