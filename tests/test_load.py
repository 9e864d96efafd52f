"""Beside a long record everything stays as quick. Here queries and plans are looked at, times in the benchmarks."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_impersonation import lists
from django_impersonation.api.serializers import timestamp
from django_impersonation.models import AuthorizationCode, Configuration, Event, ImpersonationSession, RefreshToken
from tests.api.client import ApiClient
from tests.people import Browser
from tests.test_admin import page_of, text
from tests.test_admin_records import EVENTS, SESSIONS, rows

pytestmark = pytest.mark.django_db
NOW = datetime.now(UTC).replace(microsecond=0)
CREATED, REVOKED = "session.created", "session.revoked"
OURS = re.compile(r"django_impersonation_(?:event|impersonationsession)\b")
Pages = dict[str, Callable[[], Any]]


def key(kind: str, number: int) -> str:
    return f"{kind}_{number:026}"


def moment(number: int) -> datetime:
    """One is recorded every hour, the newest days ago."""
    return NOW - timedelta(hours=5000 - number)


def fill(people: Any, first: int, last: int) -> None:
    """Sessions and events with these numbers. One in fifty is of its own user, organization, kind and end."""
    common = Event.describe(impersonator=people.sasha, user=people.carol, reason="Ticket")
    rare = Event.describe(impersonator=people.admin, user=people.bob, reason="Ticket") | {"organization_id": "rare"}
    numbers = {n: rare if n % 50 == 3 else common for n in range(first, last + 1)}
    ImpersonationSession.objects.bulk_create(
        ImpersonationSession(
            id=key("session", n),
            created_at=moment(n),
            expires_at=moment(n) + timedelta(hours=1),
            ended_at=moment(n) + timedelta(minutes=9),
            end_reason="stopped" if deed is rare else "expired",
            **deed,
        )
        for n, deed in numbers.items()
    )
    Event.objects.bulk_create(
        Event(
            id=key("event", n),
            environment="production",
            position=n,
            name=CREATED if deed is rare else REVOKED,
            session_id=key("session", n),
            created_at=moment(n),
            **deed,
        )
        for n, deed in numbers.items()
    )
    Configuration.objects.update_or_create(environment="production", defaults={"position": last})


def pages(people: Any, api: ApiClient) -> Pages:
    """All that lists or opens records, as they are when there are ten."""
    ada = Browser(people.admin)

    def admin(address: str, **query: Any) -> Callable[[], Any]:
        return lambda: ada.get(address, query)

    def called(address: str, **query: Any) -> Callable[[], Any]:
        return lambda: api.with_key("get", address, data=query)

    listed: dict[str, dict[str, Any]] = {
        "all": {},
        "by an address": {"q": "bob@"},
        "by a word": {"q": "nothing of this"},
        "by an id": {"q": key("session", 3)},
        "of a user": {"user_pk": people.bob.pk},
        "by an impersonator": {"impersonator_pk": people.admin.pk},
        "of a time": {"created_at__gte": "2000-01-01 00:00:00Z", "created_at__lt": "2100-01-01 00:00:00Z"},
    }
    found = {f"session list {name}": admin(SESSIONS, **query) for name, query in listed.items()}
    found |= {f"session list {one}": admin(SESSIONS, status=one) for one in ImpersonationSession.Status.values}
    found["session list by end"] = admin(SESSIONS, end_reason__exact="stopped")
    found |= {f"event list {name}": admin(EVENTS, **query) for name, query in listed.items()}
    found["event list by name"] = admin(EVENTS, name__exact=CREATED)
    found["one session"] = admin(f"{SESSIONS}{key('session', 3)}/change/")
    found["one event"] = admin(f"{EVENTS}{key('event', 3)}/change/")
    found["one user"] = admin(page_of(people.bob))
    found["the switch"] = admin("/admin/django_impersonation/configuration/")
    every = {"events": f"{CREATED},{REVOKED}", "limit": "5"}
    behind = {name: key("event", number) for name, number in (("asc", 3), ("desc", 8))}
    followed: dict[str, dict[str, str]] = {
        "all": {},
        "behind": {"after": behind["asc"]},
        "before": {"after": behind["desc"], "order": "desc"},
        "of one kind": {"events": CREATED},
        "of an organization": {"organization_id": "rare"},
        "of a time": {"range_start": timestamp(moment(1)), "range_end": timestamp(moment(9))},
    }
    found |= {f"events {name}": called("/events", **every | query) for name, query in followed.items()}
    found["sessions of a user"] = called(f"/user_management/users/{people.bob.pk}/sessions", limit=5)
    found["an organization"] = called("/organizations/rare")
    found["users"] = called("/user_management/users", limit=1)
    found["status"] = lambda: call_command("impersonation", "status", stdout=StringIO())
    return found


@pytest.fixture
def api(settings: Any) -> ApiClient:
    settings.IMPERSONATION_ORGANIZATIONS = None  # the record is asked for their names
    return ApiClient()


def statements(ask: Callable[[], Any]) -> list[str]:
    with CaptureQueriesContext(connection) as queries:
        response = ask()
    assert response is None or response.status_code == 200, response.content
    return sqls(queries)


def sqls(queries: CaptureQueriesContext) -> list[str]:
    return [query["sql"] for query in queries.captured_queries]


def plan(statement: str) -> str:
    """How the database would answer it. PostgreSQL reads a small table as it is, unless it is told not to."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET LOCAL enable_seqscan = off")
        prefix = "EXPLAIN QUERY PLAN" if connection.vendor == "sqlite" else "EXPLAIN"
        cursor.execute(f"{prefix} {statement}")
        return "\n".join(str(row) for row in cursor.fetchall())


def indexes(plan: str) -> str:
    """The lines that name an index, without the sorting and the conditions, which name columns."""
    return "\n".join(line for line in plan.splitlines() if re.search("using|index", line, re.IGNORECASE))


# -- the same for ten as for two hundred -------------------------------------------------------------------------


# ABUSE 143
def test_no_page_asks_more_of_a_longer_record(people: Any, api: ApiClient) -> None:
    fill(people, 1, 10)
    asked = pages(people, api)
    for ask in asked.values():
        ask()  # what is asked once for a process
    few = {name: len(statements(ask)) for name, ask in asked.items()}
    fill(people, 11, 200)
    assert {name: len(statements(ask)) for name, ask in asked.items()} == few


# -- by an index -------------------------------------------------------------------------------------------------


@pytest.fixture
def long(people: Any) -> None:
    """A record that is long enough for a database to prefer its indexes."""
    fill(people, 1, 1500)
    if connection.vendor != "mysql":  # there it would commit, and it keeps its figures by itself
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")


HOT = {
    "events behind": "event_position|event_feed|event_2 ",  # SQLite numbers its unique ones
    "events of one kind": "event_feed",
    "events of an organization": "event_org",
    "event list all": "event_time",
    "event list by name": "event_name",
    "event list of a user": "event_user",
    "event list by an impersonator": "event_by",
    "session list all": "created_at",
    "session list by end": "session_end",
    "session list of a user": "session_user",
    "session list by an impersonator": "session_by",
    "session list active": "expires_at|ended_at",
    "one user": "session_user",
    "an organization": "session_org",
    "sessions of a user": "expires_at|ended_at|session_user",
    "status": "expires_at|ended_at",
}


def test_hot_statements_take_their_index(people: Any, api: ApiClient, long: None) -> None:
    asked = pages(people, api)
    last = {name: [sql for sql in statements(asked[name]) if OURS.search(sql)][-1] for name in HOT}
    plans = {name: plan(statement) for name, statement in last.items()}
    if connection.vendor == "mysql":  # it would rather sort so few rows
        plans = {name: found for name, found in plans.items() if not name.endswith("list all")}
    assert {name: found for name, found in plans.items() if not re.search(HOT[name], indexes(found))} == {}


def test_whom_a_staff_member_is_denied_is_found_by_an_index(people: Any, long: None) -> None:
    with CaptureQueriesContext(connection) as queries:
        Event.objects.record_denied(code="x", **Event.describe(impersonator=people.sasha, user=people.bob))
    (update,) = [sql for sql in sqls(queries) if "UPDATE" in sql and OURS.search(sql)]
    assert re.search("event_(time|user|by|name|feed)", indexes(plan(update)))


@pytest.mark.parametrize("model", [ImpersonationSession, Event])
def test_the_beginning_of_an_address_is_found_by_an_index(people: Any, long: None, model: Any) -> None:
    for field, index in (("user_email", "u_email"), ("impersonator_email", "i_email")):
        with CaptureQueriesContext(connection) as queries:
            list(model.objects.order_by().filter((f"{field}__istartswith", "BOB" if field == "user_email" else "ADM")))
        assert index in indexes(plan(*sqls(queries)))


# -- so many and no more -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("base", [SESSIONS, EVENTS])
def test_a_list_counts_and_shows_so_many_and_says_so(people: Any, base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "MOST", 150)
    fill(people, 1, 149)
    ada = Browser(people.admin)
    assert "There are more" not in text(ada.get(base))
    fill(people, 150, 400)
    with CaptureQueriesContext(connection) as queries:
        response = ada.get(base)
    assert "There are more than 150, and the first 150 are listed." in text(response)
    assert response.context["cl"].result_count == 150
    counted = [sql for sql in sqls(queries) if "COUNT(" in sql and OURS.search(sql)]
    assert len(counted) == 1
    assert "LIMIT 151" in counted[0]
    last = rows(ada.get(base, {"p": 2}))
    assert [row.pk for row in last] == [
        key(base.split("/")[-2].removeprefix("impersonation"), n) for n in range(300, 250, -1)
    ]
    assert ada.get(base, {"p": 3}).status_code == 302, "no page behind it"
    assert "There are more" not in text(ada.get(base, {"user_pk": people.bob.pk}))


def test_a_search_reads_texts_of_the_newest_only(people: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "MOST", 20)
    fill(people, 1, 60)
    change = ImpersonationSession._base_manager.filter
    change(pk=key("session", 3)).update(reason="About the late invoice", user_email="Bob.Old@example.com")
    change(pk=key("session", 58)).update(reason="About a lost invoice")
    ada = Browser(people.admin)

    def found(query: str, **others: Any) -> list[str]:
        return [row.pk for row in rows(ada.get(SESSIONS, {"q": query} | others))]

    old, new = key("session", 3), key("session", 58)
    assert found("lost invoice") == found("invoice lost") == [new], "words in any order, as everywhere in the admin"
    assert found("invoice", user_pk=people.bob.pk) == [old], "the newest of what is chosen: this user has had but two"
    for beginning in ("Bob.Old@example.com", "bob.old@", "BOB.O"):
        assert found(beginning) == [old]
    assert found("old@example.com") == []
    assert found(old) == [old]
    assert found(old[:-1]) == []


def test_events_are_found_by_their_session(people: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "MOST", 5)
    fill(people, 1, 30)
    ada = Browser(people.admin)
    assert [row.pk for row in rows(ada.get(EVENTS, {"q": key("session", 7)}))] == [key("event", 7)]
    assert [row.pk for row in rows(ada.get(EVENTS, {"q": key("event", 8)}))] == [key("event", 8)]


def test_years_months_and_days_to_choose(people: Any) -> None:
    ada = Browser(people.admin)
    fill(people, 1, 3)
    for number, day in enumerate(["2023-11-30", "2024-02-29", "2024-03-01"], 1):
        change = ImpersonationSession._base_manager.filter(pk=key("session", number))
        change.update(created_at=datetime.fromisoformat(f"{day}T12:00Z"))

    year = timezone.now().year
    links = calendar(ada, "")
    assert list(links)[5:] == [str(n) for n in range(year, 2022, -1)]
    links = calendar(ada, links["2024"])
    assert [row.pk for row in rows(ada.get(SESSIONS + links["2024"]))] == [key("session", 3), key("session", 2)]
    months = list(links)[list(links).index("2024") + 1 : list(links).index("2023")]
    assert (months[0], months[-1], len(months)) == ("December 2024", "January 2024", 12)
    february = calendar(ada, links["February 2024"])
    assert len(february) == len(links) + 29
    assert [row.pk for row in rows(ada.get(SESSIONS + links["February 2024"]))] == [key("session", 2)]
    assert [row.pk for row in rows(ada.get(SESSIONS + february["February 29"]))] == [key("session", 2)]
    assert rows(ada.get(SESSIONS + february["February 28"])) == []
    assert list(calendar(ada, links["2023"]))[-2:] == ["December 2023", "November 2023"], "none before the first"


def calendar(browser: Browser, query: str) -> dict[str, str]:
    """What one may choose of the time, and where it leads."""
    changelist = browser.get(SESSIONS + query).context["cl"]
    (spec,) = [one for one in changelist.filter_specs if isinstance(one, lists.CalendarFilter)]
    return {choice["display"]: choice["query_string"] for choice in spec.choices(changelist)}


# -- purge -------------------------------------------------------------------------------------------------------


def test_purge_reads_and_deletes_in_batches(people: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever joins another table or deletes names the keys of one batch; no batch begins at the beginning again."""
    monkeypatch.setattr("django_impersonation.records.BATCH", 10)
    fill(people, 1, 35)
    old = {"created_at": moment(1), "expires_at": moment(1), "session_id": key("session", 1)}
    AuthorizationCode.objects.bulk_create(AuthorizationCode(digest=n, **old) for n in range(35))
    del old["expires_at"]
    RefreshToken.objects.bulk_create(RefreshToken(digest=n, **old) for n in range(35))
    with CaptureQueriesContext(connection) as queries:
        call_command("impersonation", "purge", "--keep-days", "1", stdout=StringIO())
    found = [sql for sql in sqls(queries) if "django_impersonation_" in sql]
    joined = [sql for sql in found if " JOIN " in sql]
    deleted = [sql for sql in found if sql.startswith("DELETE")]
    for sql in joined + deleted:
        assert keys_named(sql) <= 10, sql
    sizes = [keys_named(sql) for sql in deleted if "DELETE FROM" in sql]
    assert sizes.count(10) >= 12, "three whole batches of each of the four"
    begun = [sql for sql in found if "LIMIT 10" in sql and " > " not in sql.partition("WHERE")[2]]
    assert len(begun) == 4, "one for each kind"
    assert [model.objects.count() for model in (AuthorizationCode, RefreshToken, ImpersonationSession)] == [0, 0, 0]
    assert Event.objects.get().name == "impersonation.purged"


def test_a_purge_goes_on_behind_what_has_to_stay(people: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("django_impersonation.records.BATCH", 2)
    fill(people, 1, 9)
    Event._base_manager.filter(position__lte=5).update(created_at=timezone.now())
    call_command("impersonation", "purge", "--keep-days", "1", stdout=StringIO())
    kept = ImpersonationSession.objects.order_by("pk").values_list("pk", flat=True)
    assert list(kept) == [key("session", n) for n in range(1, 6)], "an event of today names them"


def keys_named(sql: str) -> int:
    (named,) = re.findall(r" IN \(([^()]*)\)", sql)
    return len(named.split(","))


# -- by its time -------------------------------------------------------------------------------------------------


def test_a_time_is_read_from_its_own_positions(people: Any, api: ApiClient) -> None:
    fill(people, 1, 200)
    sql = statements(pages(people, api)["events of a time"])[-1]
    assert re.search(r"position\W+ >= 1\b", sql)
    assert re.search(r"position\W+ <= 32\b", sql), "a day later: clocks differ"


def test_clocks_may_differ_by_hours(people: Any) -> None:
    """Servers write by turns, and one of them is ten hours ahead, another one behind."""
    fill(people, 1, 100)
    for position, minutes in ((50, 30), (70, 15)):
        Event._base_manager.filter(position=position).update(created_at=moment(60) + timedelta(minutes=minutes))
    here = Event.objects.filter(environment="production")
    found = here.between(moment(60), moment(61)).order_by("position").values_list("position", flat=True)
    assert list(found) == [50, 60, 70]
    assert not here.between(moment(200), None).exists()
    assert not here.between(None, moment(-50)).exists()


# -- the command -------------------------------------------------------------------------------------------------


def test_revoking_by_an_address_reads_no_old_sessions(people: Any) -> None:
    fill(people, 1, 30)
    with CaptureQueriesContext(connection) as queries:
        call_command("impersonation", "revoke", "--impersonator", "sasha@example.com", stdout=StringIO())
    for sql in sqls(queries):
        assert not OURS.search(sql) or "LIMIT 1" in sql or re.search(r"ended_at\W+ IS NULL", sql), sql
