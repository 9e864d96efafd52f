"""django-pghistory, whose triggers keep what happened to a row, with a context."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import path
from shop.models import Note

from tests.projects.stories import start, stop
from tests.projects.urls import urlpatterns as base
from tests.projects.visitor import Visitor, make


def write(request: HttpRequest) -> HttpResponse:
    Note.objects.create(text=request.POST["text"])
    return HttpResponse()


urlpatterns = [*base, path("write/", write)]


def story() -> None:
    agent, bob = Visitor(make("agent", email="agent@example.com")), Visitor(make("bob"))
    assert written(bob) == {"user": bob.user.pk, "url": "/write/"}
    both = {"impersonator": "agent@example.com", "impersonation_id": start(agent, bob.user).pk}
    assert written(agent) == {"user": bob.user.pk, "url": "/write/", **both}
    stop(agent, bob.user)
    assert written(agent) == {"user": agent.user.pk, "url": "/write/"}


def written(visitor: Visitor) -> dict[str, Any]:
    visitor.submit("/token/", {"text": "a note"}, to="/write/", status=200)
    events = Note.pgh_event_models["insert"] if hasattr(Note, "pgh_event_models") else None
    assert events
    return events.objects.latest("pgh_id").pgh_context.metadata
