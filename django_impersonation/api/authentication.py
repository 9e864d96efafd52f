from __future__ import annotations

from typing import Any, Literal

from django.contrib.auth.models import AnonymousUser
from django.utils.crypto import constant_time_compare
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from django_impersonation import flows
from django_impersonation.api import tokens
from django_impersonation.conf import conf


class ImpersonationAuthentication(BaseAuthentication):
    """The user of an access token of ours, as ``ImpersonationTokenMiddleware`` has found them.

    ``request.auth`` is the ``AccessToken``. Put it before ``SessionAuthentication``, which asks for a CSRF token.
    """

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        # What the middleware saw: DRF's own request would ask this very class.
        seen = request._request
        token = getattr(seen, "_impersonation_token", None)
        if token is not None and flows.current(seen) is not None:
            return seen.user, token
        if tokens.bearer(seen) is not None:
            raise AuthenticationFailed("ImpersonationTokenMiddleware has not checked this token.", "invalid_token")
        return None

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


class Client(AnonymousUser):
    """Who calls with an API key: the client itself, and no user. A middleware may ask it what it asks of a user."""

    @property
    def is_authenticated(self) -> Literal[True]:  # type: ignore[override]
        return True


class ApiKeyAuthentication(BaseAuthentication):
    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer" and any(same(key.strip(), good) for good in self.keys()):
            return Client(), None
        raise AuthenticationFailed

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"

    def keys(self) -> tuple[str, ...]:
        return (conf.IMPERSONATION_API_KEY,)


class EventsKeyAuthentication(ApiKeyAuthentication):
    def keys(self) -> tuple[str, ...]:
        return (conf.IMPERSONATION_API_KEY, conf.IMPERSONATION_EVENTS_KEY)


def same(given: str, configured: str) -> bool:
    """Compared in constant time; what is not configured is nobody's key."""
    return bool(configured) and constant_time_compare(given.encode(errors="surrogatepass"), configured)
