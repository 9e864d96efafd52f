from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import QueryDict

from django_impersonation.api.errors import Unprocessable

DEFAULT_LIMIT, MOST = 10, 100


def page(
    found: QuerySet[Any], query: QueryDict, *, among: QuerySet[Any], by: str = "pk", order: str = "desc"
) -> tuple[list[Any], str | None]:
    """The rows behind the cursor ``after`` (the id of one ``among`` these, exclusive), and the next cursor or None.

    ``by`` is a unique column. Raises ``Unprocessable`` for a limit, an order or a cursor that is none.
    """
    limit, ascending, after = _asked(query, order)
    if after:
        row = lookup(among, after)
        if row is None:
            raise Unprocessable("after is no id of this list")
        value = getattr(row, by)
        found = found.filter((f"{by}__{'gt' if ascending else 'lt'}", value))
    rows = list(found.order_by(by if ascending else f"-{by}")[: limit + 1])
    return rows[:limit], str(rows[limit - 1].pk) if len(rows) > limit else None


def listed(data: list[Any], after: str | None) -> dict[str, Any]:
    return {"object": "list", "data": data, "list_metadata": {"before": None, "after": after}}


def lookup(found: QuerySet[Any], key: str) -> Any:
    """The row with exactly this key, as text: the database would take " 7" or "7.0" for 7. None if there is none."""
    try:
        row = found.filter(pk=key).first()
    except (ValueError, TypeError, OverflowError, ValidationError):
        return None
    return row if row is not None and str(row.pk) == key else None


def slice_of(items: dict[str, Any], query: QueryDict) -> tuple[list[Any], str | None]:
    """A page of a list that is in memory, by id: its items behind ``after``, and the next cursor."""
    limit, _, after = _asked(query, "asc")  # the order is the project's own
    ids = list(items)
    if after:
        if after not in items:
            raise Unprocessable("after is no id of this list")
        ids = ids[ids.index(after) + 1 :]
    return [items[one] for one in ids[:limit]], ids[limit - 1] if len(ids) > limit else None


def texts(query: QueryDict, name: str) -> set[str]:
    """A list in any of the spellings of the SDKs: ``a,b``, repeated, or with brackets."""
    given = (*query.getlist(name), *query.getlist(f"{name}[]"))
    return {text.strip() for one in given for text in one.split(",") if text.strip()}


def _asked(query: QueryDict, order: str) -> tuple[int, bool, str | None]:
    """How many, ascending or not, and behind which one."""
    if "before" in query:
        raise Unprocessable("before is not supported; page forward with after")
    return _limit(query), _ascending(query, order), query.get("after")


def _limit(query: QueryDict) -> int:
    text = query.get("limit", str(DEFAULT_LIMIT))
    if not text.isascii() or not text.isdigit() or len(text) > 3 or not 1 <= int(text) <= MOST:
        raise Unprocessable(f"limit is a whole number from 1 to {MOST}")
    return int(text)


def _ascending(query: QueryDict, default: str) -> bool:
    order = query.get("order", default)
    if order not in ("asc", "desc"):
        raise Unprocessable("order is asc or desc")
    return order == "asc"
