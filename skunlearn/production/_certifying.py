"""The certificate that answers a request."""

from sklearn.utils.validation import check_is_fitted

from skunlearn._files.canonical import json_digest
from skunlearn._unlearning.certificate.recording import certify


class CertifyingMixin:
    """Certificates of requests in ``self._journal``."""

    def certificate(self, request_id, unlearner, *, format="json"):
        """The certificate of a model, with a request and what has become of it.

        Parameters
        ----------
        request_id : str
        unlearner : fitted unlearner
            ``worker.unlearner``, or the model that `load` returns.
        format : {"json", "letter", "html"}, default="json"
            See ``certificate`` of the unlearner.

        Returns
        -------
        certificate : Certificate, or str for the other formats
            As of the unlearner, and "request": its id, when it was received, done, and due, its
            state with the reason and what happens next, the version that fulfilled it, and
            under "subject" a pseudonym, which is made of the keyed digests of what it names.
            "batch" holds what the worker measured.

        Raises
        ------
        KeyError
            When there is no such request.
        """
        check_is_fitted(unlearner)
        status, content = self.status(request_id), unlearner._certified_content()
        applied = status["state"] == "applied"
        request = {
            "id": request_id,
            "subject": _pseudonym(status["digests"]),
            "received": status["received"],
            "done": status["finished"],
            "deadline": status["deadline"],
            "state": status["state"],
            "reason": status["reason"],
            "next": status["next"],
            "version": status["batch"] if applied else None,
        }
        if request["state"] in ("refused", "delayed") and not request["reason"]:
            request["reason"] = "no reason was recorded"
        if applied:
            content["batch"] = self._batch(status["batch"])
            batches = [entry.get("batch") for entry in content["deletions"]]
            if status["batch"] not in batches:
                content["notes"].append(
                    f"No entry of this log is of batch {status['batch']}, by which the request was "
                    "answered: its rows were forgotten before, or the model was trained anew "
                    "without them when the worker was started."
                )
        content["derived"] = [*content["derived"], self._older_versions()]
        return certify(unlearner, content, request, format)

    def _older_versions(self):
        newest = self._newest()
        keep = None if newest is None else f"models/{newest[1]}"
        left = [name for name in self._objects.names("models") if name != keep]
        return {
            "what": "older versions of the model in the queue",
            "state": "still there" if left else "deleted",
            "by": "skunlearn",
        }


def _pseudonym(digests):
    """One name for what a request names, of keyed digests."""
    return digests[0] if len(digests) == 1 else json_digest(digests)[:32]
