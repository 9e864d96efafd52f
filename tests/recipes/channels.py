"""Channels: WebSockets with the sessions of Django, and groups that push."""

from __future__ import annotations

from typing import Any
from unittest import mock

from asgiref.sync import async_to_sync, sync_to_async
from channels.auth import AuthMiddlewareStack
from channels.layers import get_channel_layer
from channels.routing import ProtocolTypeRouter, URLRouter
from shop.asgi import application
from shop.consumers import Consumer
from shop.routing import websocket_urlpatterns

from django_impersonation import sockets
from tests.projects.stories import is_over, revoke, start, stop
from tests.projects.urls import urlpatterns as base
from tests.projects.visitor import Visitor, make
from tests.sockets import Socket

urlpatterns = base


def story() -> None:
    async_to_sync(tell)(Visitor(make("agent", email="agent@example.com")), Visitor(make("bob")), Visitor(make("boss")))


async def tell(agent: Visitor, bob: Visitor, boss: Visitor) -> None:
    assert await who(application, agent) == ["agent", None]
    session = await sync_to_async(start)(agent, bob.user)
    alone = ProtocolTypeRouter({"websocket": AuthMiddlewareStack(URLRouter(websocket_urlpatterns))})
    assert await who(alone, agent) == ["AnonymousUser", None]
    assert await who(application, bob) == ["bob", None]
    assert await who(application, agent) == ["bob", "agent@example.com"]
    await pushed(agent, bob)
    session = await sync_to_async(start)(agent, bob.user)
    await silent(agent, boss, session)


async def who(application: Any, visitor: Visitor) -> Any:
    socket = await opened(application, visitor)
    said = await socket.ask()
    await socket.leave()
    assert Consumer.left.pop() == 1001
    return said


async def opened(application: Any, visitor: Visitor) -> Socket:
    socket = Socket(application, visitor)
    assert (await socket.open())["type"] == "websocket.accept"
    return socket


async def pushed(agent: Visitor, bob: Visitor) -> None:
    """What is pushed to the user reaches impersonators, and does not any more after the end."""
    with mock.patch.object(sockets, "SILENCE", 3600):
        theirs, his = await opened(application, agent), await opened(application, bob)
        await push("first")
        assert await theirs.hear() == await his.hear() == "first"
        await sync_to_async(stop)(agent, bob.user)
        await push("second")
        await theirs.is_closed()
        assert await his.hear() == "second"
        await his.leave()
    assert Consumer.left == [4401, 1001]
    Consumer.left.clear()


async def silent(agent: Visitor, boss: Visitor, session: Any) -> None:
    """A socket on which nothing happens is closed as well, and none is opened any more."""
    with mock.patch.object(sockets, "SILENCE", 0.01):
        socket = await opened(application, agent)
        assert await socket.ask() == ["bob", "agent@example.com"]
        await sync_to_async(revoke)(boss, session)
        await socket.is_closed()
    assert Consumer.left.pop() == 4401
    refused = Socket(application, agent)
    assert await refused.open() == {"type": "websocket.close", "code": 4401}
    await sync_to_async(is_over)(agent, session)
    assert await who(application, agent) == ["agent", None]


async def push(text: str) -> None:
    await get_channel_layer().group_send("all", {"type": "news", "text": text})
