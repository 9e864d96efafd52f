"""django-simple-history, which keeps every version of a row."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import path
from shop.models import Note

from tests.projects.stories import start, stop
from tests.projects.urls import urlpatterns as base
from tests.projects.visitor import Visitor, make


def write(request: HttpRequest) -> HttpResponse:
    note = Note(text=request.POST["text"])
    note._change_reason = request.POST.get("why")
    note.save()
    return HttpResponse()


async def awrite(request: HttpRequest) -> HttpResponse:
    await Note.objects.acreate(text=request.POST["text"])
    return HttpResponse()


urlpatterns = [*base, path("write/", write), path("awrite/", awrite)]


def story() -> None:
    agent, bob = Visitor(make("agent", email="agent@example.com")), Visitor(make("bob"))
    assert written(bob, why="a typo") == (bob.user, "a typo")
    start(agent, bob.user)
    assert written(agent) == (bob.user, "agent@example.com: ")
    assert written(agent, why="a typo") == (bob.user, "agent@example.com: a typo")
    assert written(agent, why="x" * 100) == (bob.user, f"agent@example.com: {'x' * 81}")
    assert written(agent, to="/awrite/") == (bob.user, "agent@example.com: ")
    stop(agent, bob.user)
    assert written(agent) == (agent.user, None)
    Note.objects.create(text="by a command")
    assert Note.history.latest("pk").history_change_reason is None


def written(visitor: Visitor, *, to: str = "/write/", **data: str) -> tuple[Any, Any]:
    visitor.submit("/token/", {"text": "a note", **data}, to=to, status=200)
    version = Note.history.latest("pk")
    return version.history_user, version.history_change_reason
