"""django-reversion, which keeps every version of a row in a revision with a comment."""

from __future__ import annotations

from typing import Any

import reversion
from django.http import HttpRequest, HttpResponse
from django.urls import path
from reversion.models import Revision
from shop.models import Note

from tests.projects.stories import start, stop
from tests.projects.urls import urlpatterns as base
from tests.projects.visitor import Visitor, make


def write(request: HttpRequest) -> HttpResponse:
    Note.objects.create(text=request.POST["text"])
    reversion.set_comment("a typo")
    return HttpResponse()


urlpatterns = [*base, path("write/", write)]


def story() -> None:
    agent, bob = Visitor(make("agent", email="agent@example.com")), Visitor(make("bob"))
    assert written(bob) == (bob.user, "a typo")
    session = start(agent, bob.user)
    assert written(agent) == (bob.user, f"agent@example.com ({session.pk}): a typo")
    stop(agent, bob.user)
    assert written(agent) == (agent.user, "a typo")


def written(visitor: Visitor) -> tuple[Any, str]:
    visitor.submit("/token/", {"text": "a note"}, to="/write/", status=200)
    revision = Revision.objects.latest("pk")
    return revision.user, revision.comment
