"""What somebody tried who meant it: requests, settings and clocks that no list had foreseen."""

from __future__ import annotations

import bz2
import json
import time
from datetime import datetime
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from django.utils import timezone

from django_impersonation.api import urls
from django_impersonation.api.verification import verify
from django_impersonation.conf import conf
from django_impersonation.models import AuthorizationCode, ImpersonationSession
from django_impersonation.records import age_of, new_id
from tests.api.client import CALLBACK, CLIENT_ID, ApiClient
from tests.people import Browser, make_people

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("direct")]

SECRETS = ["IMPERSONATION_API_KEY", "IMPERSONATION_EVENTS_KEY"]
TOKENS, USERS = "/user_management/authenticate", "/user_management/users"


def endpoints() -> list[Any]:
    return [pattern.callback.cls for pattern in urls.urlpatterns if hasattr(pattern.callback, "cls")]


class LastSeen:
    """As many projects have one: asks after the view who was there."""

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: Any) -> Any:
        response = self.get_response(request)
        response.headers["X-Seen"] = str(request.user.pk if request.user.is_authenticated else "nobody")
        return response


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


def test_a_small_body_stays_small(api: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """178 bytes of bz2 are 200 million characters, and Python has it among its encodings."""
    unpacked: list[int] = []
    body = bz2.compress(b"{}")
    monkeypatch.setattr(bz2, "decompress", lambda data: unpacked.append(len(data)) or b"{}")
    answer = api.generic("POST", TOKENS, body, content_type="application/json; charset=bz2")
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert unpacked == []


@pytest.mark.parametrize("charset", ["utf-16", "utf-7", "latin-1", "rot13", "idna", "zip"])
@pytest.mark.parametrize("kind", ["application/json", "application/x-www-form-urlencoded"])
def test_a_body_is_read_as_utf_8_whatever_it_says(api: ApiClient, kind: str, charset: str) -> None:
    body = '{"grant_type": "é"}' if kind.endswith("json") else "grant_type=%C3%A9"
    answer = api.generic("POST", TOKENS, body.encode(), content_type=f"{kind}; charset={charset}")
    assert (answer.status_code, answer.json()["error"]) == (400, "unsupported_grant_type")


def test_more_members_than_django_reads_are_a_bad_request(api: ApiClient) -> None:
    many = "&".join(["a=1"] * 2000)
    form = "application/x-www-form-urlencoded"
    answers = [
        api.generic("POST", TOKENS, many, content_type=form),
        api.get(f"/sso/jwks/{CLIENT_ID}?{many}"),
        api.with_key("get", f"{USERS}?{many}"),
    ]
    assert [(answer.status_code, answer.json()["error"]) for answer in answers] == [(400, "invalid_request")] * 3


@pytest.mark.parametrize("session_id", ["session_\x00", "\ud800"])
def test_a_session_whose_id_no_database_stores_is_refused_before(api: ApiClient, session_id: str) -> None:
    body = json.dumps({"session_id": session_id})
    answer = api.with_key("post", "/user_management/sessions/revoke", data=body, content_type="application/json")
    assert answer.status_code == 422


def test_a_middleware_may_ask_who_called_with_a_key(api: ApiClient, settings: Any) -> None:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.LastSeen"]
    answer = api.with_key("get", USERS)
    assert (answer.status_code, answer["X-Seen"]) == (200, "None")


def test_throttles_of_the_project_do_not_reach_the_api() -> None:
    """One counts users by their key, which a client has not; one counts a whole front end as one visitor."""
    assert [endpoint.throttle_classes for endpoint in endpoints()] == [()] * len(endpoints())


# ABUSE 73
@pytest.mark.usefixtures("signin")
@pytest.mark.parametrize("state", ["x" * 17_000, "\U0001f600" * 1500])
def test_a_state_that_no_redirect_can_carry_costs_no_code(sasha: Browser, people: Any, state: str) -> None:
    sasha.authorize(people.dave)
    known = {"client_id": CLIENT_ID, "redirect_uri": CALLBACK, "response_type": "code"}
    answer = sasha.get("/user_management/authorize", known | {"state": state})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert AuthorizationCode.objects.get().pending
    answer = sasha.get("/user_management/authorize", known | {"state": "x" * 8000})
    assert answer.status_code == 302
    assert not AuthorizationCode.objects.get().pending


# ABUSE 22, ABUSE 204
def test_a_marker_that_names_a_clients_session_is_nobodys(
    api: ApiClient, sasha: Browser, people: Any, engine: str
) -> None:
    sasha = Browser(people.sasha)  # with a session of this engine
    api.start(sasha, people.dave)
    session = ImpersonationSession.objects.get()
    browsers = {"sasha@example.com": sasha, "carol@example.com": Browser(people.carol), "AnonymousUser": Browser()}
    for name, browser in browsers.items():
        browser.cookies["impersonation"] = session.pk
        assert browser.who()["user"] == name
        assert browser.cookies["impersonation"].value == ""
    session.refresh_from_db()
    assert session.ended_at is None


def set_clock(patch: Any, seconds: float) -> None:
    patch.setattr(time, "time", lambda: seconds)
    patch.setattr(time, "time_ns", lambda: int(seconds * 1_000_000_000))
    patch.setattr(timezone, "now", lambda: datetime.fromtimestamp(seconds))  # noqa: DTZ006


# ABUSE 46
@pytest.mark.django_db
@pytest.mark.parametrize(("start", "minutes"), [("2025-10-26T02:00:00+02:00", 60), ("2025-10-26T01:40:00+02:00", 90)])
def test_an_hour_is_an_hour_for_clients_too(
    api: ApiClient, settings: Any, monkeypatch: pytest.MonkeyPatch, start: str, minutes: int
) -> None:
    """At 03:00 the clocks are set back to 02:00, and a session that had an hour had it again."""
    settings.USE_TZ, settings.TIME_ZONE = False, "Europe/Berlin"
    people = make_people()
    began = datetime.fromisoformat(start).timestamp()
    set_clock(monkeypatch, began)
    begun = api.start(Browser(people.sasha), people.dave)
    session = ImpersonationSession.objects.get()
    set_clock(monkeypatch, began + 60 * minutes)
    assert session.expires_at > timezone.now()
    answer = api.refresh(begun["refresh_token"])
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
    session.refresh_from_db()
    assert session.end_reason == "expired"


def test_an_id_tells_its_age(monkeypatch: pytest.MonkeyPatch) -> None:
    for now in (0.001, 1_000_000.25, 1_795_000_000.5, 281_474_976_710.5):
        set_clock(monkeypatch, now)
        made = new_id("session")
        assert age_of(made) == pytest.approx(0, abs=0.002)
        monkeypatch.setattr(time, "time", lambda now=now: now + 90)
        assert age_of(made) == pytest.approx(90, abs=0.002)


# ABUSE 78
@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_a_key_of_another_kind_in_the_set_is_a_flaw_of_the_token(algorithm: str) -> None:
    """Whoever sends the token chooses among the published keys by its ``kid``."""
    key = ec.generate_private_key(ec.SECP256R1())

    class Keys:
        def get_signing_key_from_jwt(self, token: str) -> jwt.PyJWK:
            return jwt.PyJWK(json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key())))

    _, payload, signature = jwt.encode({"iss": "https://shop.example.com"}, key, algorithm="ES256").split(".")
    header = jwt.utils.base64url_encode(json.dumps({"typ": "JWT", "alg": algorithm}).encode()).decode()
    with pytest.raises(jwt.InvalidTokenError):
        verify(f"{header}.{payload}.{signature}", Keys(), issuer="https://shop.example.com", client_id=CLIENT_ID)


# ABUSE 83
@pytest.mark.parametrize("blank", ["\t", " \t ", "\x0b"])
def test_a_token_behind_any_blank_is_seen(api: ApiClient, sasha: Browser, people: Any, blank: str) -> None:
    begun = api.start(sasha, people.dave)
    header = {"Authorization": f"Bearer{blank}{begun['access_token']}"}
    assert sasha.get("/whoami/", headers=header).json()["user"] == "dave@example.com"
    ImpersonationSession.objects.get().end("stopped")
    assert sasha.get("/whoami/", headers=header).status_code == 401
