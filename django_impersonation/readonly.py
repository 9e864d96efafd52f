"""A database's own read-only mode: a transaction on PostgreSQL, MariaDB and MySQL, a pragma on SQLite.

No setting of the connection, where a pooler would hand it on to somebody else.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext
from threading import get_ident
from typing import Any

from django.db import connections, transaction

from django_impersonation.exceptions import WriteRefused


def _block(connection: Any) -> Any:
    """A transaction in which the view may begin its durable ones, as it may without ours."""
    block: Any = transaction.atomic(using=connection.alias)
    block._from_testcase = True
    return block


def mend(connection: Any, *, harmless: bool) -> None:
    """Django holds our transaction, and that of a test case, for broken by what was refused within it.

    One of the view's own is mended only if it is ``harmless``, as nothing could be written in it: what is half done
    must not be committed.
    """
    refused = harmless and connection.needs_rollback and isinstance(connection.rollback_exc, WriteRefused)
    if refused or any(block._from_testcase for block in connection.atomic_blocks[-1:]):
        connection.needs_rollback, connection.rollback_exc = False, None


@contextmanager
def _by_transaction(connection: Any) -> Iterator[None]:
    with _block(connection):
        # After its first query nothing makes it writable again.
        _directly(connection, "SET TRANSACTION READ ONLY", "SELECT 1")
        yield


@contextmanager
def _by_next_transaction(connection: Any) -> Iterator[None]:
    if connection.in_atomic_block:  # these databases cannot change one that has begun
        yield
        return
    connection.ensure_connection()
    with _block(connection):
        _directly(connection, "START TRANSACTION READ ONLY")
        yield


@contextmanager
def _by_pragma(connection: Any) -> Iterator[None]:
    connection.ensure_connection()
    driver = connection.connection
    _directly(connection, "PRAGMA query_only = ON")
    try:
        yield
    finally:
        if connection.connection is driver:
            _directly(connection, "PRAGMA query_only = OFF")


@contextmanager
def _by_words(connection: Any) -> Iterator[None]:
    yield


def _directly(connection: Any, *statements: str) -> None:
    """By the driver: Django's cursor would ask the guard."""
    with connection.wrap_database_errors, closing(connection.connection.cursor()) as cursor:
        for sql in statements:
            cursor.execute(sql)


_MODES = {"postgresql": _by_transaction, "mysql": _by_next_transaction, "sqlite": _by_pragma}


class Hold:
    """The read-only mode of every connection that a view uses, for as long as it runs."""

    def __init__(self) -> None:
        # The drivers' connections: a view may close Django's and open it again.
        self._drivers: list[Any] = []
        self._stack = ExitStack()
        self._thread: int | None = None

    def take(self) -> None:
        """Of the connections that are open or will be for the view; of others, with their first statement."""
        self._thread = get_ident()
        for connection in connections.all():
            if connection.connection is not None or connection.settings_dict["ATOMIC_REQUESTS"]:
                self._stack.enter_context(self._of(connection))

    def let_go(self) -> None:
        self._thread = None
        self._stack.close()

    def around(self, connection: Any) -> AbstractContextManager[None]:
        """For one statement; from the view's first one on a connection it stays."""
        if any(connection.connection is driver for driver in self._drivers):
            return nullcontext()
        if self._thread == get_ident() and not connection.in_atomic_block:
            return nullcontext(self._stack.enter_context(self._of(connection)))
        return self._of(connection)  # of another thread, or of a body that is streamed after the view

    @contextmanager
    def _of(self, connection: Any) -> Iterator[None]:
        with _MODES.get(connection.vendor, _by_words)(connection):
            driver = connection.connection
            self._drivers.append(driver)
            try:
                yield
            finally:
                self._drivers.remove(driver)
