"""A client of our API, as little as these projects need of one."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

from django.conf import settings
from django.test import Client, override_settings

from tests.projects.visitor import Visitor, admin_url


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def access_token(agent: Visitor, user: Any) -> str:
    """By the prompt and the token endpoint: the user's, for a front end on another host."""
    (callback,) = settings.IMPERSONATION_REDIRECT_URIS
    with override_settings(IMPERSONATION_CALLBACK_URL=callback):
        sent = agent.submit(admin_url("impersonate", user.pk), {"reason": "Ticket 4711"})
        body = {
            "grant_type": "authorization_code",
            "client_id": settings.IMPERSONATION_CLIENT_ID,
            "client_secret": settings.IMPERSONATION_API_KEY,
            "code": parse_qs(urlsplit(sent).query)["code"][0],
        }
        answer = Client().post("/user_management/authenticate", body, content_type="application/json")
    assert answer.status_code == 200, answer.content
    return str(answer.json()["access_token"])
