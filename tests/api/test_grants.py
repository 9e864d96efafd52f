"""The token endpoint: what a code and a refresh token are worth, to whom, and how often."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import jwt
import pytest
from django.apps import apps
from django.contrib.auth.models import Permission
from django.contrib.sessions.models import Session
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import DatabaseError, InterfaceError, OperationalError, connection
from django.utils import timezone

from django_impersonation import checks, clients, codes, flows, policy, validity
from django_impersonation.api import authenticate, directory, tokens
from django_impersonation.models import AuthorizationCode, Event, ImpersonationSession, RefreshToken
from django_impersonation.signals import impersonation_denied, impersonation_started
from tests.api.client import CALLBACK, ApiClient, bearer, challenge, code_of
from tests.people import Browser

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("direct")]

VERIFIER = "v" * 43
SIGN_IN = "/user_management/authorize"
TOKEN = "/user_management/authenticate"


@pytest.fixture
def api() -> ApiClient:
    """As a server sees it: what crashes is an answer."""
    return ApiClient(raise_request_exception=False)


def query(settings: Any, **changes: Any) -> dict[str, str]:
    """What the client's sign-in route asks for; a parameter that is None is left out."""
    asked = {
        "client_id": settings.IMPERSONATION_CLIENT_ID,
        "redirect_uri": CALLBACK,
        "response_type": "code",
        "state": "s",
        "code_challenge": challenge(VERIFIER),
        "code_challenge_method": "S256",
    } | changes
    return {name: value for name, value in asked.items() if value is not None}


def challenged(sasha: Browser, user: Any, settings: Any, **changes: Any) -> str:
    """A code that wants ``VERIFIER``."""
    settings.IMPERSONATION_INITIATE_LOGIN_URL = "https://app.example.com/sign-in"
    assert sasha.authorize(user).status_code == 303
    return code_of(sasha.get(SIGN_IN, query(settings, **changes)))


def the_code() -> AuthorizationCode:
    return AuthorizationCode.objects.get()


def is_refused(answer: Any, error: str = "invalid_grant") -> bool:
    assert (answer.status_code, answer.json()["error"]) == (400, error), answer.content
    assert set(answer.json()) == {"error", "error_description"}
    return is_plain(answer)


def is_plain(answer: Any) -> bool:
    """JSON that nobody keeps, and that leaves nothing in a browser."""
    assert answer["Content-Type"] == "application/json"
    assert "no-store" in answer["Cache-Control"]
    assert answer["X-Request-ID"].startswith("req_")
    assert not answer.cookies
    assert not [name for name in answer.headers if name.lower().startswith("access-control")]
    return True


def is_signed_in(api: ApiClient, answer: dict[str, Any]) -> bool:
    status = api.get("/api/me/", headers=bearer(answer["access_token"])).status_code
    assert status in (200, 401)
    return bool(status == 200)


def ends() -> list[tuple[str, str]]:
    """How sessions ended, as the record has it."""
    found = Event.objects.filter(name__in=[Event.Name.SESSION_REVOKED, Event.Name.EXPIRED]).order_by("position")
    return list(found.values_list("name", "code"))


def sid(answer: dict[str, Any]) -> str:
    return tokens.read(answer["access_token"]).session_id


def raises(error: BaseException) -> Any:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise error

    return fail


# ABUSE 62
def test_a_code_for_one_address_is_no_good_for_another(api: ApiClient, sasha: Browser, people: Any) -> None:
    code = sasha.code(people.dave)
    for other in (f"{CALLBACK}/", "https://evil.example.com/callback", "http://localhost:3000/callback"):
        assert is_refused(api.redeem(code, redirect_uri=other))
    assert the_code().used_at is None
    assert api.redeem(code, redirect_uri=CALLBACK).status_code == 200


# ABUSE 62
def test_a_code_for_a_browser_is_no_good_for_a_client(
    api: ApiClient, sasha: Browser, people: Any, settings: Any
) -> None:
    settings.IMPERSONATION_CALLBACK_URL = None
    code = sasha.code(people.dave)
    assert is_refused(api.redeem(code))
    assert the_code().used_at is None
    assert not ImpersonationSession.objects.exists()
    assert sasha.redeem(code).status_code == 303
    assert sasha.who()["user"] == "dave@example.com"


# ABUSE 62
def test_a_code_for_a_client_is_no_good_for_a_browser(api: ApiClient, sasha: Browser, people: Any) -> None:
    code = sasha.code(people.dave)
    assert sasha.redeem(code).status_code == 400
    assert "impersonation" not in sasha.cookies
    assert sasha.who()["user"] == "sasha@example.com"
    assert the_code().used_at is None
    assert api.redeem(code).status_code == 200


# ABUSE 62
def test_a_code_for_one_client_is_no_good_for_another(
    api: ApiClient, sasha: Browser, people: Any, settings: Any
) -> None:
    code = sasha.code(people.dave)
    settings.IMPERSONATION_CLIENT_ID = "client_other"
    assert is_refused(api.redeem(code))
    assert the_code().used_at is None
    settings.IMPERSONATION_CLIENT_ID = "client_demo"
    begun = api.redeem(code).json()
    settings.IMPERSONATION_CLIENT_ID = "client_other"
    assert is_refused(api.refresh(begun["refresh_token"]))
    assert not is_signed_in(api, begun)


# ABUSE 62, ABUSE 207
@pytest.mark.usefixtures("signin")
@pytest.mark.parametrize("verifier", [None, VERIFIER])
def test_what_waits_in_the_operators_session_is_no_code(
    api: ApiClient, sasha: Browser, people: Any, settings: Any, verifier: str | None
) -> None:
    sasha.authorize(people.dave)
    waiting = sasha.session[codes.PENDING]
    assert is_refused(api.redeem(waiting, code_verifier=verifier))
    assert sasha.redeem(waiting).status_code == 400
    code = code_of(sasha.get(SIGN_IN, query(settings)))
    assert code != waiting
    assert is_refused(api.redeem(waiting, code_verifier=VERIFIER))
    assert api.redeem(code, code_verifier=VERIFIER).status_code == 200


# ABUSE 63
@pytest.mark.parametrize(
    ("members", "error"),
    [
        ({"client_id": "client_other"}, "invalid_client"),
        ({"client_id": "client_demo "}, "invalid_client"),
        ({"client_id": None}, "invalid_request"),
        ({"client_id": ["client_demo"]}, "invalid_request"),
        ({"client_secret": "key_wrong"}, "invalid_client"),
        ({"client_secret": "key_of_events"}, "invalid_client"),
        ({"client_secret": "ключ"}, "invalid_client"),
        ({"client_secret": None}, "invalid_client"),
        ({"client_secret": ""}, "invalid_client"),
        ({"client_secret": True}, "invalid_request"),
        ({"client_secret": None, "code_verifier": VERIFIER}, "invalid_client"),
        ({"client_secret": "key_wrong", "code_verifier": VERIFIER}, "invalid_client"),
        ({"code_verifier": VERIFIER}, "invalid_grant"),
    ],
)
def test_a_client_that_does_not_prove_itself_spends_no_code(
    api: ApiClient, sasha: Browser, people: Any, settings: Any, caplog: Any, members: Any, error: str
) -> None:
    settings.IMPERSONATION_EVENTS_KEY = "key_of_events"
    code = sasha.code(people.dave)
    caplog.clear()
    assert is_refused(api.redeem(code, **members), error)
    assert any(record.levelname == "WARNING" for record in caplog.records)
    assert the_code().used_at is None
    assert not ImpersonationSession.objects.exists()
    assert api.redeem(code).status_code == 200


# ABUSE 63
@pytest.mark.parametrize("name", ["IMPERSONATION_API_KEY", "IMPERSONATION_CLIENT_ID"])
def test_what_is_not_configured_opens_nothing(
    api: ApiClient, sasha: Browser, people: Any, settings: Any, name: str
) -> None:
    code = sasha.code(people.dave)
    kept = getattr(settings, name)
    setattr(settings, name, "")
    for members in ({}, {"client_secret": "None"}, {"client_secret": " "}, {"client_id": "client_demo"}):
        answer = api.redeem(code, **members)
        assert answer.status_code == 400
        assert answer.json()["error"] in ("invalid_client", "invalid_request")
    setattr(settings, name, kept)
    assert api.redeem(code).status_code == 200


# ABUSE 63, ABUSE 64
@pytest.mark.parametrize("public", [False, True])
@pytest.mark.parametrize(
    "verifier",
    [None, "", "w" * 43, "v" * 42, "v" * 44, "v" * 129, VERIFIER + "=", VERIFIER[:-1] + "é", challenge(VERIFIER)],
)
def test_a_challenge_wants_its_own_verifier(
    api: ApiClient, sasha: Browser, people: Any, settings: Any, verifier: str | None, public: bool
) -> None:
    settings.IMPERSONATION_PUBLIC_CLIENT = public
    code = challenged(sasha, people.dave, settings)
    assert is_refused(api.redeem(code, code_verifier=verifier))
    assert the_code().used_at is None
    assert api.redeem(code, code_verifier=VERIFIER).status_code == 200


# ABUSE 64
@pytest.mark.parametrize("verifier", ["v" * 42, "v" * 129])
def test_a_verifier_has_43_to_128_characters_even_if_its_challenge_fits(
    api: ApiClient, sasha: Browser, people: Any, settings: Any, verifier: str
) -> None:
    code = challenged(sasha, people.dave, settings, code_challenge=challenge(verifier))
    assert is_refused(api.redeem(code, code_verifier=verifier))
    assert the_code().used_at is None


def test_a_verifier_of_128_characters_of_every_kind_is_good(
    api: ApiClient, sasha: Browser, people: Any, settings: Any
) -> None:
    verifier = "aZ0-._~" * 18 + "zz"
    code = challenged(sasha, people.dave, settings, code_challenge=challenge(verifier))
    assert api.redeem(code, code_verifier=verifier).status_code == 200


# ABUSE 64
@pytest.mark.usefixtures("signin")
@pytest.mark.parametrize(
    "changes",
    [
        {"code_challenge_method": "plain", "code_challenge": VERIFIER},
        {"code_challenge_method": "plain"},
        {"code_challenge_method": "s256"},
        {"code_challenge_method": ""},
        {"code_challenge_method": None},
        {"code_challenge": None},
        {"code_challenge": ""},
        {"code_challenge": challenge(VERIFIER)[:42]},
        {"code_challenge": challenge(VERIFIER) + "="},
        {"code_challenge": challenge(VERIFIER)[:42] + "+"},
        {"response_type": "token"},
        {"response_type": None},
    ],
)
def test_a_challenge_is_of_s256_or_no_code_is_made(
    api: ApiClient, sasha: Browser, people: Any, settings: Any, changes: Any
) -> None:
    sasha.authorize(people.dave)
    answer = sasha.get(SIGN_IN, query(settings, **changes))
    assert answer.status_code == 302
    assert answer["Location"].startswith(f"{CALLBACK}?error=")
    assert answer["Location"].endswith("&state=s")
    assert the_code().pending
    assert api.redeem(code_of(sasha.get(SIGN_IN, query(settings))), code_verifier=VERIFIER).status_code == 200


# ABUSE 64
def test_a_code_without_a_challenge_takes_no_verifier(
    api: ApiClient, sasha: Browser, people: Any, settings: Any
) -> None:
    code = sasha.code(people.dave)
    assert is_refused(api.redeem(code, code_verifier=VERIFIER))
    settings.IMPERSONATION_PUBLIC_CLIENT = True
    assert is_refused(api.redeem(code, code_verifier=VERIFIER, client_secret=None))
    assert is_refused(api.redeem(code, client_secret=None), "invalid_client")
    assert the_code().used_at is None
    assert api.redeem(code).status_code == 200


@pytest.mark.parametrize("setting", [True, False, None, "yes", 1])
def test_only_a_public_client_does_without_a_secret(
    api: ApiClient, sasha: Browser, people: Any, settings: Any, setting: Any
) -> None:
    settings.IMPERSONATION_PUBLIC_CLIENT = setting
    code = challenged(sasha, people.dave, settings)
    answer = api.redeem(code, code_verifier=VERIFIER, client_secret=None)
    if setting is True:
        assert answer.status_code == 200
        assert api.refresh(answer.json()["refresh_token"], client_secret=None).status_code == 200
    else:
        assert is_refused(answer, "invalid_client")
        assert the_code().used_at is None


# ABUSE 63
def test_a_public_client_that_brings_a_secret_brings_the_right_one(
    api: ApiClient, sasha: Browser, people: Any, settings: Any
) -> None:
    settings.IMPERSONATION_PUBLIC_CLIENT = True
    code = challenged(sasha, people.dave, settings)
    assert is_refused(api.redeem(code, code_verifier=VERIFIER, client_secret="key_wrong"), "invalid_client")
    begun = api.redeem(code, code_verifier=VERIFIER).json()
    assert is_refused(api.refresh(begun["refresh_token"], client_secret="key_wrong"), "invalid_client")
    assert is_refused(api.refresh(begun["refresh_token"], client_id="client_other"), "invalid_client")
    assert api.refresh(begun["refresh_token"]).status_code == 200


# ABUSE 63
def test_a_client_with_a_secret_brings_it_to_refresh(api: ApiClient, sasha: Browser, people: Any) -> None:
    """RFC 6749 section 6: who found the refresh token alone has nothing."""
    begun = api.start(sasha, people.dave)
    assert is_refused(api.refresh(begun["refresh_token"], client_secret=None), "invalid_client")
    assert is_refused(api.refresh(begun["refresh_token"], client_secret="key_wrong"), "invalid_client")
    assert RefreshToken.objects.count() == 1
    assert api.refresh(begun["refresh_token"]).status_code == 200


# ABUSE 56
@pytest.mark.parametrize("by", ["client", "client elsewhere", "own browser", "carol's browser", "nobody's browser"])
def test_a_second_use_ends_what_came_of_the_first(api: ApiClient, sasha: Browser, people: Any, by: str) -> None:
    code = sasha.code(people.dave)
    begun = api.redeem(code).json()
    later = api.refresh(begun["refresh_token"]).json()
    assert is_signed_in(api, begun)

    if by.startswith("client"):
        assert is_refused(api.redeem(code, redirect_uri=CALLBACK + "2" if "elsewhere" in by else None))
    else:
        browser = {"own browser": sasha, "carol's browser": Browser(people.carol)}.get(by, Browser())
        assert browser.redeem(code).status_code == 400
        assert "impersonation" not in browser.cookies

    assert not is_signed_in(api, begun)
    assert not is_signed_in(api, later)
    assert is_refused(api.refresh(begun["refresh_token"]))
    assert is_refused(api.refresh(later["refresh_token"]))
    assert is_refused(api.redeem(code))
    assert ends() == [("session.revoked", "replayed")]
    assert the_code().replayed_at is not None


# ABUSE 56
def test_a_second_use_with_a_wrong_verifier_ends_the_session_too(
    api: ApiClient, sasha: Browser, people: Any, settings: Any
) -> None:
    code = challenged(sasha, people.dave, settings)
    begun = api.redeem(code, code_verifier=VERIFIER).json()
    assert is_refused(api.redeem(code, code_verifier="w" * 43))
    assert not is_signed_in(api, begun)
    assert ends() == [("session.revoked", "replayed")]


# ABUSE 56
def test_who_is_not_the_client_ends_nothing_with_a_code(api: ApiClient, sasha: Browser, people: Any) -> None:
    code = sasha.code(people.dave)
    begun = api.redeem(code).json()
    assert is_refused(api.redeem(code, client_secret="key_wrong"), "invalid_client")
    assert is_signed_in(api, begun)


# ABUSE 56
def test_a_code_that_a_browser_has_spent_ends_that_browsers_session_when_a_client_brings_it(
    api: ApiClient, sasha: Browser, people: Any, settings: Any
) -> None:
    settings.IMPERSONATION_CALLBACK_URL = None
    code = sasha.code(people.dave)
    assert sasha.redeem(code).status_code == 303
    assert is_refused(api.redeem(code))
    assert sasha.post("/whoami/").status_code == 409
    assert ends() == [("session.revoked", "replayed")]


# ABUSE 56
@pytest.mark.parametrize("by", ["client", "own browser"])
def test_a_second_use_while_the_first_is_under_way_lets_none_begin(
    monkeypatch: pytest.MonkeyPatch, api: ApiClient, sasha: Browser, people: Any, by: str
) -> None:
    begin, code = clients._begin, sasha.code(people.dave)

    def late(*args: Any) -> Any:
        monkeypatch.setattr(clients, "_begin", begin)
        second = ApiClient().redeem(code) if by == "client" else sasha.redeem(code)
        assert second.status_code == 400
        return begin(*args)

    monkeypatch.setattr(clients, "_begin", late)
    assert is_refused(api.redeem(code))
    assert not ImpersonationSession.objects.exists()
    assert not RefreshToken.objects.exists()


# ABUSE 58
@pytest.mark.django_db(transaction=True)
def test_under_atomic_requests_a_replay_ends_the_session(
    monkeypatch: pytest.MonkeyPatch, api: ApiClient, sasha: Browser, people: Any
) -> None:
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    code = sasha.code(people.dave)
    begun = api.redeem(code).json()
    impersonation_denied.connect(fails := raises(ZeroDivisionError()))
    try:
        assert api.redeem(code).status_code in (400, 500)
    finally:
        impersonation_denied.disconnect(fails)
    assert not is_signed_in(api, begun)
    assert ends() == [("session.revoked", "replayed")]


# ABUSE 58
@pytest.mark.django_db(transaction=True)
def test_under_atomic_requests_what_was_spent_is_committed_at_once(
    monkeypatch: pytest.MonkeyPatch, api: ApiClient, sasha: Browser, people: Any
) -> None:
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    begin, seen = clients._begin, []

    def look(*args: Any) -> Any:
        seen.append(connection.in_atomic_block)
        return begin(*args)

    monkeypatch.setattr(clients, "_begin", look)
    assert api.redeem(sasha.code(people.dave)).status_code == 200
    assert seen == [False]


# ABUSE 61
def test_a_code_expires(api: ApiClient, sasha: Browser, people: Any) -> None:
    code = sasha.code(people.dave)
    AuthorizationCode.objects.update(expires_at=timezone.now())
    assert is_refused(api.redeem(code))
    assert not ImpersonationSession.objects.exists()


# ABUSE 61
@pytest.mark.parametrize("lifetime", [0, -5, "60", None, True])
def test_a_lifetime_that_is_none_makes_codes_that_are_dead(
    api: ApiClient, sasha: Browser, people: Any, settings: Any, lifetime: Any
) -> None:
    settings.IMPERSONATION_CODE_LIFETIME = lifetime
    assert is_refused(api.redeem(sasha.code(people.dave)))
    assert "django_impersonation.E006" in [e.id for e in checks.check_settings(None)]


# ABUSE 61, ABUSE 207
@pytest.mark.usefixtures("signin")
def test_what_waits_for_the_client_expires_like_a_code(
    api: ApiClient, sasha: Browser, people: Any, settings: Any
) -> None:
    sasha.authorize(people.dave)
    AuthorizationCode.objects.update(expires_at=timezone.now())
    assert "error=access_denied" in sasha.get(SIGN_IN, query(settings))["Location"]


def lose_permission(people: Any) -> None:
    people.sasha.user_permissions.remove(Permission.objects.get(codename="impersonate_user"))


def change(person: Any, **fields: Any) -> None:
    type(person).objects.filter(pk=person.pk).update(**fields)


def change_password(person: Any) -> None:
    person.set_password("another")
    person.save()


BETWEEN = {
    "permission taken": (lose_permission, "no_permission"),
    "impersonator no longer staff": (lambda p: change(p.sasha, is_staff=False), "not_staff"),
    "impersonator deactivated": (lambda p: change(p.sasha, is_active=False), "impersonator_inactive"),
    "impersonator's password changed": (lambda p: change_password(p.sasha), "impersonator_changed"),
    "impersonator deleted": (lambda p: p.sasha.delete(), None),
    "user promoted": (lambda p: change(p.bob, is_staff=True), "user_is_staff"),
    "user deactivated": (lambda p: change(p.bob, is_active=False), "user_inactive"),
    "user deleted": (lambda p: p.bob.delete(), "user_missing"),
    "organization left": (lambda p: p.acme.organization_users.filter(user=p.bob).delete(), "organization_unknown"),
    "switched off": (lambda p: flows.switch(False), "invalid_code"),
    "revoked": (
        lambda p: call_command("impersonation", "revoke", "--impersonator", "sasha@example.com", verbosity=0),
        "invalid_code",
    ),
}


# ABUSE 67
@pytest.mark.parametrize("event", BETWEEN)
def test_everything_is_asked_again_when_the_code_is_spent(
    api: ApiClient, sasha: Browser, people: Any, settings: Any, event: str
) -> None:
    settings.IMPERSONATION_ENABLED = None
    flows.switch(True)
    code = sasha.code(people.bob, organization=people.acme)
    happen, refusal = BETWEEN[event]
    happen(people)
    assert is_refused(api.redeem(code))
    assert not ImpersonationSession.objects.exists()
    assert not RefreshToken.objects.exists()
    denied = Event.objects.filter(name=Event.Name.DENIED).values_list("code", "impersonator_email")
    assert list(denied) == ([(refusal, "sasha@example.com")] if refusal else [])


# ABUSE 67
def test_a_code_that_was_refused_once_by_the_policy_is_burned(api: ApiClient, sasha: Browser, people: Any) -> None:
    code = sasha.code(people.dave)
    change(people.dave, is_staff=True)
    assert is_refused(api.redeem(code))
    change(people.dave, is_staff=False)
    assert is_refused(api.redeem(code))


# ABUSE 67, ABUSE 201
def test_a_deployment_that_is_switched_off_redeems_nothing(
    api: ApiClient, sasha: Browser, people: Any, settings: Any
) -> None:
    code = sasha.code(people.dave)
    settings.IMPERSONATION_ENABLED = False
    assert is_refused(api.redeem(code))
    assert not ImpersonationSession.objects.exists()
    assert Event.objects.get(name=Event.Name.DENIED).code == "disabled"


# ABUSE 69
def test_the_tables_open_nothing(api: ApiClient, sasha: Browser, people: Any) -> None:
    code = sasha.code(people.dave)
    for value in [str(v) for v in AuthorizationCode.objects.values_list().get() if v not in (None, "")]:
        assert code not in value
        assert is_refused(api.redeem(value))
    assert the_code().used_at is None
    begun = api.redeem(code).json()
    for value in [str(v) for v in RefreshToken.objects.values_list().get() if v != ""]:
        assert begun["refresh_token"] not in value
        assert is_refused(api.refresh(value))
    assert is_signed_in(api, begun)


# ABUSE 37
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("place", "name", "error"),
    [
        (clients, "create_session", ZeroDivisionError()),
        (clients, "create_session", OperationalError("database is locked")),
        (clients, "_new_refresh_token", ZeroDivisionError()),
        (clients, "_new_refresh_token", DatabaseError("disk full")),
        (clients, "_new_refresh_token", InterfaceError("connection already closed")),
        (policy, "check", ZeroDivisionError()),
        (policy, "check", OperationalError("database is locked")),
        (validity, "load_user", ZeroDivisionError()),
        (codes, "choose_organization", ZeroDivisionError()),
        (type(Event.objects), "record", DatabaseError("disk full")),
        (tokens, "access_token", ZeroDivisionError()),
        (authenticate.serializers, "user_object", ZeroDivisionError()),
        (authenticate.serializers, "user_object", OperationalError("database is locked")),
    ],
)
def test_what_fails_after_the_spend_burns_the_code_and_leaves_no_session(
    api: ApiClient,
    sasha: Browser,
    people: Any,
    monkeypatch: pytest.MonkeyPatch,
    place: Any,
    name: str,
    error: Exception,
) -> None:
    code = sasha.code(people.bob, organization=people.acme)
    with monkeypatch.context() as patch:
        patch.setattr(place, name, raises(error))
        answer = api.redeem(code)
    assert is_refused(answer)
    assert the_code().used_at is not None
    assert not ImpersonationSession.objects.live().exists()
    assert is_refused(api.redeem(code))


# ABUSE 37
def test_what_fails_before_the_spend_leaves_the_code(
    api: ApiClient, sasha: Browser, people: Any, settings: Any
) -> None:
    code, pem = sasha.code(people.dave), settings.IMPERSONATION_JWT_SIGNING_KEY
    for broken in ("", [], "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"):
        settings.IMPERSONATION_JWT_SIGNING_KEY = broken
        with pytest.raises(ImproperlyConfigured, match="IMPERSONATION_JWT_SIGNING_KEY"):
            tokens.signing_keys()
        answer = api.redeem(code)
        assert answer.status_code == 500
        assert is_plain(answer)
    assert the_code().used_at is None
    settings.IMPERSONATION_JWT_SIGNING_KEY = pem
    begun = api.redeem(code).json()
    settings.IMPERSONATION_JWT_SIGNING_KEY = ""
    assert api.refresh(begun["refresh_token"]).status_code == 500
    assert RefreshToken.objects.count() == 1


# ABUSE 37, ABUSE 139
@pytest.mark.django_db(transaction=True)
def test_a_receiver_that_raises_ends_what_it_was_told_of(
    api: ApiClient, sasha: Browser, people: Any, caplog: Any
) -> None:
    impersonation_started.connect(fails := raises(ZeroDivisionError("of the project")))
    try:
        answer = api.redeem(sasha.code(people.dave))
    finally:
        impersonation_started.disconnect(fails)
    assert is_refused(answer)
    assert ends() == [("session.revoked", "revoked")]
    assert "of the project" in caplog.text


def test_a_receiver_sees_a_request_of_nobody_and_leaves_no_cookie(api: ApiClient, sasha: Browser, people: Any) -> None:
    seen: list[Any] = []
    sessions = Session.objects.count()

    def receiver(request: Any, impersonation: Any, **kwargs: Any) -> None:
        request.session["organization"] = "acme"
        seen.append((str(request.user), impersonation.user_email, impersonation.client_id))

    impersonation_started.connect(receiver)
    try:
        api.cookies["sessionid"] = sasha.session_cookie()
        code = sasha.code(people.dave)
        answer = api.redeem(code)
    finally:
        impersonation_started.disconnect(receiver)
    assert answer.status_code == 200
    assert is_plain(answer)
    assert seen == [("AnonymousUser", "dave@example.com", "client_demo")]
    assert "organization" not in sasha.session
    assert Session.objects.count() == sessions


# ABUSE 84
def test_a_token_lasts_five_minutes_and_never_longer_than_the_session(
    api: ApiClient, sasha: Browser, people: Any, settings: Any
) -> None:
    claims = tokens.read(api.start(sasha, people.dave)["access_token"]).claims
    assert claims["exp"] - claims["iat"] == 300
    settings.IMPERSONATION_SESSION_LIFETIME = 120
    begun = api.start(sasha, people.carol, organization=people.acme)
    session = ImpersonationSession.objects.get(pk=sid(begun))
    for answer in (begun, api.refresh(begun["refresh_token"]).json()):
        exp = tokens.read(answer["access_token"]).claims["exp"]
        assert session.expires_at.timestamp() - 1 < exp <= session.expires_at.timestamp()
    session.refresh_from_db()
    assert session.expires_at - session.created_at == timedelta(seconds=120)


# ABUSE 84, ABUSE 86
def test_a_refresh_moves_no_end(api: ApiClient, sasha: Browser, people: Any) -> None:
    answer = api.start(sasha, people.dave)
    before = ImpersonationSession.objects.get()
    moment = timezone.now() + timedelta(minutes=2)
    ImpersonationSession.objects.filter(pk=before.pk)._amend(expires_at=moment)
    for _ in range(3):
        answer = api.refresh(answer["refresh_token"]).json()
        assert tokens.read(answer["access_token"]).claims["exp"] <= moment.timestamp()
    assert ImpersonationSession.objects.get().expires_at == moment
    assert Event.objects.filter(name=Event.Name.SESSION_CREATED).count() == 1


# ABUSE 86
def test_a_refresh_keeps_who_and_why_and_gives_new_tokens(api: ApiClient, sasha: Browser, people: Any) -> None:
    answers = [api.start(sasha, people.bob, organization=people.acme)]
    for _ in range(3):
        answers.append(api.refresh(answers[-1]["refresh_token"]).json())
    claims = [tokens.read(answer["access_token"]).claims for answer in answers]
    for name in ("act", "sid", "sub", "org_id", "client_id", "iss", "auth_time"):
        assert len({str(c[name]) for c in claims}) == 1, name
    assert claims[0]["act"] == {"sub": "sasha@example.com"}
    assert {str(answer["impersonator"]) for answer in answers} == {str(answers[0]["impersonator"])}
    for name in ("access_token", "refresh_token"):
        assert len({answer[name] for answer in answers}) == 4
    assert len({c["jti"] for c in claims}) == 4


# ABUSE 82, ABUSE 86
def test_each_kind_of_secret_is_good_for_one_thing(api: ApiClient, sasha: Browser, people: Any, settings: Any) -> None:
    code = sasha.code(people.dave)
    assert is_refused(api.refresh(code))
    begun = api.redeem(code).json()
    for wrong in (begun["access_token"], code, settings.IMPERSONATION_API_KEY, sid(begun)):
        assert is_refused(api.refresh(wrong))
    for wrong in (begun["access_token"], begun["refresh_token"]):
        assert is_refused(api.redeem(wrong))
        assert api.with_key("get", "/events?events=session.created", key=wrong).status_code == 401
    for wrong in (begun["refresh_token"], code, settings.IMPERSONATION_API_KEY, sid(begun)):
        assert api.get("/api/me/", headers=bearer(wrong)).status_code == 401
    assert is_signed_in(api, begun)
    assert api.refresh(begun["refresh_token"]).status_code == 200


# ABUSE 86
@pytest.mark.parametrize(
    ("happen", "end"),
    [
        (lambda session, people: session.end("stopped"), ("session.revoked", "stopped")),
        (lambda session, people: expire(session), ("impersonation.expired", "expired")),
        (
            lambda session, people: change(people.sasha, is_active=False),
            ("session.revoked", "impersonator_changed"),
        ),
        (lambda session, people: lose_permission(people), ("session.revoked", "impersonator_changed")),
        (lambda session, people: change(people.dave, is_superuser=True), ("session.revoked", "user_changed")),
        (lambda session, people: change_password(people.dave), ("session.revoked", "user_changed")),
    ],
)
def test_a_session_that_is_over_is_not_refreshed(
    api: ApiClient, sasha: Browser, people: Any, happen: Any, end: tuple[str, str]
) -> None:
    begun = api.start(sasha, people.dave)
    happen(ImpersonationSession.objects.get(), people)
    for _ in range(2):
        assert is_refused(api.refresh(begun["refresh_token"]))
    assert RefreshToken.objects.count() == 1
    assert ends() == [end]


def expire(session: ImpersonationSession) -> None:
    ImpersonationSession.objects.filter(pk=session.pk)._amend(expires_at=timezone.now())


def age(seconds: float, **generation: int) -> None:
    """Let the refresh tokens, of one generation or all, be as old as this."""
    moment = timezone.now() - timedelta(seconds=seconds)
    RefreshToken.objects.filter(**generation).update(created_at=moment)


# ABUSE 87
def test_a_refresh_token_may_be_used_again_for_ten_seconds(api: ApiClient, sasha: Browser, people: Any) -> None:
    begun = api.start(sasha, people.dave)
    age(3000)
    first = api.refresh(begun["refresh_token"]).json()
    age(9, generation=1)
    second = api.refresh(begun["refresh_token"]).json()
    assert first["refresh_token"] != second["refresh_token"]
    assert {sid(first), sid(second)} == {sid(begun)}
    assert is_signed_in(api, first)
    assert is_signed_in(api, second)
    assert api.refresh(second["refresh_token"]).status_code == 200
    assert ends() == []


# ABUSE 87
def test_of_two_that_came_of_one_refresh_token_one_goes_on(api: ApiClient, sasha: Browser, people: Any) -> None:
    """A thief who refreshes in step with the client, seconds later each time, is noticed at the second step."""
    begun = api.start(sasha, people.dave)
    mine, theirs = (api.refresh(begun["refresh_token"]).json() for _ in range(2))
    assert api.refresh(mine["refresh_token"]).status_code == 200
    assert api.refresh(mine["refresh_token"]).status_code == 200
    assert ends() == []
    assert is_refused(api.refresh(theirs["refresh_token"]))
    assert ends() == [("session.revoked", "replayed")]


# ABUSE 87
def test_a_refresh_token_used_again_after_ten_seconds_ends_the_session(
    api: ApiClient, sasha: Browser, people: Any
) -> None:
    begun = api.start(sasha, people.dave)
    first = api.refresh(begun["refresh_token"]).json()
    age(10, generation=1)
    assert is_refused(api.refresh(begun["refresh_token"]))
    assert not is_signed_in(api, begun)
    assert not is_signed_in(api, first)
    assert is_refused(api.refresh(first["refresh_token"]))
    assert ends() == [("session.revoked", "replayed")]


# ABUSE 87
def test_a_second_use_does_not_prolong_the_ten_seconds(api: ApiClient, sasha: Browser, people: Any) -> None:
    begun = api.start(sasha, people.dave)
    api.refresh(begun["refresh_token"])
    age(9, generation=1)
    assert api.refresh(begun["refresh_token"]).status_code == 200
    RefreshToken.objects.filter(pk=RefreshToken.objects.filter(generation=1).earliest("pk").pk).update(
        created_at=timezone.now() - timedelta(seconds=11)
    )
    assert is_refused(api.refresh(begun["refresh_token"]))
    assert ends() == [("session.revoked", "replayed")]


# ABUSE 87
def test_an_older_refresh_token_ends_the_session_at_any_time(api: ApiClient, sasha: Browser, people: Any) -> None:
    begun = api.start(sasha, people.dave)
    first = api.refresh(begun["refresh_token"]).json()
    second = api.refresh(first["refresh_token"]).json()
    assert is_refused(api.refresh(begun["refresh_token"]))
    assert is_refused(api.refresh(second["refresh_token"]))
    assert not is_signed_in(api, second)
    assert ends() == [("session.revoked", "replayed")]


# ABUSE 87
def test_the_newest_refresh_token_is_good_however_old_it_is(api: ApiClient, sasha: Browser, people: Any) -> None:
    begun = api.start(sasha, people.dave)
    first = api.refresh(begun["refresh_token"]).json()
    age(3000)
    assert api.refresh(first["refresh_token"]).status_code == 200


# ABUSE 87
def test_a_replay_ends_its_own_session_only(api: ApiClient, sasha: Browser, people: Any) -> None:
    other = api.start(sasha, people.carol, organization=people.acme)
    begun = api.start(sasha, people.dave)
    api.refresh(begun["refresh_token"])
    age(11, generation=1)
    assert is_refused(api.refresh(begun["refresh_token"]))
    assert is_signed_in(api, other)
    assert api.refresh(other["refresh_token"]).status_code == 200


def test_a_session_stays_in_its_organization(api: ApiClient, sasha: Browser, people: Any) -> None:
    begun = api.start(sasha, people.bob, organization=people.acme)
    for other in (str(people.globex.pk), f" {people.acme.pk}", f"{people.acme.pk}.0", "none"):
        assert is_refused(api.refresh(begun["refresh_token"], organization_id=other))
    assert is_refused(api.refresh(begun["refresh_token"], organization_id=people.acme.pk), "invalid_request")
    assert RefreshToken.objects.count() == 1
    for same in (str(people.acme.pk), "", None):
        again = api.refresh(begun["refresh_token"], organization_id=same)
        assert again.status_code == 200
        assert again.json()["organization_id"] == str(people.acme.pk)


# ABUSE 67
def test_who_left_the_organization_is_not_refreshed_into_it(api: ApiClient, sasha: Browser, people: Any) -> None:
    begun = api.start(sasha, people.carol, organization=people.acme)
    people.acme.remove_user(people.carol)
    assert is_refused(api.refresh(begun["refresh_token"]))
    people.acme.add_user(people.carol)
    assert api.refresh(begun["refresh_token"]).json()["organization_id"] == str(people.acme.pk)


def test_a_session_without_an_organization_gets_none(api: ApiClient, sasha: Browser, people: Any) -> None:
    begun = api.start(sasha, people.dave)
    assert "organization_id" not in begun
    assert "org_id" not in tokens.read(begun["access_token"]).claims
    assert is_refused(api.refresh(begun["refresh_token"], organization_id=str(people.acme.pk)))
    assert "organization_id" not in api.refresh(begun["refresh_token"]).json()


WHERE = {"ip_address": "203.0.113.7", "user_agent": "Front end/1.0"}


def test_a_client_with_its_secret_says_where_its_user_is(api: ApiClient, sasha: Browser, people: Any) -> None:
    api.redeem(sasha.code(people.dave), **WHERE, headers={"User-Agent": "SDK"})
    session = ImpersonationSession.objects.get()
    assert (session.ip_address, session.user_agent) == ("203.0.113.7", "Front end/1.0")


def test_a_client_without_its_secret_is_where_it_calls_from(
    api: ApiClient, sasha: Browser, people: Any, settings: Any
) -> None:
    settings.IMPERSONATION_PUBLIC_CLIENT = True
    code = challenged(sasha, people.dave, settings)
    api.defaults["HTTP_USER_AGENT"], api.defaults["HTTP_X_FORWARDED_FOR"] = "Browser/2.0", "203.0.113.9"
    assert api.redeem(code, code_verifier=VERIFIER, client_secret=None, **WHERE).status_code == 200
    session = ImpersonationSession.objects.get()
    assert (session.ip_address, session.user_agent) == ("127.0.0.1", "Browser/2.0")


@pytest.mark.parametrize("address", ["none", "203.0.113.300", "<script>", "1"])
def test_an_address_that_is_none_is_not_believed(api: ApiClient, sasha: Browser, people: Any, address: str) -> None:
    answer = api.redeem(sasha.code(people.dave), ip_address=address, user_agent="é" * 300)
    assert answer.status_code == 200
    session = ImpersonationSession.objects.get()
    assert (session.ip_address, session.user_agent) == ("127.0.0.1", "é" * 255)


@pytest.mark.parametrize("value", ["\x00", "a\x00b", "\ud800", 7, True, {}, []])
@pytest.mark.parametrize("name", ["code", "code_verifier", "redirect_uri", "ip_address", "user_agent", "grant_type"])
def test_a_member_that_is_no_text_is_a_bad_request(
    api: ApiClient, sasha: Browser, people: Any, name: str, value: Any
) -> None:
    code = sasha.code(people.dave)
    assert is_refused(api.redeem(**{"code": code} | {name: value}), "invalid_request")
    assert the_code().used_at is None


# ABUSE 92
def test_nothing_of_a_grant_may_stand_in_an_address(
    api: ApiClient, sasha: Browser, people: Any, settings: Any
) -> None:
    code = sasha.code(people.dave)
    body = {
        "grant_type": "authorization_code",
        "client_id": settings.IMPERSONATION_CLIENT_ID,
        "client_secret": settings.IMPERSONATION_API_KEY,
    }
    for path, data in ((f"{TOKEN}?code={code}", body), (f"{TOKEN}?x=1", {**body, "code": code})):
        assert is_refused(api.post(path, data, content_type="application/json"), "invalid_request")
    assert api.get(TOKEN, {**body, "code": code}).status_code == 405
    assert the_code().used_at is None
    form = api.post(TOKEN, f"code={code}&" + "&".join(map("=".join, body.items())), FORM)
    assert form.status_code == 200
    assert is_plain(form)


FORM = "application/x-www-form-urlencoded"


# ABUSE 92
def test_no_page_of_another_site_reads_an_answer(api: ApiClient, sasha: Browser, people: Any) -> None:
    foreign = {"Origin": "https://evil.example.com", "Access-Control-Request-Method": "POST"}
    for answer in (
        api.options(TOKEN, headers=foreign),
        api.post(TOKEN, {}, content_type="application/json", headers=foreign),
        api.get("/sso/jwks/client_demo", headers=foreign),
        api.get("/events", headers=foreign),
    ):
        assert not [name for name in answer.headers if name.lower().startswith("access-control")]
        assert not answer.cookies


# ABUSE 92
def test_answers_with_tokens_are_kept_by_nobody(api: ApiClient, sasha: Browser, people: Any) -> None:
    answer = api.redeem(sasha.code(people.dave))
    assert is_plain(answer)
    assert is_plain(api.refresh(answer.json()["refresh_token"]))


JSON = "application/json"


@pytest.mark.parametrize(
    ("body", "kind", "error"),
    [
        ("", JSON, "invalid_request"),
        ("{", JSON, "invalid_request"),
        ("[]", JSON, "invalid_request"),
        ('"text"', JSON, "invalid_request"),
        ("null", JSON, "invalid_request"),
        ("{}", JSON, "invalid_request"),
        ("[" * 15_000, JSON, "invalid_request"),
        ("1" * 15_000, JSON, "invalid_request"),
        (b"\xff\xfe", JSON, "invalid_request"),
        ('{"grant_type": "' + "x" * 17_000 + '"}', JSON, "invalid_request"),
        ('{"grant_type": "password", "client_id": "client_demo"}', JSON, "unsupported_grant_type"),
        ('{"grant_type": "refresh_token", "client_id": "client_demo"}', JSON, "invalid_request"),
        ("{}", "text/plain", "invalid_request"),
        ("<a/>", "application/xml", "invalid_request"),
        ("--x--", "multipart/form-data; boundary=x", "invalid_request"),
        ("{}", "", "invalid_request"),
        ("grant_type=refresh_token&grant_type=refresh_token", FORM, "invalid_request"),
        ("x=1&" * 5_000, FORM, "invalid_request"),
    ],
)
def test_a_body_that_is_none_is_a_bad_request(api: ApiClient, body: Any, kind: str, error: str) -> None:
    assert is_refused(api.post(TOKEN, body, kind), error)


USERS = "/user_management/users"


@pytest.mark.parametrize(
    ("method", "path", "key", "status", "body"),
    [
        ("get", TOKEN, "", 405, {"code": "method_not_allowed"}),
        ("put", TOKEN, "", 405, {"code": "method_not_allowed"}),
        ("delete", "/events", None, 405, {"code": "method_not_allowed"}),
        ("get", "/user_management/sessions/revoke", None, 405, {"code": "method_not_allowed"}),
        ("get", USERS, "", 401, {"message": "Unauthorized"}),
        ("get", USERS, "key_wrong", 401, {"message": "Unauthorized"}),
        ("get", "/events?events=session.created", "ключ", 401, {"message": "Unauthorized"}),
        ("get", f"{USERS}/no-such-user", None, 404, {"message": "Not found.", "code": "entity_not_found"}),
        ("get", "/organizations/0", None, 404, {"message": "Not found.", "code": "entity_not_found"}),
        ("get", "/sso/jwks/client_other", "", 404, {"message": "Not found.", "code": "entity_not_found"}),
        ("get", "/user_management/nothing", "", 404, {"message": "Not found.", "code": "entity_not_found"}),
        ("post", "/user_management/nothing/here", "", 404, {"message": "Not found.", "code": "entity_not_found"}),
        ("post", f"{TOKEN}/", "", 404, {"message": "Not found.", "code": "entity_not_found"}),
        ("get", "/user_management/", "", 404, {"message": "Not found.", "code": "entity_not_found"}),
        ("get", "/sso/authorize", "", 404, {"message": "Not found.", "code": "entity_not_found"}),
        ("get", "/events", None, 422, {"code": "invalid_request_parameters"}),
        ("get", "/events?events=session.created&limit=0", None, 422, {"code": "invalid_request_parameters"}),
        ("get", f"{USERS}/%00", None, 422, {"code": "invalid_request_parameters"}),
        ("get", f"{USERS}?email=%00", None, 422, {"code": "invalid_request_parameters"}),
        ("post", "/user_management/sessions/revoke", None, 422, {"code": "invalid_request_parameters"}),
    ],
)
def test_every_error_is_json_in_the_shape_that_the_sdks_read(
    api: ApiClient, method: str, path: str, key: str | None, status: int, body: dict[str, str]
) -> None:
    sent = {"data": "{}", "content_type": JSON} if method == "post" else {}
    answer = api.with_key(method, path, key=key, **sent)
    assert answer.status_code == status
    assert body.items() <= answer.json().items()
    assert is_plain(answer)
    if status == 401:
        assert answer.json() == body
        assert answer["WWW-Authenticate"] == "Bearer"
    if status == 422:
        assert set(answer.json()) == {"code", "message"}


@pytest.mark.parametrize("accept", ["text/html", "*/*", "image/png", ""])
def test_an_error_is_json_whatever_was_asked_for(api: ApiClient, accept: str) -> None:
    for path in (USERS, "/user_management/nothing", TOKEN):
        assert is_plain(api.get(path, headers={"Accept": accept}))


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (ZeroDivisionError("secret detail"), 500, "server_error"),
        (OperationalError("secret detail"), 503, "unavailable"),
        (InterfaceError("secret detail"), 503, "unavailable"),
    ],
)
def test_a_crash_is_json_and_tells_nothing(
    monkeypatch: pytest.MonkeyPatch, api: ApiClient, caplog: Any, error: Exception, status: int, code: str
) -> None:
    monkeypatch.setattr(directory, "customers", raises(error))
    answer = api.with_key("get", USERS)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert ("Retry-After" in answer) == (status == 503)
    assert is_plain(answer)
    assert b"secret detail" not in answer.content
    assert "secret detail" in caplog.text


def test_every_answer_has_an_id_of_its_own(api: ApiClient) -> None:
    ids = Counter(api.get(TOKEN)["X-Request-ID"] for _ in range(20))
    assert len(ids) == 20


def test_the_projects_own_defaults_do_not_reach_the_api(
    api: ApiClient, sasha: Browser, people: Any, settings: Any
) -> None:
    settings.REST_FRAMEWORK = {
        "DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework.authentication.BasicAuthentication"],
        "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAdminUser"],
        "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.TemplateHTMLRenderer"],
        "EXCEPTION_HANDLER": "tests.nowhere",
    }
    assert api.redeem(sasha.code(people.dave)).status_code == 200
    assert sasha.get(USERS).status_code == 401  # no cookie opens what a key opens


def test_the_token_endpoint_needs_no_csrf_token(sasha: Browser, people: Any, settings: Any) -> None:
    strict = ApiClient(enforce_csrf_checks=True)
    assert strict.redeem(sasha.code(people.dave)).status_code == 200


# ABUSE 69, ABUSE 73, ABUSE 138
def test_no_secret_reaches_a_log_or_a_table(
    monkeypatch: pytest.MonkeyPatch, api: ApiClient, sasha: Browser, people: Any, settings: Any, caplog: Any
) -> None:
    caplog.set_level("DEBUG")
    secrets = [settings.IMPERSONATION_API_KEY, VERIFIER]
    code = challenged(sasha, people.dave, settings)
    with monkeypatch.context() as patch:
        patch.setattr(clients, "_begin", raises(ZeroDivisionError()))
        assert is_refused(api.redeem(code, code_verifier=VERIFIER))
    secrets.append(code)
    code = challenged(sasha, people.dave, settings)
    for members in ({"client_secret": "key_wrong"}, {"code_verifier": "w" * 43}, {"redirect_uri": "https://other"}):
        assert api.redeem(code, **members).status_code == 400
    begun = api.redeem(code, code_verifier=VERIFIER).json()
    later = api.refresh(begun["refresh_token"]).json()
    with monkeypatch.context() as patch:
        patch.setattr(validity, "fault", raises(OperationalError("gone")))
        assert api.get("/api/me/", headers=bearer(later["access_token"])).status_code == 503
        assert api.refresh(later["refresh_token"]).status_code == 503
    assert api.get(f"{TOKEN}?code={code}", headers=bearer(later["access_token"])).status_code == 405
    assert api.redeem(code, code_verifier=VERIFIER).status_code == 400
    assert api.get("/api/me/", headers=bearer(later["access_token"])).status_code == 401
    assert api.with_key("get", "/user_management/nothing").status_code == 404
    secrets += [code, *(answer[name] for answer in (begun, later) for name in ("access_token", "refresh_token"))]
    secrets += [jwt.decode(begun["access_token"], options={"verify_signature": False})["jti"]]

    logged = "\n".join(f"{record.getMessage()} {record.args}" for record in caplog.records) + caplog.text
    assert "started" in logged
    stored = "\n".join(
        str(row) for model in apps.get_models() for row in model._base_manager.values_list() if model is not Session
    )
    stored += str([session.get_decoded() for session in Session.objects.all()])
    for secret in secrets:
        assert secret not in stored
        assert secret not in logged
