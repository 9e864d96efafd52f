"""Which request runs, for code that is not given one. Knows no models: logging is set up before they are."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import ContextVar
from functools import partial
from typing import Any

from asgiref.sync import async_to_sync

# The request that runs, or the session that a task was started under.
_acting: ContextVar[Any] = ContextVar("django_impersonation", default=None)
# A lazy user is being looked up: what that asks the database, or logs, asks again who is acting.
_asking: ContextVar[bool] = ContextVar("django_impersonation_asking", default=False)
_END = object()


def running() -> Any:
    """The request that runs; outside of one None, or the session that a task was started under."""
    return _acting.get()


class acting:  # noqa: N801  a context manager, and read as a word
    """What runs inside belongs to this request, or to this session. No generator: every request goes through it."""

    __slots__ = ("held", "token")

    def __init__(self, held: Any) -> None:
        self.held = held

    def __enter__(self) -> None:
        self.token = _acting.set(self.held)

    def __exit__(self, *error: object) -> None:
        _acting.reset(self.token)


def djangos(request: Any) -> Any:
    """Django's own request: REST framework hands views another one, around it."""
    return getattr(request, "_request", request)


def current(request: Any) -> Any:
    """The impersonation that this request acts under, or None.

    ``request.impersonation`` is what the middleware saw. Since then a view, or an authentication class of
    Django REST framework, may have made somebody else the request's user: then nobody is impersonated.
    """
    session = getattr(request, "impersonation", None)
    return session if session is not None and session.is_for(getattr(request, "user", None)) else None


def acting_session() -> Any:
    """The impersonation that the running code acts under, or None."""
    held = running()
    return session_behind(held) if hasattr(held, "impersonation") else held  # nothing, or a task's session itself


def session_behind(request: Any) -> Any:
    """As ``current``, for logs and for every statement: it raises nothing, and does not ask while it is asked.

    Another middleware may have put a lazy user on the request. While that one is loaded, and where it cannot be,
    nobody has taken over.
    """
    session = getattr(request, "impersonation", None)
    if session is None or _asking.get():
        return session
    token = _asking.set(True)
    try:
        return current(request)
    except Exception:  # noqa: BLE001  another middleware's code, for a log record or a statement of the project's
        return session
    finally:
        _asking.reset(token)


def keep_until_closed(request: Any, response: Any) -> None:
    """What a response does after the middleware has returned belongs to the request still: its body, and its end."""
    response.close = partial(_within, request, response.close)
    is_file = getattr(response, "file_to_stream", None) is not None  # which the server sends by itself
    if is_file or not response.streaming:
        return
    kept = (_akept if response.is_async else _kept)(request, response.streaming_content)
    response.streaming_content = kept
    if response.is_async:  # Django leaves these to the garbage collector, which knows no context
        response._resource_closers.append(partial(_close, kept))


def _within(request: Any, close: Callable[[], Any]) -> None:
    with acting(request):
        close()


def _close(kept: Any) -> None:
    if kept.ag_frame is not None:  # the client has gone before its end
        async_to_sync(_aclose)(kept)


async def _aclose(kept: Any) -> None:
    await kept.aclose()


def _kept(request: Any, chunks: Iterator[Any]) -> Iterator[Any]:
    while True:
        with acting(request):
            chunk = next(chunks, _END)
        if chunk is _END:
            return
        yield chunk


async def _akept(request: Any, chunks: Any) -> AsyncIterator[Any]:
    try:
        while True:
            with acting(request):
                chunk = await anext(chunks, _END)
            if chunk is _END:
                return
            yield chunk
    finally:
        with acting(request):
            await chunks.aclose()
