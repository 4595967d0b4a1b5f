"""Live state that an asynchronous client follows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import anyio

from labthings.client.async_observation import AsyncObservation
from labthings.client.live_reader import Awaited, LiveReader


class AsyncLiveState(AsyncObservation, LiveReader):
    """Live state as the server has it: read it at any time, and be told of its changes.

    It is there when it was awaited, or within an ``async with`` block. Use it in an ``async for`` loop, or with a
    callback, for its changes: the state as it is, and then what it becomes, each a `StateChange`. It goes on when the
    connection is lost and comes back, until it is closed: by `aclose`, at the end of an ``async with`` block, with the
    client, or when nobody refers to it any more.
    """

    async def wait_until(self, predicate: Callable[[Any], object], timeout: float | None = None) -> Any:  # noqa: ASYNC109
        """Wait until the state is current and a function says that it is right, and give its `value`.

        :param predicate: is called with the `value`, now and at later versions.
        :param timeout: how many seconds to wait at most, also for it to begin.
        :raises StateTimeoutError: if that takes longer, which is a ``TimeoutError``.
        :raises StaleStateError: if it is closed meanwhile.
        """
        awaited, arrived = Awaited(self, predicate), asyncio.Event()
        with self._mailbox.watched(arrived), anyio.move_on_after(timeout):
            await self._begin()
            while (met := awaited.met()) is None:
                await arrived.wait()
                arrived.clear()
            return met.value
        raise awaited.timeout(timeout)

    async def _next(self) -> Any:
        while True:
            await super()._next()
            change = self._changed()
            if change is not None:
                return change
