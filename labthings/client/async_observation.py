"""What an asynchronous client is told of a property or an event, value by value."""

from __future__ import annotations

import asyncio
import inspect
import logging
import warnings
import weakref
from collections.abc import Callable, Generator
from contextlib import suppress
from typing import Any

from typing_extensions import Self

from labthings.client.channel import Channel
from labthings.client.mailbox import Mailbox, Value
from labthings.client.observation import OnConnection, OnError, Told, require_callable
from labthings.client.topic import Topic
from labthings.exceptions import InvocationCancelledError

LOGGER = logging.getLogger("labthings.client")


class AsyncObservation(Told):
    """Values of a property, or the data of events, as they come: use it in an ``async for`` loop, or with a callback.

    It begins when it is awaited, at the start of an ``async with`` block, or with its first value. It goes on when the
    connection is lost and comes back, and when a property cannot be read for a while, until it is closed: by `aclose`,
    at the end of an ``async with`` block, with the client, or when nobody refers to it any more.
    """

    _callback: Callable[[Any], object] | None = None

    def __init__(
        self,
        channel: Channel,
        topic: Topic,
        callback: Callable[[Any], object] | None,
        on_error: OnError | None,
        on_connection: OnConnection | None,
    ) -> None:
        require_callable(callback, topic.label)
        self._arrived = asyncio.Event()
        super().__init__(topic, topic.mailbox_type(self._arrived), on_error, on_connection)
        self._channel, self._topic, self._callback = channel, topic, callback
        self._was_awaited = self._has_begun = False
        self._beginning = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    async def aclose(self) -> None:
        """End it: whatever waits for its next value does so no longer."""
        self._mailbox.close()
        await self._channel.leave(self._topic, self._mailbox)
        if self._task is not None and self._task is not asyncio.current_task():
            await asyncio.wait([self._task])

    def __await__(self) -> Generator[Any, None, Self]:
        return self.__aenter__().__await__()

    def __aiter__(self) -> Self:
        self._require_no_callback(self._callback)
        return self

    async def __anext__(self) -> Any:
        self._require_no_callback(self._callback)
        await self._begin()
        return await self._next()

    async def __aenter__(self) -> Self:
        await self._begin()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.aclose()

    def __del__(self) -> None:
        if self._callback is not None and not self._was_awaited:
            text = f"{self!r} with a callback was never awaited, so it never began."
            warnings.warn(text, RuntimeWarning, stacklevel=1)

    async def _begin(self) -> None:
        self._was_awaited = True
        async with self._beginning:
            if not self._has_begun and not self._mailbox.is_closed:
                await self._join()

    async def _join(self) -> None:
        self._topic = await self._channel.join(self._topic, self._mailbox)
        self._has_begun = True
        loop = asyncio.get_running_loop()
        weakref.finalize(self, _abandon, loop, self._channel, self._topic, self._mailbox).atexit = False
        if self._callback is not None:
            self._task = self._channel.keep(self._relay(self._callback))

    async def _next(self) -> Any:
        while not self._mailbox.is_closed:
            item = self._mailbox.take()
            if isinstance(item, Value):
                return item.value
            if item is None:
                await self._arrived.wait()
            else:
                await _awaited(self._tell(item))
        raise StopAsyncIteration

    async def _relay(self, callback: Callable[[Any], object]) -> None:
        while not self._mailbox.is_closed:
            try:
                await _awaited(callback(await self._next()))
            except StopAsyncIteration:
                return
            except (Exception, InvocationCancelledError):
                LOGGER.exception("A callback for %s failed. It is called again for the next value.", self._label)


def _abandon(loop: asyncio.AbstractEventLoop, channel: Channel, topic: Topic, mailbox: Mailbox) -> None:
    """End an observation that nobody refers to any more: the garbage collector may do so in any thread."""
    if not mailbox.is_closed:
        with suppress(RuntimeError):  # the loop is closed, and so is the connection
            loop.call_soon_threadsafe(lambda: channel.keep(channel.leave(topic, mailbox)))


async def _awaited(outcome: Any) -> None:
    if inspect.isawaitable(outcome):
        await outcome
