"""Answers that go on until the client goes, or the server stops."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, MutableMapping
from typing import Any

from labthings.exceptions import ServerNotRunningError
from labthings.routes.connection import Connection
from labthings.routes.http import Receive, disconnected

LINGER_SECONDS = 0.3  # in which a client that has stalled may still take the end of an answer


class HeldRequests:
    """Requests whose answers take as long as their clients like, until the server stops."""

    def __init__(self) -> None:
        self._ends: set[asyncio.Future[None]] = set()
        self._is_closed = False

    def open(self) -> None:
        """Take requests again, because the server starts."""
        self._is_closed = False

    def close(self) -> None:
        """Have all of them end, and take no more, because the server stops. For the event loop's thread."""
        self._is_closed = True
        for ended in self._ends:
            if not ended.done():
                ended.set_result(None)

    def require_open(self) -> None:
        """Make sure that a request may be held.

        :raises ServerNotRunningError: if the server stops.
        """
        if self._is_closed:
            raise ServerNotRunningError("The server is stopping, so nothing more will happen.")

    async def hold(self, answer: Coroutine[Any, Any, None], receive: Receive) -> None:
        """Send an answer until the client has gone, or the server stops and the client has been told.

        :param answer: sends it. It has to end by itself when the server stops, unless the client has stalled.
        """
        ended = asyncio.get_running_loop().create_future()
        self._ends.add(ended)
        try:
            await while_watched(answer, receive, ended)
        finally:
            self._ends.discard(ended)


async def while_watched(answer: Coroutine[Any, Any, None], receive: Receive, ended: asyncio.Future[None]) -> None:
    """Send an answer until the client has gone, or everything has ended and the client has been told."""
    connection = Connection(receive)
    connection.keep_little_unsent()
    sending, leaving = asyncio.ensure_future(answer), asyncio.ensure_future(disconnected(receive))
    try:
        await asyncio.wait({sending, leaving, ended}, return_when=asyncio.FIRST_COMPLETED)
        if ended.done():
            await asyncio.wait({sending, leaving}, timeout=LINGER_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if not (sending.done() or leaving.done()):  # the client has stalled
            connection.abort()
            await asyncio.wait({leaving}, timeout=LINGER_SECONDS)
    except asyncio.CancelledError:  # the server cannot wait: what is unsent would keep the connection open
        connection.abort()
        raise
    finally:
        for task in (sending, leaving):
            task.cancel()
        outcomes = await asyncio.gather(sending, leaving, return_exceptions=True)
    _raise_unless_gone(outcomes)


def body_part(body: bytes, more: bool = True) -> MutableMapping[str, Any]:
    """A part of an answer's body."""
    return {"type": "http.response.body", "body": body, "more_body": more}


def _raise_unless_gone(outcomes: Iterable[BaseException | None]) -> None:
    """Raise what was wrong, if it was something else than that the client has gone."""
    for each in outcomes:
        if isinstance(each, Exception) and not isinstance(each, OSError):
            raise each
