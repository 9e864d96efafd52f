"""What the command prints: for people who read a terminal, and for programs that read JSON."""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime
from typing import Any

from django_impersonation.models import Activity, ImpersonationSession
from django_impersonation.records import timestamp


def session_fields(session: ImpersonationSession) -> dict[str, Any]:
    return {
        "object": "session",
        "id": session.pk,
        "impersonator_id": session.impersonator_pk,
        "impersonator": session.impersonator_email,
        "user_id": session.user_pk,
        "user": session.user_email,
        "organization_id": session.organization_id or None,
        "organization": session.organization_name or None,
        "view_only": session.view_only,
        "reason": session.reason,
        "created_at": _moment(session.created_at),
        "expires_at": _moment(session.expires_at),
        "ended_at": _moment(session.ended_at),
        "end_reason": session.end_reason or None,
        "ip_address": session.ip_address,
        "user_agent": session.user_agent or None,
        "client_id": session.client_id or None,
    }


def activity_fields(activity: Activity) -> dict[str, Any]:
    """``status`` is null while the view runs, and for ever if its process died."""
    return {
        "object": "activity",
        "session_id": activity.session_id,
        "created_at": _moment(activity.created_at),
        "method": activity.method,
        "path": activity.path,
        "view": activity.view_name or None,
        "status": activity.status,
    }


def session_text(session: ImpersonationSession) -> str:
    fields = {key: _printable(value) for key, value in session_fields(session).items() if value and key != "object"}
    lines = [f"{key:<16}{value}" for key, value in fields.items()]
    return "\n".join([*lines, ""])


def activity_text(activity: Activity) -> str:
    status = "-" if activity.status is None else activity.status
    line = f"{_moment(activity.created_at)}  {status:>3}  {activity.method:<7} {activity.path}  {activity.view_name}"
    return line.rstrip()


def table(rows: list[dict[str, str]]) -> str:
    """Columns of text, with the names of the fields above them."""
    lines = [list(rows[0]), *(list(row.values()) for row in rows)] if rows else []
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def difference(before: list[dict[str, str]], now: list[dict[str, str]]) -> list[str]:
    """``-`` and ``+`` lines, for rows that one of the two lists does not have."""
    old, new = ([json.dumps(row, sort_keys=True) for row in rows] for rows in (before, now))
    gone, added = Counter(old) - Counter(new), Counter(new) - Counter(old)
    return [f"- {row}" for row in old if row in gone] + [f"+ {row}" for row in new if row in added]


def _printable(value: object) -> str:
    """A browser may call itself what would change the reader's terminal."""
    return "".join(char if char.isprintable() else "\ufffd" for char in str(value))


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else timestamp(moment)
