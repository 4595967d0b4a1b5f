"""What a subscriber has been sent and has not received yet."""

from __future__ import annotations

import asyncio
from itertools import count

import anyio
from anyio.abc import ObjectReceiveStream

from labthings.messages import Message, MessagesLost, Reply

MOST_MESSAGES = 1000


class Inbox(ObjectReceiveStream["Message | MessagesLost | Reply"]):
    """A subscriber's messages, from the broker's delivery until they are received.

    Property values that nobody has received yet are replaced by newer ones, so the last one always arrives. Other
    messages keep their order; past ``bound`` of them the oldest are dropped, and the subscriber is told how many.
    For the event loop's thread only.
    """

    def __init__(self, bound: int = MOST_MESSAGES) -> None:
        self._bound = bound
        self._numbers = count()
        self._messages: dict[object, Message | Reply] = {}
        self._ordered = 0
        self._lost = 0
        self._closed = False
        self._waiter: asyncio.Future[None] | None = None

    def send_nowait(self, message: Message) -> None:
        """Take delivery of a message."""
        if self._closed:
            raise anyio.ClosedResourceError
        if message.message_type == "property":
            key: object = (message.thing, message.affordance)
            self._messages.pop(key, None)
        else:
            key = next(self._numbers)
            self._ordered += 1
        self._messages[key] = message
        if self._ordered > self._bound:
            self._drop_oldest()
        self._wake()

    def reply(self, reply: str | Reply) -> None:
        """Have the subscriber receive a reply, after everything that it was sent before.

        Replies are not bounded: whoever makes them sees to that.
        """
        if not self._closed:
            self._messages[("reply", next(self._numbers))] = Reply(reply) if isinstance(reply, str) else reply
            self._wake()

    async def receive(self) -> Message | MessagesLost | Reply:
        """Wait for the next message.

        :raises anyio.EndOfStream: once the inbox is closed and empty.
        """
        while not self._messages and not self._lost:
            if self._closed:
                raise anyio.EndOfStream
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self.receive_nowait()

    def receive_nowait(self) -> Message | MessagesLost | Reply:
        """The next message.

        :raises anyio.WouldBlock: if there is none yet.
        """
        if self._lost:
            lost, self._lost = self._lost, 0
            return MessagesLost(lost)
        if not self._messages:
            raise anyio.WouldBlock
        key = next(iter(self._messages))
        message = self._messages.pop(key)
        self._ordered -= isinstance(key, int)
        return message

    @property
    def unsent(self) -> int:
        """How many replies have not been received yet."""
        return sum(isinstance(each, Reply) for each in self._messages.values())

    @property
    def is_empty(self) -> bool:
        """Whether everything has been received."""
        return not (self._messages or self._lost)

    def drop(self) -> None:
        """Forget what has not been received yet."""
        self._messages.clear()
        self._ordered = self._lost = 0

    def close(self) -> None:
        """Take no more messages; what is there can still be received."""
        self._closed = True
        self._wake()

    async def aclose(self) -> None:
        self.close()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _drop_oldest(self) -> None:
        oldest = next(key for key in self._messages if isinstance(key, int))
        del self._messages[oldest]
        self._ordered -= 1
        self._lost += 1
