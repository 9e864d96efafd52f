"""Things that happen at the same time: threads, each with a database connection of its own."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

from django.db import connection, connections

from tests.people import Browser

# How the statement begins that spends a code.
SPEND = f"UPDATE {connection.ops.quote_name('django_impersonation_authorizationcode')}"


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


def meeting(gate: Barrier, word: str, step: Callable[[], Any]) -> Callable[[], Any]:
    """The step; its first statement that begins with this word waits for those of the others."""

    def run() -> Any:
        met: list[int] = []

        def wait(execute: Any, sql: str, *args: Any) -> Any:
            if sql.startswith(word) and not met:
                met.append(gate.wait(60))
            return execute(sql, *args)

        with connection.execute_wrapper(wait):
            return step()

    return run


def twin(browser: Browser) -> Browser:
    """Another tab: the same cookies, and server errors come as responses."""
    other = Browser(raise_request_exception=False)
    other.cookies.load(browser.cookies.output(header="", sep=";"))
    return other
