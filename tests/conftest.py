from __future__ import annotations

from collections.abc import Iterator
from contextvars import copy_context
from functools import wraps
from typing import Any

import pytest
from django.db import connection
from hypothesis import settings as hypothesis_settings

from tests.people import ENGINES, Browser, clear_caches, make_people

# One commit, one verdict: the suite tries the same examples each time, on machines of any speed.
# `--hypothesis-profile=full` looks for new ones, and for longer.
hypothesis_settings.register_profile("suite", deadline=None, derandomize=True)
hypothesis_settings.register_profile("full", deadline=None, max_examples=2000, print_blob=True)
hypothesis_settings.load_profile("suite")


@pytest.fixture(scope="session", autouse=True)
def emptied_quickly() -> Iterator[None]:
    """PostgreSQL truncates tables of a few rows in half a second; its foreign keys are checked at the commit."""

    def deletes(self: Any, style: Any, tables: list[str], **kwargs: Any) -> list[str]:
        return [f"DELETE FROM {self.quote_name(table)}" for table in tables]

    with pytest.MonkeyPatch.context() as patch:
        if connection.vendor == "postgresql":
            patch.setattr(type(connection.ops), "sql_flush", deletes)
        yield


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> None:
    """Each test has a context of its own: resolvers of URLs leave a variable in it, and async code copies them all."""
    test, context = pyfuncitem.obj, copy_context()

    @wraps(test)
    def alone(**arguments: Any) -> Any:
        return context.run(test, **arguments)

    pyfuncitem.obj = alone


@pytest.fixture
def people(db: None) -> Any:
    return make_people()


@pytest.fixture
def sasha(people: Any) -> Browser:
    """The browser of the support agent, signed in to the admin."""
    return Browser(people.sasha)


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, settings: Any, tmp_path: Any) -> str:
    """Each of Django's session engines in turn."""
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{request.param}"
    settings.SESSION_FILE_PATH = str(tmp_path)
    clear_caches()
    return str(request.param)


@pytest.fixture(params=["autocommit", "ATOMIC_REQUESTS"])
def transactions(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Views in autocommit, and views in a transaction each."""
    if request.param == "ATOMIC_REQUESTS":
        monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
        if connection.vendor == "sqlite":
            # Django's advice: a transaction that has read cannot wait for its turn to write, whatever the timeout.
            monkeypatch.setitem(connection.settings_dict["OPTIONS"], "transaction_mode", "IMMEDIATE")
