"""Logins by the project's own views never make an impersonated session an ordinary one."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import global_settings
from django.contrib.auth import get_user_model, login, logout
from django.http import HttpRequest, HttpResponse
from django.urls import path

from django_impersonation import sessions
from django_impersonation.models import ImpersonationSession
from tests.people import Browser
from tests.urls import urlpatterns as ordinary

pytestmark = [pytest.mark.urls(__name__), pytest.mark.django_db]

BACKEND = "django.contrib.auth.backends.ModelBackend"


def again(request: HttpRequest) -> HttpResponse:
    """ "Sign out my other devices and keep me in"."""
    user = request.user._wrapped if hasattr(request.user, "_wrapped") else request.user
    logout(request)
    login(request, user, backend=BACKEND)
    return HttpResponse()


def other(request: HttpRequest) -> HttpResponse:
    logout(request)
    login(request, get_user_model().objects.get(email="carol@example.com"), backend=BACKEND)
    return HttpResponse()


urlpatterns = [path("again/", again), path("other/", other), *ordinary]


# ABUSE 10
def test_a_logout_and_login_in_one_request_leaves_nobody(engine: str, people: Any) -> None:
    sasha = Browser(people.sasha)
    session = sasha.start(people.dave)
    assert sasha.get("/again/").status_code == 200
    assert sasha.who()["user"] == "AnonymousUser"
    session.refresh_from_db()
    assert session.end_reason == "signed_out"


# ABUSE 10
def test_a_logout_and_another_ones_login_in_one_request_is_theirs(people: Any) -> None:
    sasha = Browser(people.sasha)
    session = sasha.start(people.dave)
    assert sasha.get("/other/").status_code == 200
    assert (sasha.who()["user"], sasha.who()["impersonation"]) == ("carol@example.com", None)
    session.refresh_from_db()
    assert session.end_reason == "signed_out"


# ABUSE 19
def test_a_login_into_an_abandoned_session_is_not_shared(engine: str, people: Any) -> None:
    sasha = Browser(people.sasha)
    sasha.start(people.dave)
    known = sasha.session_cookie()
    shared = Browser()
    shared.cookies["sessionid"] = known
    assert shared.who()["user"] == "AnonymousUser"
    shared.post("/accounts/login/", {"username": "dave@example.com", "password": "demo"})
    assert shared.who()["user"] == "dave@example.com"
    assert sessions.TAG not in shared.session
    assert shared.session.get_expiry_age() == global_settings.SESSION_COOKIE_AGE, "an ordinary one, not an hour's"
    ImpersonationSession.objects.end()
    thief = Browser()
    thief.cookies["sessionid"] = known
    assert thief.who()["user"] == "AnonymousUser"


# ABUSE 22
def test_a_marker_alone_learns_no_name(engine: str, people: Any) -> None:
    session = Browser(people.sasha).start(people.dave)
    session.end("revoked")
    curious = Browser()
    curious.cookies[sessions.MARKER] = session.pk
    html = curious.get("/impersonation/ended/").content.decode()
    assert "The impersonation is over" in html
    assert "dave@example.com" not in html
