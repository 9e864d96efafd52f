"""New keys for the API, as text that fits into an environment variable."""

from __future__ import annotations

import secrets

try:  # of the extra [api]
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa
except ImportError:  # pragma: no cover
    rsa = None  # type: ignore[assignment]

BITS = 2048


def new_signing_key() -> str:
    """An RSA private key: PEM (PKCS #8) in one line, with ``\\n`` for each line break."""
    if rsa is None:
        raise ImportError("Install django-impersonation[api] first.")
    key = rsa.generate_private_key(public_exponent=65537, key_size=BITS)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return pem.decode().strip().replace("\n", "\\n")


def new_api_key() -> str:
    """256 random bits. ``key_`` tells scanners of leaked secrets what it is."""
    return f"key_{secrets.token_urlsafe(32)}"
