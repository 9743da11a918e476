"""Which requests of a batch go through, when the whole batch does not."""

import errno

from skunlearn.exceptions import DataChangedError
from skunlearn.production._lease import LeaseLostError

ENOUGH = 3  # culprits looked for at a time, each of which costs some trainings
_OF_THE_MACHINE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE}


class Sieved:
    """What `sieve` found.

    Attributes
    ----------
    accepted : list of requests that went through together
    result : what the attempt at them gave; None without any
    failed : dict of number to error, in words
    left : list of requests that were not looked at
    """

    def __init__(self):
        self.accepted, self.result, self.failed, self.left = [], None, {}, []


def sieve(requests, attempt):
    """Find requests that go through together, and those that do not.

    A batch that fails is tried in halves, each together with what went through before, so that one
    request that is the reason costs about 2 log2(n) attempts.

    Parameters
    ----------
    requests : list of rows of the journal
    attempt : callable
        ``attempt(requests)`` gives a result or raises.

    Returns
    -------
    sieved : Sieved
    """
    done = Sieved()

    def go(chosen):
        if len(done.failed) >= ENOUGH:
            done.left += chosen
            return
        try:
            result = attempt(done.accepted + chosen)
        except Exception as error:
            if is_of_the_machine(error):
                raise
            if len(chosen) == 1:
                done.failed[chosen[0]["number"]] = f"{type(error).__name__}: {error}"
                return
        else:
            done.accepted, done.result = done.accepted + chosen, result
            return
        half = len(chosen) // 2
        go(chosen[:half])
        go(chosen[half:])

    # Those that failed before come last, so that they do not cost the others a search again.
    clean = [request for request in requests if not request["tries"]]
    known = [request for request in requests if request["tries"]]
    if known and len(requests) > 1:
        try:
            done.result = attempt(requests)
        except Exception as error:
            if is_of_the_machine(error):
                raise
        else:
            done.accepted = requests
            return done
    if clean:
        go(clean)
    for request in known:
        go([request])
    return done


def is_of_the_machine(error):
    """Whether the reason lies outside of the batch: every other one would fail as well."""
    if isinstance(error, LeaseLostError | DataChangedError):
        return True
    return getattr(error, "errno", None) in _OF_THE_MACHINE
