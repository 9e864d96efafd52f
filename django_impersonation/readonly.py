"""A database's own read-only mode: a transaction on PostgreSQL, MariaDB and MySQL, a pragma on SQLite.

No setting of the connection, where a pooler would hand it on to somebody else.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from typing import Any

from django.db import transaction

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


def read_only(connection: Any) -> AbstractContextManager[None]:
    return _MODES.get(connection.vendor, _by_words)(connection)
