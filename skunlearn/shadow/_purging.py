"""What a folder of shadow models knows of rows that are forgotten, and its deletion."""

from pathlib import Path

from sklearn.utils.validation import check_is_fitted

from skunlearn.shadow import _margin_store


class PurgeMixin:
    """The files of ``self.folder`` after a deletion."""

    def purge(self, unlearner):
        """Delete the files of shadow models when these have seen rows that are forgotten.

        Shadow models are trained on the rows of an attack, and their margins say something about
        each: when the attack is over they must go as well. An unlearner does not know of the
        folder. Nothing is deleted when it has forgotten and corrected none of these rows. Neither
        attacks nor `fit` are needed before, and what is in memory stays.

        A folder goes, too, that knows what a row held before it was corrected. Of a row whose
        label alone was corrected it does not say which one it knows: it stays, as "unknown".

        Parameters
        ----------
        unlearner : fitted unlearner or UnlearningPipeline
            It was fitted on rows of the same form as those of `fit` here.

        Returns
        -------
        artefacts : list of dict
            What ``unlearner.record(derived=...)`` takes: "what", "state" ("deleted", "still
            there" or "unknown") and "detail". Empty where no file knows a forgotten row.

        Raises
        ------
        ValueError
            When these shadow models are kept in no folder.

        Examples
        --------
        >>> import tempfile
        >>> from sklearn.datasets import make_classification
        >>> from sklearn.tree import DecisionTreeClassifier
        >>> from skunlearn import RetrainUnlearner
        >>> from skunlearn.shadow import ShadowModels
        >>> X, y = make_classification(60, random_state=0)
        >>> tree, folder = DecisionTreeClassifier(max_depth=3), tempfile.mkdtemp()
        >>> shadows = ShadowModels(tree, n_models=4, folder=folder, random_state=0).fit(X, y)
        >>> unlearner = RetrainUnlearner(tree).fit(X, y)
        >>> shadows.purge(unlearner)
        []
        >>> found = shadows.purge(unlearner.unlearn(indices=[7]))
        >>> [item["state"] for item in found]
        ['deleted']
        >>> certificate = unlearner.record(derived=found).certificate()
        """
        check_is_fitted(unlearner)
        if self.folder is None:
            raise ValueError(
                "These shadow models are in memory only: there is no folder= to purge."
            )
        folder, record = Path(self.folder), unlearner._record
        files = _margin_store.list_files(folder)
        if not files or (record.retained.all() and record.old_digests is None):
            return []
        what = {"what": f"shadow models in {folder.name}"}
        known = _margin_store.knows(folder, record)
        if known is None:
            detail = f"{len(files)} files; which rows they know cannot be told"
            return [what | {"state": "unknown", "detail": detail}]
        if not known:
            return []
        left = _margin_store.delete(files)
        if left:
            detail = f"{len(left)} of {len(files)} files could not be deleted"
            return [what | {"state": "still there", "detail": detail}]
        return [what | {"state": "deleted", "detail": f"{len(files)} files"}]
