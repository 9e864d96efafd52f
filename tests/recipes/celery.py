"""Celery: tasks in a worker, which is given both names by the task's message."""

from __future__ import annotations

from typing import Any

import shop.celery  # noqa: F401  # connects
from celery.contrib.testing.worker import start_worker
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from shop.tasks import app, look, seen

from django_impersonation.attribution import labels
from tests.projects.stories import start, stop
from tests.projects.urls import urlpatterns as base
from tests.projects.visitor import Visitor, make


def send(request: HttpRequest) -> HttpResponse:
    """Nine tasks: one, one that sends another, one that is tried again, a chain, and one that fails."""
    look.delay()
    look.delay("send")
    look.delay("retry")
    (look.si() | look.si()).apply_async()
    look.apply_async(["fail"], link_error=look.si())
    return JsonResponse(labels())


urlpatterns = [*base, path("send/", send)]


def story() -> None:
    agent, bob = Visitor(make("agent", email="agent@example.com")), Visitor(make("bob"))
    session = start(agent, bob.user)
    both = {"impersonator": "agent@example.com", "impersonation_id": session.pk}
    neither = {"impersonator": None, "impersonation_id": None}
    with start_worker(app, perform_ping_check=False, shutdown_timeout=60):
        assert told(agent) == (both, [(both, both)] * 9)
        assert told(bob) == ({}, [(neither, {})] * 9)
        agent.open("/send/")
        stop(agent, bob.user)  # what was sent before the end is still theirs
        assert [seen.get(timeout=60) for _ in range(9)] == [(both, both)] * 9
        assert told(agent) == ({}, [(neither, {})] * 9)
    app.conf.task_always_eager = True
    session = start(agent, bob.user)
    both["impersonation_id"] = session.pk
    assert told(agent) == (both, [(neither, both)] * 9)
    assert told(bob) == ({}, [(neither, {})] * 9)
    assert seen.empty()


def told(visitor: Visitor) -> tuple[Any, list[Any]]:
    """What the view knows after it has sent all of them, and what their messages carry and their code knows."""
    after = visitor.get("/send/").json()
    return after, [seen.get(timeout=60) for _ in range(9)]
