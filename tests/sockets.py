"""A browser's WebSocket, as an ASGI application sees it."""

from __future__ import annotations

import json
from typing import Any

from asgiref.testing import ApplicationCommunicator

PATIENCE = 15  # seconds; a busy machine is slow, and only failures wait


class Socket(ApplicationCommunicator):
    """Opened with the cookies of a browser: a ``django.test.Client``."""

    def __init__(self, application: Any, browser: Any, *, path: str = "/ws/", **scope: Any) -> None:
        cookies = "; ".join(f"{name}={morsel.value}" for name, morsel in browser.cookies.items() if morsel.value)
        headers = [(b"host", b"testserver"), (b"cookie", cookies.encode())]
        base = {"type": "websocket", "path": path, "query_string": b"", "headers": headers, "subprotocols": []}
        super().__init__(application, base | scope)

    async def open(self) -> dict[str, Any]:
        """Shake hands; returns what the server answers."""
        await self.send_input({"type": "websocket.connect"})
        return await self.receive_output(PATIENCE)

    async def say(self, text: str = "") -> None:
        await self.send_input({"type": "websocket.receive", "text": text})

    async def hear(self) -> Any:
        message = await self.receive_output(PATIENCE)
        assert message["type"] == "websocket.send", message
        return json.loads(message["text"])

    async def ask(self) -> Any:
        await self.say("{}")
        return await self.hear()

    async def is_closed(self, code: int = 4401) -> None:
        """The server says goodbye, once, and its application ends by itself."""
        assert await self.receive_output(PATIENCE) == {"type": "websocket.close", "code": code}
        await self.ends()
        assert self.output_queue.empty()

    async def leave(self) -> None:
        await self.send_input({"type": "websocket.disconnect", "code": 1001})
        await self.ends()

    async def ends(self) -> None:
        await self.wait(PATIENCE)
        assert not self.future.cancelled()  # by ``wait``, which lost its patience
