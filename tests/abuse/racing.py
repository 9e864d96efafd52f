"""Things that happen at the same time: threads, each with a database connection of its own."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

from django.db import connections

from tests.people import Browser


def race(*steps: Callable[[], Any]) -> list[Any]:
    """Run all steps at once; their answers, in their order. What one raises goes on."""
    gate = Barrier(len(steps))

    def run(step: Callable[[], Any]) -> Any:
        try:
            gate.wait(60)
            return step()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(steps)) as pool:
        futures = [pool.submit(run, step) for step in steps]
    return [future.result() for future in futures]


def twin(browser: Browser) -> Browser:
    """Another tab: the same cookies, and server errors come as responses."""
    other = Browser(raise_request_exception=False)
    other.cookies.load(browser.cookies.output(header="", sep=";"))
    return other
