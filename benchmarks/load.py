"""Pages, API and `purge` beside a long record, on PostgreSQL, as Markdown. README.md says what is measured."""

from __future__ import annotations

import argparse
import os
import platform
import re
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from io import StringIO
from statistics import median
from time import perf_counter
from typing import Any
from urllib.parse import urlencode

import django
from django.apps import apps
from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from benchmarks.filling import fill

SIZES = (1_000, 100_000, 1_000_000)
SESSIONS, EVENTS = "/admin/django_impersonation/impersonationsession/", "/admin/django_impersonation/event/"
NAMES = "session.created,session.revoked,impersonation.denied"
Measure = Callable[[], Any]


@contextmanager
def database() -> Iterator[None]:
    connection.creation.create_test_db(verbosity=0, autoclobber=True)
    try:
        yield
    finally:
        connection.creation.destroy_test_db(connection.settings_dict["NAME"].removesuffix("_load"), verbosity=0)


def page(address: str, client: Client, **query: Any) -> Measure:
    """Asks for it; whatever is no page is an error."""
    url = f"{address}?{urlencode(query)}" if query else address

    def measure() -> Any:
        response = client.get(url)
        assert response.status_code == 200, (url, response.status_code)
        return response

    return measure


def command(*arguments: str) -> Measure:
    return lambda: call_command("impersonation", *arguments, stdout=StringIO())


def admin_pages(size: int) -> dict[str, Measure]:
    browser = Client()
    browser.force_login(apps.get_model("shop.User").objects.create_superuser("admin@example.com", "demo"))
    session = apps.get_model("django_impersonation.ImpersonationSession").objects.earliest("created_at")
    event = apps.get_model("django_impersonation.Event").objects.earliest("created_at")
    day = dict(zip(("created_at__gte", "created_at__lt"), days(session.created_at), strict=True))
    sessions = {
        "first page": {},
        "last page": {"p": min(size // 10, 10_000) // 100},
        **{f"status {name}": {"status": name} for name in ("active", "expired", "revoked")},
        **{f"ended by {name}": {"end_reason__exact": name} for name in ("stopped", "replayed")},
        "the first days": day,
        "one user's": {"user_pk": session.user_pk},
        "one impersonator's": {"impersonator_pk": session.impersonator_pk},
        "search an address": {"q": session.user_email},
        "search its beginning": {"q": "USER7"},
        "search a part of a name": {"q": "ser 7"},
        "search an id": {"q": session.pk},
        "search what is not there": {"q": "nowhere"},
    }
    events = {name: sessions[name] for name in sessions if name[:6] in ("first ", "the fi", "one us", "search")}
    events |= {
        "last page": {"p": min(size, 10_000) // 100},
        "common name": {"name__exact": "impersonation.denied"},
        "rare name": {"name__exact": "impersonation.purged"},
    }
    pages = {f"sessions, {name}": page(SESSIONS, browser, **query) for name, query in sessions.items()}
    pages["one session"] = page(f"{SESSIONS}{session.pk}/change/", browser)
    pages |= {f"events, {name}": page(EVENTS, browser, **query) for name, query in events.items()}
    pages["one event"] = page(f"{EVENTS}{event.pk}/change/", browser)
    pages["users"] = page("/admin/shop/user/", browser)
    pages["one user, with our history"] = page(f"/admin/shop/user/{session.user_pk}/change/", browser)
    pages["the switch"] = page("/admin/django_impersonation/configuration/", browser)
    return pages


def api_pages(size: int) -> dict[str, Measure]:
    client = Client(headers={"Authorization": f"Bearer {settings.IMPERSONATION_API_KEY}"})
    found = apps.get_model("django_impersonation.Event").objects
    middle = found.get(position=size // 2)
    live = apps.get_model("django_impersonation.ImpersonationSession").objects.live().latest("created_at")
    early, late = days(found.get(position=size // 10).created_at), days(found.get(position=size * 9 // 10).created_at)
    events = {
        "first page": {},
        "last page": {"order": "desc"},
        "from the middle": {"after": middle.pk},
        "back from the middle": {"after": middle.pk, "order": "desc"},
        "common name": {"events": "impersonation.denied"},
        "rare name": {"events": "impersonation.purged"},
        "one organization's": {"organization_id": middle.organization_id},
        "an early day": dict(zip(("range_start", "range_end"), early, strict=True)),
        "a late day": dict(zip(("range_start", "range_end"), late, strict=True)),
        "since a late day": {"range_start": late[0]},
    }
    pages = {f"GET /events, {name}": page("/events", client, **{"events": NAMES} | q) for name, q in events.items()}
    pages["GET /users/…/sessions"] = page(f"/user_management/users/{live.user_pk}/sessions", client)
    pages["GET /users"] = page("/user_management/users", client)
    pages["GET /organizations/…"] = page(f"/organizations/{middle.organization_id}", client)
    return pages


def days(moment: Any) -> tuple[str, str]:
    """Three of them, from its midnight on."""
    start = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    return f"{start:%Y-%m-%dT%H:%M:%SZ}", f"{start + timedelta(days=3):%Y-%m-%dT%H:%M:%SZ}"


class Clock:
    """The seconds that statements take."""

    seconds = 0.0

    def __call__(self, execute: Any, *args: Any) -> Any:
        started = perf_counter()
        try:
            return execute(*args)
        finally:
            self.seconds += perf_counter() - started


def cost(measure: Measure, rounds: int) -> tuple[str, int]:
    """Milliseconds, those of its queries among them, and the most rows that one query has read of a table of ours."""
    with CaptureQueriesContext(connection) as queries:
        measure()
    statements = [query["sql"] for query in queries.captured_queries]
    times = []
    for _ in range(rounds):
        clock, started = Clock(), perf_counter()
        with connection.execute_wrapper(clock):
            measure()
        times.append((1000 * (perf_counter() - started), 1000 * clock.seconds))
    whole, in_database = map(median, zip(*times, strict=True))
    return f"{whole:.0f} ms; {len(statements)} queries in {in_database:.1f}", max(map(rows_read, statements))


def rows_read(statement: str) -> int:
    if not statement.startswith("SELECT"):
        return 0
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}")
        (((plan,),),) = cursor.fetchall()
    return most_rows(plan["Plan"])


def most_rows(node: dict[str, Any]) -> int:
    left_out = sum(count for name, count in node.items() if name.startswith("Rows Removed by"))
    ours = node.get("Relation Name", "").startswith("django_impersonation_")
    read = (node["Actual Rows"] + left_out) * node["Actual Loops"] if ours else 0
    return max(int(read), *map(most_rows, node.get("Plans", ())), 0)


def purged(*arguments: str) -> tuple[str, int]:
    """Rows in a second, the most rows of one statement, and by how much the process has grown."""
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, perf_counter()
    out, largest = StringIO(), Largest()
    with connection.execute_wrapper(largest):
        call_command("impersonation", "purge", *arguments, stdout=out)
    seconds = perf_counter() - started
    rows = sum(map(int, re.findall(r": (\d+)\.", out.getvalue())))
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024
    return f"{rows} rows, {rows / seconds:.0f} a second; at most {largest.rows} at once; +{grown} MB", 0


class Largest:
    """Of the statements that delete, how many rows the largest has taken."""

    rows = 0

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        result = execute(sql, params, many, context)
        if sql.startswith("DELETE"):
            self.rows = max(self.rows, context["cursor"].rowcount)
        return result


def measured(size: int, rounds: int) -> dict[str, tuple[str, int]]:
    fill(size, settings.IMPERSONATION_ENVIRONMENT)
    pages = admin_pages(size) | api_pages(size) | {"impersonation status": command("status")}
    found = {name: cost(measure, rounds) for name, measure in pages.items()}
    found["purge"] = purged()
    found["purge --keep-days 400"] = purged("--keep-days", "400")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=__doc__)
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES, metavar="EVENTS", help="1000 100000 1000000")
    parser.add_argument("--rounds", type=int, default=7, help="how often each is measured (7)")
    parser.add_argument("--quick", action="store_true", help="a thousand events, once: does it run?")
    options = parser.parse_args()
    sizes, rounds = ([1000], 1) if options.quick else (options.sizes, options.rounds)
    os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.load_settings"
    django.setup()
    with database():
        server = connection.pg_version // 10000
        print(f"Python {platform.python_version()}, Django {django.__version__}, PostgreSQL {server}.\n")
        columns = [measured(size, rounds) for size in sizes]
    heads = [f"{size:,} events, {size // 10:,} sessions" for size in sizes]
    print("| | " + " | ".join(heads) + f" | rows of ours that one query reads, at {sizes[-1]:,} |")
    print("|---" * (len(sizes) + 2) + "|")
    for name in columns[0]:
        read = columns[-1][name][1] or ""
        print(f"| {name} | " + " | ".join(column[name][0] for column in columns) + f" | {read} |")


if __name__ == "__main__":
    main()
