"""Which tests run one after the other in one of `make test`'s processes."""

from pathlib import PurePosixPath

# Checks crossed with estimators: too many for one process. Those of one estimator share its fits.
CROSSED = {"test_common.py", "test_common_long.py"}


def group_of(nodeid):
    """The file of a test, which makes what its tests share once and not in every process.

    Those of tests/long take minutes each and share little: each goes where nobody works. xdist's
    own groups, by a mark, are lost without a word since pytest 9.2 (pytest-dev/pytest-xdist#1386).

    Examples
    --------
    >>> group_of("tests/rows/test_record.py::test_any_order[3]")
    'tests/rows/test_record.py'
    >>> group_of("tests/test_common.py::test_unlearning_checks[CTUnlearner-Net-6-check_seeds]")
    'tests/test_common.py::test_unlearning_checks[CTUnlearner-Net-6'
    >>> group_of("tests/shadow/test_shadow.py::test_processes_and_threads_give_the_same")
    'processes'
    >>> group_of("tests/long/test_null_audits.py::test_audits[3]")
    'tests/long/test_null_audits.py::test_audits[3]'
    """
    file, _, test = nodeid.partition("::")
    if test.startswith("test_processes"):
        return "processes"  # joblib's workers are started once
    if PurePosixPath(file).name in CROSSED:
        return nodeid.rpartition("-")[0]
    return nodeid if PurePosixPath(file).parent.name == "long" else file
