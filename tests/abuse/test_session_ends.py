"""Every way in which an impersonation ends: from the next request on nobody acts, and the record says why, once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from django.contrib.auth.models import Group, Permission
from django.core.management import call_command
from django.urls import reverse
from django.utils import timezone

from django_impersonation import flows, sessions
from django_impersonation.models import ImpersonationSession
from example_project.shop.models import User, UserManager
from tests.abuse.session_support import (
    ENDED,
    JSON,
    LOGIN,
    NOBODY,
    OwnPermissions,
    OwnUsers,
    assert_nobody,
    assert_refused,
    asynchronously,
    ends,
    forget_dead_cookies,
    reason,
    rewrite,
    store,
)
from tests.people import Browser, grant
from tests.urls import whoami

pytestmark = pytest.mark.urls("tests.abuse.session_urls")


class End(NamedTuple):
    happens: Callable[[Any], object]
    # The reason on record; None where the server cannot tell a lost session from a stolen id.
    reason: str | None
    # Is the impersonator's own session still good?
    restores: bool = True
    impersonator: str = "sasha"


def change(user: Any, **fields: Any) -> None:
    User._base_manager.filter(pk=user.pk).update(**fields)


def new_password(user: Any) -> None:
    user.set_password("new")
    user.save()


def hide(c: Any, hidden: Any) -> None:
    visible = UserManager.get_queryset
    c.monkeypatch.setattr(UserManager, "get_queryset", lambda self: visible(self).exclude(pk=hidden.pk))


def set_expiry(c: Any) -> None:
    rows = ImpersonationSession._base_manager.filter(pk__in=[s.pk for s in c.sessions])
    rows.update(expires_at=timezone.now() - timedelta(seconds=1))


def turn_clock(c: Any) -> None:
    now = timezone.now
    c.monkeypatch.setattr(timezone, "now", lambda: now() + timedelta(minutes=60))


def revoke_in_admin(c: Any) -> None:
    url = reverse("admin:django_impersonation_impersonationsession_changelist")
    Browser(c.people.admin).post(url, {"action": "revoke", "_selected_action": [s.pk for s in c.sessions]})


def replay(c: Any) -> None:
    for code in c.codes:
        Browser(c.people.noor).redeem(code)


def lose_group(c: Any) -> None:
    Group.objects.get().permissions.clear()


def lose_superuser(c: Any) -> None:
    grant(c.people.admin, "impersonate_user")  # the permission alone is not what the session began with
    change(c.people.admin, is_superuser=False)


def lose_secret(c: Any) -> None:
    for browser in c.browsers.values():
        rewrite(browser, **{sessions.TAG: {**browser.session[sessions.TAG], "secret": "guessed"}})


def lose_session(c: Any) -> None:
    for browser in c.browsers.values():
        store(browser.session_cookie()).delete()
        browser.cookies.pop("sessionid")


def flush_store(c: Any) -> None:
    """Signed cookies have no store; they are all void when their age is cut."""
    if c.engine == "signed_cookies":
        c.settings.SESSION_COOKIE_AGE = -1
        return
    for browser in c.browsers.values():
        for name in ("sessionid", sessions.RETURN_KEY):
            store(browser.cookies[name].value).delete()


def new_key(c: Any) -> None:
    c.settings.SECRET_KEY, c.settings.SECRET_KEY_FALLBACKS = "another", []


ENDS = {
    "expired": End(set_expiry, "expired"),
    "expired by the clock": End(turn_clock, "expired"),
    "stopped elsewhere": End(lambda c: [s.end("stopped") for s in c.sessions], "stopped"),
    "revoked by code": End(lambda c: flows.revoke(ImpersonationSession.objects.filter(user=c.people.bob)), "revoked"),
    "revoked in the admin": End(revoke_in_admin, "revoked"),
    "revoked by command": End(lambda c: call_command("impersonation", "revoke", "--all", stdout=c.out), "revoked"),
    "logged out everywhere": End(lambda c: ImpersonationSession.objects.filter(user=c.people.bob).end(), "revoked"),
    "replayed": End(replay, "replayed"),
    "switched off": End(lambda c: flows.switch(False), "disabled"),
    "off by deployment": End(lambda c: setattr(c.settings, "IMPERSONATION_ENABLED", False), "disabled"),
    "in another environment": End(lambda c: setattr(c.settings, "IMPERSONATION_ENVIRONMENT", "other"), "disabled"),
    "user deleted": End(lambda c: c.people.bob.delete(), "user_changed"),
    "user deactivated": End(lambda c: change(c.people.bob, is_active=False), "user_changed"),
    "user became staff": End(lambda c: change(c.people.bob, is_staff=True), "user_changed"),
    "user became superuser": End(lambda c: change(c.people.bob, is_superuser=True), "user_changed"),
    "user's password changed": End(lambda c: new_password(c.people.bob), "user_changed"),
    "user hidden": End(lambda c: hide(c, c.people.bob), "user_changed"),
    "impersonator deleted": End(lambda c: c.people.sasha.delete(), "impersonator_changed", False),
    "impersonator deactivated": End(lambda c: change(c.people.sasha, is_active=False), "impersonator_changed", False),
    "impersonator's password changed": End(lambda c: new_password(c.people.sasha), "impersonator_changed", False),
    "impersonator hidden": End(lambda c: hide(c, c.people.sasha), "impersonator_changed", False),
    "impersonator no staff": End(lambda c: change(c.people.sasha, is_staff=False), "impersonator_changed"),
    "impersonator no superuser": End(lose_superuser, "impersonator_changed", impersonator="admin"),
    "permission taken": End(lambda c: c.people.sasha.user_permissions.clear(), "impersonator_changed"),
    "group's permission taken": End(lose_group, "impersonator_changed", impersonator="noor"),
    "left the group": End(lambda c: c.people.noor.groups.clear(), "impersonator_changed", impersonator="noor"),
    "secret lost": End(lose_secret, None),
    "session lost": End(lose_session, None),
    "store flushed": End(flush_store, None, False),
    # Nothing that was signed or hashed before can be told from a change.
    "fallback key removed": End(new_key, "user_changed", False),
}

# What the browser asks for first after the end, and how it is answered.
FIRST = {
    "page": (lambda b: b.get("/whoami/"), 303),
    "json": (lambda b: b.get("/whoami/", headers=JSON), 401),
    "post": (lambda b: b.post("/whoami/"), 409),
    "async": (lambda b: asynchronously(b, "get", "/awhoami/"), 303),
    "stop": (lambda b: b.stop(), 303),
}


def begin(people: Any, impersonator: str) -> Any:
    """One impersonation in each of as many browsers as there are first requests."""
    group = Group.objects.create(name="Support")
    group.permissions.set(Permission.objects.filter(codename="impersonate_user"))
    people.noor.groups.add(group)
    browsers = {first: Browser(getattr(people, impersonator)) for first in FIRST}
    codes, started = [], []
    for first, browser in browsers.items():
        rewrite(browser, browser=first)  # signed cookies of one second and one content are one key
        codes.append(browser.code(people.bob, organization=people.acme))
        browser.redeem(codes[-1])
        started.append(ImpersonationSession.objects.get(pk=browser.cookies["impersonation"].value))
        assert browser.who()["user"] == "bob@example.com"
    return SimpleNamespace(people=people, browsers=browsers, codes=codes, sessions=started)


# ABUSE 1, ABUSE 2, ABUSE 3, ABUSE 5, ABUSE 6, ABUSE 7, ABUSE 8, ABUSE 29, ABUSE 51, ABUSE 53, ABUSE 106, ABUSE 201
@pytest.mark.parametrize("name", ENDS)
def test_nobody_acts_after_the_end(
    name: str, people: Any, engine: str, settings: Any, monkeypatch: Any, capsys: Any
) -> None:
    end = ENDS[name]
    settings.IMPERSONATION_ENABLED = None
    flows.switch(True)
    c = begin(people, end.impersonator)
    staff = str(getattr(people, end.impersonator))
    c.settings, c.monkeypatch, c.engine, c.out = settings, monkeypatch, engine, None
    runs = whoami.runs
    end.happens(c)
    for session, (first, browser) in zip(c.sessions, c.browsers.items(), strict=True):
        ask, status = FIRST[first]
        response = ask(browser)
        assert response.status_code == status
        if first == "stop":
            expected = [end.reason or "stopped"]
        else:
            expected = [end.reason] if end.reason else []
            assert "no-store" in response["Cache-Control"]
            assert_refused(browser)
            assert ends(session) == expected
            page = browser.get(ENDED)
            assert page.status_code == 200
            assert "The impersonation is over" in page.content.decode()
            assert_nobody(browser)
            response = browser.stop()
            expected = expected or ["stopped"]
        assert response["Location"] == (session.return_url if end.restores else LOGIN)
        assert browser.who()["user"] == (staff if end.restores else NOBODY)
        assert ends(session) == expected
        assert reason(session) == expected[0]
        assert (session.user_email, session.impersonator_email) == ("bob@example.com", staff)
    assert whoami.runs == runs + (2 * len(FIRST) - 1)


# ABUSE 5
def test_staff_whom_a_superuser_impersonates_may_stay_staff_and_not_rise(people: Any, engine: str) -> None:
    browser = Browser(people.admin)
    session = browser.start(people.noor)
    assert browser.who()["user"] == "noor@example.com"
    change(people.noor, is_superuser=True)
    assert_refused(browser)
    assert ends(session) == ["user_changed"]


# ABUSE 7
def test_fallback_key_keeps_both_sessions(engine: str, people: Any, sasha: Browser, settings: Any) -> None:
    session = sasha.start(people.dave)
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "another", [settings.SECRET_KEY]
    assert sasha.who()["impersonation"] == session.pk
    assert asynchronously(sasha, "get", "/awhoami/").json()["impersonation"] == session.pk
    assert sasha.stop()["Location"] == session.return_url
    assert sasha.who()["user"] == "sasha@example.com"


# ABUSE 6
@pytest.mark.parametrize("path", ["/new-password/", "/anew-password/"])
def test_password_changed_from_inside_ends_it(path: str, people: Any, engine: str, settings: Any) -> None:
    """Where the project allows to write it: by default tests/test_lasting.py has the last word."""
    settings.IMPERSONATION_CREDENTIALS = ["-shop.User.password"]
    browser = Browser(people.sasha)
    session = browser.start(people.dave)
    if path.startswith("/a"):
        asynchronously(browser, "post", path)
    else:
        browser.post(path)
    people.dave.refresh_from_db()
    assert people.dave.check_password("new")
    assert_refused(browser)
    assert ends(session) == ["user_changed"]


# ABUSE 42
@pytest.mark.parametrize("answer", ["the user", "nobody", "another user"])
def test_own_get_user_is_asked(answer: str, people: Any, engine: str, settings: Any, monkeypatch: Any) -> None:
    settings.AUTHENTICATION_BACKENDS = ["tests.abuse.session_support.OwnUsers"]
    browser = Browser(people.sasha)
    session = browser.start(people.dave)
    monkeypatch.setattr(OwnUsers, "answer", {"nobody": None, "another user": people.carol}.get(answer, answer))
    for ask in (lambda: browser.get("/whoami/"), lambda: asynchronously(browser, "get", "/awhoami/")):
        monkeypatch.setattr(OwnUsers, "asked", [])
        response = ask()
        assert OwnUsers.asked[:1] == ([str(people.dave.pk)] if not session.ended_at else [])
        assert response.status_code == (200 if answer == "the user" else 303)
        if answer == "the user":
            assert response.json()["user"] == "dave@example.com"
        session.refresh_from_db()
    assert ends(session) == ([] if answer == "the user" else ["user_changed"])


# ABUSE 42, ABUSE 106
@pytest.mark.parametrize("own", ["OwnPermissions", "BarePermissions"])
@pytest.mark.parametrize("is_async", [False, True])
def test_permission_of_an_own_backend_taken(
    is_async: bool, own: str, people: Any, engine: str, settings: Any, monkeypatch: Any
) -> None:
    settings.AUTHENTICATION_BACKENDS = [f"tests.abuse.session_support.{own}"]
    monkeypatch.setattr(OwnPermissions, "holders", {"sasha@example.com"})
    browser = Browser(people.sasha)
    session = browser.start(people.dave)
    ask = (lambda: asynchronously(browser, "get", "/awhoami/")) if is_async else (lambda: browser.get("/whoami/"))
    assert ask().json()["user"] == "dave@example.com"
    monkeypatch.setattr(OwnPermissions, "holders", set())
    grant(people.sasha, "impersonate_user")
    assert ask().status_code == 303
    assert ends(session) == ["impersonator_changed"]


# ABUSE 29
def test_two_browsers_act_as_two_users(people: Any, engine: str) -> None:
    first, second = Browser(people.sasha), Browser(people.sasha)
    session, other = first.start(people.dave), second.start(people.carol)
    assert (first.who()["user"], second.who()["user"]) == ("dave@example.com", "carol@example.com")
    first.stop()
    assert (first.who()["user"], second.who()["user"]) == ("sasha@example.com", "carol@example.com")
    assert (reason(session), reason(other)) == ("stopped", "")
    # The marker of one and the session of the other make nobody.
    forget_dead_cookies(first)
    first.start(people.dave)
    first.cookies["impersonation"] = other.pk
    assert_refused(first)
    assert second.who()["user"] == "carol@example.com"
