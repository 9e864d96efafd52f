"""What the code of an impersonated request may write: below HTTP, on every connection to a database.

Two fences. The words of every statement that goes through Django are judged, in whatever thread it runs. And in
view-only sessions the database's own read-only mode closes what words cannot show: functions that write, and the
driver's own cursors, held around the view alone.
"""

from __future__ import annotations

import logging
from contextlib import nullcontext
from functools import lru_cache, partial
from importlib import import_module
from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import connections
from django.db.backends.signals import connection_created
from django.db.models.signals import pre_save
from django.http import HttpResponseForbidden

from django_impersonation import guards, lasting, models
from django_impersonation.conf import conf
from django_impersonation.context import acting, acting_session, running
from django_impersonation.exceptions import WriteRefused
from django_impersonation.readonly import Hold, mend
from django_impersonation.statements import Write, bare, is_savepoint, writes

logger = logging.getLogger("django_impersonation")


class Limits:
    """Those of one request, and of what it leaves running."""

    def __init__(self, request: Any, session: models.ImpersonationSession, *, by_words: bool) -> None:
        self.request, self.session, self.view_only = request, session, session.view_only
        self._observed = conf.IMPERSONATION_VIEW_ONLY == "observe"
        self._excepted = frozenset(map(bare, conf.IMPERSONATION_VIEW_ONLY_TABLES))
        self._ours = _our_tables(settings.SESSION_ENGINE)
        self._rules = lasting.rules()
        self._verified: _Verified | None = None
        self._hold = Hold()
        # The view is, but not its streamed body nor its tasks.
        self.over = False
        # A table that is excepted by name, and observing, leave it to the words.
        self.by_database = self.view_only and not (by_words or self._observed or self._excepted)

    def hold(self) -> None:
        if self.by_database:
            self._hold.take()

    def let_go(self) -> None:
        """What the view has put off until its transaction is over runs now, within the limits."""
        self._hold.let_go()
        for connection in connections.all(initialized_only=True):
            mend(connection, harmless=self.by_database)

    def execute(self, execute: Any, sql: Any, params: Any, many: bool, context: dict[str, Any]) -> Any:
        connection = context["connection"]
        mend(connection, harmless=self.by_database)
        if connection.needs_rollback:  # Django refuses
            return execute(sql, params, many, context)
        text = sql if isinstance(sql, str) else _text(sql, connection)
        if is_savepoint(text):
            return execute(sql, params, many, context)
        for write in writes(text, connection.vendor):
            self._judge(write, params, connection)
        with self._hold.around(connection) if self.by_database else nullcontext():
            return execute(sql, params, many, context)

    def is_read_only(self, exception: BaseException) -> bool:
        """Is it how a database in its read-only mode refuses to write, in the driver's own words or in Django's?"""
        return (
            self.by_database
            and any(
                getattr(one, "sqlstate", None) == "25006"  # PostgreSQL
                or getattr(one, "sqlite_errorname", None) == "SQLITE_READONLY"
                or getattr(one, "args", ())[:1] == (1792,)  # MariaDB and MySQL
                for one in (exception, exception.__cause__)
            )
        )

    def refuse(self, code: str, what: str) -> None:
        """Raise ``WriteRefused``, which goes on record when the view is over; only log it while observing."""
        if code == "view_only" and self._observed:
            logger.warning("%s would be refused: %s", self.session.pk, what)
            return
        guards.note_refusal(self.request, self.session, code)
        if self.over:
            with acting(self.session):
                guards.record_refusal(self.request, HttpResponseForbidden())
        raise guards.refusal(code, WriteRefused)

    def look_at(self, user: Any, *, using: str, update_fields: Any) -> None:
        """Before a user is saved: nothing that lets somebody sign in may change; the statement to come may pass."""
        names = self._rules.written(user, update_fields=update_fields)
        if not names:
            return
        stored = lasting.stored(user, names, using=using)
        changes = self._rules.changes(user, names, stored)
        if changes:
            self.refuse("credential", ", ".join(changes))
        self._verified = _Verified("UPDATE" if stored else "INSERT", user, self._rules, names, stored)

    def _judge(self, write: Write, params: Any, connection: Any) -> None:
        if write.table in self._ours:
            return
        if self.view_only and write.table not in self._excepted:
            self.refuse("view_only", f"{write.verb} {write.table}".strip())
        verified = self._verified is not None and self._verified.has(write, params, connection)
        if self._rules.refuses(write, verified=verified):
            self.refuse("credential", f"{write.verb} {write.table}")


class _Verified:
    """The user who is being saved: each statement of the save passes once, if it writes what was looked at."""

    def __init__(self, verb: str, user: Any, rules: lasting.Rules, names: list[str], stored: Any) -> None:
        self.verb, self.user, self.rules, self.names, self.stored = verb, user, rules, names, stored
        self.tables = set(rules.user_tables)

    def has(self, write: Write, params: Any, connection: Any) -> bool:
        if write.table not in self.tables or write.verb not in ("UPDATE", self.verb):
            return False
        # An UPDATE that finds no row is followed by an INSERT.
        if write.verb == self.verb:
            self.tables.remove(write.table)
        if not isinstance(params, list | tuple) or self.rules.changes(self.user, self.names, self.stored):
            return False
        if write.verb == "UPDATE":
            key = self.user._meta.pk.get_db_prep_save(self.user.pk, connection)
            if params[-1:] != type(params)([key]):
                return False
        return self._writes_all(write, params, connection)

    def _writes_all(self, write: Write, params: Any, connection: Any) -> bool:
        """The save's own statement has each of the values in it; one of the code's own, later, hardly by chance."""
        for field in self.rules.user_fields.values():
            if field.attname not in self.names or bare(field.model._meta.db_table) != write.table:
                continue
            value = getattr(self.user, field.attname)
            made, again = (field.get_db_prep_save(value, connection) for _ in range(2))
            if made == again and made not in params:  # fields that encrypt make another value of it each time
                return False
        return True


def _text(sql: Any, connection: Any) -> str:
    """Drivers take more than text: bytes, and psycopg's own composition of it."""
    return sql.decode(errors="replace") if isinstance(sql, bytes) else str(sql.as_string(connection.connection))


def of(request: Any) -> Limits | None:
    return getattr(request, "_impersonation_limits", None)


def running_limits() -> Limits | None:
    """Nobody is limited by an impersonation when somebody else has become the request's user.

    A logout alone lifts no limits: what a view does after it, it still does for the impersonator.
    """
    request = running()
    limits = of(request)
    if limits is None:
        return None
    left = request.impersonation is None and not hasattr(request, "_impersonation_taken_over")
    if left or acting_session() is not None:
        return limits
    return None if getattr(request.user, "is_authenticated", False) else limits


def guard(execute: Any, sql: Any, params: Any, many: bool, context: dict[str, Any]) -> Any:
    """An ``execute_wrapper`` of every connection: nothing for those who are not impersonating."""
    limits = running_limits()
    run = execute if limits is None else partial(limits.execute, execute)
    return run(sql, params, many, context)


def install(sender: Any, connection: Any, **kwargs: Any) -> None:
    """First in the list, so that whoever adds a wrapper for a while takes away their own."""
    if guard not in connection.execute_wrappers:
        connection.execute_wrappers.insert(0, guard)


def before_save(sender: Any, instance: Any, using: str, update_fields: Any, **kwargs: Any) -> None:
    limits = running_limits()
    if limits is not None:
        limits.look_at(instance, using=using, update_fields=update_fields)


def connect() -> None:
    for model in apps.get_models():
        if issubclass(model, get_user_model()):
            pre_save.connect(before_save, model, dispatch_uid="django_impersonation.limits")
    connection_created.connect(install, dispatch_uid="django_impersonation.limits")
    for connection in connections.all(initialized_only=True):
        install(None, connection)


@lru_cache(maxsize=8)
def _our_tables(session_engine: str) -> frozenset[str]:
    """Ours, and that of the sessions, which a view may save by itself."""
    kept: list[Any] = list(apps.get_app_config("django_impersonation").get_models())
    store = import_module(session_engine).SessionStore
    if hasattr(store, "get_model_class"):
        kept.append(store.get_model_class())
    return frozenset(bare(model._meta.db_table) for model in kept)
