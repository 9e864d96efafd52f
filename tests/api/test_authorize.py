"""The address that a client's sign-in route sends the operator's browser to: one code, once, to one address."""

from __future__ import annotations

import re
import sys
from collections import Counter
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from django.apps import apps
from django.contrib.auth.models import Permission
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.core.signals import got_request_exception
from django.db import InterfaceError, OperationalError, connection
from django.utils import timezone
from django.views.debug import ExceptionReporter
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from django_impersonation import clients, codes, flows
from django_impersonation.exceptions import ImpersonationDenied
from django_impersonation.models import AuthorizationCode, Event, ImpersonationSession
from tests.abuse.racing import race, twin
from tests.abuse.session_support import asynchronously, rewrite
from tests.api.client import CALLBACK, CLIENT_ID, ApiClient, bearer, challenge, code_of
from tests.people import Browser, grant

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("signin")]

SIGN_IN = "/user_management/authorize"
SECOND = "https://app.example.com/second"
VERIFIER = "v" * 43
NOBODY = "Nobody has begun an impersonation in this browser."


def query(**changes: Any) -> dict[str, str]:
    """What the client's sign-in route asks for; a parameter that is None is left out."""
    asked = {
        "client_id": CLIENT_ID,
        "redirect_uri": CALLBACK,
        "response_type": "code",
        "state": "s",
        "code_challenge": challenge(VERIFIER),
        "code_challenge_method": "S256",
    } | changes
    return {name: value for name, value in asked.items() if value is not None}


def ask(browser: Any, *, method: str = "get", headers: Any = None, **changes: Any) -> Any:
    address = f"{SIGN_IN}?{urlencode(query(**changes))}"
    return getattr(browser, method)(address, headers=headers)


def told(response: Any, address: str = CALLBACK) -> dict[str, str]:
    """What is said to the client, each thing once, at its own address."""
    assert response.status_code == 302, response.content
    assert response["Location"].startswith(f"{address}?"), response["Location"]
    said = parse_qsl(urlsplit(response["Location"]).query, keep_blank_values=True, strict_parsing=True)
    assert len(dict(said)) == len(said)
    return dict(said)


def is_denied(response: Any, address: str = CALLBACK, state: str = "s") -> bool:
    return told(response, address) == {"error": "access_denied", "error_description": NOBODY, "state": state}


def is_answered_here(response: Any, error: str = "invalid_request") -> bool:
    """A flaw that nobody else is told of: without a redirect, in JSON that nobody keeps."""
    assert (response.status_code, response.json()["error"]) == (400, error)
    assert set(response.json()) == {"error", "error_description"}
    assert response["Content-Type"] == "application/json"
    assert response["Cache-Control"] == "private, no-store"
    assert response["X-Request-ID"].startswith("req_")
    return "Location" not in response


def waits() -> bool:
    """Is there one impersonation that still waits for its client, as it was made?"""
    (code,) = AuthorizationCode.objects.usable()
    return code.pending and code.code_challenge == ""


def is_given(browser: Any, api: ApiClient, user: str = "dave@example.com", **changes: Any) -> bool:
    """Nothing was spent: the browser gets a code that is good."""
    code = told(ask(browser, **changes), changes.get("redirect_uri", CALLBACK))["code"]
    answer = api.redeem(code, code_verifier=VERIFIER)
    assert answer.status_code == 200, answer.content
    return bool(answer.json()["user"]["email"] == user)


def denials() -> list[tuple[str, str, int]]:
    found = Event.objects.filter(name=Event.Name.DENIED).order_by("position")
    return list(found.values_list("code", "impersonator_email", "count"))


# The way


def test_the_operators_browser_comes_back_with_a_code(api: ApiClient, people: Any, engine: str) -> None:
    sasha = Browser(people.sasha)
    assert sasha.authorize(people.bob, organization=people.acme).status_code == 303
    said = told(ask(sasha))
    assert list(said) == ["code", "state"]
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", said["code"])
    code = AuthorizationCode.objects.get()
    assert (code.pending, code.used_at, code.code_challenge) == (False, None, challenge(VERIFIER))
    assert codes.PENDING not in sasha.session
    assert sasha.who()["user"] == "sasha@example.com"
    assert is_denied(ask(sasha))

    answer = api.redeem(said["code"], code_verifier=VERIFIER).json()
    assert answer["user"]["email"] == "bob@example.com"
    assert answer["organization_id"] == str(people.acme.pk)
    assert answer["impersonator"] == {"email": "sasha@example.com", "reason": "Ticket 4711"}
    assert sasha.who()["user"] == "sasha@example.com"
    assert "impersonation" not in sasha.cookies


def test_over_asgi_it_is_the_same(api: ApiClient, people: Any, engine: str) -> None:
    sasha = Browser(people.sasha)
    sasha.authorize(people.dave)
    address = f"{SIGN_IN}?{urlencode(query())}"
    assert asynchronously(sasha, "head", address).status_code == 405
    assert is_denied(asynchronously(Browser(), "get", address))
    code = told(asynchronously(sasha, "get", address))["code"]
    assert is_denied(asynchronously(sasha, "get", address))
    assert api.redeem(code, code_verifier=VERIFIER).status_code == 200


def test_a_code_without_a_challenge_is_one_for_the_client_with_its_secret(
    api: ApiClient, sasha: Browser, people: Any
) -> None:
    sasha.authorize(people.dave)
    code = told(ask(sasha, code_challenge=None, code_challenge_method=None))["code"]
    assert api.redeem(code, client_secret=None).status_code == 400
    assert api.redeem(code).status_code == 200


def test_a_code_has_its_own_time(sasha: Browser, people: Any, settings: Any) -> None:
    settings.IMPERSONATION_CODE_LIFETIME = 30
    sasha.authorize(people.dave)
    waiting = AuthorizationCode.objects.get()
    settings.IMPERSONATION_CODE_LIFETIME = 600
    ask(sasha)
    assert AuthorizationCode.objects.get().expires_at > waiting.expires_at + timedelta(seconds=500)


# ABUSE 61
@pytest.mark.parametrize("lifetime", [0, -5, "60", None])
def test_a_lifetime_that_is_none_lets_nothing_wait(sasha: Browser, people: Any, settings: Any, lifetime: Any) -> None:
    settings.IMPERSONATION_CODE_LIFETIME = lifetime
    sasha.authorize(people.dave)
    assert is_denied(ask(sasha))


@pytest.mark.parametrize(
    "more",
    [
        {"provider": "authkit", "screen_hint": "sign-in", "scope": "openid", "prompt": "login", "nonce": "n"},
        {"organization_id": "7", "login_hint": "eve@example.com", "domain_hint": "x"},
        {"code": "evil", "error": "evil", "error_description": "evil", "next": "https://evil.example/"},
        {"user": "1", "impersonator": "1", "return_to": "//evil.example", "redirect_uri[]": "https://evil.example/"},
    ],
)
def test_what_else_stands_in_the_address_changes_nothing(
    api: ApiClient, sasha: Browser, people: Any, more: dict[str, str]
) -> None:
    sasha.authorize(people.dave)
    response = ask(sasha, **more)
    assert set(told(response)) == {"code", "state"}
    assert "evil" not in response["Location"]
    assert api.redeem(code_of(response), code_verifier=VERIFIER).json()["user"]["email"] == "dave@example.com"


# Where to

NOT_REGISTERED = [
    "",
    "*",
    "/callback",
    "//app.example.com/callback",
    "app.example.com/callback",
    "https://app.example.com",
    "https://app.example.com/",
    CALLBACK[:-1],
    CALLBACK + "2",
    CALLBACK + "/",
    CALLBACK + "//",
    CALLBACK + "/..;/x",
    CALLBACK + "/../../evil",
    CALLBACK + "?",
    CALLBACK + "?x=1",
    CALLBACK + "#",
    CALLBACK + "#x",
    CALLBACK + ";x",
    CALLBACK + "%00",
    CALLBACK + "%0d%0aSet-Cookie:x=y",
    CALLBACK + "\x00",
    CALLBACK + "\r\nSet-Cookie: x=y",
    CALLBACK + "\n",
    CALLBACK + "\t",
    CALLBACK + " ",
    " " + CALLBACK,
    "\ufeff" + CALLBACK,
    CALLBACK + " https://evil.example/",
    CALLBACK + ",https://evil.example/",
    CALLBACK.upper(),
    "https://APP.example.com/callback",
    "HTTPS://app.example.com/callback",
    "https://app.example.com/Callback",
    "https://app.example.com/./callback",
    "https://app.example.com//callback",
    "https://app.example.com/x/../callback",
    "https://app.example.com/%63allback",
    "https://app.example.com/callback%2f",
    "https://app.example.com\\callback",
    "https:/app.example.com/callback",
    "https:app.example.com/callback",
    "https:\\\\app.example.com\\callback",
    "http://app.example.com/callback",
    "ftp://app.example.com/callback",
    "https://app.example.com:443/callback",
    "https://app.example.com:/callback",
    "https://app.example.com:8443/callback",
    "https://app.example.com./callback",
    "https://www.app.example.com/callback",
    "https://example.com/callback",
    "https://app.example.com.evil.example/callback",
    "https://app.example.com-evil.example/callback",
    "https://evil.example/callback",
    "https://evil.example/https://app.example.com/callback",
    "https://evil.example/?https://app.example.com/callback",
    "https://evil.example#https://app.example.com/callback",
    "https://evil.example\\@app.example.com/callback",
    "https://user@app.example.com/callback",
    "https://user:password@app.example.com/callback",
    "https://@app.example.com/callback",
    "https://app.example.com@evil.example/callback",
    "https://app.example.com%40evil.example/callback",
    "https://аpp.example.com/callback",
    "https://xn--pp-7ka.example.com/callback",
    "https://app.exämple.com/callback",
    "https://app.example。com/callback",
    "ｈttps://app.example.com/callback",
    "javascript:alert(1)",
    "data:text/html,x",
    "urn:ietf:wg:oauth:2.0:oob",
    "com.example.app:/callback",
    "http://localhost:3000/callback",
    "https://testserver/impersonation/callback/",
    "/impersonation/callback/",
    "None",
]


# ABUSE 207
@pytest.mark.parametrize("address", [*NOT_REGISTERED, None], ids=repr)
def test_an_address_that_is_not_registered_letter_by_letter_is_told_nothing(
    sasha: Browser, people: Any, address: str | None
) -> None:
    sasha.authorize(people.dave)
    for changes in ({}, {"response_type": "token"}, {"code_challenge_method": "plain"}):
        assert is_answered_here(ask(sasha, redirect_uri=address, **changes))
        assert is_answered_here(ask(Browser(), redirect_uri=address, **changes))
    assert waits()
    assert "code" in told(ask(sasha))


# ABUSE 62, ABUSE 207
def test_another_registered_address_than_the_codes_gets_no_code(
    api: ApiClient, sasha: Browser, people: Any, settings: Any
) -> None:
    settings.IMPERSONATION_REDIRECT_URIS = [CALLBACK, SECOND]
    sasha.authorize(people.dave)
    settings.IMPERSONATION_CALLBACK_URL = SECOND  # what holds is what held when it was begun
    assert is_denied(ask(sasha, redirect_uri=SECOND), SECOND)
    assert waits()
    code = told(ask(sasha))["code"]
    assert api.redeem(code, code_verifier=VERIFIER, redirect_uri=SECOND).status_code == 400
    assert api.redeem(code, code_verifier=VERIFIER, redirect_uri=CALLBACK).status_code == 200


# ABUSE 207
def test_an_address_that_was_taken_off_the_list_gets_nothing(
    api: ApiClient, sasha: Browser, people: Any, settings: Any
) -> None:
    sasha.authorize(people.dave)
    settings.IMPERSONATION_REDIRECT_URIS = [SECOND]
    assert is_answered_here(ask(sasha))
    settings.IMPERSONATION_REDIRECT_URIS = []
    assert is_answered_here(ask(sasha))
    settings.IMPERSONATION_REDIRECT_URIS = [CALLBACK]
    assert is_given(sasha, api)


# ABUSE 207
@pytest.mark.parametrize(("name", "value"), [("REDIRECT_URIS", [SECOND]), ("CLIENT_ID", "")])
def test_for_a_client_that_is_not_configured_no_code_is_made(
    sasha: Browser, people: Any, settings: Any, name: str, value: Any
) -> None:
    setattr(settings, f"IMPERSONATION_{name}", value)
    answer = sasha.authorize(people.dave)
    assert answer.status_code == 403
    assert "IMPERSONATION_CALLBACK_URL is not one of" in answer.content.decode()
    assert not AuthorizationCode.objects.exists()


@pytest.mark.parametrize(
    "address",
    [
        "https://app.example.com/callback?tenant=7",
        "https://app.example.com/callback?tenant=7&next=%2F",
        "https://app.example.com/callback?",
        "https://app.example.com/callback?tenant=7&",
        "https://app.example.com",
        "http://localhost:3000/callback",
        "http://[::1]:3000/callback",
        "com.example.app:/callback",
        "com.example.app://callback",
        "com.example.app:/callback?tenant=7",
        "my-app://signed-in",
    ],
)
def test_an_address_keeps_what_it_has(
    api: ApiClient, sasha: Browser, people: Any, settings: Any, address: str
) -> None:
    """Its own query (RFC 6749 section 3.1.2), its own scheme (RFC 8252 section 7.1), letter by letter."""
    settings.IMPERSONATION_REDIRECT_URIS, settings.IMPERSONATION_CALLBACK_URL = [address], address
    own = dict(parse_qsl(urlsplit(address).query))
    sasha.authorize(people.dave)
    for browser, name in ((Browser(), "error"), (sasha, "code")):
        response = ask(browser, redirect_uri=address)
        assert response.status_code == 302
        assert response["Location"].startswith(address)
        said = parse_qsl(urlsplit(response["Location"]).query)
        assert dict(said).items() > (own | {"state": "s"}).items()
        assert name in dict(said)
    assert api.redeem(code_of(response), code_verifier=VERIFIER, redirect_uri=address).status_code == 200


# Which client


# ABUSE 207
@pytest.mark.parametrize(
    "client", ["", "client_other", "CLIENT_DEMO", "client_demo ", " client_demo", "client_dem", "ключ", "\x00", None]
)
def test_a_client_that_is_not_known_is_sent_nowhere(sasha: Browser, people: Any, client: str | None) -> None:
    sasha.authorize(people.dave)
    assert is_answered_here(ask(sasha, client_id=client), "invalid_client")
    assert is_answered_here(ask(sasha, client_id=client, redirect_uri="https://evil.example/"), "invalid_client")
    assert waits()


# ABUSE 207
def test_only_the_client_that_it_was_made_for_gets_the_code(
    api: ApiClient, sasha: Browser, people: Any, settings: Any
) -> None:
    sasha.authorize(people.dave)
    settings.IMPERSONATION_CLIENT_ID = "client_other"
    assert is_answered_here(ask(sasha), "invalid_client")
    assert is_denied(ask(sasha, client_id="client_other"))
    assert waits()
    settings.IMPERSONATION_CLIENT_ID = CLIENT_ID
    assert is_given(sasha, api)


@pytest.mark.parametrize("client", ["", None, "None"])
def test_where_no_client_is_configured_there_is_none(sasha: Browser, settings: Any, client: str | None) -> None:
    settings.IMPERSONATION_CLIENT_ID = ""
    assert is_answered_here(ask(sasha, client_id=client), "invalid_client")


# Once


# ABUSE 207
def test_a_second_visit_gets_nothing_and_harms_nothing(api: ApiClient, sasha: Browser, people: Any) -> None:
    sasha.authorize(people.dave)
    code = told(ask(sasha))["code"]
    for _ in range(2):
        assert is_denied(ask(sasha))
    assert AuthorizationCode.objects.get().replayed_at is None
    begun = api.redeem(code, code_verifier=VERIFIER)
    assert begun.status_code == 200
    assert is_denied(ask(sasha))
    assert api.get("/api/me/", headers=bearer(begun.json()["access_token"])).status_code == 200


# ABUSE 207
@pytest.mark.parametrize("copied", ["secret", "digest", "code"])
def test_what_was_spent_does_not_come_back_with_an_old_session(
    api: ApiClient, sasha: Browser, people: Any, copied: str
) -> None:
    """As with signed cookies, whose older state a browser can send again; or with what a table says."""
    sasha.authorize(people.dave)
    secret = sasha.session[codes.PENDING]
    code = told(ask(sasha))["code"]
    known = {"secret": secret, "digest": AuthorizationCode.objects.get().digest, "code": code}
    rewrite(sasha, **{codes.PENDING: known[copied]})
    assert is_denied(ask(sasha))
    assert api.redeem(code, code_verifier=VERIFIER).status_code == 200


# ABUSE 207
@pytest.mark.django_db(transaction=True)
def test_of_many_tabs_at_once_one_gets_the_code(api: ApiClient, people: Any, engine: str) -> None:
    sasha = Browser(people.sasha)
    sasha.authorize(people.dave)
    tabs = [twin(sasha) for _ in range(20)]
    answers = [told(answer) for answer in race(*(lambda t=t, n=n: ask(t, state=str(n)) for n, t in enumerate(tabs)))]
    assert [answer["state"] for answer in answers] == [str(n) for n in range(20)]
    assert Counter(answer.get("error") for answer in answers) == {None: 1, "access_denied": 19}
    (code,) = (answer["code"] for answer in answers if "code" in answer)
    assert is_denied(ask(sasha))
    assert api.redeem(code, code_verifier=VERIFIER).status_code == 200
    assert ImpersonationSession.objects.count() == AuthorizationCode.objects.count() == 1


# ABUSE 207
@pytest.mark.django_db(transaction=True)
def test_tabs_with_challenges_of_their_own_do_not_mix(api: ApiClient, sasha: Browser, people: Any) -> None:
    """What one UPDATE writes is the challenge of the tab that gets the code."""
    for user in (people.carol, people.dave, people.carol):
        sasha.authorize(user)
        tabs = {str(n) * 43: twin(sasha) for n in range(8)}
        steps = [lambda t=t, v=v: ask(t, code_challenge=challenge(v)) for v, t in tabs.items()]
        (got,) = [(v, code_of(a)) for v, a in zip(tabs, race(*steps), strict=True) if "code=" in a["Location"]]
        for verifier in set(tabs) - {got[0]}:
            assert api.redeem(got[1], code_verifier=verifier).status_code == 400
        assert api.redeem(got[1], code_verifier=got[0]).status_code == 200
        sasha.logout()
        sasha.force_login(people.sasha)


# ABUSE 51, ABUSE 201
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("how", ["revoke", "switch"])
def test_what_races_its_end_is_worth_nothing(
    api: ApiClient, sasha: Browser, people: Any, settings: Any, how: str
) -> None:
    settings.IMPERSONATION_ENABLED = None
    end = {
        "revoke": lambda: flows.revoke(ImpersonationSession.objects.none(), codes=AuthorizationCode.objects.all()),
        "switch": lambda: flows.switch(False),
    }[how]
    for _ in range(6):
        flows.switch(True)
        sasha.authorize(people.dave)
        tab = twin(sasha)
        said = told(race(lambda: ask(tab), end)[0])  # noqa: B023
        assert set(said) in ({"code", "state"}, {"error", "error_description", "state"})
        assert not AuthorizationCode.objects.usable().exists()
        if "code" in said:
            assert api.redeem(said["code"], code_verifier=VERIFIER).status_code == 400
        sasha.logout()
        sasha.force_login(people.sasha)


# The state

STATES = [
    "Grüße, 日本語 🙂",
    "e\u0301 is not é",
    "a&b=c&code=evil&error=evil#d?e;f",
    "100%, %26, %25, %",
    "one two  three+four",
    " blank at both ends ",
    "\"quoted\" 'twice' \\ `",
    "a\r\nSet-Cookie: x=y\r\n\r\n<html>",
    "\x00",
    "a\x00b\x01\x7f\x85",
    "\u202e\u2028\ufeff\ufffd\u0000",
    "<script>alert(1)</script>",
    "{{ 7 * 7 }} %s %(x)s {0} ${x}",
    "eyJhIjoiYiJ9.eyJjIjoi_-ZCJ9==",
    "../../evil",
    "//evil.example/",
    "0",
    "None",
    "",
    "x" * 2000,
    "&" * 2000,
]


# ABUSE 207
@pytest.mark.parametrize("state", STATES, ids=lambda state: ascii(state[:20]))
def test_the_state_comes_back_as_it_went(api: ApiClient, sasha: Browser, people: Any, state: str) -> None:
    sasha.authorize(people.dave)
    for response in (
        ask(Browser(), state=state),
        ask(sasha, state=state, response_type="token"),
        ask(sasha, state=state, code_challenge_method="plain"),
        ask(sasha, state=state, headers={"Sec-Fetch-Dest": "iframe"}),
        ask(sasha, state=state),
        ask(sasha, state=state),
    ):
        assert told(response)["state"] == state
        assert response["Location"].isascii()
        assert not set('\r\n\x00 "<>#\\') & set(response["Location"])
        assert "x" not in response.cookies
        if "code" in told(response):
            assert api.redeem(code_of(response), code_verifier=VERIFIER).status_code == 200
    assert ImpersonationSession.objects.count() == 1


@given(state=st.text(st.characters(exclude_categories=["Cs"]), max_size=200))
@example("\ufffe\uffff")
@hypothesis_settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_state_comes_back_as_it_went(state: str) -> None:
    assert is_denied(ask(Browser(), state=state), state=state)


def test_without_a_state_none_comes_back(sasha: Browser, people: Any) -> None:
    sasha.authorize(people.dave)
    assert set(told(ask(Browser(), state=None))) == {"error", "error_description"}
    assert set(told(ask(sasha, state=None))) == {"code"}


@pytest.mark.parametrize("state", ["x" * 20_000, "日" * 2000, "\x00" * 6000])
def test_a_state_that_no_redirect_can_carry_spends_nothing(
    api: ApiClient, sasha: Browser, people: Any, state: str
) -> None:
    sasha.authorize(people.dave)
    assert is_answered_here(ask(sasha, state=state))
    assert is_answered_here(ask(Browser(), state=state))
    assert waits()
    assert is_given(sasha, api)


# ABUSE 207
@pytest.mark.parametrize("name", list(query()))
@pytest.mark.parametrize("second", ["the same", "another", "", "https://evil.example/"])
def test_a_parameter_that_is_given_twice_is_no_request(
    api: ApiClient, sasha: Browser, people: Any, name: str, second: str
) -> None:
    """RFC 6749 section 3.1: whom to tell, and what, would depend on who reads it."""
    sasha.authorize(people.dave)
    again = urlencode({name: query()[name] if second == "the same" else second})
    for address in (f"{urlencode(query())}&{again}", f"{again}&{urlencode(query())}"):
        assert is_answered_here(sasha.get(f"{SIGN_IN}?{address}"))
    assert waits()
    assert is_given(sasha, api)


# Whose browser


def in_another_session(people: Any, sasha: Browser) -> Browser:
    return Browser(people.sasha)


def after_a_logout(people: Any, sasha: Browser) -> Browser:
    sasha.logout()
    return sasha


def after_another_login(people: Any, sasha: Browser) -> Browser:
    sasha.logout()
    sasha.force_login(people.sasha)
    return sasha


def after_somebody_elses_login(people: Any, sasha: Browser) -> Browser:
    sasha.force_login(people.admin)
    return sasha


def permitted(people: Any, sasha: Browser) -> Browser:
    grant(people.noor, "impersonate_user")
    return Browser(people.noor)


def with_the_secret(people: Any, sasha: Browser) -> Browser:
    """Another operator, with what waits in the session of the first."""
    browser = permitted(people, sasha)
    rewrite(browser, **{codes.PENDING: sasha.session[codes.PENDING]})
    return browser


def nobody_with_the_secret(people: Any, sasha: Browser) -> Browser:
    browser = Browser()
    rewrite(browser, **{codes.PENDING: sasha.session[codes.PENDING]})
    return browser


OTHERS = {
    "nobody": lambda people, sasha: Browser(),
    "a made-up session": lambda people, sasha: Browser(HTTP_COOKIE="sessionid=" + "a" * 32),
    "the user": lambda people, sasha: Browser(people.dave),
    "staff without the permission": lambda people, sasha: Browser(people.noor),
    "staff with it": permitted,
    "a superuser": lambda people, sasha: Browser(people.admin),
    "the operator's other session": in_another_session,
    "the operator logged out": after_a_logout,
    "the operator logged in anew": after_another_login,
    "somebody else in the operator's browser": after_somebody_elses_login,
    "staff with the secret": with_the_secret,
    "nobody with the secret": nobody_with_the_secret,
}


# ABUSE 68, ABUSE 207
@pytest.mark.parametrize("who", OTHERS)
def test_only_the_operators_own_session_gets_the_code(sasha: Browser, people: Any, who: str) -> None:
    sasha.authorize(people.dave)
    own = twin(sasha)
    other = OTHERS[who](people, sasha)
    assert is_denied(ask(other))
    assert waits()
    assert codes.PENDING not in sasha.session or "code" in told(ask(own))


# ABUSE 207
def test_two_operators_get_each_their_own(api: ApiClient, sasha: Browser, people: Any) -> None:
    noor = permitted(people, sasha)
    sasha.authorize(people.carol)
    noor.authorize(people.dave)
    assert is_given(noor, api, "dave@example.com")
    assert is_given(sasha, api, "carol@example.com")
    by = {s.user_email: s.impersonator_email for s in ImpersonationSession.objects.all()}
    assert by == {"dave@example.com": "noor@example.com", "carol@example.com": "sasha@example.com"}


@pytest.mark.parametrize("value", [None, True, 7, [], ["x"], {}, "", "x", "\x00", "é", "x" * 5000])
def test_a_session_that_holds_anything_else_is_nobodys(sasha: Browser, people: Any, value: Any, engine: str) -> None:
    browser = Browser(people.sasha)
    rewrite(browser, **{codes.PENDING: value})
    assert is_denied(ask(browser))


def test_nobodys_visit_asks_the_database_nothing(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        assert is_denied(ask(Browser()))
        assert is_answered_here(ask(Browser(), redirect_uri="https://evil.example/"))


def test_what_has_waited_too_long_is_gone(sasha: Browser, people: Any) -> None:
    sasha.authorize(people.dave)
    AuthorizationCode.objects.update(expires_at=timezone.now())
    assert is_denied(ask(sasha))
    assert AuthorizationCode.objects.get().pending


def test_of_two_prompts_the_later_one_is_answered(api: ApiClient, sasha: Browser, people: Any) -> None:
    sasha.authorize(people.carol)
    sasha.authorize(people.dave, reason="first")
    sasha.authorize(people.dave, reason="second")
    assert is_given(sasha, api, "dave@example.com")
    assert ImpersonationSession.objects.get().reason == "second"
    assert is_denied(ask(sasha))


def test_a_prompt_in_another_session_takes_the_place_of_the_first(api: ApiClient, sasha: Browser, people: Any) -> None:
    sasha.authorize(people.dave)
    other = Browser(people.sasha)
    other.authorize(people.dave)
    assert is_denied(ask(sasha))
    assert is_given(other, api)


def revoke(*arguments: str) -> None:
    call_command("impersonation", "revoke", *arguments, verbosity=0)


def off_and_on() -> None:
    flows.switch(False)
    flows.switch(True)


VOIDED = {
    "revoked by operator": lambda: revoke("--impersonator", "sasha@example.com"),
    "revoked by user": lambda: revoke("--user", "dave@example.com"),
    "revoked with all": lambda: revoke("--all"),
    "switched off": lambda: flows.switch(False),
    "switched off and on": off_and_on,
}


# ABUSE 51, ABUSE 201
@pytest.mark.parametrize("how", VOIDED)
def test_what_was_revoked_while_it_waited_is_gone(sasha: Browser, people: Any, settings: Any, how: str) -> None:
    settings.IMPERSONATION_ENABLED = None
    flows.switch(True)
    sasha.authorize(people.dave)
    VOIDED[how]()
    assert is_denied(ask(sasha))
    assert not AuthorizationCode.objects.usable().exists()


# ABUSE 51
def test_revoking_a_session_of_the_operator_voids_what_waits(api: ApiClient, sasha: Browser, people: Any) -> None:
    sasha.authorize(people.carol)
    assert is_given(sasha, api, "carol@example.com")
    sasha.authorize(people.dave)
    data = {"session_id": ImpersonationSession.objects.get().pk}
    revoked = api.with_key("post", "/user_management/sessions/revoke", data=data, content_type="application/json")
    assert revoked.status_code == 200
    assert is_denied(ask(sasha))


# The policy, asked again


def change(person: Any, **fields: Any) -> None:
    type(person).objects.filter(pk=person.pk).update(**fields)


def lose_permission(people: Any) -> None:
    people.sasha.user_permissions.remove(Permission.objects.get(codename="impersonate_user"))


def change_password(people: Any) -> None:
    people.sasha.set_password("another")
    people.sasha.save()


BETWEEN: dict[str, tuple[Any, str | None]] = {
    "permission taken": (lose_permission, "no_permission"),
    "impersonator no longer staff": (lambda p: change(p.sasha, is_staff=False), "not_staff"),
    "impersonator deactivated": (lambda p: change(p.sasha, is_active=False), None),
    "impersonator's password changed": (change_password, None),
    "impersonator deleted": (lambda p: p.sasha.delete(), None),
    "user promoted to staff": (lambda p: change(p.bob, is_staff=True), "user_is_staff"),
    "user promoted to superuser": (lambda p: change(p.bob, is_superuser=True), "user_is_superuser"),
    "user may do more": (lambda p: grant(p.bob, "delete_user"), "permissions_exceed"),
    "user deactivated": (lambda p: change(p.bob, is_active=False), "user_inactive"),
    "user deleted": (lambda p: p.bob.delete(), "user_missing"),
    "organization left": (lambda p: p.acme.organization_users.filter(user=p.bob).delete(), "organization_unknown"),
    "organization deleted": (lambda p: p.acme.delete(), "organization_unknown"),
}


# ABUSE 67
@pytest.mark.parametrize("event", BETWEEN)
def test_the_policy_is_asked_again(sasha: Browser, people: Any, event: str) -> None:
    sasha.authorize(people.bob, organization=people.acme)
    happen, refusal = BETWEEN[event]
    happen(people)
    for _ in range(3):
        assert is_denied(ask(sasha))
    assert waits()
    assert denials() == ([(refusal, "sasha@example.com", 3)] if refusal else [])


# ABUSE 3, ABUSE 67
def test_a_user_who_was_deleted_is_nobody_also_without_an_organization(sasha: Browser, people: Any) -> None:
    sasha.authorize(people.dave)
    people.dave.delete()
    assert is_denied(ask(sasha))
    assert denials() == [("user_missing", "sasha@example.com", 1)]


def only_carol(*, impersonator: Any, user: Any, organization: Any = None) -> bool:
    if user.email != "carol@example.com":
        raise ImpersonationDenied("Only carol.", "opted_out")
    return True


# ABUSE 67, ABUSE 105
@pytest.mark.parametrize("policy", [only_carol, lambda **people: None, lambda: True, "nowhere.policy"])
def test_the_projects_policy_is_asked_again(sasha: Browser, people: Any, settings: Any, policy: Any) -> None:
    sasha.authorize(people.dave)
    settings.IMPERSONATION_POLICY = policy
    assert is_denied(ask(sasha))
    assert waits()
    assert len(denials()) == 1


# ABUSE 201
def test_where_the_deployment_is_switched_off_nothing_waits(
    api: ApiClient, sasha: Browser, people: Any, settings: Any
) -> None:
    sasha.authorize(people.dave)
    settings.IMPERSONATION_ENABLED = False
    assert is_denied(ask(sasha))
    assert denials() == [("disabled", "sasha@example.com", 1)]
    settings.IMPERSONATION_ENABLED = True
    assert is_given(sasha, api)


def test_the_client_is_not_told_why(sasha: Browser, people: Any) -> None:
    """Who may impersonate whom is nobody's business there."""
    sasha.authorize(people.dave)
    assert is_denied(ask(Browser()))
    lose_permission(people)
    assert is_denied(ask(sasha))


# Never within an impersonation


def go_into_the_browser(settings: Any) -> None:
    """From here on a prompt leads to a session in the browser itself."""
    settings.IMPERSONATION_CALLBACK_URL = settings.IMPERSONATION_INITIATE_LOGIN_URL = None


# ABUSE 39, ABUSE 207
def test_while_impersonating_nothing_is_given(api: ApiClient, people: Any, settings: Any, engine: str) -> None:
    sasha = Browser(people.sasha)
    sasha.authorize(people.dave)
    go_into_the_browser(settings)
    sasha.start(people.carol, organization=people.acme)
    assert is_denied(ask(sasha))
    assert sasha.who()["user"] == "carol@example.com"
    assert waits()
    assert sasha.stop().status_code == 303
    assert is_given(sasha, api)  # within its minute it is the operator's own browser again


# ABUSE 39
def test_an_impersonated_operator_begins_nothing(sasha: Browser, people: Any, settings: Any) -> None:
    """Whatever has got into the session: what Sasha has begun is no business of who acts as Sasha."""
    sasha.authorize(people.dave)
    secret = sasha.session[codes.PENDING]
    go_into_the_browser(settings)
    ada = Browser(people.admin)
    ada.start(people.sasha)
    rewrite(ada, **{codes.PENDING: secret})
    assert ada.who()["user"] == "sasha@example.com"
    assert is_denied(ask(ada))
    assert waits()
    assert denials() == [("nested", "admin@example.com", 1)]
    assert ada.who()["user"] == "sasha@example.com"


# ABUSE 39, ABUSE 52
def test_a_token_beside_the_operators_cookie_begins_nothing(
    api: ApiClient, sasha: Browser, people: Any, settings: Any
) -> None:
    initiate, settings.IMPERSONATION_INITIATE_LOGIN_URL = settings.IMPERSONATION_INITIATE_LOGIN_URL, None
    tokens = [api.start(Browser(people.admin), user)["access_token"] for user in (people.sasha, people.carol)]
    settings.IMPERSONATION_INITIATE_LOGIN_URL = initiate
    sasha.authorize(people.dave)
    for token in tokens:
        assert is_denied(ask(sasha, headers=bearer(token)))
        assert waits()
    assert denials() == []  # a client has no session, and nothing waits in it
    assert is_given(sasha, api)


# ABUSE 39
def test_a_browser_whose_impersonation_is_over_is_told_so_first(sasha: Browser, people: Any, settings: Any) -> None:
    sasha.authorize(people.dave)
    go_into_the_browser(settings)
    sasha.start(people.carol, organization=people.acme).end("revoked")
    settings.IMPERSONATION_CALLBACK_URL = CALLBACK
    response = ask(sasha)
    assert (response.status_code, response["Location"]) == (303, "/impersonation/ended/")
    assert waits()


def test_without_the_middleware_nothing_is_given(sasha: Browser, people: Any, settings: Any) -> None:
    sasha.authorize(people.dave)
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if not name.startswith("django_impersonation")]
    assert is_denied(ask(twin(sasha)))
    assert waits()


# What is no visit


# ABUSE 60, ABUSE 207
@pytest.mark.parametrize(
    "headers",
    [
        *(
            {"Sec-Fetch-Dest": name}
            for name in ("iframe", "frame", "fencedframe", "image", "empty", "object", "embed")
        ),
        *({"Sec-Fetch-Dest": name} for name in ("script", "style", "font", "video", "serviceworker", "Document", "")),
        {"Sec-Purpose": "prefetch"},
        {"Sec-Purpose": "prefetch;prerender"},
        {"Sec-Purpose": "prefetch;anonymous-client-ip", "Sec-Fetch-Dest": "document"},
    ],
    ids=str,
)
def test_what_no_person_sees_spends_nothing(
    api: ApiClient, sasha: Browser, people: Any, headers: dict[str, str]
) -> None:
    sasha.authorize(people.dave)
    response = ask(sasha, headers=headers)
    assert is_denied(response)
    assert not response.cookies
    assert waits()
    assert denials() == []
    assert is_given(sasha, api, headers={"Sec-Fetch-Dest": "document", "Sec-Fetch-Mode": "navigate"})


# ABUSE 207
@pytest.mark.parametrize("method", ["head", "post", "put", "patch", "delete", "options", "trace"])
@pytest.mark.parametrize("strict", [False, True])
def test_only_a_get_is_answered(api: ApiClient, sasha: Browser, people: Any, method: str, strict: bool) -> None:
    sasha.authorize(people.dave)
    tab = twin(sasha)
    tab.handler.enforce_csrf_checks = strict
    response = ask(tab, method=method)
    assert (response.status_code, response["Allow"]) == (405, "GET")
    assert response["Content-Type"] == "application/json"
    assert "Location" not in response
    assert waits()
    assert is_given(sasha, api)


def test_a_form_that_is_sent_here_is_none(api: ApiClient, sasha: Browser, people: Any) -> None:
    sasha.authorize(people.dave)
    assert sasha.post(SIGN_IN, query()).status_code == 405
    assert is_answered_here(sasha.get(SIGN_IN), "invalid_client")
    assert waits()


# A foreign page


def foreign_visit(sasha: Browser, **changes: Any) -> Any:
    """A page of somebody else sends the operator's browser here, as any page can."""
    headers = {"Referer": "https://evil.example/", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "document"}
    theirs = {"state": "theirs", "code_challenge": challenge("e" * 43)}
    return ask(sasha, headers=headers, **theirs | changes)


# ABUSE 207
@pytest.mark.parametrize("public", [False, True])
def test_a_foreign_page_gets_no_code_and_can_only_be_in_the_way(
    api: ApiClient, sasha: Browser, people: Any, settings: Any, public: bool
) -> None:
    settings.IMPERSONATION_PUBLIC_CLIENT = public
    sasha.authorize(people.dave)
    for address in ("https://evil.example/", f"{CALLBACK}.evil.example", "https://app.example.com@evil.example/"):
        assert is_answered_here(foreign_visit(sasha, redirect_uri=address))
    response = foreign_visit(sasha)
    said = told(response)  # at the client's own address, and nowhere else
    assert said["state"] == "theirs"  # which the client did not give out, so that it stops here
    assert not response.content

    # A client that does not look has a verifier of its own, which is not that of this code.
    secret = None if public else settings.IMPERSONATION_API_KEY
    assert api.redeem(said["code"], code_verifier=VERIFIER, client_secret=secret).status_code == 400
    assert api.redeem(said["code"]).status_code == 400
    assert AuthorizationCode.objects.get().used_at is None
    # What is lost is this attempt: the client's own request finds nothing, and the operator begins again.
    assert is_denied(ask(sasha))
    sasha.authorize(people.dave)
    assert is_given(sasha, api)
    assert ImpersonationSession.objects.count() == 1


# ABUSE 64, ABUSE 207
def test_a_foreign_page_that_takes_the_challenge_away_helps_nobody(
    api: ApiClient, sasha: Browser, people: Any, settings: Any
) -> None:
    settings.IMPERSONATION_PUBLIC_CLIENT = True
    sasha.authorize(people.dave)
    code = told(foreign_visit(sasha, code_challenge=None, code_challenge_method=None))["code"]
    for verifier in (VERIFIER, "e" * 43, None):
        assert api.redeem(code, code_verifier=verifier, client_secret=None).status_code == 400
    assert api.redeem(code, code_verifier=VERIFIER).status_code == 400
    assert AuthorizationCode.objects.get().used_at is None


# ABUSE 207
def test_a_code_that_somebody_reads_on_its_way_is_bound_to_its_challenge(
    api: ApiClient, sasha: Browser, people: Any, settings: Any
) -> None:
    settings.IMPERSONATION_PUBLIC_CLIENT = True
    sasha.authorize(people.dave)
    code = told(ask(sasha))["code"]
    for verifier in ("e" * 43, challenge(VERIFIER), None):
        assert api.redeem(code, code_verifier=verifier, client_secret=None).status_code == 400
    assert Browser(people.sasha).redeem(code).status_code == 400
    assert api.redeem(code, code_verifier=VERIFIER, client_secret=None).status_code == 200


# ABUSE 59, ABUSE 207
def test_an_attackers_own_impersonation_stays_in_the_attackers_browser(
    api: ApiClient, sasha: Browser, people: Any
) -> None:
    """Sasha, sent here by a page of Noor's, is not Noor: there is no address that begins Noor's."""
    noor = permitted(people, sasha)
    noor.authorize(people.dave)
    assert is_denied(foreign_visit(sasha), state="theirs")
    assert is_given(noor, api)


# What is left behind


# ABUSE 73
def test_an_answer_is_nothing_but_where_to_go(api: ApiClient, people: Any, engine: str) -> None:
    sasha = Browser(people.sasha)
    sasha.authorize(people.dave)
    denied, given_ = ask(Browser()), ask(sasha)
    for response in (denied, given_):
        assert response.status_code == 302
        assert response["Cache-Control"] == "private, no-store"
        assert response["Referrer-Policy"] == "no-referrer"
        assert response.content == b""
        assert "Refresh" not in response
        assert not [name for name in response.headers if name.lower().startswith("access-control")]
    assert not denied.cookies
    assert set(given_.cookies) == {"sessionid"}
    code = told(given_)["code"]
    elsewhere = {name: value for name, value in given_.headers.items() if name != "Location"}
    assert code not in f"{elsewhere} {given_.cookies.output()}"
    assert api.redeem(code, code_verifier=VERIFIER).status_code == 200


# ABUSE 73
@pytest.mark.parametrize("project", ["unsafe-url", "same-origin", None])
def test_the_projects_referrer_policy_does_not_reach_the_redirect(
    sasha: Browser, people: Any, settings: Any, project: str | None
) -> None:
    settings.SECURE_REFERRER_POLICY = project
    sasha.authorize(people.dave)
    assert ask(sasha)["Referrer-Policy"] == "no-referrer"
    assert ask(sasha, redirect_uri="https://evil.example/")["Referrer-Policy"] == "same-origin"


# ABUSE 69, ABUSE 73, ABUSE 138
def test_no_code_reaches_a_log_or_a_table(
    monkeypatch: pytest.MonkeyPatch, api: ApiClient, sasha: Browser, people: Any, caplog: Any
) -> None:
    caplog.set_level("DEBUG")
    sasha.authorize(people.dave)
    secret = sasha.session[codes.PENDING]
    with monkeypatch.context() as patch:
        patch.setattr(type(AuthorizationCode.objects.all()), "update", fails(OperationalError("gone")))
        assert told(ask(sasha))["error"] == "temporarily_unavailable"
    ask(sasha, redirect_uri="https://evil.example/")
    ask(sasha, method="head")
    code = told(ask(sasha))["code"]
    ask(sasha)
    stored = "\n".join(
        str(row) for model in apps.get_models() for row in model._base_manager.values_list() if model is not Session
    )
    stored += str([session.get_decoded() for session in Session.objects.all()])
    api.redeem(code, code_verifier=VERIFIER)
    logged = "\n".join(f"{record.getMessage()} {record.args}" for record in caplog.records) + caplog.text
    assert "a code could not be made" in logged
    for value in (secret, code):
        assert value not in stored
        assert value not in logged


def fails(error: BaseException) -> Any:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise error

    return fail


# ABUSE 73
def test_no_error_report_names_what_waits_or_the_code(
    monkeypatch: pytest.MonkeyPatch, sasha: Browser, people: Any
) -> None:
    sasha.authorize(people.dave)
    secret, made = sasha.session[codes.PENDING], "m" * 43
    monkeypatch.setattr(clients.secrets, "token_urlsafe", lambda size: made)
    monkeypatch.setattr(type(AuthorizationCode.objects.all()), "update", fails(ZeroDivisionError()))
    reports: list[str] = []

    def report(request: Any, **kwargs: Any) -> None:
        reports.append(ExceptionReporter(request, *sys.exc_info()).get_traceback_html())

    got_request_exception.connect(report)
    try:
        with pytest.raises(ZeroDivisionError):
            ask(sasha)
    finally:
        got_request_exception.disconnect(report)
    assert "clients.py" in reports[0]
    assert secret not in reports[0]
    assert made not in reports[0]


# The project around it


@pytest.mark.parametrize("error", [OperationalError("gone"), InterfaceError("closed")])
@pytest.mark.parametrize("place", ["update", "usable"])
def test_a_database_that_does_not_answer_spends_nothing(
    monkeypatch: pytest.MonkeyPatch, api: ApiClient, sasha: Browser, people: Any, error: Exception, place: str
) -> None:
    sasha.authorize(people.dave)
    with monkeypatch.context() as patch:
        patch.setattr(type(AuthorizationCode.objects.all()), place, fails(error))
        said = told(ask(sasha))
    assert (said["error"], said["state"]) == ("temporarily_unavailable", "s")
    assert is_given(sasha, api)


# ABUSE 25
def test_under_login_required_it_answers_the_client(
    api: ApiClient, sasha: Browser, people: Any, settings: Any
) -> None:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "django.contrib.auth.middleware.LoginRequiredMiddleware"]
    assert is_denied(ask(Browser()))
    assert is_answered_here(ask(Browser(), redirect_uri="https://evil.example/"))
    sasha.authorize(people.dave)
    assert is_given(sasha, api)


# ABUSE 58
@pytest.mark.django_db(transaction=True)
def test_under_atomic_requests_what_is_done_is_done(
    monkeypatch: pytest.MonkeyPatch, api: ApiClient, sasha: Browser, people: Any
) -> None:
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    seen, authorize = [], clients.authorize

    def look(*args: Any, **kwargs: Any) -> Any:
        seen.append(connection.in_atomic_block)
        return authorize(*args, **kwargs)

    monkeypatch.setattr(clients, "authorize", look)
    sasha.authorize(people.dave)
    assert is_given(sasha, api)
    sasha.authorize(people.dave)
    lose_permission(people)
    assert is_denied(ask(sasha))
    assert denials() == [("no_permission", "sasha@example.com", 1)]
    assert seen == [False, False]
