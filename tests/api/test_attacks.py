"""What somebody tried who meant it: requests, settings and clocks that no list had foreseen."""

from __future__ import annotations

from typing import Any

import pytest

from django_impersonation.conf import conf
from tests.api.client import CALLBACK, CLIENT_ID, ApiClient
from tests.people import Browser

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("direct")]

SECRETS = ["IMPERSONATION_API_KEY", "IMPERSONATION_EVENTS_KEY"]
TOKENS, USERS = "/user_management/authenticate", "/user_management/users"


# ABUSE 94
@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("value", [None, True, 7, b"secret", ["secret"]])
def test_a_key_that_is_no_text_is_no_key(api: ApiClient, settings: Any, name: str, value: Any) -> None:
    setattr(settings, name, value)
    for key in (str(value), "secret", ""):
        assert api.with_key("get", "/events?events=session.created", key=key).status_code == 401
        assert api.with_key("get", USERS, key=key).status_code == 401


# ABUSE 63
@pytest.mark.parametrize("name", ["IMPERSONATION_CLIENT_ID", "IMPERSONATION_JWT_ISSUER"])
def test_a_name_that_is_no_text_names_nothing(api: ApiClient, settings: Any, name: str) -> None:
    setattr(settings, name, None)
    assert getattr(conf, name) == ""
    assert api.get("/sso/jwks/None").status_code == 404


# ABUSE 132
@pytest.mark.parametrize("value", ["https://app.example.com/callback", None, 7])
def test_a_list_that_is_none_registers_nothing(api: ApiClient, sasha: Browser, settings: Any, value: Any) -> None:
    settings.IMPERSONATION_REDIRECT_URIS = settings.IMPERSONATION_SIGN_OUT_URIS = value
    for address in ("h", "/", CALLBACK):
        answer = sasha.get("/user_management/authorize", {"client_id": CLIENT_ID, "redirect_uri": address})
        assert answer.status_code == 400
        answer = api.get("/user_management/sessions/logout", {"session_id": "none", "return_to": address})
        assert answer["Location"] == "/"
