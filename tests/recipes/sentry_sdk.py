"""Sentry, whose SDK sends what a view raises and what it logs."""

from __future__ import annotations

from typing import Any

import sentry_sdk
from django.http import HttpRequest, HttpResponse
from django.urls import path
from sentry_sdk.transport import Transport

from tests.projects.stories import start, stop
from tests.projects.urls import urlpatterns as base
from tests.projects.visitor import Visitor, make


class Kept(Transport):
    """Sends nothing anywhere."""

    events: list[Any] = []

    def capture_envelope(self, envelope: Any) -> None:
        if envelope.get_event():
            self.events.append(envelope.get_event())


def fails(request: HttpRequest) -> HttpResponse:
    raise ValueError("a view that raises")


async def afails(request: HttpRequest) -> HttpResponse:
    raise ValueError("a view that raises")


urlpatterns = [*base, path("fails/", fails), path("afails/", afails)]


def story() -> None:
    sentry_sdk.get_client().transport = Kept()
    agent, bob = Visitor(make("agent", email="agent@example.com")), Visitor(make("bob"))
    assert tags(bob) == [{}, {}]
    session = start(agent, bob.user)
    assert tags(agent) == [{"impersonator": "agent@example.com", "impersonation_id": session.pk}] * 2
    stop(agent, bob.user)
    assert tags(agent) == [{}, {}]


def tags(visitor: Visitor) -> list[dict[str, str]]:
    visitor.raise_request_exception = False
    Kept.events.clear()
    for page in ("/fails/", "/afails/"):
        visitor.open(page, 500)
    assert [event["exception"]["values"][0]["type"] for event in Kept.events] == ["ValueError"] * 2
    return [event.get("tags", {}) for event in Kept.events]
