"""django-axes, which counts failed logins, writes down the others and locks people out."""

from __future__ import annotations

from typing import Any

from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path

from tests.projects.stories import is_over, is_tagged, revoke, start, stop
from tests.projects.urls import urlpatterns as base
from tests.projects.visitor import Visitor, make

urlpatterns = [
    *base,
    path("login/", LoginView.as_view(template_name="admin/login.html")),
    path("logout/", LogoutView.as_view()),
]


def story() -> None:
    boss, agent = Visitor(make("boss")), Visitor(make("agent"))
    bob = make("bob")
    bob.set_password("demo")
    bob.save()
    sign_in(bob, "demo", status=302)
    before = rows()
    assert before == (0, 3, 0)
    session = start(agent, bob)
    is_tagged(agent, bob, session)
    stop(agent, bob)
    session = start(agent, bob)
    revoke(boss, session)
    is_over(agent, session)
    assert rows() == before
    locked_out(agent, bob)
    logout(agent, bob)


def locked_out(agent: Visitor, bob: Any) -> None:
    """Neither a user nor a staff member who is locked out is in the way, and neither is let in by it."""
    for person in (bob, agent.user):
        sign_in(person, "wrong", status=429)
    before = rows()
    assert before == (2, 3, 2)
    session = start(agent, bob)
    is_tagged(agent, bob, session)
    stop(agent, bob)
    assert rows() == before
    sign_in(bob, "demo", status=429)


def logout(agent: Visitor, bob: Any) -> None:
    """The logout of an impersonated session is none of the sessions that the user has begun."""
    start(agent, bob)
    agent.submit("/token/", to="/logout/", status=200)
    assert agent.who()["user"] == "None"
    assert AccessLog.objects.get(username="bob").logout_time is None


def sign_in(user: Any, password: str, *, status: int) -> None:
    Visitor().submit("/login/", {"username": user.username, "password": password}, status=status)


def rows() -> tuple[int, int, int]:
    return AccessAttempt.objects.count(), AccessLog.objects.count(), AccessFailureLog.objects.count()
