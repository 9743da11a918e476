"""The certificate as an object: text of JSON, with ways into it."""

import json

import numpy as np

from skunlearn._files.digests import json_digest, link
from skunlearn._rows import row_forms
from skunlearn._rows.containers import align, name_digests, row_digests
from skunlearn._unlearning.certificate.deletion_log import find_packed
from skunlearn._unlearning.certificate.letters import as_html, as_letter

FORMATS = ("json", "letter", "html")
_SEALED = ("integrity", "signature")


class Certificate(str):
    """What was forgotten, how, when and by which request, and what was measured.

    It is the JSON text itself, so that it can be printed, searched, written and parsed as one, and
    gives its entries by name as a mapping does. Made by ``certificate()`` of an unlearner; `read`
    takes one from a file, those of older versions too.

    Parameters
    ----------
    text : str
        A JSON object.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skunlearn import RetrainUnlearner
    >>> X, y = np.eye(6), np.array([0, 1, 0, 1, 0, 1])
    >>> unlearner = RetrainUnlearner(LogisticRegression(), random_state=0)
    >>> unlearner = unlearner.fit(X, y, ids=list("abcdef")).unlearn(ids=["b"])
    >>> certificate = unlearner.certificate()
    >>> certificate["guarantee"], certificate["deletions"][0]["rows"]
    ('retrained without the rows', 1)
    >>> certificate.mentions(id="b"), certificate.mentions(id="c")
    (True, False)
    """

    def __new__(cls, text, *, _key=None):
        try:
            content = json.loads(text)
        except ValueError as error:
            raise ValueError(f"This is no certificate, which is a JSON object: {error}.") from error
        if not isinstance(content, dict) or not isinstance(content.get("deletions"), list):
            raise ValueError("This is no certificate: a JSON object with a list of deletions.")
        new = super().__new__(cls, text)
        new._content, new._key = content, _key
        return new

    def __getnewargs_ex__(self):
        # Without the key: what is handed on as a certificate says nothing of identifiers.
        return (str.__str__(self),), {}

    def __getstate__(self):
        return None

    @classmethod
    def read(cls, path):
        """The certificate in a file.

        Parameters
        ----------
        path : str or path-like
            Written by `save`.

        Returns
        -------
        certificate : Certificate

        Raises
        ------
        ValueError
            When the file holds no certificate.
        """
        with open(path, encoding="utf-8") as file:
            return cls(file.read())

    # ------------------------------------------------------------------ a mapping

    def __getitem__(self, key):
        """An entry by its name, or characters of the text by their position."""
        return self._content[key] if isinstance(key, str) else str.__getitem__(self, key)

    def get(self, key, default=None):
        """An entry, or `default` where there is none.

        Parameters
        ----------
        key : str
            Name of the entry at the top level.
        default : object, default=None
            What is returned where there is no such entry.

        Returns
        -------
        value : object
        """
        return self._content.get(key, default)

    def keys(self):
        """Names of the entries.

        Returns
        -------
        keys : view of str
        """
        return self._content.keys()

    def to_dict(self):
        """A copy of all entries.

        Returns
        -------
        content : dict
        """
        return json.loads(self)

    def to_json(self):
        """The JSON text.

        Returns
        -------
        text : str
        """
        return str.__str__(self)

    def print(self):
        """Print the JSON text."""
        print(str.__str__(self))

    def save(self, path):
        """Write the JSON text to a file.

        Parameters
        ----------
        path : str or path-like
            Where to; a file of that name is replaced.
        """
        with open(path, "w", encoding="utf-8", newline="\n") as file:
            file.write(self.to_json() + "\n")

    # ------------------------------------------------------------------ what it says

    def mentions(self, *, id=None, X=None, index=None, key=None):
        """Whether rows are among those that were forgotten.

        The certificate holds keyed digests. One that comes from an unlearner has the key with it;
        of one that was read from a file it must be given.

        Parameters
        ----------
        id : hashable, default=None
            As ``fit`` was given it; of a graph, that of a node.
        X : rows as in ``fit``, default=None
            Compared by content, without labels.
        index : int, default=None
            Position among the rows that ``fit`` was given, of a torch Dataset without ids.
        key : bytes, default=None
            ``log_key()`` of the unlearner.

        Returns
        -------
        mentioned : bool, or bool array of shape (n,) for `X`

        Raises
        ------
        TypeError
            When not exactly one of `id`, `X` and `index` is given.
        ValueError
            When there is no key, or the log does not know rows in this way.
        """
        if sum(value is not None for value in (id, X, index)) != 1:
            raise TypeError("Name what to look for in exactly one way, as id=, X= or index=.")
        key = self._key if key is None else key
        if key is None:
            raise ValueError(
                "The digests in a certificate are keyed: pass key=, the log_key() of the unlearner."
            )
        if X is not None:
            form = (self.get("record") or {}).get("row")
            if form is None:
                raise ValueError("This certificate does not know rows by their content.")
            X, exact = align(X, row_forms.empty(form), "X")
            return exact & self._find("rows", row_digests(X), key, None)
        if index is not None:
            return bool(self._find("identifiers", np.array([index]), key, "positions")[0])
        return bool(self._find("identifiers", name_digests([id]), key, "ids")[0])

    def _find(self, what, table, key, kind):
        found, known = np.zeros(len(table), dtype=bool), not self["deletions"]
        for entry in self["deletions"]:
            held = entry.get("forgotten", {})
            if what in held and kind in (None, held["named_by"]):
                known = True
                found |= find_packed(held[what], table, key)
        if not known:
            raise ValueError(
                f"The log of this certificate does not know rows by {kind or 'their content'}."
            )
        return found

    # ------------------------------------------------------------------ against tampering

    def sign(self, private_key):
        """The same certificate with a signature.

        Parameters
        ----------
        private_key : Ed25519PrivateKey of cryptography, or bytes
            Bytes are an unencrypted PEM file's. Needs the extra ``signature``.

        Returns
        -------
        certificate : Certificate

        Raises
        ------
        ImportError
            When cryptography is missing.
        TypeError
            When it is a key of another kind.
        """
        from skunlearn._unlearning.certificate.signatures import sign

        content = {key: value for key, value in self._content.items() if key != "signature"}
        if "integrity" not in content:
            raise ValueError("This certificate holds no digests to sign: issue it anew.")
        content["signature"] = sign(content["integrity"]["document"], private_key)
        return type(self)(_write_text(content), _key=self._key)

    def as_format(self, format):
        """The certificate as text for people.

        Parameters
        ----------
        format : {"json", "letter", "html"}
            The certificate itself; plain words for the person whose rows they were; one page
            for the file.

        Returns
        -------
        text : Certificate or str
        """
        if format not in FORMATS:
            raise ValueError(f"format must be one of {FORMATS}, got {format!r}.")
        if format == "json":
            return self
        return as_letter(self._content) if format == "letter" else as_html(self._content)


def issue(content, *, key=None, format="json"):
    """The certificate of a content, sealed, in one of `FORMATS`."""
    content = {name: value for name, value in content.items() if name not in _SEALED}
    content["integrity"] = seal(content)
    return Certificate(_write_text(content), _key=key).as_format(format)


def seal(content):
    """Digests of a certificate: of the last entry of each chain, of every section, and of all."""
    content = {name: value for name, value in content.items() if name not in _SEALED}
    sections = {name: json_digest(value) for name, value in content.items()}
    return {
        "algorithm": "sha256 of canonical JSON",
        "last_entry": link(content["deletions"]),
        "sections": sections,
        "document": json_digest(sections),
    }


def _write_text(content):
    return json.dumps(content, indent=2, allow_nan=False)
