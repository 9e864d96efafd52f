"""The story over HTTP: the prompt, the code, the tokens, the end."""

from __future__ import annotations

from typing import Any

import pytest

from django_impersonation.models import AuthorizationCode
from tests.api.client import CALLBACK, ApiClient, bearer, challenge, code_of
from tests.people import Browser

pytestmark = pytest.mark.django_db

VERIFIER = "v" * 43
SIGN_IN = "/user_management/authorize"


@pytest.mark.usefixtures("direct")
def test_direct(api: ApiClient, sasha: Browser, people: Any) -> None:
    assert sasha.authorize(people.dave)["Location"].startswith(f"{CALLBACK}?code=")
    answer = api.start(sasha, people.bob, organization=people.acme)
    assert answer["user"]["email"] == "bob@example.com"
    assert answer["organization_id"] == str(people.acme.pk)
    assert answer["authentication_method"] == "Impersonation"
    assert answer["impersonator"] == {"email": "sasha@example.com", "reason": "Ticket 4711"}

    me = api.get("/api/me/", headers=bearer(answer["access_token"]))
    assert me.json()["user"]["email"] == "bob@example.com"
    assert me.json()["organization"]["name"] == "Acme"
    assert me.json()["impersonator"] == answer["impersonator"]

    again = api.refresh(answer["refresh_token"]).json()
    assert {**again, "access_token": "", "refresh_token": ""} == {**answer, "access_token": "", "refresh_token": ""}
    assert again["refresh_token"] != answer["refresh_token"]

    (session,) = api.with_key("get", f"/user_management/users/{people.bob.pk}/sessions").json()["data"]
    revoked = api.with_key(
        "post", "/user_management/sessions/revoke", data={"session_id": session["id"]}, content_type="application/json"
    )
    assert revoked.json()["status"] == "revoked"
    assert api.get("/api/me/", headers=bearer(again["access_token"])).status_code == 401
    assert api.refresh(again["refresh_token"]).status_code == 400
    events = api.with_key("get", "/events?events=session.created,session.revoked").json()["data"]
    assert [event["event"] for event in events] == ["session.created", "session.revoked"]
    assert {event["data"]["impersonator"]["email"] for event in events} == {"sasha@example.com"}


@pytest.mark.usefixtures("signin")
def test_sign_in_url(api: ApiClient, sasha: Browser, people: Any, settings: Any) -> None:
    begun = sasha.authorize(people.dave)
    assert begun.status_code == 303
    assert begun["Location"] == settings.IMPERSONATION_INITIATE_LOGIN_URL
    query = {
        "client_id": settings.IMPERSONATION_CLIENT_ID,
        "redirect_uri": settings.IMPERSONATION_CALLBACK_URL,
        "response_type": "code",
        "state": 'exactly "this" & that',
        "code_challenge": challenge(VERIFIER),
        "code_challenge_method": "S256",
    }
    back = sasha.get(SIGN_IN, query)
    assert back.status_code == 302
    assert back["Location"].startswith(settings.IMPERSONATION_CALLBACK_URL + "?code=")
    assert back["Location"].endswith("&state=exactly+%22this%22+%26+that")
    answer = api.redeem(code_of(back), code_verifier=VERIFIER).json()
    assert answer["user"]["email"] == "dave@example.com"
    assert "organization_id" not in answer
    assert "error=access_denied" in sasha.get(SIGN_IN, query)["Location"]  # it happens once


# ABUSE 62, ABUSE 64
@pytest.mark.usefixtures("direct")
def test_what_a_code_is_bound_to_is_compared_letter_by_letter(api: ApiClient, sasha: Browser, people: Any) -> None:
    """On every database, whatever its collation takes for equal."""
    code = sasha.code(people.dave)
    verifier = "v" * 43
    AuthorizationCode.objects.update(code_challenge=challenge(verifier).swapcase())
    assert api.redeem(code, code_verifier=verifier).status_code == 400
    AuthorizationCode.objects.update(code_challenge=challenge(verifier))
    for other in (CALLBACK.upper(), CALLBACK.replace("a", "á"), f"{CALLBACK} "):
        assert api.redeem(code, code_verifier=verifier, redirect_uri=other).status_code == 400
    assert api.redeem(code, code_verifier=verifier, redirect_uri=CALLBACK).status_code == 200
