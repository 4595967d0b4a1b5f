"""The commands of one client, one after the other."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from labthings.exceptions import CommandError
from labthings.sync.messages import CommandMessage, Refusal

MOST_COMMANDS = 1000
MOST_BYTES = 2**22


class CommandQueue:
    """Has a client's commands done in their order, beside whatever else there is to do for the client.

    :param perform: does one; it must not raise.
    :param start: starts a task that does not end with the client's connection.
    """

    def __init__(
        self,
        perform: Callable[[CommandMessage], Awaitable[None]],
        start: Callable[[Awaitable[None]], asyncio.Task[None]],
    ) -> None:
        self._perform, self._start = perform, start
        self._waiting: deque[CommandMessage] = deque()
        self._bytes = 0
        self._task: asyncio.Task[None] | None = None

    def add(self, message: CommandMessage) -> None:
        """Have a command done after those before it.

        :raises Refusal: if too many wait.
        """
        if len(self._waiting) >= MOST_COMMANDS or (self._waiting and self._bytes + message.size > MOST_BYTES):
            error = CommandError("busy", "Too many of your commands are waiting: wait for the answers to some of them.")
            raise Refusal(error, message.request_id, message.command)
        self._waiting.append(message)
        self._bytes += message.size
        if self._task is None or self._task.done():
            self._task = self._start(self._work())

    async def _work(self) -> None:
        while self._waiting:
            message = self._waiting.popleft()
            self._bytes -= message.size
            await self._perform(message)
