"""WebSockets: one that is opened while impersonating is the user's, tagged, and closed at the end.

Plain ASGI: of Channels it needs nothing, and it works with other servers of WebSockets as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.db import connections
from django.http import HttpRequest, parse_cookie

from django_impersonation import conduct, context, flows, limits, sessions
from django_impersonation.resolution import Verdict

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

# The code of the close frame: 4000 to 4999 are for applications (RFC 6455 section 7.4.2), and 401 is what HTTP says.
OVER, UNAVAILABLE = 4401, 4503
# How a handshake is answered, as HTTP says it.
_ANSWERS = {"websocket.accept": 101, "websocket.close": 403}
# An open socket is asked about with every message in either direction, and after so many seconds of silence.
SILENCE = 10.0


class ImpersonationSocketMiddleware:
    """Stands inside of Channels' ``AuthMiddlewareStack``, which by itself sees nobody in an impersonated session.

    The scope gets ``impersonation`` and ``impersonator``, and while impersonating ``user``. The handshake is on
    record, and what the application writes is under the limits of the session. A socket without the marker cookie
    costs nothing. Guards do not reach into sockets: a consumer has to ask the scope.
    """

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "websocket":
            await self.app(scope, receive, send)
            return
        cookies = _cookies(scope)
        scope = {**scope, "impersonation": None, "impersonator": None}
        verdict, request = await _resolve(cookies) if sessions.MARKER in cookies else (Verdict.NONE, None)
        if verdict is Verdict.VALID and not await _enter(request, scope):
            await _turn_away(receive, send, UNAVAILABLE)
        elif verdict is Verdict.OVER:
            await _turn_away(receive, send, OVER)
        elif verdict is Verdict.VALID:
            scope |= {name: getattr(request, name) for name in ("impersonation", "impersonator", "user")}
            await self._serve(_Socket(request, cookies, receive, send), scope)
        else:
            await self.app(scope, receive, send)

    async def _serve(self, socket: _Socket, scope: MutableMapping[str, Any]) -> None:
        try:
            with context.acting(socket.request):
                await self.app(scope, socket.receive, socket.send)
        finally:
            socket.leave()


async def _turn_away(receive: Receive, send: Send, code: int) -> None:
    await receive()  # the handshake, which is refused
    await send({"type": "websocket.close", "code": code})


class _Socket:
    """What goes in and out of an impersonated socket: nothing, from the end of the impersonation on."""

    def __init__(self, request: Any, cookies: dict[str, str], receive: Receive, send: Send) -> None:
        self.request = request
        self._cookies, self._receive, self._send = cookies, receive, send
        self._waiting: asyncio.Future[Message] | None = None
        self._closed = False

    async def receive(self) -> Message:
        while not self._closed:
            if self._waiting is None:
                self._waiting = asyncio.ensure_future(self._receive())
            await asyncio.wait({self._waiting}, timeout=SILENCE)
            message = self._waiting.result() if self._waiting.done() and not self._closed else None
            left = message is not None and message["type"] == "websocket.disconnect"
            if (left or not await self._is_over()) and message is not None:
                self._waiting = None
                return message
        return {"type": "websocket.disconnect", "code": OVER}

    async def send(self, message: Message) -> None:
        over = self._closed if message["type"] == "websocket.close" else await self._is_over()
        if message["type"] in _ANSWERS:
            await _answered(self.request, 403 if over else _ANSWERS[message["type"]])
        if not over:
            await self._send(message)

    def leave(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()

    async def _is_over(self) -> bool:
        if not self._closed:
            verdict, _ = await _resolve(self._cookies)
            if verdict is not Verdict.VALID and not self._closed:
                self._closed = True
                self.leave()
                await self._send({"type": "websocket.close", "code": OVER})
        return self._closed


@sync_to_async
def _resolve(cookies: dict[str, str]) -> tuple[Verdict, Any]:
    """As the middleware does for a request; a socket outlives the connections that Django closes after requests."""
    request: Any = HttpRequest()
    request.COOKIES = cookies
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(cookies.get(settings.SESSION_COOKIE_NAME))
    request.user = AnonymousUser()
    with _own_work():
        return flows.resolve(request), request


@sync_to_async
def _enter(request: Any, scope: MutableMapping[str, Any]) -> bool:
    """As the middleware does before a view. Nothing is held while a socket is open: each statement is on its own."""
    request.method, request.path, request.path_info = "WEBSOCKET", scope["path"], scope["path"]
    request._impersonation_limits = limits.Limits(request, request.impersonation, by_words=False)
    request._impersonation_limits.over = True  # there is no end of a view to wait for
    with _own_work():
        return conduct.record(request, request.impersonation)


@sync_to_async
def _answered(request: Any, status: int) -> None:
    """The handshake, once: a close that comes later is another one."""
    with _own_work():
        conduct.complete(request, status)


@contextmanager
def _own_work() -> Iterator[None]:
    """Under no limits, whoever waits for it."""
    _close_old_connections()
    try:
        with context.acting(None):
            yield
    finally:
        _close_old_connections()


def _close_old_connections() -> None:
    """Django's own, but for a test's transaction."""
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close_if_unusable_or_obsolete()


def _cookies(scope: MutableMapping[str, Any]) -> dict[str, str]:
    headers = [value.decode("latin1") for name, value in scope.get("headers", ()) if name.lower() == b"cookie"]
    return parse_cookie("; ".join(headers))
