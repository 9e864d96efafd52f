"""Is this access token good? For services that have no database of ours: needs PyJWT alone, no Django settings.

A token says that the session was alive when it was signed. Its end shows here when the token expires, five minutes
later at most; the site that has the database knows at once.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import jwt

from django_impersonation.impersonator import Impersonator

# Far above what a token of ours takes, so that a huge header costs nothing.
LONGEST = 4096
TYPE = "JWT"
_REQUIRED = ("iss", "sub", "sid", "jti", "act", "auth_time", "client_id", "iat", "exp")


class KeySource(Protocol):
    """What ``jwt.PyJWKClient`` is."""

    def get_signing_key_from_jwt(self, token: str) -> jwt.PyJWK: ...


class AccessToken(NamedTuple):
    user_id: str
    session_id: str
    organization_id: str | None
    # The token names the impersonator (claim ``act``, RFC 8693 section 4.1) and keeps the reason to itself.
    impersonator: Impersonator
    claims: dict[str, Any]

    @property
    def view_only(self) -> bool:
        """May the session change nothing? Here it cannot; another service has to keep it by itself."""
        return self.claims.get("view_only", False) is not False


def verify(token: str, keys: KeySource, *, issuer: str, client_id: str, leeway: float = 0) -> AccessToken:
    """What a valid access token says; ``leeway`` is how far the clocks may differ, in seconds.

    ``keys`` is a ``jwt.PyJWKClient`` for ``/sso/jwks/<client_id>``. Raises ``jwt.InvalidTokenError`` for every flaw
    of the token, and ``jwt.PyJWKClientConnectionError`` when the keys cannot be had.
    """
    if len(token) > LONGEST:
        raise jwt.InvalidTokenError("too long")
    try:
        key = keys.get_signing_key_from_jwt(token)
        decoded = jwt.decode_complete(
            token,
            key.key,
            algorithms=["RS256"],  # never what the header says (RFC 8725 section 3.1)
            issuer=issuer,
            leeway=leeway,
            options={"require": list(_REQUIRED)},  # an audience is refused: ours have none
        )
    except jwt.PyJWKClientConnectionError:
        raise
    except (jwt.PyJWTError, ArithmeticError, RecursionError, TypeError, ValueError) as error:
        raise jwt.InvalidTokenError(str(error)) from error
    return _access_token(decoded["header"], decoded["payload"], client_id)


def _access_token(header: dict[str, Any], claims: dict[str, Any], client_id: str) -> AccessToken:
    act = claims["act"]
    texts = [claims["sub"], claims["sid"], claims["client_id"], act.get("sub") if isinstance(act, dict) else None]
    # "crit" asks for extensions (RFC 7515 section 4.1.11); older versions of PyJWT do not look.
    if header.get("typ") != TYPE or "crit" in header or not all(isinstance(text, str) and text for text in texts):
        raise jwt.InvalidTokenError("no access token of an impersonation")
    if claims["client_id"] != client_id:
        raise jwt.InvalidTokenError("made for another client")
    impersonator = Impersonator(email=act["sub"], reason="")
    return AccessToken(claims["sub"], claims["sid"], claims.get("org_id"), impersonator, claims)
