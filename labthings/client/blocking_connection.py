"""A connection that blocks."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager
from typing import Any, TypeVar, cast

from labthings.client.connection import Connection
from labthings.client.held_interrupt import HeldInterrupt
from labthings.http_client import HTTPClient, Response, open_client, streamed

T = TypeVar("T")


class BlockingConnection(Connection):
    """Makes requests in the thread that asks for them, and closes the client that makes them if it opened it.

    :param client: by default, one is opened.
    """

    def __init__(self, client: HTTPClient | None = None) -> None:
        self._close: weakref.finalize[[], BlockingConnection] | None = None
        if client is None:
            own = open_client()
            self._close = weakref.finalize(self, own.close)
            client = own
        super().__init__(client)
        self.request = client.request

    async def answer(
        self, method: str, url: Any, content: Any, headers: dict[str, str] | None, options: dict[str, Any]
    ) -> Response:
        return self.request(method, url, content=content, headers=headers, **options)

    async def pause(self, seconds: float) -> None:
        time.sleep(seconds)  # noqa: ASYNC251

    async def call(self, function: Callable[[], T]) -> T:
        return function()

    async def uninterrupted(self, work: Coroutine[Any, Any, T]) -> T:
        with HeldInterrupt():
            return await work

    @property
    def for_blobs(self) -> HTTPClient:
        return self

    def stream(
        self, method: str, url: str, *, headers: dict[str, str], follow_redirects: bool = True
    ) -> AbstractContextManager[Any]:
        """Make a request whose answer is read bit by bit: a blob is, which may be saved after this was closed."""
        is_closed = self._close is not None and not self._close.alive
        return streamed(None if is_closed else self.client, method, url, headers)

    def close(self) -> None:
        """Close the client, if it was opened here."""
        if self._close is not None:
            self._close()


def run(work: Coroutine[Any, Any, T]) -> T:
    """Do some work, which awaits nothing but what a blocking connection does."""
    try:
        work.send(None)
    except StopIteration as end:
        return cast(T, end.value)
    work.close()
    raise RuntimeError(f"{work} awaits something that a thread without an event loop cannot wait for.")
