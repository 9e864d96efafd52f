"""A record as it is after years: rows that PostgreSQL makes by itself, so that a million of them take a minute."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.db import connection

DAYS = 800
STAFF = 100
LIVE = 20


def fill(events: int, environment: str) -> None:
    """So many events, a tenth as many sessions, customers and codes, twice as many refresh tokens as those."""
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE shop_user, django_impersonation_impersonationsession CASCADE")
    sessions = events // 10
    insert_people(sessions)
    insert_sessions(sessions)
    insert_events(events, sessions, environment)
    session = {"session_id": key("session", "n"), "digest": "md5(n::text)"}
    gone = {"expires_at": f"{when(sessions)} + interval '1 minute'", "used_at": when(sessions)}
    insert("django_impersonation.AuthorizationCode", sessions, **session, **gone, **deed(sessions))
    for generation in ("1", "2"):
        insert(
            "django_impersonation.RefreshToken",
            sessions,
            **session | {"digest": f"'{generation}' || md5(n::text)"},
            generation=generation,
        )
    switch = apps.get_model("django_impersonation.Configuration").objects
    switch.update_or_create(environment=environment, defaults={"position": events})
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")


def insert_people(customers: int) -> None:
    staff = f"n <= {STAFF}"
    name = f"CASE WHEN {staff} THEN 'agent' || n ELSE 'user' || n - {STAFF} END"
    email = f"{name} || '@example.com'"
    insert("shop.User", STAFF + customers, id=uuid("n"), name=name, email=email, is_staff=staff, is_active="true")


def insert_sessions(number: int) -> None:
    """The newest live, some before them over without anybody having noticed it yet."""
    live, open_ = f"n > {number - LIVE}", f"n > {number - LIVE - min(1000, number // 20)}"
    insert(
        "django_impersonation.ImpersonationSession",
        number,
        id=key("session", "n"),
        expires_at=f"CASE WHEN {live} THEN now() ELSE {when(number)} END + interval '1 hour'",
        ended_at=f"CASE WHEN NOT {open_} THEN {when(number)} + interval '9 minutes' END",
        end_reason=f"CASE WHEN {open_} THEN '' WHEN n = {number // 3} THEN 'replayed' WHEN n % 2 = 0 THEN 'stopped'"
        " WHEN n % 5 = 0 THEN 'revoked' ELSE 'expired' END",
        ip_address="'192.0.2.1'",
        **deed(number),
    )


def insert_events(number: int, sessions: int, environment: str) -> None:
    """Of ten two are about a session: its start and its end. One kind is there a single time."""
    rare = f"n = {number // 2}"
    insert(
        "django_impersonation.Event",
        number,
        id=key("event", "n"),
        environment=f"'{environment}'",
        position="n",
        name=f"CASE WHEN {rare} THEN 'impersonation.purged' WHEN n % 10 = 0 THEN 'impersonation.requested'"
        " WHEN n % 10 = 1 THEN 'session.created' WHEN n % 10 = 2 THEN 'session.revoked'"
        " ELSE 'impersonation.denied' END",
        session_id=f"CASE WHEN n % 10 IN (1, 2) THEN {key('session', '1 + n / 10')} END",
        code="CASE WHEN n % 10 > 2 THEN 'user_inactive' ELSE '' END",
        count="1",
        **deed(number, sessions),
    )


def deed(number: int, customers: int = 0) -> dict[str, str]:
    """Who, whom and when: staff in turn, customers as they come, spread over the time evenly."""
    user, staff = f"(1 + n * 7919::bigint % {customers or number})", f"(1 + n % {STAFF})"
    return {
        "user_id": uuid(f"{user} + {STAFF}"),
        "user_pk": f"{uuid(f'{user} + {STAFF}')}::text",
        "user_email": f"'user' || {user} || '@example.com'",
        "user_label": f"'User ' || {user}",
        "impersonator_id": uuid(staff),
        "impersonator_pk": f"{uuid(staff)}::text",
        "impersonator_email": f"'agent' || {staff} || '@example.com'",
        "impersonator_label": f"'Agent ' || {staff}",
        "organization_id": f"(1 + n % {max(1, number // 100)})::text",
        "organization_name": f"'Organization ' || 1 + n % {max(1, number // 100)}",
        "reason": "'Ticket ' || n",
        "created_at": when(number),
    }


def key(prefix: str, number: str) -> str:
    return f"'{prefix}_' || lpad(({number})::text, 26, '0')"


def uuid(number: str) -> str:
    return f"lpad(to_hex({number}), 32, '0')::uuid"


def when(number: int) -> str:
    return f"now() - {DAYS} * interval '1 day' * (1 - n / {number}.0)"


def insert(label: str, number: int, **columns: str) -> None:
    """Rows 1 to ``number``: expressions of ``n``, and what is empty for all other columns."""
    model = apps.get_model(label)
    for field in model._meta.concrete_fields:
        if field.column not in columns and not field.primary_key:
            columns[field.column] = empty(field)
    names = ", ".join(map(connection.ops.quote_name, columns))
    made = f"SELECT {', '.join(columns.values())} FROM generate_series(1, {number}) AS n"  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO {model._meta.db_table} ({names}) {made}")


def empty(field: Any) -> str:
    if field.null:
        return "NULL"
    kinds = {"BooleanField": "false", "DateTimeField": "now()", "PositiveIntegerField": "0"}
    return kinds.get(field.get_internal_type(), "''")
