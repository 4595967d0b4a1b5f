"""What can be done with a client's connection that ASGI has no message for."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from labthings.routes.http import Receive

MOST_UNSENT = 16_384  # bytes


class Connection:
    """The connection that a request came by, where uvicorn has it. With another server, its methods do nothing.

    :param receive: the request's ASGI callable.
    """

    def __init__(self, receive: Receive) -> None:
        found = getattr(getattr(receive, "__self__", None), "transport", None)
        self._transport: asyncio.Transport | None = found if hasattr(found, "get_extra_info") else None

    @property
    def identity(self) -> object:
        """Something that is the same for all requests by this connection, and goes when it goes."""
        protocol = None if self._transport is None else self._transport.get_protocol()
        return protocol or self  # there is none any more if the client has gone

    def keep_little_unsent(self) -> None:
        """Have the system take little more than it can send: what waits there is old by the time it is sent."""
        if self._transport is None or self._transport.is_closing():
            return
        connected: Any = self._transport.get_extra_info("socket")
        option = getattr(socket, "TCP_NOTSENT_LOWAT", None)  # which Windows does not have
        if option is not None and connected is not None and connected.family in (socket.AF_INET, socket.AF_INET6):
            connected.setsockopt(socket.IPPROTO_TCP, option, MOST_UNSENT)

    def abort(self) -> None:
        """Close it at once, without what has not been sent yet."""
        if self._transport is not None:
            self._transport.abort()
