"""Methods that learn from a teacher."""

from skunlearn.distillation.bad_teacher import BadTeacherUnlearner
from skunlearn.distillation.delete import DELETEUnlearner
from skunlearn.distillation.kde import KDEUnlearner
from skunlearn.distillation.oracle_matching import OracleMatchingUnlearner
from skunlearn.distillation.prmq import PRMQUnlearner
from skunlearn.distillation.scrub import SCRUBUnlearner

__all__ = [
    "BadTeacherUnlearner",
    "DELETEUnlearner",
    "KDEUnlearner",
    "OracleMatchingUnlearner",
    "PRMQUnlearner",
    "SCRUBUnlearner",
]
