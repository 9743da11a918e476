"""Methods whose result never saw the forgotten rows."""

from skunlearn.exact.retrain import RetrainUnlearner
from skunlearn.exact.sharded import ShardedUnlearner, expected_retraining_share

__all__ = ["RetrainUnlearner", "ShardedUnlearner", "expected_retraining_share"]
