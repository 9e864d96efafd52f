"""``GET /events``: the record, for those with a key to it; and who follows its cursor misses nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from threading import Event as Flag
from typing import Any

import pytest
from django.core.management import call_command
from django.db import OperationalError, connection, connections, transaction
from django.utils import timezone

from django_impersonation import flows
from django_impersonation.api import authentication, urls
from django_impersonation.models import Configuration, Event, ImpersonationSession
from django_impersonation.records import purge, timestamp
from tests.abuse.racing import race
from tests.api.client import ApiClient, bearer
from tests.people import Browser

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("direct")]

EVENTS = "/events"
CREATED, REVOKED = "session.created", "session.revoked"
EVERYTHING = ",".join(Event.Name.values)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def record(name: str = CREATED, **fields: Any) -> Event:
    with transaction.atomic():
        return Event.objects.record(name, **fields)


def recorded(count: int, **fields: Any) -> list[str]:
    """The ids of as many new events."""
    return [record(**fields).pk for _ in range(count)]


def ask(api: ApiClient, events: Any = CREATED, *, key: str | None = None, **query: Any) -> Any:
    return api.with_key("get", EVENTS, key=key, data={"events": events} | query)


def ids(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.content
    return [event["id"] for event in answer.json()["data"]]


def cursor(answer: Any) -> str | None:
    (after,) = answer.json()["list_metadata"].values()
    return after  # type: ignore[no-any-return]


def is_unprocessable(answer: Any) -> bool:
    assert answer.status_code == 422, answer.content
    assert set(answer.json()) == {"code", "message"}
    return bool(answer.json()["code"] == "invalid_request_parameters")


def in_order() -> list[str]:
    """The ids of all events, as they were committed."""
    return list(Event.objects.order_by("position").values_list("pk", flat=True))


class Reader:
    """A collector of logs: it keeps the id that it saw last, and asks for what is after it."""

    def __init__(self, *, limit: int = 2) -> None:
        self.api, self.limit, self.seen = ApiClient(), limit, list[str]()

    def follow(self) -> list[str]:
        """Page by page until there is no other; returns all that was seen so far."""
        more: str | None = "yes"
        while more is not None:
            after = {"after": self.seen[-1]} if self.seen else {}
            answer = ask(self.api, EVERYTHING, limit=self.limit, **after)
            self.seen += ids(answer)
            more = cursor(answer)
            assert more in (None, self.seen[-1] if self.seen else None)
        return list(self.seen)


@contextmanager
def uncommitted(deed: Callable[[], Any], *, rolled_back: bool = False) -> Iterator[None]:
    """``deed`` is done in another connection, whose transaction stays open until this block is left."""
    done, leave = Flag(), Flag()

    def run() -> None:
        try:
            with transaction.atomic():
                deed()
                done.set()
                assert leave.wait(60)
                transaction.set_rollback(rolled_back)
        finally:
            done.set()
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(run)
        try:
            assert done.wait(60)
            yield
        finally:
            leave.set()
    future.result()


@contextmanager
def impatient() -> Iterator[None]:
    """Here this connection waits for a lock as shortly as its database lets it."""
    shortly, usual = {
        "postgresql": ("SET lock_timeout = '50ms'", "RESET lock_timeout"),
        "mysql": ("SET innodb_lock_wait_timeout = 1", "SET innodb_lock_wait_timeout = DEFAULT"),
        "sqlite": ("PRAGMA busy_timeout = 50", "PRAGMA busy_timeout = 30000"),
    }[connection.vendor]
    with connection.cursor() as db:
        db.execute(shortly)
        yield
        db.execute(usual)


def begun(people: Any, user: Any) -> ImpersonationSession:
    flows.switch(True)
    answer = ApiClient().start(Browser(people.sasha), user)
    return ImpersonationSession.objects.get(user_pk=answer["user"]["id"])


def a_start(people: Any) -> Callable[[], Any]:
    code = Browser(people.sasha).code(people.dave)
    return lambda: ApiClient().redeem(code)


def an_end(people: Any) -> Callable[[], Any]:
    session = begun(people, people.dave)
    return lambda: session.end("revoked")


def a_revocation(people: Any) -> Callable[[], Any]:
    body = {"session_id": begun(people, people.dave).pk}
    sent = {"data": body, "content_type": "application/json"}
    return lambda: ApiClient().with_key("post", "/user_management/sessions/revoke", **sent)


def a_request(people: Any) -> Callable[[], Any]:
    browser = Browser(people.sasha)
    return lambda: browser.code(people.dave)


def a_refusal(people: Any) -> Callable[[], Any]:
    browser = Browser(people.noor)
    return lambda: browser.authorize(people.dave)


def a_refusal_like_one_before(people: Any) -> Callable[[], Any]:
    """Counted in a row that is there: it writes no event, but takes its turn like one."""
    a_refusal(people)()
    return a_refusal(people)


def the_switch(people: Any) -> Callable[[], Any]:
    begun(people, people.dave)
    return lambda: flows.switch(False)


WRITERS = [a_start, an_end, a_revocation, a_request, a_refusal, a_refusal_like_one_before, the_switch]


@pytest.fixture
def switchable(settings: Any) -> None:
    settings.IMPERSONATION_ENABLED = None


# ABUSE 96
@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("switchable")
@pytest.mark.parametrize("writer", WRITERS, ids=[writer.__name__ for writer in WRITERS])
def test_nobody_records_an_event_before_an_open_transaction_that_has_recorded_one(
    people: Any, writer: Callable[[Any], Callable[[], Any]]
) -> None:
    flows.switch(True)
    deed, reader = writer(people), Reader()
    before = reader.follow()
    assert before == in_order()
    with uncommitted(deed):
        with impatient(), pytest.raises(OperationalError):
            record()
        assert reader.follow() == before
    after = reader.follow()
    assert after == in_order()
    assert len(after) > len(before) or writer is a_refusal_like_one_before
    last = record().pk
    assert reader.follow() == [*after, last]


# ABUSE 96
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("rolled_back", [False, True])
@pytest.mark.parametrize("has_read", [False, True])
def test_an_event_that_had_to_wait_comes_after_what_it_waited_for(rolled_back: bool, has_read: bool) -> None:
    """Also one whose transaction has looked at the events before: it takes its position when it is its turn."""
    record(code="first")
    reader, under_way = Reader(), Flag()
    reader.follow()

    def later() -> str:
        try:
            with transaction.atomic():
                if has_read:
                    assert [event.code for event in Event.objects.all()] == ["first"]
                under_way.set()
                Event.objects.record(CREATED, code="later")
            return "committed"
        except OperationalError:
            return "refused"
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        with uncommitted(lambda: Event.objects.record(CREATED, code="late"), rolled_back=rolled_back):
            outcome = pool.submit(later)
            assert under_way.wait(60)
            for _ in range(5):
                assert len(reader.follow()) == 1
        # SQLite lets nobody write who has read what is being changed: a clean error.
        assert outcome.result() == "committed" or (has_read and connection.vendor == "sqlite")
    expected = ["first", "late", "later"]
    if rolled_back:
        expected.remove("late")
    if outcome.result() == "refused":
        expected.remove("later")
    found = {event.pk: event.code for event in Event.objects.all()}
    assert [found[pk] for pk in reader.follow()] == expected


class Undone(Exception):
    pass


# ABUSE 96
@pytest.mark.django_db(transaction=True)
def test_a_reader_who_pages_all_the_time_sees_each_event_once(people: Any) -> None:
    """Four who write, from the very first event on: some of it is undone, some of it only counted."""
    assert not Configuration.objects.exists()
    deed, reader = Event.describe(impersonator=people.noor, user=people.dave), Reader(limit=3)

    def write(writer: int) -> None:
        for n in range(12):
            with suppress(Undone), transaction.atomic():
                Event.objects.record(Event.Name.values[n % 4], code=f"{writer}.{n}")
                Event.objects.filter(code="nothing").first()  # it has other things to do as well
                if n % 4 == 3:
                    raise Undone
            if n % 6 == 5:
                Event.objects.record_denied(code=f"by {writer}", **deed)

    def read(writers: list[Any]) -> None:
        while not all(future.done() for future in writers):
            reader.follow()

    def closing(step: Callable[[], None]) -> None:
        try:
            step()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        writers = [pool.submit(closing, lambda w=w: write(w)) for w in range(4)]
        read(writers)
    for future in writers:
        future.result()
    reader.follow()
    codes = {event.pk: event.code for event in Event.objects.all()}
    written = [f"{writer}.{n}" for writer in range(4) for n in range(12) if n % 4 != 3]
    assert sorted(codes[pk] for pk in reader.seen) == sorted([*written, *(f"by {w}" for w in range(4))])
    assert reader.seen == in_order()


# ABUSE 96
@pytest.mark.django_db(transaction=True)
def test_the_very_first_events_are_in_order_too() -> None:
    for _ in range(3):
        purge(Event.objects.all())
        Configuration.objects.all().delete()
        race(*([record] * 8))
        assert list(Event.objects.order_by("position").values_list("position", flat=True)) == list(range(1, 9))
        assert Reader().follow() == in_order()


def test_the_object_of_an_event(api: ApiClient, sasha: Browser, people: Any) -> None:
    api.defaults["REMOTE_ADDR"], api.defaults["HTTP_USER_AGENT"] = "203.0.113.7", "SDK/1.0"
    api.start(sasha, people.bob, organization=people.acme)
    session, event = ImpersonationSession.objects.get(), Event.objects.get(name=CREATED)
    answer = ask(api)
    assert answer.json() == {
        "object": "list",
        "data": [
            {
                "object": "event",
                "id": event.pk,
                "event": "session.created",
                "created_at": timestamp(event.created_at),
                "context": {},
                "data": {
                    "object": "session",
                    "id": session.pk,
                    "user_id": str(people.bob.pk),
                    "organization_id": str(people.acme.pk),
                    "impersonator": {"email": "sasha@example.com", "reason": "Ticket 4711"},
                    "ip_address": "203.0.113.7",
                    "user_agent": "SDK/1.0",
                    "auth_method": "impersonation",
                    "status": "active",
                    "expires_at": timestamp(session.expires_at),
                    "ended_at": None,
                    "created_at": timestamp(session.created_at),
                    "updated_at": timestamp(session.created_at),
                },
            }
        ],
        "list_metadata": {"after": None},
    }
    assert event.pk.startswith("event_")
    assert session.pk.startswith("session_")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", timestamp(event.created_at))
    assert answer["Content-Type"] == "application/json"
    assert answer["Cache-Control"] == "no-store"


def test_what_is_not_applicable_is_left_out_of_a_session(api: ApiClient, sasha: Browser, people: Any) -> None:
    api.start(sasha, people.dave)
    session = ask(api).json()["data"][0]["data"]
    assert "organization_id" not in session
    assert session["user_agent"] is None


def test_a_start_shows_the_session_as_it_began_and_an_end_as_it_ended(
    api: ApiClient, sasha: Browser, people: Any
) -> None:
    api.start(sasha, people.dave)
    ImpersonationSession.objects.get().end("stopped")
    session = ImpersonationSession.objects.get()
    start, end = (event["data"] for event in ask(api, f"{CREATED},{REVOKED}").json()["data"])
    same = {"id": session.pk, "user_id": str(people.dave.pk), "expires_at": timestamp(session.expires_at)}
    assert same.items() <= start.items()
    assert same.items() <= end.items()
    created, ended = timestamp(session.created_at), timestamp(session.ended_at)
    assert (start["status"], start["ended_at"], start["updated_at"]) == ("active", None, created)
    assert (end["status"], end["ended_at"], end["updated_at"]) == ("revoked", ended, ended)
    assert start["created_at"] == end["created_at"] == created


def test_a_session_that_has_expired_says_so_in_its_own_event(api: ApiClient, sasha: Browser, people: Any) -> None:
    api.start(sasha, people.dave)
    past = timezone.now() - timedelta(minutes=1)
    ImpersonationSession.objects.all()._amend(expires_at=past)
    (start,) = ask(api).json()["data"]
    assert start["data"]["status"] == "active"
    call_command("impersonation", "purge", verbosity=0)
    assert ids(ask(api, REVOKED)) == []
    (expired,) = ask(api, "impersonation.expired").json()["data"]
    assert (expired["data"]["status"], expired["data"]["ended_at"]) == ("expired", timestamp(past))


def test_a_deleted_user_stays_in_the_record(api: ApiClient, sasha: Browser, people: Any) -> None:
    api.start(sasha, people.dave)
    key = str(people.dave.pk)
    people.dave.delete()
    people.sasha.delete()
    (event,) = ask(api).json()["data"]
    assert event["data"]["user_id"] == key
    assert event["data"]["impersonator"]["email"] == "sasha@example.com"


def test_every_kind_is_given_by_its_name_and_ours_by_nothing_else(
    api: ApiClient, sasha: Browser, people: Any, settings: Any
) -> None:
    """A kind that an SDK does not know fails its whole page."""
    made = {name: record(name, **Event.describe(impersonator=people.sasha)).pk for name in Event.Name.values}
    for name in Event.Name.values:
        assert ids(ask(api, name)) == [made[name]]
    for asked in (f"{CREATED},{REVOKED}", "session.created,impersonation.*,session.revoked,*,impersonation,%"):
        assert ids(ask(api, asked)) == [made[CREATED], made[REVOKED]]
    (event,) = ask(api, "impersonation.enabled").json()["data"]
    assert event["data"] == {
        "object": "impersonation",
        "user_id": None,
        "impersonator": {"email": "sasha@example.com", "reason": ""},
        "code": "",
        "count": 1,
    }


def test_a_refused_attempt_says_who_whom_why_and_how_often(api: ApiClient, people: Any) -> None:
    for _ in range(3):
        assert Browser(people.noor).authorize(people.dave).status_code == 403
    (event,) = ask(api, "impersonation.denied").json()["data"]
    assert event["data"] == {
        "object": "impersonation",
        "user_id": str(people.dave.pk),
        "impersonator": {"email": "noor@example.com", "reason": ""},
        "code": "no_permission",
        "count": 3,
    }


@pytest.mark.parametrize(
    "query",
    [
        "events=session.created,session.revoked",
        "events=session.created&events=session.revoked",
        "events[]=session.created&events[]=session.revoked",
        "events%5B%5D=session.created&events%5B%5D=session.revoked",
        "events=session.created&events[]=session.revoked",
        "events=,session.created,%20session.revoked,,",
        "events=session.revoked,session.created,session.created&events=session.created",
        "events=user.created,session.created,session.revoked,x",
    ],
)
def test_the_names_come_in_every_spelling_of_a_list(api: ApiClient, query: str) -> None:
    wanted = [record(CREATED).pk, record(REVOKED).pk]
    record(Event.Name.REQUESTED)
    assert ids(api.with_key("get", f"{EVENTS}?{query}")) == wanted


@pytest.mark.parametrize("query", ["", "events=", "events=,", "events=%20,%20", "events[]=", "event=session.created"])
def test_a_reader_says_what_it_wants(api: ApiClient, query: str) -> None:
    record()
    assert is_unprocessable(api.with_key("get", f"{EVENTS}?{query}"))


@pytest.mark.parametrize(
    "name", ["user.created", "Session.Created", "session", "session.createdx", "'", "é", "x" * 999]
)
def test_a_kind_that_we_do_not_know_has_no_events(api: ApiClient, name: str) -> None:
    record()
    answer = ask(api, name)
    assert ids(answer) == []
    assert cursor(answer) is None


def test_a_page_has_ten_events_unless_the_reader_says_otherwise(api: ApiClient) -> None:
    made = recorded(101)
    assert ids(ask(api)) == made[:10]
    assert ids(ask(api, limit="1")) == made[:1]
    assert ids(ask(api, limit="100")) == made[:100]


@pytest.mark.parametrize(
    "limit", ["0", "101", "-1", "+1", "1.0", "1e1", " 1", "", "ten", "true", "٣", "²", "0x1", "9" * 5000, "1\x00"]
)
def test_a_limit_is_a_number_from_1_to_100(api: ApiClient, limit: str) -> None:
    assert is_unprocessable(ask(api, limit=limit))


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5])
def test_the_last_page_has_no_cursor_also_if_it_is_full(api: ApiClient, limit: int) -> None:
    made = recorded(4)
    pages, after = [], {}
    while len(pages) < 5:
        pages.append(answer := ask(api, limit=limit, **after))
        if cursor(answer) is None:
            break
        after = {"after": cursor(answer)}
    assert [pk for page in pages for pk in ids(page)] == made
    assert len(pages) == -(-4 // limit)
    assert all(len(ids(page)) == limit for page in pages[:-1])
    nothing = ask(api, after=made[-1])
    assert (ids(nothing), cursor(nothing)) == ([], None)
    assert ids(ask(api, after=made[-1])) == []
    new = record().pk
    assert ids(ask(api, after=made[-1])) == [new]


def test_a_cursor_is_any_event_of_this_environment(api: ApiClient) -> None:
    """The reader may have asked for other kinds when it saw it."""
    first, between, last = record(CREATED).pk, record(Event.Name.DENIED).pk, record(REVOKED).pk
    asked = f"{CREATED},{REVOKED}"
    assert ids(ask(api, asked, after=between)) == [last]
    assert ids(ask(api, asked, after=between, order="desc")) == [first]
    assert ids(ask(api, asked, after="")) == [first, last]


@pytest.mark.parametrize("change", [str.lower, lambda pk: f"{pk} ", lambda pk: f" {pk}", lambda pk: pk[:-1]])
def test_a_cursor_is_an_id_and_nothing_like_it(api: ApiClient, change: Callable[[str], str]) -> None:
    assert is_unprocessable(ask(api, after=change(record().pk)))


@pytest.mark.parametrize(
    "after", ["event_01KBBBBBBBBBBBBBBBBBBBBBBB", "1", "'", "%", "é", "x" * 5000, "a\x00", "null"]
)
def test_an_unknown_cursor_is_refused_and_not_taken_for_the_beginning(api: ApiClient, after: str) -> None:
    record()
    assert is_unprocessable(ask(api, after=after))


@pytest.mark.parametrize("before", ["{pk}", "", "x"])
def test_there_is_no_way_back_but_by_order(api: ApiClient, before: str) -> None:
    assert is_unprocessable(ask(api, before=before.format(pk=record().pk)))


def test_the_order_is_that_of_the_commits_or_the_reverse(api: ApiClient) -> None:
    """Not that of the clock, which a second server may have set otherwise, nor that of the ids."""
    times = [NOON, NOON - timedelta(hours=1), NOON + timedelta(hours=1), NOON]
    made = [record(pk=f"event_{n}", created_at=moment).pk for n, moment in zip("7294", times, strict=True)]
    assert ids(ask(api)) == ids(ask(api, order="asc")) == made
    assert ids(ask(api, order="desc")) == made[::-1]
    page = ask(api, order="desc", limit=3)
    assert (ids(page), cursor(page)) == (made[:0:-1], made[1])
    assert ids(ask(api, order="desc", after=made[1])) == [made[0]]


@pytest.mark.parametrize("order", ["", "ASC", "normal", "asc ", "position", "-pk", "?"])
def test_an_order_that_is_none_is_refused(api: ApiClient, order: str) -> None:
    assert is_unprocessable(ask(api, order=order))


@pytest.fixture
def hours(db: None) -> dict[int, str]:
    """An event at ten, one at eleven and so on."""
    return {hour: record(created_at=NOON.replace(hour=hour)).pk for hour in (10, 11, 12, 13)}


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ({"range_start": "2026-03-01T11:00:00Z"}, [11, 12, 13]),
        ({"range_start": "2026-03-01T11:00:00.001Z"}, [12, 13]),
        ({"range_start": "2026-03-01T11:00:00.000000Z"}, [11, 12, 13]),
        ({"range_end": "2026-03-01T11:00:00Z"}, [10]),
        ({"range_end": "2026-03-01T11:00:00.001Z"}, [10, 11]),
        ({"range_start": "2026-03-01T11:00:00Z", "range_end": "2026-03-01T13:00:00Z"}, [11, 12]),
        ({"range_start": "2026-03-01T13:00:00Z", "range_end": "2026-03-01T11:00:00Z"}, []),
        ({"range_start": "2026-03-01T11:00:00Z", "range_end": "2026-03-01T11:00:00Z"}, []),
        ({"range_start": "2026-03-01T14:00:00+02:00"}, [12, 13]),
        ({"range_start": "2026-03-01T06:30:00-05:30"}, [12, 13]),
        ({"range_start": "2026-03-02T01:00:00+14:00"}, [11, 12, 13]),
        ({"range_end": "2026-03-01T00:00:00-12:00"}, [10, 11]),
        ({"range_start": "0001-01-01T00:00:00Z"}, [10, 11, 12, 13]),
        ({"range_end": "0001-01-01T00:00:00Z"}, []),
        ({"range_end": "9999-12-31T23:59:59.999Z"}, [10, 11, 12, 13]),
        ({"range_start": "9999-12-31T23:59:59.999Z"}, []),
        ({"range_start": "", "range_end": ""}, [10, 11, 12, 13]),
    ],
)
def test_a_range_is_from_its_start_to_before_its_end(
    api: ApiClient, hours: dict[int, str], query: dict[str, str], wanted: list[int]
) -> None:
    assert ids(ask(api, **query)) == [hours[hour] for hour in wanted]


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Tokyo", "UTC"])
def test_a_range_means_the_same_where_times_are_naive(api: ApiClient, settings: Any, zone: str) -> None:
    settings.USE_TZ, settings.TIME_ZONE = False, zone
    made = {hour: record(created_at=timezone.make_naive(NOON.replace(hour=hour))).pk for hour in (10, 11, 12)}
    answer = ask(api, range_start="2026-03-01T11:00:00Z", range_end="2026-03-01T14:00:00+02:00")
    assert ids(answer) == [made[11]]
    assert answer.json()["data"][0]["created_at"] == "2026-03-01T11:00:00.000Z"
    for far in ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"):
        for name in ("range_start", "range_end"):
            assert ask(api, **{name: far}).status_code in (200, 422)


@pytest.mark.parametrize("name", ["range_start", "range_end"])
@pytest.mark.parametrize(
    "text",
    [
        "2026-03-01T11:00:00",
        "2026-03-01 11:00:00",
        "2026-03-01",
        "20260301",
        "11:00:00Z",
        "2026-02-30T11:00:00Z",
        "2026-13-01T11:00:00Z",
        "2026-03-01T25:00:00Z",
        "2026-03-01T11:00:00+25:00",
        "2026-03-01T11:00:00 02:00",
        "2026-03-01T11:00:00 Europe/Berlin",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-12:00",
        "10000-01-01T00:00:00Z",
        "-0001-01-01T00:00:00Z",
        "1772362800",
        "yesterday",
        "null",
        "' OR 1=1",
        "2026-03-01T11:00:00Z\x00",
        "9" * 5000,
    ],
)
def test_a_range_is_of_times_that_are_unmistakable(api: ApiClient, name: str, text: str) -> None:
    assert is_unprocessable(ask(api, **{name: text}))


def test_an_organization_has_events_of_its_own(api: ApiClient) -> None:
    """By its exact id, whatever the database takes for equal."""
    names = ["acme", "ACME", "acmé", "acme ", " acme", "acme2", "%", ""]
    made = {name: record(organization_id=name).pk for name in names}
    for name in names[:-1]:
        assert ids(ask(api, organization_id=name)) == [made[name]]
    assert ids(ask(api, organization_id="")) == list(made.values())
    assert ids(ask(api, organization_id="unknown")) == []
    assert is_unprocessable(ask(api, organization_id="acme\x00"))


def test_filters_work_together_and_a_cursor_goes_through_them(api: ApiClient) -> None:
    made = []
    for n in range(12):
        where = {"organization_id": "ab"[n % 2], "created_at": NOON + timedelta(minutes=n)}
        made.append(record((CREATED, REVOKED, Event.Name.DENIED)[n % 3], **where).pk)
    query = {"organization_id": "a", "range_start": timestamp(NOON + timedelta(minutes=1)), "limit": 1}
    first = ask(api, f"{CREATED},{REVOKED}", **query)
    second = ask(api, f"{CREATED},{REVOKED}", **query, after=cursor(first))
    third = ask(api, f"{CREATED},{REVOKED}", **query, after=cursor(second))
    assert [*ids(first), *ids(second), *ids(third)] == [made[n] for n in (4, 6, 10)]
    assert cursor(third) is None


def test_environments_are_apart(api: ApiClient, settings: Any) -> None:
    here = recorded(2)
    settings.IMPERSONATION_ENVIRONMENT = "staging"
    there = recorded(3)
    assert ids(ask(api)) == there
    assert is_unprocessable(ask(api, after=here[0]))
    settings.IMPERSONATION_ENVIRONMENT = "production"
    assert ids(ask(api)) == here
    assert is_unprocessable(ask(api, after=there[0]))
    assert ids(ask(api, after=here[0])) == [here[1]]


def test_a_purge_takes_nothing_from_a_reader_but_what_it_removes(api: ApiClient) -> None:
    old = timezone.now() - timedelta(days=9)
    gone, kept, reader = recorded(3, created_at=old), recorded(3), Reader(limit=4)
    page = ask(api, EVERYTHING, limit=4)
    reader.seen = ids(page)
    call_command("impersonation", "purge", "--keep-days", "1", verbosity=0)
    purged = Event.objects.get(name=Event.Name.PURGED).pk
    assert reader.follow() == [*gone, *kept, purged]
    assert Reader().follow() == [*kept, purged]


def test_a_reader_whose_cursor_was_purged_is_told_so(api: ApiClient) -> None:
    """It would not know whether it has missed any; by a time it finds what is left."""
    old = timezone.now() - timedelta(days=9)
    gone, kept = recorded(2, created_at=old), recorded(2)
    call_command("impersonation", "purge", "--keep-days", "1", verbosity=0)
    assert is_unprocessable(ask(api, after=gone[-1]))
    assert ids(ask(api, range_start=timestamp(old))) == kept


def test_an_event_whose_session_is_gone_is_told_without_it(api: ApiClient, sasha: Browser, people: Any) -> None:
    """No purge of ours does it; the page must not fail for it."""
    api.start(sasha, people.bob, organization=people.acme)
    purge(ImpersonationSession.objects.all())
    api.start(sasha, people.dave)
    first, second = ask(api).json()["data"]
    assert first["data"] == {
        "object": "impersonation",
        "user_id": str(people.bob.pk),
        "organization_id": str(people.acme.pk),
        "impersonator": {"email": "sasha@example.com", "reason": "Ticket 4711"},
        "code": "",
        "count": 1,
    }
    assert second["data"]["object"] == "session"


def test_a_page_costs_two_queries_whatever_is_on_it(
    api: ApiClient, sasha: Browser, people: Any, django_assert_num_queries: Any
) -> None:
    for user in (people.dave, people.carol, people.dave):
        api.start(sasha, user)
    session = ImpersonationSession.objects.first()
    made = recorded(100, session=session, user=people.dave, impersonator=people.sasha)
    for limit in (1, 10, 100):
        with django_assert_num_queries(1):
            assert len(ids(ask(api, limit=limit))) == limit
        with django_assert_num_queries(2):
            assert len(ids(ask(api, limit=limit, after=made[0]))) == min(limit, 99)


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_events_are_read_only(api: ApiClient, method: str) -> None:
    record()
    answer = api.with_key(method, f"{EVENTS}?events=session.created")
    assert (answer.status_code, answer["Allow"]) == (405, "GET, HEAD, OPTIONS")
    assert answer.json()["code"] == "method_not_allowed"
    assert Event.objects.count() == 1


KEY = "key_of_events_" + "e" * 32
METHODS = ["get", "post", "put", "patch", "delete", "options", "head"]
# Their clients authenticate themselves by other means, or need not.
OPEN = {"authenticate", "authorize", "logout", "jwks", None}
ENDPOINTS = {
    pattern.name: re.sub("<[^>]+>", "x", f"/{pattern.pattern}") if pattern.name else "/user_management/x"
    for pattern in urls.urlpatterns
}
WRONG = [
    {},
    {"Authorization": ""},
    {"Authorization": "Bearer"},
    {"Authorization": "Bearer "},
    {"Authorization": "Bearer wrong"},
    {"Authorization": "{key}"},
    {"Authorization": "Bearer{key}"},
    {"Authorization": "Bearer {key}x"},
    {"Authorization": "Bearer {key} x"},
    {"Authorization": "Bearer {key},{key}"},
    {"Authorization": 'Bearer "{key}"'},
    {"Authorization": "Token {key}"},
    {"Authorization": "Basic {key}"},
    {"Authorization": "Basic a2V5Og=="},
    {"Authorization": "Digest username={key}"},
    {"Authorization": "Bearer ключ"},
    {"Authorization": "Bearer None"},
    {"Authorization": "Bearer client_demo"},
    {"X-Api-Key": "{key}"},
    {"Cookie": "Authorization=Bearer {key}"},
]


def wrong_ones(key: str) -> list[dict[str, str]]:
    return [{name: value.format(key=key) for name, value in headers.items()} for headers in WRONG]


def is_unauthorized(answer: Any) -> bool:
    assert answer.status_code == 401, (answer.status_code, answer.content)
    assert answer["WWW-Authenticate"] == "Bearer"
    assert answer["Cache-Control"] == "no-store"
    return not answer.content or bool(answer.json() == {"message": "Unauthorized"})


def test_what_is_open_is_open_on_purpose() -> None:
    protected = {name for name in ENDPOINTS if name not in OPEN}
    assert {"events", "users", "user", "memberships", "organization", "user_sessions", "revoke_session"} <= protected
    assert set(ENDPOINTS) >= OPEN


# ABUSE 94
@pytest.mark.parametrize("name", ENDPOINTS)
@pytest.mark.parametrize("method", METHODS)
def test_every_endpoint_wants_the_key(
    api: ApiClient, sasha: Browser, settings: Any, django_assert_num_queries: Any, method: str, name: str | None
) -> None:
    """Whoever has none learns nothing, not even which methods there are, and costs no query."""
    settings.IMPERSONATION_EVENTS_KEY = KEY
    if name in OPEN:
        bare, with_it = (getattr(api, method)(ENDPOINTS[name], headers=h) for h in ({}, bearer(KEY)))
        assert (bare.status_code, bare.content) == (with_it.status_code, with_it.content)
        return
    for headers in wrong_ones(settings.IMPERSONATION_API_KEY) + [bearer(KEY)] * (name != "events"):
        with django_assert_num_queries(0):
            assert is_unauthorized(getattr(api, method)(ENDPOINTS[name], headers=headers)), headers
    assert is_unauthorized(getattr(sasha, method)(ENDPOINTS[name]))
    query = f"?api_key={settings.IMPERSONATION_API_KEY}&access_token={settings.IMPERSONATION_API_KEY}"
    assert is_unauthorized(getattr(api, method)(ENDPOINTS[name] + query))
    assert api.with_key(method, ENDPOINTS[name]).status_code != 401


# ABUSE 94
def test_the_events_key_opens_the_events_and_the_api_key_as_well(api: ApiClient, settings: Any) -> None:
    settings.IMPERSONATION_EVENTS_KEY = KEY
    made = record().pk
    assert ids(ask(api, key=KEY)) == ids(ask(api)) == [made]
    for headers in wrong_ones(KEY):
        assert is_unauthorized(api.get(f"{EVENTS}?events=session.created", headers=headers))


# ABUSE 94
@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR"])
def test_the_scheme_may_be_written_in_any_case(api: ApiClient, settings: Any, scheme: str) -> None:
    """RFC 9110 section 11.1."""
    answer = api.get(
        f"{EVENTS}?events=session.created", headers={"Authorization": f"{scheme} {settings.IMPERSONATION_API_KEY}"}
    )
    assert ids(answer) == []


# ABUSE 94
@pytest.mark.parametrize("empty", ["", None, "absent"])
@pytest.mark.parametrize("name", ["IMPERSONATION_API_KEY", "IMPERSONATION_EVENTS_KEY"])
def test_a_key_that_is_not_configured_is_nobodys(api: ApiClient, settings: Any, name: str, empty: str | None) -> None:
    """``os.environ.get`` of what is missing is None, which must not become a key of four letters."""
    other = {"IMPERSONATION_API_KEY", "IMPERSONATION_EVENTS_KEY"} - {name}
    setattr(settings, other.pop(), KEY)
    setattr(settings, name, empty)
    if empty == "absent":
        delattr(settings, name)
    headers = [{}, *({"Authorization": f"Bearer {key}"} for key in ("", " ", "None", "none", "null", "absent"))]
    for given in headers:
        for path in ENDPOINTS.values():
            status = api.get(path, headers=given).status_code
            assert status == 401 or path in (ENDPOINTS[name] for name in OPEN), (path, given)
    assert ids(ask(api, key=KEY)) == []


# ABUSE 94
@pytest.mark.parametrize("verdict", [True, False])
def test_keys_are_compared_in_constant_time_and_by_nothing_else(
    monkeypatch: pytest.MonkeyPatch, api: ApiClient, settings: Any, verdict: bool
) -> None:
    """Django's ``constant_time_compare`` alone decides: what it says is so, of a right key and of a wrong one."""
    compared: list[tuple[Any, Any]] = []

    def compare(given: Any, configured: Any) -> bool:
        compared.append((given, configured))
        return verdict

    settings.IMPERSONATION_EVENTS_KEY = KEY
    monkeypatch.setattr(authentication, "constant_time_compare", compare)
    right = settings.IMPERSONATION_API_KEY
    for given in (right, KEY, "wrong", "x" * 5000):
        compared.clear()
        assert (ask(api, key=given).status_code == 200) is verdict
        assert compared == [(given.encode(), right), (given.encode(), KEY)][: 1 if verdict else 2]
        compared.clear()
        assert (api.with_key("get", "/user_management/users", key=given).status_code == 200) is verdict
        assert compared == [(given.encode(), right)]
