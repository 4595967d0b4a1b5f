"""A connection that waits in an event loop."""

from __future__ import annotations

import asyncio
from asyncio import CancelledError
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from typing import Any, TypeVar

import anyio
import anyio.to_thread

from labthings.client.connection import Connection
from labthings.client.loop_bridge import LoopBridge
from labthings.http_client import AsyncHTTPClient, HTTPClient, Response, open_async_client

T = TypeVar("T")


class AsyncConnection(Connection):
    """Makes requests while an event loop does other things too.

    :param client: by default, one is opened.
    """

    def __init__(self, client: AsyncHTTPClient | None = None) -> None:
        self._is_own = client is None
        self._is_open = True
        super().__init__(open_async_client() if client is None else client)
        self._loop = asyncio.get_running_loop()

    async def answer(
        self, method: str, url: Any, content: Any, headers: dict[str, str] | None, options: dict[str, Any]
    ) -> Response:
        body = content if content is None or isinstance(content, bytes) else _pieces(content)
        response: Response = await self.client.request(method, url, content=body, headers=headers, **options)
        return response

    async def pause(self, seconds: float) -> None:
        await anyio.sleep(seconds)

    async def call(self, function: Callable[[], T]) -> T:
        return await anyio.to_thread.run_sync(function)

    async def uninterrupted(self, work: Coroutine[Any, Any, T]) -> T:
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait([task])  # which does not cancel it
        except CancelledError:
            await _end(task)
            raise
        return task.result()

    @property
    def for_blobs(self) -> HTTPClient:
        return LoopBridge(self._loop, lambda: self.client if self._is_open or not self._is_own else None)

    async def aclose(self) -> None:
        """Close the client, if it was opened here."""
        self._is_open = False
        if self._is_own:
            await self.client.aclose()


async def _end(task: asyncio.Future[Any]) -> None:
    """Wait for the end of a task whose outcome does not matter any more; a further cancellation hastens that."""
    try:
        with anyio.CancelScope(shield=True):
            await asyncio.wait([task])
    finally:
        if not task.cancel() and not task.cancelled():
            task.exception()  # so that asyncio does not report it as overlooked


async def _pieces(content: Iterable[bytes]) -> AsyncIterator[bytes]:
    pieces = iter(content)
    while (piece := await anyio.to_thread.run_sync(next, pieces, None)) is not None:
        yield piece
