"""The start: a crash, a race, a stale cookie or a new key in its midst, and everybody else's logins meanwhile."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import pytest
from django.contrib.auth.signals import user_logged_in
from django.db import DatabaseError
from django.test import Client

from django_impersonation import flows, grants, sessions
from django_impersonation.models import AuthorizationCode, Event, ImpersonationSession
from django_impersonation.signals import impersonation_started
from example_project.shop.models import User
from tests.abuse.racing import race
from tests.abuse.session_support import (
    LOGIN,
    store,
)
from tests.people import Browser

pytestmark = pytest.mark.urls("tests.abuse.session_urls")


# ABUSE 35
@pytest.mark.django_db(transaction=True)
def test_logins_meanwhile_are_all_noted(people: Any) -> None:
    users = User.objects.bulk_create(User(email=f"user{n}@example.com") for n in range(50))
    pairs = [(people.sasha, people.dave), (people.sasha, people.carol), (people.admin, people.noor)]

    def impersonate(browser: Browser, user: Any) -> None:
        for _ in range(3):
            browser.start(user)
            browser.stop()
            del browser.cookies[sessions.MARKER], browser.cookies[sessions.RETURN_KEY]

    logins = [lambda user=user: Client().force_login(user) for user in users]
    race(*[lambda s=s, u=u: impersonate(Browser(s), u) for s, u in pairs], *logins)
    assert not User.objects.filter(email__startswith="user", last_login=None).exists()
    assert User.objects.get(pk=people.dave.pk).last_login is None
    assert ImpersonationSession.objects.filter(end_reason="stopped").count() == 9


# ABUSE 35
def test_login_in_the_midst_of_a_start_is_noted(engine: str, sasha: Browser, people: Any) -> None:
    receivers = list(user_logged_in.receivers)
    seen: list[Any] = []

    def login(**kwargs: Any) -> None:
        Client().force_login(people.carol)
        seen.extend(user_logged_in.receivers)

    impersonation_started.connect(login)
    try:
        sasha.start(people.dave)
    finally:
        impersonation_started.disconnect(login)
    people.carol.refresh_from_db()
    assert people.carol.last_login is not None
    assert seen == receivers


# ABUSE 37
@pytest.mark.parametrize("error", [DatabaseError("gone"), RuntimeError("bug"), OSError("store away")])
@pytest.mark.parametrize("where", ["session row", "browser's session", "event", "link", "late"])
def test_crash_after_the_code_was_spent_burns_it(
    where: str, error: Exception, engine: str, sasha: Browser, people: Any, monkeypatch: Any
) -> None:
    code = sasha.code(people.bob, organization=people.acme)
    before = dict(sasha.session.items())
    target, name = {
        "session row": (type(ImpersonationSession.objects), "create"),
        "browser's session": (type(store()), "create"),
        "event": (type(Event.objects), "record"),
        "link": (grants, "AuthorizationCode"),
        "late": (sessions, "rotate_token"),  # after the browser has got its new session
    }[where]

    def fail(*args: Any, **kwargs: Any) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(target, name, Mock(**{"objects.filter": fail}) if where == "link" else fail)
        response = sasha.redeem(code)
    assert response.status_code == 400
    assert "This sign-in link is not valid" in response.content.decode()
    assert sessions.MARKER not in response.cookies
    assert AuthorizationCode.objects.get().used_at is not None
    assert not ImpersonationSession.objects.exists()
    assert not Event.objects.filter(name=Event.Name.SESSION_CREATED).exists()
    assert sasha.redeem(code).status_code == 400
    assert not ImpersonationSession.objects.exists()
    assert dict(sasha.session.items()) == before
    assert sasha.who()["user"] == "sasha@example.com"


# ABUSE 201
def test_switch_off_between_spending_and_starting(people: Any, engine: str, settings: Any, monkeypatch: Any) -> None:
    settings.IMPERSONATION_ENABLED = None
    flows.switch(True)
    browser = Browser(people.sasha)
    code = browser.code(people.dave)
    start = flows.start

    def late(*args: Any) -> Any:
        flows.switch(False)
        return start(*args)

    monkeypatch.setattr(flows, "start", late)
    assert browser.redeem(code).status_code == 400
    assert browser.who()["user"] == "sasha@example.com"
    assert not ImpersonationSession.objects.exists()


# ABUSE 201
@pytest.mark.django_db(transaction=True)
def test_no_start_survives_the_switch_off(people: Any, settings: Any) -> None:
    settings.IMPERSONATION_ENABLED = None
    flows.switch(True)
    ways = []
    for staff in (people.sasha, people.admin):
        for user in (people.dave, people.carol):
            browser = Browser(staff)
            ways.append((browser, browser.code(user)))
    jobs: list[Any] = [lambda b=b, code=code: b.redeem(code).status_code for b, code in ways]
    jobs.insert(2, lambda: flows.switch(False))
    answers = race(*jobs)
    assert answers.pop(2) is True
    assert set(answers) <= {303, 400, 403}
    assert not ImpersonationSession.objects.live().exists()
    for browser, _ in ways:
        page = browser.get("/plain/")
        assert page.status_code == 303 or page.json()["user"] in ("sasha@example.com", "admin@example.com")


# ABUSE 7
def test_key_changed_between_code_and_callback(people: Any, engine: str, settings: Any) -> None:
    browser = Browser(people.sasha)
    code = browser.code(people.dave)
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "another", [settings.SECRET_KEY]
    assert browser.redeem(code).status_code == 303
    assert browser.who()["user"] == "dave@example.com"
    assert browser.stop()["Location"] != LOGIN
    assert browser.who()["user"] == "sasha@example.com"


# ABUSE 22
def test_stale_marker_does_not_spoil_a_start(engine: str, sasha: Browser, people: Any) -> None:
    code = sasha.code(people.dave)
    sasha.cookies[sessions.MARKER] = "session_" + "0" * 26
    response = sasha.redeem(code)
    session = ImpersonationSession.objects.get()
    assert response.cookies[sessions.MARKER].value == session.pk
    assert sasha.who()["impersonation"] == session.pk
