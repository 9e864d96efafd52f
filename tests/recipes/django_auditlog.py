"""django-auditlog, which writes down who changed a row."""

from __future__ import annotations

from typing import Any

from auditlog.models import LogEntry
from auditlog.registry import auditlog
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.urls import path

from tests.projects.stories import start, stop
from tests.projects.urls import urlpatterns as base
from tests.projects.visitor import Visitor, make


def rename(request: HttpRequest) -> HttpResponse:
    request.user.first_name = request.POST["name"]
    request.user.save()
    return HttpResponse()


urlpatterns = [*base, path("rename/", rename)]


def story() -> None:
    agent, bob = Visitor(make("agent", email="agent@example.com")), Visitor(make("bob"))
    auditlog.register(User)
    assert renamed(bob, "Robert") == (bob.user, None)
    both = {"impersonator": "agent@example.com", "impersonation_id": start(agent, bob.user).pk}
    assert renamed(agent, "Bobby") == (bob.user, both)
    stop(agent, bob.user)
    assert renamed(agent, "Agent") == (agent.user, None)
    assert renamed(bob, "Bob") == (bob.user, None)


def renamed(visitor: Visitor, name: str) -> tuple[Any, Any]:
    visitor.submit("/token/", {"name": name}, to="/rename/", status=200)
    entry = LogEntry.objects.latest("pk")
    assert entry.changes_dict["first_name"][1] == name
    return entry.actor, entry.additional_data
