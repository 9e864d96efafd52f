"""WebSockets, in an ASGI application that is none of Channels'; with Channels: tests/recipes/channels.py."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any
from unittest import mock

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.contrib.auth.models import AnonymousUser
from django.db import DatabaseError, connection

from django_impersonation import limits, sockets, validity
from django_impersonation.activity import ActivityManager
from django_impersonation.attribution import labels
from django_impersonation.exceptions import WriteRefused
from django_impersonation.models import Activity, Event, ImpersonationSession
from django_impersonation.sockets import ImpersonationSocketMiddleware
from example_project.shop.models import User
from tests.people import Browser
from tests.sockets import Socket

pytestmark = pytest.mark.django_db
AS_BOB = ["bob@example.com", "sasha@example.com"]


class App:
    """Says who is there to whoever asks, writes down what it gets, and pushes what it is told to."""

    def __init__(self, user: Any = None) -> None:
        self.user, self.got, self.pushes = user, [], asyncio.Queue()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.named = await sync_to_async(labels)()
        scope = {"user": self.user} | scope
        pushing = asyncio.ensure_future(self.push(send))
        while True:
            message = await receive()
            self.got.append(message)
            if message["type"] == "websocket.connect":
                await send({"type": "websocket.accept"})
            elif message["type"] == "websocket.disconnect":
                if message["code"] == sockets.OVER:  # too late, but some applications do so
                    await send({"type": "websocket.close", "code": 1000})
                break
            else:
                by = scope["impersonator"]
                await send({"type": "websocket.send", "text": json.dumps([str(scope["user"]), by and by.email])})
        pushing.cancel()

    async def push(self, send: Any) -> None:
        while True:
            await send({"type": "websocket.send", "text": json.dumps(await self.pushes.get())})


@pytest.fixture(autouse=True)
def silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """So long that a test which waits for it fails."""
    monkeypatch.setattr(sockets, "SILENCE", 3600)


@pytest.fixture
def session(people: Any, sasha: Browser) -> ImpersonationSession:
    return sasha.start(people.bob, organization=people.acme)


async def opened(app: App, browser: Browser) -> Socket:
    socket = Socket(ImpersonationSocketMiddleware(app), browser)
    assert (await socket.open())["type"] == "websocket.accept"
    return socket


async def who(browser: Browser, user: Any) -> Any:
    """What the application sees, if whatever stands before ours has found this user."""
    socket = await opened(App(user), browser)
    seen = await socket.ask()
    await socket.leave()
    return seen


def test_a_socket_is_the_users_and_tagged_and_closed_at_the_end(engine: str, people: Any, sasha: Browser) -> None:
    sasha.start(people.bob, organization=people.acme)

    @async_to_sync
    async def story() -> None:
        app = App(AnonymousUser())
        socket = await opened(app, sasha)
        assert await socket.ask() == AS_BOB
        await sync_to_async(sasha.stop)()
        await socket.say("transfer everything")
        await socket.is_closed()
        assert app.got[2:] == [{"type": "websocket.disconnect", "code": 4401}]
        assert await who(sasha, people.sasha) == ["sasha@example.com", None]

    story()


def test_nothing_is_pushed_any_more(session: ImpersonationSession, sasha: Browser) -> None:
    @async_to_sync
    async def story() -> None:
        app = App()
        socket = await opened(app, sasha)
        app.pushes.put_nowait("first")
        assert await socket.hear() == "first"
        await sync_to_async(session.end)("revoked")
        app.pushes.put_nowait("second")
        app.pushes.put_nowait("third")
        await socket.is_closed()

    story()


def test_it_is_closed_once(session: ImpersonationSession, sasha: Browser) -> None:
    """Something comes in at the same time as something goes out, and both run into the end."""

    @async_to_sync
    async def story() -> None:
        app = App()
        socket = await opened(app, sasha)
        await sync_to_async(session.end)("revoked")
        app.pushes.put_nowait("news")
        await socket.say()
        await socket.is_closed()

    story()


def test_a_silent_socket_is_closed(session: ImpersonationSession, sasha: Browser, monkeypatch: Any) -> None:
    monkeypatch.setattr(sockets, "SILENCE", 0.01)

    @async_to_sync
    async def story() -> None:
        socket = await opened(App(), sasha)
        assert await socket.ask() == AS_BOB
        await sync_to_async(session.end)("revoked")
        await socket.is_closed()

    story()


# ABUSE 8
def test_the_end_of_its_time_is_noticed_and_recorded(session: ImpersonationSession, sasha: Browser) -> None:
    @async_to_sync
    async def story() -> None:
        socket = await opened(App(), sasha)
        rows = ImpersonationSession._base_manager
        await sync_to_async(rows.update)(expires_at=session.created_at)
        await socket.say()
        await socket.is_closed()

    story()
    assert Event.objects.filter(name="impersonation.expired", session=session).count() == 1


def test_a_lost_session_closes_it(session: ImpersonationSession, sasha: Browser) -> None:
    """Somebody has emptied the table of sessions: our own row knows nothing of it."""

    @async_to_sync
    async def story() -> None:
        socket = await opened(App(), sasha)
        await sync_to_async(sasha.session.flush)()
        await socket.say()
        await socket.is_closed()

    story()


@pytest.mark.parametrize("end", ["revoked", "parked session"])
def test_none_is_opened_after_the_end(session: ImpersonationSession, sasha: Browser, people: Any, end: str) -> None:
    """Neither as the user nor, where a late response brought the parked session back, as the impersonator."""
    if end == "revoked":
        session.end(end)
    else:
        marker = sasha.cookies["impersonation"].value
        sasha.cookies["sessionid"] = sasha.cookies["impersonation_return_key"].value
        assert marker == session.pk

    @async_to_sync
    async def story() -> None:
        app = App(people.sasha)
        socket = Socket(ImpersonationSocketMiddleware(app), sasha)
        assert await socket.open() == {"type": "websocket.close", "code": 4401}
        await socket.ends()
        assert app.got == []
        assert socket.input_queue.empty()  # the handshake was taken, as the specification wants it

    story()


# ABUSE 22
def test_a_planted_marker_changes_nothing(session: ImpersonationSession, people: Any) -> None:
    carol = Browser(people.carol)
    carol.cookies["impersonation"] = session.pk
    assert async_to_sync(who)(carol, people.carol) == ["carol@example.com", None]


# ABUSE 43
def test_others_cost_nothing(people: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(sockets, "_resolve", mock.Mock(side_effect=AssertionError("a thread, a query")))
    assert async_to_sync(who)(Browser(people.carol), people.carol) == ["carol@example.com", None]


def test_other_protocols_pass(sasha: Browser, session: ImpersonationSession) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)

    scope = {"type": "http", "headers": [(b"cookie", b"impersonation=" + session.pk.encode())]}
    async_to_sync(ImpersonationSocketMiddleware(app))(scope, mock.Mock(), mock.Mock())
    assert seen == [scope]
    assert seen[0] is scope


# ABUSE 45
def test_a_database_error_lets_nothing_pass(session: ImpersonationSession, sasha: Browser) -> None:
    @async_to_sync
    async def story() -> None:
        app = App()
        socket = await opened(app, sasha)
        with mock.patch.object(validity, "examine", side_effect=DatabaseError):
            await socket.say("transfer everything")
            with pytest.raises(DatabaseError):
                await socket.ends()
            another = Socket(ImpersonationSocketMiddleware(app), sasha)
            await another.send_input({"type": "websocket.connect"})
            with pytest.raises(DatabaseError):
                await another.ends()
        assert [message["type"] for message in app.got] == ["websocket.connect"]

    story()
    session.refresh_from_db()
    assert session.ended_at is None


@pytest.mark.django_db(transaction=True)
def test_a_connection_that_is_too_old_is_not_used(session: ImpersonationSession, sasha: Browser) -> None:
    """Django closes connections after requests; a socket lives on, and so might a connection that the server left."""

    @async_to_sync
    async def story() -> None:
        socket = await opened(App(), sasha)
        await sync_to_async(outlive)()
        assert await socket.ask() == AS_BOB
        assert await sync_to_async(lambda: connection.connection)() is None  # as CONN_MAX_AGE = 0 wants it
        await socket.leave()

    def outlive() -> None:
        connection.ensure_connection()
        connection.connection.close()
        connection.connection = mock.Mock()
        connection.connection.cursor.side_effect = AssertionError("the old connection")
        connection.close_at = time.monotonic()

    story()


@pytest.mark.parametrize("over", [True, False])
def test_who_leaves_is_told_nothing(session: ImpersonationSession, sasha: Browser, over: bool) -> None:
    @async_to_sync
    async def story() -> None:
        app = App()
        socket = await opened(app, sasha)
        if over:
            await sync_to_async(session.end)("revoked")
        await socket.leave()
        assert app.got[-1] == {"type": "websocket.disconnect", "code": 1001}
        assert socket.output_queue.empty()

    story()
    session.refresh_from_db()
    assert (session.ended_at is not None) == over


@pytest.mark.parametrize("leave", [True, False])
def test_an_application_may_stop_waiting(session: ImpersonationSession, sasha: Browser, leave: bool) -> None:
    """It may wait for a message with a time limit, and for the next one; when it is gone, nobody waits any more."""
    impatient = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert (await receive())["type"] == "websocket.connect"
        await send({"type": "websocket.accept"})
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(receive(), 0.01)
        impatient.set()
        if not leave:
            assert (await receive())["text"] == "hello"
        await send({"type": "websocket.close", "code": 1000})

    @async_to_sync
    async def story() -> None:
        socket = await opened(app, sasha)
        await impatient.wait()
        if not leave:
            await socket.say("hello")
        await socket.is_closed(1000)
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    story()


def test_cookies_may_come_in_several_headers(session: ImpersonationSession, sasha: Browser) -> None:
    headers = [(b"cookie", f"{name}={morsel.value}".encode()) for name, morsel in sasha.cookies.items()]

    @async_to_sync
    async def story() -> Any:
        socket = Socket(ImpersonationSocketMiddleware(App()), sasha, headers=headers)
        await socket.open()
        seen = await socket.ask()
        await socket.leave()
        return seen

    assert story() == AS_BOB


def records() -> list[Any]:
    return list(Activity.objects.values_list("method", "path", "status"))


@pytest.mark.parametrize("takes", [True, False])
def test_the_handshake_is_on_record(session: ImpersonationSession, sasha: Browser, takes: bool) -> None:
    """Before the application sees it; and once, whatever goes through it then."""
    before: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        before.extend(await sync_to_async(records)())
        await receive()
        if takes:
            await send({"type": "websocket.accept"})
            await receive()
        await send({"type": "websocket.close", "code": 1000})

    @async_to_sync
    async def story() -> None:
        socket = Socket(ImpersonationSocketMiddleware(app), sasha, query_string=b"token=4711")
        answer = await socket.open()
        assert answer["type"] == ("websocket.accept" if takes else "websocket.close")
        if takes:
            await socket.say()
            await socket.is_closed(1000)

    story()
    assert before == [("WEBSOCKET", "/ws/", None)]
    assert records() == [("WEBSOCKET", "/ws/", 101 if takes else 403)]


def test_one_that_cannot_be_put_on_record_is_not_opened(session: ImpersonationSession, sasha: Browser) -> None:
    app = App()

    @async_to_sync
    async def story() -> None:
        socket = Socket(ImpersonationSocketMiddleware(app), sasha)
        with mock.patch.object(ActivityManager, "create", side_effect=DatabaseError):
            assert await socket.open() == {"type": "websocket.close", "code": 4503}
            await socket.ends()

    story()
    assert app.got == []


def renames() -> None:
    User.objects.filter(email="eve@example.com").update(name="Changed")


def takes_over() -> None:
    User.objects.filter(email="eve@example.com").update(email="mine@example.com")


def by_its_driver() -> None:
    """What words do not show: each statement has the database's read-only mode around it."""
    with connection.cursor() as cursor, mock.patch.object(limits, "writes", return_value=()):
        cursor.execute("UPDATE shop_user SET name = 'Changed'")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("access", "step", "code"),
    [
        ("view_only", renames, "view_only"),
        ("view_only", by_its_driver, None),
        ("full", takes_over, "credential"),
        ("full", renames, ""),
    ],
)
def test_what_the_application_writes_is_limited(people: Any, access: str, step: Any, code: str | None) -> None:
    sasha = Browser(people.sasha)
    sasha.start(people.bob, organization=people.acme, access=access)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await receive()
        await sync_to_async(step)()
        await send({"type": "websocket.send", "text": '"done"'})
        await receive()

    @async_to_sync
    async def story() -> None:
        socket = Socket(ImpersonationSocketMiddleware(app), sasha)
        await socket.open()
        await socket.say()
        if code == "":
            assert await socket.hear() == "done"
            await socket.leave()
        else:
            with pytest.raises((WriteRefused, DatabaseError)):
                await socket.ends()

    before = sorted(User.objects.values_list("email", "name"))
    story()
    assert (sorted(User.objects.values_list("email", "name")) == before) is (code != "")
    assert list(Event.objects.filter(name="impersonation.denied").values_list("code", flat=True)) == [code] * bool(
        code
    )
    step()  # the same code, afterwards


@pytest.mark.django_db(transaction=True)
def test_the_end_of_a_view_only_one_is_recorded(people: Any, monkeypatch: Any) -> None:
    """Found out while its application waits: what we write then is ours."""
    sasha = Browser(people.sasha)
    session = sasha.start(people.bob, organization=people.acme, access="view_only")
    test_the_end_of_its_time_is_noticed_and_recorded(session, sasha)
    session.refresh_from_db()
    assert session.end_reason == "expired"


def test_the_code_of_a_socket_knows_by_its_context(people: Any, session: ImpersonationSession, sasha: Browser) -> None:
    async def named(browser: Browser) -> dict[str, str]:
        app = App()
        await (await opened(app, browser)).leave()
        return app.named

    assert async_to_sync(named)(sasha) == {"impersonator": "sasha@example.com", "impersonation_id": session.pk}
    assert async_to_sync(named)(Browser(people.carol)) == {}
