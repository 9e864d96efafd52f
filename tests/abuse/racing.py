"""Things that happen at the same time: threads, each with a database connection of its own."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

from django.db import connection, connections

from tests.people import Browser


def race(*steps: Callable[[], Any]) -> list[Any]:
    """Run all steps at once; their answers, in their order. What one raises goes on.

    A step that leaves a transaction open, and with it locks, is an error.
    """
    gate = Barrier(len(steps))

    def run(step: Callable[[], Any]) -> Any:
        try:
            gate.wait(60)
            answer = step()
            assert connection.get_autocommit()
            assert not connection.in_atomic_block
            return answer
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
