"""What other tabs, late responses, logins, planted cookies and forged sessions can do to who acts: nothing."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_impersonation import sessions
from django_impersonation.models import ImpersonationSession
from tests.abuse import session_urls
from tests.abuse.session_support import (
    ENDED,
    JSON,
    NOBODY,
    SERVER_ENGINES,
    STOP,
    assert_nobody,
    assert_refused,
    asynchronously,
    ends,
    forget_dead_cookies,
    is_deleted,
    post,
    store,
    token_in,
    twin,
)
from tests.people import Browser
from tests.urls import whoami

pytestmark = pytest.mark.urls("tests.abuse.session_urls")

SIGN_IN = ["/sign-in/", "/asign-in/"]


# ABUSE 10
@pytest.mark.parametrize("path", SIGN_IN)
def test_login_of_the_same_user_stays_tagged_and_inert(path: str, engine: str, sasha: Browser, people: Any) -> None:
    session = sasha.start(people.dave)
    kept = dict(sasha.session.items())
    response = post(sasha, path, {"email": "dave@example.com"})
    assert response.json() == {"user": "dave@example.com", "impersonation": True}
    assert dict(sasha.session.items()) == kept
    assert 3500 < response.cookies["sessionid"]["max-age"] <= 3600
    assert sasha.who()["impersonation"] == session.pk
    assert ends(session) == []


# ABUSE 10
@pytest.mark.parametrize("path", SIGN_IN)
def test_login_after_a_reset_stays_tagged_and_is_the_last(
    path: str, engine: str, sasha: Browser, people: Any, settings: Any
) -> None:
    settings.IMPERSONATION_CREDENTIALS = ["-shop.User.password"]  # or the reset would be refused
    session = sasha.start(people.dave)
    response = post(sasha, path, {"email": "dave@example.com", "password": "reset"})
    assert response.json() == {"user": "dave@example.com", "impersonation": True}
    inside = sasha.session
    assert inside[BACKEND_SESSION_KEY] == sessions.INERT_BACKEND
    assert inside[sessions.TAG]["id"] == session.pk
    assert 3500 < response.cookies["sessionid"]["max-age"] <= 3600
    assert_refused(sasha)
    assert ends(session) == ["user_changed"]
    forget_marker = sasha.get(ENDED)
    assert is_deleted(forget_marker, sessions.MARKER)
    assert_nobody(sasha)


# ABUSE 10
@pytest.mark.parametrize("path", SIGN_IN)
def test_login_of_somebody_else_ends_it(path: str, engine: str, sasha: Browser, people: Any) -> None:
    session = sasha.start(people.dave)
    response = post(sasha, path, {"email": "carol@example.com"})
    assert response.json() == {"user": "carol@example.com", "impersonation": False}
    assert is_deleted(response, sessions.MARKER)
    assert is_deleted(response, sessions.RETURN_KEY)
    assert ends(session) == ["signed_out"]
    assert sessions.TAG not in sasha.session
    assert sasha.who() == {
        "user": "carol@example.com",
        "impersonation": None,
        "impersonator": None,
        "current": None,
    }


# ABUSE 10
def test_a_login_for_a_device_elsewhere_signs_nobody_in(sasha: Browser, people: Any) -> None:
    def device(browser: Browser) -> str:
        elsewhere = Browser()
        elsewhere.cookies["sessionid"] = browser.get("/sign-in-elsewhere/").content.decode()
        return str(elsewhere.who()["user"])

    sasha.start(people.dave)
    assert device(sasha) == NOBODY
    assert sasha.who()["user"] == "dave@example.com"
    assert device(Browser(people.dave)) == "dave@example.com"


# ABUSE 14
def test_async_user_is_the_user(engine: str, sasha: Browser, people: Any) -> None:
    session = sasha.start(people.dave)
    assert asynchronously(sasha, "get", "/awhoami/").json() == {
        "user": "dave@example.com",
        "auser": "dave@example.com",
        "impersonation": session.pk,
        "impersonator": ["sasha@example.com", "Ticket 4711"],
        "current": session.pk,
    }


# ABUSE 15
def test_request_in_flight_at_stop_resurrects_nothing(
    engine: str, sasha: Browser, people: Any, monkeypatch: Any
) -> None:
    session = sasha.start(people.dave)
    monkeypatch.setattr(session_urls, "meanwhile", twin(sasha).stop)
    response = sasha.get("/busy/")
    assert response.status_code == (400 if engine in SERVER_ENGINES else 200)
    assert sasha.who()["user"] == ("sasha@example.com" if engine in SERVER_ENGINES else NOBODY)
    assert ends(session) == ["stopped"]


# ABUSE 15
def test_request_in_flight_at_revocation_changes_nothing(
    engine: str, sasha: Browser, people: Any, monkeypatch: Any
) -> None:
    session = sasha.start(people.dave)
    monkeypatch.setattr(session_urls, "meanwhile", lambda: session.end("revoked"))
    assert sasha.get("/busy/").json() == {"user": "dave@example.com"}
    assert_refused(sasha)
    assert ends(session) == ["revoked"]


def start_behind_a_late_response(sasha: Browser, user: Any, monkeypatch: Any) -> ImpersonationSession:
    """While a page of the impersonator's loads, the impersonation starts in another tab."""
    started: list[ImpersonationSession] = []
    monkeypatch.setattr(session_urls, "meanwhile", lambda: started.append(twin(sasha).start(user)))
    assert sasha.get("/busy/").json() == {"user": "sasha@example.com"}
    return started[0]


# ABUSE 16
def test_late_response_gives_the_own_session_back_and_nobody_acts(
    engine: str, sasha: Browser, people: Any, monkeypatch: Any
) -> None:
    session = start_behind_a_late_response(sasha, people.dave, monkeypatch)
    assert sasha.session[SESSION_KEY] == str(people.sasha.pk)
    assert sessions.TAG not in sasha.session
    assert_refused(sasha)
    assert ends(session) == ["stopped"]
    assert is_deleted(sasha.get(ENDED), sessions.MARKER)
    assert sasha.stop()["Location"] == session.return_url
    assert sasha.who()["user"] == "sasha@example.com"


# ABUSE 16
def test_static_files_are_served_to_nobody_after_an_end(
    engine: str, sasha: Browser, people: Any, monkeypatch: Any
) -> None:
    start_behind_a_late_response(sasha, people.dave, monkeypatch)
    assert sasha.get("/static/plain/").json() == {"user": NOBODY}
    assert asynchronously(sasha, "get", "/static/aplain/").json() == {"user": NOBODY}


# ABUSE 16, ABUSE 18
def test_form_of_the_user_after_a_late_response(engine: str, sasha: Browser, people: Any, monkeypatch: Any) -> None:
    start_behind_a_late_response(sasha, people.dave, monkeypatch)
    strict = Browser(enforce_csrf_checks=True)
    strict.cookies = sasha.cookies
    token = strict.cookies["csrftoken"].value  # that of every form opened as dave
    assert strict.get(ENDED).status_code == 200
    assert strict.who()["user"] == "sasha@example.com"
    runs = whoami.runs
    assert strict.post("/whoami/", {"csrfmiddlewaretoken": token}).status_code == 403
    assert whoami.runs == runs


# ABUSE 17, ABUSE 18
def test_forms_of_before_start_and_stop_are_refused_after(engine: str, people: Any) -> None:
    sasha = Browser(people.sasha, enforce_csrf_checks=True)

    def submit(token: str) -> tuple[int, int]:
        before = whoami.runs
        return sasha.post("/whoami/", {"csrfmiddlewaretoken": token}).status_code, whoami.runs - before

    prompt = sasha.get(sasha.prompt_url(people.dave))
    staff = token_in(prompt)
    assert submit(staff) == (200, 1)
    code = sasha.post(sasha.prompt_url(people.dave), {"reason": "x", "csrfmiddlewaretoken": staff})["Location"]
    assert sasha.get(code).status_code == 303
    assert sasha.who()["user"] == "dave@example.com"
    assert submit(staff) == (403, 0)
    user = token_in(sasha.get("/form/"))
    assert submit(user) == (200, 1)
    assert sasha.post(STOP, {"csrfmiddlewaretoken": user}).status_code == 303
    assert sasha.who()["user"] == "sasha@example.com"
    assert submit(user) == (403, 0)
    assert submit(staff) == (403, 0)
    assert submit(token_in(sasha.get("/form/"))) == (200, 1)


# ABUSE 18
def test_form_of_the_user_after_an_end_is_refused(engine: str, people: Any) -> None:
    sasha = Browser(people.sasha)
    session = sasha.start(people.dave)
    strict = Browser(enforce_csrf_checks=True)
    strict.cookies = sasha.cookies
    token = token_in(strict.get("/form/"))
    session.end("revoked")
    back = token_in(strict.get(ENDED))
    assert strict.post(STOP, {"csrfmiddlewaretoken": back})["Location"] == session.return_url
    assert strict.who()["user"] == "sasha@example.com"
    assert strict.post("/whoami/", {"csrfmiddlewaretoken": token}).status_code == 403
    assert strict.post("/whoami/", {"csrfmiddlewaretoken": back}).status_code == 403


# ABUSE 18
def test_form_of_the_user_after_a_stop_without_a_way_back_is_refused(sasha: Browser, people: Any) -> None:
    sasha.start(people.dave)
    strict = Browser(enforce_csrf_checks=True)
    strict.cookies = sasha.cookies
    token = token_in(strict.get("/form/"))
    store(strict.cookies[sessions.RETURN_KEY].value).delete()
    assert strict.post(STOP, {"csrfmiddlewaretoken": token}).status_code == 303
    assert strict.who()["user"] == NOBODY
    assert strict.post("/whoami/", {"csrfmiddlewaretoken": token}).status_code == 403


# ABUSE 22, ABUSE 204
@pytest.mark.parametrize("kind", ["live", "ended", "unknown", "garbage", "empty", "long"])
def test_planted_marker_is_cleared_and_changes_nothing(kind: str, engine: str, sasha: Browser, people: Any) -> None:
    session = sasha.start(people.dave)
    if kind == "ended":
        session.end("revoked")
    values = {"unknown": "session_" + "0" * 26, "garbage": "session_'; --", "empty": "", "long": "x" * 4000}
    carol = Browser(people.carol)
    with CaptureQueriesContext(connection) as usual:
        expected = carol.who()
    asked = 1 if kind in ("live", "ended", "unknown") else 0
    for ask, method in ((carol.get, "get"), (carol.post, "post")):
        carol.cookies[sessions.MARKER] = values.get(kind, session.pk)
        with CaptureQueriesContext(connection) as queries:
            response = ask("/whoami/")
        assert (method, response.json()) == (method, expected)
        assert is_deleted(response, sessions.MARKER)
        assert len(queries) == len(usual) + asked
    carol.cookies[sessions.MARKER] = values.get(kind, session.pk)
    response = asynchronously(carol, "get", "/aplain/")
    assert response.json()["user"] == "carol@example.com"
    assert is_deleted(response, sessions.MARKER)
    assert ends(session) == (["revoked"] if kind == "ended" else [])


# ABUSE 22
def test_planted_marker_does_not_keep_anybody_from_signing_in(engine: str, sasha: Browser, people: Any) -> None:
    carol = Browser()
    carol.cookies[sessions.MARKER] = sasha.start(people.dave).pk
    page = carol.get("/accounts/login/", follow=True)
    assert page.redirect_chain == [(ENDED, 303)]
    forget_dead_cookies(carol)
    login = {"username": "carol@example.com", "password": "demo"}
    assert carol.post("/accounts/login/", login).status_code == 302
    assert carol.who()["user"] == "carol@example.com"


# ABUSE 22, ABUSE 123
def test_shared_cache_takes_no_markers_away(engine: str, sasha: Browser, people: Any, settings: Any) -> None:
    settings.MIDDLEWARE = [
        "django.middleware.cache.UpdateCacheMiddleware",
        *settings.MIDDLEWARE,
        "django.middleware.cache.FetchFromCacheMiddleware",
    ]
    session = sasha.start(people.dave)
    eve = Browser()
    eve.cookies[sessions.MARKER] = "planted"
    assert is_deleted(eve.get("/static-page/"), sessions.MARKER)
    assert not is_deleted(sasha.get("/static-page/"), sessions.MARKER)
    assert sasha.who()["impersonation"] == session.pk
    cache.clear()


def test_only_a_navigation_puts_the_end_away(engine: str, sasha: Browser, people: Any) -> None:
    session = sasha.start(people.dave)
    session.end("revoked")
    for headers in (
        {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"},
        {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},
        {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
    ):
        assert sessions.MARKER not in sasha.get(ENDED, headers=headers).cookies, headers
    assert_refused(sasha)
    assert sasha.get("/static-page/", headers={"HX-Request": "true"}).status_code == 401
    assert sasha.get("/static-page/", headers={"Sec-Fetch-Dest": "empty"}).status_code == 401
    assert sasha.get("/static-page/", headers=JSON).json()["error"] == "impersonation_ended"
    headers = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert is_deleted(sasha.get(ENDED, headers=headers), sessions.MARKER)
    assert_nobody(sasha)


def test_an_id_in_a_cookie_tells_nobody_whose_session_it_was(engine: str, sasha: Browser, people: Any) -> None:
    theirs = Browser(people.admin).start(people.carol)
    sasha.start(people.dave)
    sasha.cookies[sessions.MARKER] = theirs.pk
    assert "carol" not in sasha.get(ENDED).content.decode().lower()


def test_ended_page_of_a_live_impersonation_does_not_deny_it(engine: str, sasha: Browser, people: Any) -> None:
    sasha.start(people.dave)
    page = sasha.get(ENDED)
    assert "You are not impersonating anyone" not in page.content.decode()
    assert sasha.who()["user"] == "dave@example.com"


# ABUSE 52
def test_authorization_header_of_somebody_else(engine: str, sasha: Browser, people: Any) -> None:
    sasha.start(people.dave)
    assert sasha.get("/api/").json() == {"user": "dave@example.com", "outer": True, "inner": True, "bar": True}
    header = "Basic " + b64encode(b"carol@example.com:demo").decode()
    response = sasha.get("/api/", headers={"Authorization": header})
    assert response.json() == {"user": "carol@example.com", "outer": False, "inner": False, "bar": False}
    assert sasha.who()["user"] == "dave@example.com"


# ABUSE 54
@pytest.mark.parametrize("known", ["nothing", "", "digest", "id", "number", "true", "list"])
def test_forged_session_is_nobody(known: str, engine: str, sasha: Browser, people: Any) -> None:
    session = sasha.start(people.dave)
    session.refresh_from_db()
    secrets = {"": "", "digest": session.secret_digest, "id": session.pk, "number": 0, "true": True, "list": ["x"]}
    forged = store()
    forged.update(dict(sasha.session.items()))
    forged[sessions.TAG] = {"id": session.pk, "until": 2**40}
    if known != "nothing":
        forged[sessions.TAG] |= {"secret": secrets[known]}
    forged.save()
    eve = Browser()
    eve.cookies["sessionid"] = forged.session_key
    assert_nobody(eve)
    eve.cookies[sessions.MARKER] = session.pk
    assert_refused(eve)
    assert ends(session) == []
    assert sasha.who()["user"] == "dave@example.com"


# ABUSE 54
def test_secret_of_one_user_makes_no_other(engine: str, sasha: Browser, people: Any) -> None:
    session = sasha.start(people.dave)
    forged = store()
    forged.update(dict(sasha.session.items()))
    forged[SESSION_KEY] = str(people.carol.pk)
    forged[HASH_SESSION_KEY] = people.carol.get_session_auth_hash()
    forged.save()
    sasha.cookies["sessionid"] = forged.session_key
    assert_refused(sasha)
    assert ends(session) == ["user_changed"]
