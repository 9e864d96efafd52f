"""What a view-only session leaves behind in the database: nothing of its view's, and a connection like any other."""

from __future__ import annotations

import asyncio
import logging
from contextlib import closing, suppress
from contextvars import copy_context
from copy import deepcopy
from threading import Barrier
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.core.checks import run_checks
from django.db import DatabaseError, OperationalError, connection, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import AsyncClient
from django.urls import path
from django.utils.functional import SimpleLazyObject

from django_impersonation import readonly
from django_impersonation.exceptions import WriteRefused
from django_impersonation.models import Activity, Event
from example_project.shop.models import User
from tests.abuse.racing import race
from tests.people import Browser
from tests.urls import urlpatterns as pages

try:
    from psycopg import sql
except ImportError:
    sql = None  # type: ignore[assignment]

POSTGRESQL = connection.vendor == "postgresql"
on_postgresql = pytest.mark.skipif(not POSTGRESQL, reason="what only PostgreSQL has")
contexts: list[Any] = []
reached = asyncio.Event()
together = Barrier(2)


def update(using: str = "default") -> None:
    User.objects.using(using).update(name="Changed")


def changed() -> bool:
    return User.objects.filter(name="Changed").exists()


def asks(request: HttpRequest) -> dict[str, Any]:
    return {"users": User.objects.count()}


def execute(sql: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)


def drivers_own(alias: str) -> None:
    connections[alias].ensure_connection()
    cursor = connections[alias].connection.cursor()
    cursor.execute("UPDATE shop_user SET name = 'Changed'")
    cursor.close()


def on_commit(request: HttpRequest) -> None:
    transaction.on_commit(update)


def on_commit_within(request: HttpRequest) -> None:
    with transaction.atomic():
        transaction.on_commit(update)


def on_commit_drivers_own(request: HttpRequest) -> None:
    transaction.on_commit(lambda: execute("SELECT changes_names()"))


def composed(request: HttpRequest) -> None:
    execute(sql.SQL("UPDATE {} SET name = 'Changed'").format(sql.Identifier("shop_user")))


def undone_by_its_driver(request: HttpRequest) -> None:
    with closing(connection.connection.cursor()) as cursor:
        cursor.execute("SET TRANSACTION READ WRITE")
        cursor.execute("UPDATE shop_user SET name = 'Changed'")


# How each database's own read-only mode would end.
UNDONE = {
    "postgresql": 'SET "transaction_read_only" = off',
    "sqlite": "PRAGMA query_only(table_info)",
    "mysql": "SET `autocommit` = 1",
}
REFUSED = {
    "on commit": on_commit,
    "on commit, of a transaction": on_commit_within,
    "another alias": lambda request: update("other"),
    "another alias, by its driver": lambda request: (User.objects.using("other").count(), drivers_own("other")),
    "ended transaction": lambda request: execute("COMMIT"),
    "undone mode": lambda request: execute("SET TRANSACTION READ WRITE"),
    "undone mode, by its other name": lambda request: (execute(UNDONE[connection.vendor]), drivers_own("default")),
    "bytes": lambda request: execute(
        b"UPDATE shop_user SET name = 'Changed'" if POSTGRESQL else "DROP TABLE shop_user"
    ),
}
ONLY_POSTGRESQL = {
    "function": lambda request: execute("SELECT changes_names()"),
    "function, on commit": on_commit_drivers_own,
    "nextval": lambda request: execute("SELECT nextval('names')"),
    "setval": lambda request: execute("SELECT setval('names', 100)"),
    "SELECT INTO": lambda request: execute("SELECT * INTO copied FROM shop_user"),
    "COPY": lambda request: execute("COPY shop_user (name) FROM STDIN"),
    "driver's COPY": lambda request: connection.cursor().cursor.copy("COPY shop_user (name) FROM STDIN").__enter__(),
    "composed": composed,
    "bytes": lambda request: execute(b"UPDATE shop_user SET name = 'Changed'"),
    "undone by its driver": undone_by_its_driver,
    "undone by a function": lambda request: execute("SELECT set_config('transaction_read_only', 'off', false)"),
}
LEFT = {
    "nothing asked": lambda request: None,
    "an error": lambda request: 1 // 0,
    "an error of the database": lambda request: execute("SELECT nothing FROM nowhere"),
    "a refusal": lambda request: update(),
    "its end": lambda request: (_ for _ in ()).throw(SystemExit),
    "a closed connection": lambda request: connection.close(),
}


def durable(request: HttpRequest) -> None:
    with transaction.atomic(durable=not connection.settings_dict["ATOMIC_REQUESTS"]):
        assert User.objects.count() == 7
        with transaction.atomic():
            assert User.objects.count() == 7


def goes_on(request: HttpRequest) -> None:
    """Whoever fails to write a "last seen" shows the page all the same."""
    for _ in range(2):
        try:
            update()
        except WriteRefused:
            assert User.objects.count() == 7


def goes_on_after_a_transaction(request: HttpRequest) -> None:
    if connection.settings_dict["ATOMIC_REQUESTS"]:  # then it is a part of the view's, which Django holds for broken
        return
    with suppress(WriteRefused):
        request.user.groups.set([1])  # type: ignore[union-attr]  # a transaction without a savepoint
    assert User.objects.count() == 7


def reads_on_commit(request: HttpRequest) -> None:
    transaction.on_commit(lambda: request.session.update({"committed": User.objects.count()}))


def saves_session(request: HttpRequest) -> None:
    request.session["seen"] = request.session.get("seen", 0) + 1


def lazy_user(request: HttpRequest) -> None:
    """Some packages put one in the place of the user."""
    key = request.user.pk
    request.user = SimpleLazyObject(lambda: User.objects.get(pk=key))  # type: ignore[assignment]
    assert User.objects.count() == 7


def iterates(request: HttpRequest) -> None:
    assert len(list(User.objects.order_by("pk").iterator(chunk_size=2))) == 7


READ = {
    "durable": durable,
    "goes on": goes_on,
    "goes on after a transaction": goes_on_after_a_transaction,
    "reads": reads_on_commit,
    "lazy": lazy_user,
    "iterates": iterates,
}


def page(step: Any) -> Any:
    def view(request: HttpRequest) -> HttpResponse:
        step(request)
        return HttpResponse("done")

    return view


def remember(request: HttpRequest) -> HttpResponse:
    contexts.append(copy_context())
    return HttpResponse("done")


def stream(request: HttpRequest) -> StreamingHttpResponse:
    def body() -> Any:
        with transaction.atomic(), transaction.atomic():
            for user in User.objects.order_by("email").iterator(chunk_size=2):
                yield user.email.encode()

    return StreamingHttpResponse(body())


def waits(request: HttpRequest) -> HttpResponse:
    """Runs while somebody else's request does."""
    together.wait(60)
    try:
        User.objects.filter(email=request.user.email).update(card_number=request.GET["to"])
    finally:
        together.wait(60)
    return HttpResponse("done")


async def hangs(request: HttpRequest) -> HttpResponse:
    assert await sync_to_async(User.objects.count)() == 7
    reached.set()
    await asyncio.Event().wait()
    return HttpResponse("done")


urlpatterns = [
    *(path(f"{name}/", page(step)) for name, step in (REFUSED | ONLY_POSTGRESQL | LEFT | READ).items()),
    path("saves-session/", page(saves_session)),
    path("remember/", remember),
    path("stream/", stream),
    path("waits/", waits),
    path("hangs/", hangs),
    *pages,
]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__)]


@pytest.fixture
def viewing(people: Any) -> Browser:
    sasha = Browser(people.sasha, raise_request_exception=False)
    sasha.start(people.dave, access="view_only")
    contexts.clear()
    return sasha


@pytest.fixture
def other(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A second connection to the same database, under another name."""
    monkeypatch.setitem(connections.settings, "other", dict(connection.settings_dict))
    # pytest's own refuses connections that the settings do not know.
    monkeypatch.setattr(BaseDatabaseWrapper, "ensure_connection", lambda self: self.connection or self.connect())
    yield connections["other"]
    connections["other"].close()
    del connections["other"]


@pytest.fixture
def atomic(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", request.param)


both = pytest.mark.parametrize("atomic", [False, True], ids=["autocommit", "ATOMIC_REQUESTS"], indirect=True)


def is_like_any_other() -> None:
    """No transaction is open, and what comes next may write."""
    assert not connection.in_atomic_block
    assert connection.get_autocommit()
    User.objects.filter(email="eve@example.com").update(card_number="4711")
    assert User.objects.get(email="eve@example.com").card_number == "4711"


@both
@pytest.mark.parametrize("way", REFUSED)
def test_nothing_is_written(viewing: Browser, other: Any, atomic: None, way: str) -> None:
    answer = viewing.get(f"/{way}/")
    assert (answer.status_code, changed()) == (403, False)
    assert "view only" in answer.content.decode()
    assert Event.objects.get(name="impersonation.denied").code == "view_only"
    assert Activity.objects.latest("pk").status == 403
    is_like_any_other()


@on_postgresql
@both
@pytest.mark.parametrize("way", ONLY_POSTGRESQL)
def test_nothing_is_written_by_what_words_do_not_show(viewing: Browser, atomic: None, way: str, settings: Any) -> None:
    """And the page that says so may ask the database."""
    settings.TEMPLATES = deepcopy(settings.TEMPLATES)
    settings.TEMPLATES[0]["OPTIONS"]["context_processors"].append(f"{__name__}.asks")
    execute("CREATE SEQUENCE names")
    execute(
        "CREATE FUNCTION changes_names() RETURNS int LANGUAGE sql AS"
        " $$ UPDATE shop_user SET name = 'Changed' RETURNING 1 $$"
    )
    try:
        answer = viewing.get(f"/{way}/")
        assert not changed()
        assert answer.status_code == (500 if "undone" in way else 403), answer.content
        is_like_any_other()
    finally:
        execute("DROP FUNCTION changes_names(); DROP SEQUENCE names")


@both
@pytest.mark.parametrize("way", READ)
def test_what_reads_does(viewing: Browser, atomic: None, way: str) -> None:
    assert viewing.get(f"/{way}/").status_code == 200
    assert not changed()
    is_like_any_other()


@both
@pytest.mark.parametrize("way", LEFT)
def test_the_connection_is_like_any_other_afterwards(viewing: Browser, atomic: None, way: str) -> None:
    if way == "its end":
        with pytest.raises(SystemExit):
            viewing.get(f"/{way}/")
    else:
        status = {"nothing asked": 200, "a closed connection": 200, "a refusal": 403}.get(way, 500)
        assert viewing.get(f"/{way}/").status_code == status
    is_like_any_other()
    assert viewing.get("/saves-session/").status_code == 200
    assert viewing.get("/saves-session/").status_code == 200
    assert viewing.session["seen"] == 2
    assert not changed()


def test_no_database_is_asked_that_the_view_does_not_ask(viewing: Browser, other: Any) -> None:
    """It may be down, and of no use for this page."""
    assert viewing.get("/nothing asked/").status_code == 200
    assert other.connection is None


def test_a_client_that_has_gone_leaves_nothing(viewing: Browser) -> None:
    client = AsyncClient()
    client.cookies = viewing.cookies

    @async_to_sync
    async def story() -> None:
        task = asyncio.ensure_future(client.get("/hangs/"))
        await asyncio.wait_for(reached.wait(), 60)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    story()
    is_like_any_other()
    assert viewing.get("/saves-session/").status_code == 200


def test_what_a_view_leaves_running_is_limited_for_ever(viewing: Browser) -> None:
    """A task or a thread that carries its context goes on when the response is out."""
    assert viewing.get("/remember/").status_code == 200
    with pytest.raises(WriteRefused):
        contexts[0].run(update)
    assert contexts[0].run(User.objects.count) == 7
    assert Event.objects.get(name="impersonation.denied").code == "view_only"
    update()


def test_transactions_within_a_streamed_body(viewing: Browser) -> None:
    body = b"".join(viewing.get("/stream/"))
    assert body.startswith(b"admin@example.combob@example.com")
    is_like_any_other()


def test_two_people_at_once_do_not_disturb_each_other(viewing: Browser, people: Any) -> None:
    carol = Browser(people.carol)
    theirs, own = race(lambda: viewing.get("/waits/?to=1"), lambda: carol.get("/waits/?to=2"))
    assert (theirs.status_code, own.status_code) == (403, 200)
    people.dave.refresh_from_db()
    people.carol.refresh_from_db()
    assert (people.dave.card_number, people.carol.card_number) == (User().card_number, "2")


def test_a_database_that_cannot_be_made_read_only_is_not_asked(viewing: Browser, monkeypatch: Any) -> None:
    def fails(*args: Any) -> None:
        raise OperationalError("gone")

    monkeypatch.setattr(readonly, "_directly", fails)
    assert viewing.get("/saves-session/").status_code == 503
    monkeypatch.undo()
    assert "seen" not in viewing.session
    assert Activity.objects.get().status == 503
    is_like_any_other()


def test_while_observing_nothing_is_refused(viewing: Browser, settings: Any, caplog: Any) -> None:
    settings.IMPERSONATION_VIEW_ONLY = "observe"
    with caplog.at_level(logging.WARNING, "django_impersonation"):
        assert viewing.post("/a refusal/").content == b"done"
    assert changed()
    texts = [record.getMessage() for record in caplog.records]
    assert any("would be refused: POST" in text for text in texts)
    assert any("would be refused: UPDATE shop_user" in text for text in texts)
    assert not Event.objects.filter(name="impersonation.denied")


def test_a_table_may_be_left_out(viewing: Browser, settings: Any) -> None:
    settings.IMPERSONATION_VIEW_ONLY_TABLES = ["Shop_User"]
    assert viewing.get("/a refusal/").content == b"done"
    assert changed()
    assert viewing.get("/ended transaction/").status_code == 403
    found = [message for message in run_checks() if message.id == "django_impersonation.W020"]
    assert len(found) == 1


def test_an_odd_table_left_out_opens_no_other(viewing: Browser, settings: Any) -> None:
    settings.IMPERSONATION_VIEW_ONLY_TABLES = ["shop_visit", ""]
    assert viewing.get("/a refusal/").status_code == 403
    assert not changed()


def test_errors_of_the_database_are_not_taken_for_refusals(viewing: Browser) -> None:
    assert viewing.get("/an error of the database/").status_code == 500
    assert not Event.objects.filter(name="impersonation.denied")
    with pytest.raises(DatabaseError):
        execute("SELECT nothing FROM nowhere")
