"""The connection under a WebSocket, where uvicorn has it."""

from __future__ import annotations

import asyncio
from functools import lru_cache
from typing import Any

from labthings.routes.http import Receive

WHOLE_TEXT = 0x81
LONGEST_SHARED = 100_000  # characters of a text whose frame is kept for the next client
LINGER_SECONDS = 0.3
GLANCE_SECONDS = 0.3
NEEDED = ("conn", "transport", "writable")


class Wire:
    """Sends texts to a client at once, if it can take them: that costs a third of what it costs to wake a task for it.

    With another server than uvicorn, or if frames are compressed for each client, it is never ready.

    :param receive: the ASGI callable of a WebSocket that has been accepted.
    """

    def __init__(self, receive: Receive) -> None:
        protocol: Any = getattr(receive, "__self__", None)
        is_known = all(hasattr(protocol, each) for each in NEEDED)
        is_plain = is_known and getattr(protocol.conn, "extensions", None) == []  # wsproto's connections have none
        self._protocol = protocol
        self._transport: asyncio.Transport | None = protocol.transport if is_known else None
        self._open_state = protocol.conn.state if is_plain else None

    @property
    def is_ready(self) -> bool:
        """Whether the client has taken so much of what it was sent that it can be sent more at once."""
        return (
            self._open_state is not None
            and self._protocol.writable.is_set()
            and self._protocol.conn.state is self._open_state
            and not self._protocol.transport.is_closing()
        )

    def write(self, text: str) -> None:
        """Send a text, when the wire is ready."""
        frame = _shared_frame(text) if len(text) < LONGEST_SHARED else _frame(text)
        self._protocol.transport.write(frame)

    @property
    def is_closing(self) -> bool:
        """Whether nothing can be sent any more, as far as that is known."""
        return self._transport is not None and self._transport.is_closing()

    async def closing(self) -> None:
        """Wait until nothing can be sent any more, for when that is not received, as other messages come before it."""
        while not self.is_closing:  # noqa: ASYNC110 - a transport tells nobody of it
            await asyncio.sleep(GLANCE_SECONDS)

    async def cut(self) -> None:
        """End the connection, once the client has had a little time to take what it was sent."""
        if self._transport is not None and self._transport.get_write_buffer_size():
            await asyncio.sleep(LINGER_SECONDS)
            if self._transport.get_write_buffer_size():
                self._transport.abort()


def _frame(text: str) -> bytes:
    """A text as a frame of RFC 6455, as servers send it: whole, and not masked."""
    data = text.encode()
    size = len(data)
    if size < 126:
        return bytes((WHOLE_TEXT, size)) + data
    if size < 2**16:
        return bytes((WHOLE_TEXT, 126)) + size.to_bytes(2, "big") + data
    return bytes((WHOLE_TEXT, 127)) + size.to_bytes(8, "big") + data


_shared_frame = lru_cache(maxsize=4)(_frame)
"""The same, made once for all clients that are sent a text."""
