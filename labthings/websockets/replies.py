"""The replies to one client."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from labthings.inbox import Inbox
from labthings.messages import Reply

MOST_REPLIES = 64
MOST_CHARACTERS = 2**22


class Replies:
    """Sends replies by way of a client's inbox, in order with its messages.

    They are bounded by `room`, which whoever makes them waits for: a client that reads none is soon asked for no more.

    :param inbox: the client's.
    """

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._number = self._characters = 0
        self._is_closed = False
        self._has_room = asyncio.Event()
        self._has_room.set()

    def send(self, text: str) -> None:
        """Send a reply after everything that the client was sent before."""
        self._reply(Reply(text))

    def send_late(self, make: Callable[[], Sequence[str]]) -> None:
        """Send what a function makes when everything that the client was sent before has been sent."""
        self._reply(Reply("", make))

    def sent(self, reply: Reply) -> None:
        """Note that a reply has been sent."""
        self._count(-1, -len(reply.text))

    @property
    def has_room(self) -> bool:
        """Whether there may be more."""
        return self._has_room.is_set()

    async def room(self) -> None:
        """Wait until few enough replies are unsent, by number and by size, that there may be more."""
        await self._has_room.wait()

    def close(self) -> None:
        """Send no more, as the client has gone, and keep nobody waiting for room."""
        self._is_closed = True
        self._has_room.set()

    def _reply(self, reply: Reply) -> None:
        if not self._is_closed:
            self._inbox.reply(reply)
            self._count(1, len(reply.text))

    def _count(self, number: int, characters: int) -> None:
        self._number += number
        self._characters += characters
        if self._is_closed or (self._number < MOST_REPLIES and self._characters < MOST_CHARACTERS):
            self._has_room.set()
        else:
            self._has_room.clear()
