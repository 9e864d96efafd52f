"""structlog, which renders events of key and value."""

from __future__ import annotations

import io
import json
from typing import Any

import structlog
from django.http import HttpRequest, HttpResponse
from django.urls import path

from tests.projects.stories import start, stop
from tests.projects.urls import urlpatterns as base
from tests.projects.visitor import Visitor, make

written = io.StringIO()
log = structlog.wrap_logger(structlog.PrintLogger(written))


def look(request: HttpRequest) -> HttpResponse:
    log.info("sync", page="look")
    return HttpResponse()


async def alook(request: HttpRequest) -> HttpResponse:
    await log.ainfo("async", page="look")
    return HttpResponse()


urlpatterns = [*base, path("look/", look), path("alook/", alook)]


def story() -> None:
    agent, bob = Visitor(make("agent", email="agent@example.com")), Visitor(make("bob"))
    log.info("outside")
    assert lines() == [{"event": "outside"}]
    assert seen(bob) == [{}, {}]
    session = start(agent, bob.user)
    assert seen(agent) == [{"impersonator": "agent@example.com", "impersonation_id": session.pk}] * 2
    stop(agent, bob.user)
    assert seen(agent) == [{}, {}]


def lines() -> list[dict[str, Any]]:
    found = [json.loads(line) for line in written.getvalue().splitlines()]
    written.seek(0)
    written.truncate()
    return found


def seen(visitor: Visitor) -> list[dict[str, Any]]:
    for page in ("/look/", "/alook/"):
        visitor.open(page)
    found = lines()
    assert [line.pop("event") for line in found] == ["sync", "async"]
    assert [line.pop("page") for line in found] == ["look", "look"]
    return found
