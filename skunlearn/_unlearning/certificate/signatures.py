"""Signatures of certificates, by Ed25519 of the library cryptography."""

_MISSING = 'Signatures need cryptography: pip install "skunlearn[signature]".'


def sign(document, private_key):
    """The entry of a certificate that signs the digest of the document, a hexadecimal text."""
    ed25519, serialization, _ = _library()
    if isinstance(private_key, bytes):
        private_key = serialization.load_pem_private_key(private_key, password=None)
    if not isinstance(private_key, ed25519.Ed25519PrivateKey):
        raise TypeError(f"private_key must be an Ed25519 key, got {type(private_key).__name__}.")
    public = private_key.public_key().public_bytes_raw()
    return {
        "algorithm": "Ed25519",
        "public_key": public.hex(),
        "value": private_key.sign(_message(document)).hex(),
    }


def is_signed_by(signature, document, public_key):
    """Whether a signature of a document was made by the owner of a public key, bytes of PEM."""
    ed25519, serialization, invalid = _library()
    key = serialization.load_pem_public_key(public_key)
    if not isinstance(key, ed25519.Ed25519PublicKey):
        raise TypeError(f"The public key must be an Ed25519 key, got {type(key).__name__}.")
    try:
        key.verify(bytes.fromhex(signature["value"]), _message(document))
    except (invalid, ValueError, KeyError, TypeError):
        return False
    return True


def _message(document):
    return b"skunlearn certificate\n" + document.encode()


def _library():
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as error:
        raise ImportError(_MISSING) from error
    return ed25519, serialization, InvalidSignature
