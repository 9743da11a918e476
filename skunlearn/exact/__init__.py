"""Methods whose result never saw the forgotten rows."""

from skunlearn.exact.forest import ForestUnlearner, expected_regrown_share
from skunlearn.exact.retrain import RetrainUnlearner
from skunlearn.exact.ridge import RidgeUnlearner
from skunlearn.exact.sharded import ShardedUnlearner, expected_retraining_share
from skunlearn.exact.steady_kmeans import SteadyKMeans
from skunlearn.exact.sufficient_statistics import SufficientStatisticsUnlearner

__all__ = [
    "ForestUnlearner",
    "RetrainUnlearner",
    "RidgeUnlearner",
    "ShardedUnlearner",
    "SteadyKMeans",
    "SufficientStatisticsUnlearner",
    "expected_regrown_share",
    "expected_retraining_share",
]
