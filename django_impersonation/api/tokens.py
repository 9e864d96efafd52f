"""Access tokens: signed here, and read here again (RFC 7519, RFC 8693 section 4.1 for ``act``)."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest

from django_impersonation.api.verification import LONGEST, TYPE, AccessToken, verify
from django_impersonation.conf import conf
from django_impersonation.models import ImpersonationSession
from django_impersonation.records import base64url, utc

LIFETIME = 5 * 60  # seconds


class SigningKeys:
    """The deployment's keys: the first signs, all are published and accepted."""

    def __init__(self, pems: tuple[str, ...]) -> None:
        private = [load_private_key(pem) for pem in pems]
        if not private:
            raise ImproperlyConfigured("IMPERSONATION_JWT_SIGNING_KEY is not set")
        self.signing = private[0]
        self.published = [_published(key) for key in private]
        self.by_kid = {entry["kid"]: jwt.PyJWK(entry, algorithm="RS256") for entry in self.published}

    def get_signing_key_from_jwt(self, token: str) -> jwt.PyJWK:
        try:
            return self.by_kid[jwt.get_unverified_header(token).get("kid", "")]
        except KeyError as error:
            raise jwt.InvalidTokenError("unknown key") from error


def load_private_key(pem: str) -> RSAPrivateKey:
    """Raises ``ImproperlyConfigured`` for anything but an RSA private key."""
    try:
        key = serialization.load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError) as error:
        raise ImproperlyConfigured("IMPERSONATION_JWT_SIGNING_KEY cannot be read") from error
    if not isinstance(key, RSAPrivateKey):
        raise ImproperlyConfigured("IMPERSONATION_JWT_SIGNING_KEY is no RSA key")
    return key


_keys = lru_cache(maxsize=8)(SigningKeys)


def signing_keys() -> SigningKeys:
    return _keys(tuple(conf.IMPERSONATION_JWT_SIGNING_KEY))


def jwks() -> dict[str, Any]:
    """The public keys (RFC 7517 section 5)."""
    return {"keys": signing_keys().published}


def access_token(session: ImpersonationSession) -> str:
    """A token for this session; it never outlives it, and its claims come from the row alone."""
    keys, now = signing_keys(), int(time.time())
    claims = {
        "iss": conf.IMPERSONATION_JWT_ISSUER,
        "sub": session.user_pk,
        "sid": session.pk,
        "jti": secrets.token_urlsafe(16),
        "act": {"sub": session.impersonator_email},
        "auth_time": int(utc(session.created_at).timestamp()),
        "client_id": session.client_id,
        "iat": now,
        "exp": min(now + LIFETIME, int(utc(session.expires_at).timestamp())),
    }
    if session.organization_id:
        claims["org_id"] = session.organization_id
    if session.view_only:
        claims["view_only"] = True
    headers = {"kid": keys.published[0]["kid"], "typ": TYPE}
    return jwt.encode(claims, keys.signing, algorithm="RS256", headers=headers)


def read(token: str) -> AccessToken:
    """What a token of ours says; raises ``jwt.InvalidTokenError``. Whether its session lives is another question."""
    return verify(token, signing_keys(), issuer=conf.IMPERSONATION_JWT_ISSUER, client_id=conf.IMPERSONATION_CLIENT_ID)


def bearer(request: HttpRequest) -> str | None:
    """The request's Bearer token (RFC 6750 section 2.1) if it says that we issued it; others' are not our business."""
    # Any blank divides them, as in REST framework: what another class of the project's would read is seen here too.
    scheme, _, token = " ".join(request.headers.get("Authorization", "").split()).partition(" ")
    if scheme.lower() != "bearer" or not 0 < len(token) <= LONGEST or not conf.IMPERSONATION_JWT_ISSUER:
        return None
    try:
        claims = jwt.decode(token, options={"verify_signature": False})
    except (jwt.PyJWTError, RecursionError, TypeError, ValueError):
        return None
    return token if claims.get("iss") == conf.IMPERSONATION_JWT_ISSUER else None


def _published(private: RSAPrivateKey) -> dict[str, Any]:
    public = private.public_key()
    jwk = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(public))
    members = {name: jwk[name] for name in ("e", "kty", "n")}
    # RFC 7638: the members in this order, without a blank.
    thumbprint = hashlib.sha256(json.dumps(members, separators=(",", ":"), sort_keys=True).encode()).digest()
    # Readers of JWKS want a certificate. It says nothing that the key does not, and is the same on every server.
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "django_impersonation")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(int.from_bytes(thumbprint[:16]))
        .not_valid_before(datetime(2000, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(9999, 12, 31, tzinfo=UTC))
        .sign(private, hashes.SHA256())
        .public_bytes(serialization.Encoding.DER)
    )
    return members | {
        "alg": "RS256",
        "use": "sig",
        "kid": base64url(thumbprint),
        "x5c": [base64.b64encode(certificate).decode()],
        "x5t#S256": base64url(hashlib.sha256(certificate).digest()),
    }
