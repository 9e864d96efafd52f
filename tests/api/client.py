"""A client of the API: what a front end's server would do, in Django's test client."""

from __future__ import annotations

import base64
import hashlib
from typing import Any
from urllib.parse import parse_qs, urlsplit

from django.conf import settings
from django.test import Client

from django_impersonation.models import ImpersonationSession
from tests.people import Browser

CALLBACK = "https://app.example.com/callback"
CLIENT_ID = "client_demo"


def code_of(response: Any) -> str:
    return parse_qs(urlsplit(response["Location"]).query)["code"][0]


def challenge(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


class ApiClient(Client):
    """Sends JSON, and no cookie of anybody."""

    def authenticate(self, **members: Any) -> Any:
        return self.post("/user_management/authenticate", members, content_type="application/json")

    def redeem(self, code: Any, **members: Any) -> Any:
        return self._grant("authorization_code", code=code, **members)

    def refresh(self, token: Any, **members: Any) -> Any:
        return self._grant("refresh_token", refresh_token=token, **members)

    def _grant(self, kind: str, **members: Any) -> Any:
        """As the confidential client; a member that is None is left out."""
        body = {
            "grant_type": kind,
            "client_id": settings.IMPERSONATION_CLIENT_ID,
            "client_secret": settings.IMPERSONATION_API_KEY,
        }
        body |= members
        return self.authenticate(**{name: value for name, value in body.items() if value is not None})

    def start(self, staff: Browser, user: Any, **kwargs: Any) -> dict[str, Any]:
        """The whole way in, direct: the answer of the token endpoint."""
        response = self.redeem(staff.code(user, **kwargs))
        assert response.status_code == 200, response.content
        return response.json()  # type: ignore[no-any-return]

    def with_key(self, method: str, path: str, *, key: str | None = None, **kwargs: Any) -> Any:
        bearer = f"Bearer {settings.IMPERSONATION_API_KEY if key is None else key}"
        return getattr(self, method)(path, headers={"Authorization": bearer}, **kwargs)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def session_of(answer: dict[str, Any]) -> ImpersonationSession:
    return ImpersonationSession.objects.latest("created_at")
