"""The same promises in unusual projects: without our middleware, and beside others and unusual settings."""

from __future__ import annotations

import sys
from typing import Any

import django
import pytest
from django.contrib import admin
from django.core.signals import got_request_exception
from django.db import connection
from django.views.debug import ExceptionReporter

from django_impersonation import sessions
from django_impersonation.models import ImpersonationSession
from tests.abuse.session_support import (
    ENDED,
    NOBODY,
    STOP,
    asynchronously,
    ends,
    reason,
    return_key,
    store,
    token_in,
    twin,
)
from tests.people import Browser

pytestmark = pytest.mark.urls("tests.abuse.session_urls")


OURS = "django_impersonation.middleware.ImpersonationMiddleware"


def test_cookies_are_deleted_where_they_were_set(sasha: Browser, people: Any, settings: Any) -> None:
    """A browser keeps a cookie that is deleted under another path or domain."""
    settings.SESSION_COOKIE_DOMAIN, settings.SESSION_COOKIE_SAMESITE = "testserver", "None"
    settings.SESSION_COOKIE_SECURE = True

    def placed(response: Any, name: str) -> tuple[str, str, str]:
        cookie = response.cookies[name]
        return cookie["path"], cookie["domain"], cookie["samesite"]

    started, stopped = sasha.redeem(sasha.code(people.dave)), sasha.stop()
    for response in (started, stopped):
        assert placed(response, sessions.MARKER) == ("/", "testserver", "None")
        assert placed(response, sessions.RETURN_KEY) == (STOP, "testserver", "Strict")
        assert placed(response, "messages") == ("/", "testserver", "None")
    for name in (sessions.MARKER, sessions.RETURN_KEY):
        assert started.cookies[name]["secure"]
        assert started.cookies[name]["httponly"]
        assert stopped.cookies[name]["max-age"] == 0


# ABUSE 12
def test_without_the_middleware_the_session_is_nobodys(
    engine: str, sasha: Browser, people: Any, settings: Any
) -> None:
    session = sasha.start(people.dave)
    inside = dict(sasha.session.items())
    settings.MIDDLEWARE = [path for path in settings.MIDDLEWARE if path != OURS]
    sasha = twin(sasha)  # a client loads its middleware once
    assert sasha.get("/plain/").json() == {"user": NOBODY}
    assert asynchronously(sasha, "get", "/aplain/").json() == {"user": NOBODY}
    assert sasha.get("/profile/").status_code == 302
    assert dict(sasha.session.items()) == inside
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, OURS]
    assert twin(sasha).who()["impersonation"] == session.pk


# ABUSE 12
def test_without_the_middleware_stop_still_leads_back(engine: str, sasha: Browser, people: Any, settings: Any) -> None:
    session = sasha.start(people.dave)
    settings.MIDDLEWARE = [path for path in settings.MIDDLEWARE if path != OURS]
    sasha = twin(sasha)
    assert sasha.stop()["Location"] == session.return_url
    assert sasha.get("/plain/").json() == {"user": "sasha@example.com"}
    assert reason(session) == "stopped"
    refused = sasha.authorize(people.dave)
    assert refused.status_code == 403


# ABUSE 25
def test_stop_and_ended_are_reachable_where_everything_needs_a_login(
    engine: str, sasha: Browser, people: Any, settings: Any
) -> None:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "django.contrib.auth.middleware.LoginRequiredMiddleware"]
    assert Browser().get("/static-page/").status_code == 302
    for page in ("stop", ENDED):
        session = sasha.start(people.dave)
        assert sasha.who()["user"] == "dave@example.com"
        session.end("revoked")
        if page == ENDED:
            assert sasha.get("/static-page/", follow=True).redirect_chain == [(ENDED, 303)]
        assert sasha.stop()["Location"] == session.return_url
        assert sasha.who()["user"] == "sasha@example.com"
        del sasha.cookies[sessions.MARKER], sasha.cookies[sessions.RETURN_KEY]
    assert Browser().get("/impersonation/callback/", {"code": "x"}).status_code == 400


# ABUSE 28
@pytest.mark.parametrize("stale", [False, True])
def test_csrf_token_in_the_session(stale: bool, engine: str, people: Any, settings: Any) -> None:
    settings.CSRF_USE_SESSIONS = True
    sasha = Browser(people.sasha, enforce_csrf_checks=True)
    prompt = sasha.prompt_url(people.dave)
    data = {"reason": "x", "csrfmiddlewaretoken": token_in(sasha.get(prompt))}
    assert sasha.post(prompt, {"reason": "x"}).status_code == 403
    assert sasha.get(sasha.post(prompt, data)["Location"]).status_code == 303
    session = ImpersonationSession.objects.get()
    token = token_in(sasha.get("/form/"))
    assert token != data["csrfmiddlewaretoken"]
    if stale:
        store(sasha.session_cookie()).delete()
        sasha.cookies["sessionid"] = "gone"
        confirm = sasha.post(STOP, {"csrfmiddlewaretoken": token})
        assert confirm.status_code == 403
        token = token_in(confirm)
    assert sasha.post(STOP, {"csrfmiddlewaretoken": token})["Location"] == session.return_url
    assert sasha.who()["user"] == "sasha@example.com"
    assert sasha.post("/whoami/", {"csrfmiddlewaretoken": token}).status_code == 403
    assert sasha.post("/whoami/", {"csrfmiddlewaretoken": token_in(sasha.get("/form/"))}).status_code == 200
    assert ends(session) == ["stopped"]


# ABUSE 33
@pytest.mark.django_db(transaction=True)
def test_second_factor_of_the_impersonator_is_neither_lent_nor_lost(engine: str, people: Any, settings: Any) -> None:
    settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "django_otp", "django_otp.plugins.otp_static"]
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "django_otp.middleware.OTPMiddleware"]
    from django_otp import DEVICE_ID_SESSION_KEY
    from django_otp.plugins.otp_static.models import StaticDevice, StaticToken

    with connection.schema_editor() as editor:
        editor.create_model(StaticDevice)
        editor.create_model(StaticToken)
    try:
        device = StaticDevice.objects.create(user=people.sasha, name="key")
        StaticDevice.objects.create(user=people.dave, name="his")
        sasha = Browser(people.sasha)
        session = sasha.session
        session[DEVICE_ID_SESSION_KEY] = device.persistent_id
        session.save()
        sasha.cookies["sessionid"] = session.session_key
        assert sasha.get("/device/").json() == {"user": "sasha@example.com", "verified": True}
        sasha.start(people.dave)
        assert DEVICE_ID_SESSION_KEY not in sasha.session  # asked first: django-otp takes a stranger's device out
        assert sasha.get("/device/").json() == {"user": "dave@example.com", "verified": False}
        assert asynchronously(sasha, "get", "/aplain/").json() == {"user": "dave@example.com"}
        assert sasha.get("/data/").json() == {}
        sasha.stop()
        assert sasha.get("/device/").json() == {"user": "sasha@example.com", "verified": True}
    finally:
        if admin.site.is_registered(StaticDevice):  # by its own admin module, which nothing else imports
            admin.site.unregister(StaticDevice)
        with connection.schema_editor() as editor:
            editor.delete_model(StaticToken)
            editor.delete_model(StaticDevice)


@pytest.fixture
def atomic_requests(monkeypatch: Any) -> None:
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)


def test_whole_way_in_atomic_requests(atomic_requests: None, engine: str, sasha: Browser, people: Any) -> None:
    session = sasha.start(people.dave)
    assert sasha.who()["user"] == "dave@example.com"
    assert sasha.stop()["Location"] == session.return_url
    assert sasha.who()["user"] == "sasha@example.com"
    assert ends(session) == ["stopped"]


def test_end_stays_when_the_way_back_crashes_in_atomic_requests(
    atomic_requests: None, engine: str, people: Any, monkeypatch: Any
) -> None:
    sasha = Browser(people.sasha, raise_request_exception=False)
    session = sasha.start(people.dave)

    def fail(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("broken")

    with monkeypatch.context() as patch:
        patch.setattr(sessions, "unpark", fail)
        assert sasha.stop().status_code == 500
    assert ends(session) == ["stopped"]
    assert sasha.get("/whoami/").status_code == 303
    sasha.stop()
    assert sasha.who()["user"] == "sasha@example.com"


# ABUSE 205
@pytest.mark.parametrize("where", ["unpark", "discard"])
def test_error_report_masks_the_parked_key(
    where: str, people: Any, engine: str, settings: Any, monkeypatch: Any, mailoutbox: Any
) -> None:
    settings.ADMINS = ["ops@example.com"] if django.VERSION >= (6, 0) else [("Ops", "ops@example.com")]
    sasha = Browser(people.sasha, raise_request_exception=False)
    sasha.start(people.dave)
    secrets = [return_key(sasha), sasha.session_cookie(), sasha.session[sessions.TAG]["secret"]]
    reports: list[str] = []

    def report(sender: Any, request: Any, **kwargs: Any) -> None:
        reporter = ExceptionReporter(request, *sys.exc_info())
        reports.extend([reporter.get_traceback_html(), reporter.get_traceback_text()])

    def fail(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(sessions, where, fail)
    got_request_exception.connect(report)
    try:
        assert sasha.stop().status_code == 500
    finally:
        got_request_exception.disconnect(report)
    reports += [mail.body for mail in mailoutbox]
    assert len(reports) == 3
    for text in reports:
        assert "broken" in text
        assert "impersonation_return_key" in text
        assert not any(str(secret) in text for secret in secrets)
    assert twin(sasha).get("/whoami/").status_code == 303
