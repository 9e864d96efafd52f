"""OpenTelemetry: a span for each request."""

from __future__ import annotations

from typing import Any

import shop.telemetry  # noqa: F401  # as manage.py and wsgi.py do it, before the first request
from django.http import HttpRequest, HttpResponse
from django.urls import path
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.projects.stories import start, stop
from tests.projects.urls import urlpatterns as base
from tests.projects.visitor import Visitor, make

spans = InMemorySpanExporter()


def fails(request: HttpRequest) -> HttpResponse:
    raise ValueError("a view that raises")


urlpatterns = [*base, path("fails/", fails)]


def story() -> None:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    trace.set_tracer_provider(provider)
    agent, bob = Visitor(make("agent", email="agent@example.com")), Visitor(make("bob"))
    assert seen(bob) == [(None, None)] * 3
    session = start(agent, bob.user)
    assert seen(agent) == [("agent@example.com", session.pk)] * 3
    stop(agent, bob.user)
    assert seen(agent) == [(None, None)] * 3


def seen(visitor: Visitor) -> list[tuple[Any, Any]]:
    visitor.raise_request_exception = False
    spans.clear()
    for page, status in (("/whoami/", 200), ("/awhoami/", 200), ("/fails/", 500)):
        visitor.open(page, status)
    found = [span.attributes for span in spans.get_finished_spans()]
    return [(one.get("impersonator"), one.get("impersonation_id")) for one in found]
