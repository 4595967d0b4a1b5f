"""The replies to one client."""

from __future__ import annotations

import asyncio

from labthings.inbox import Inbox

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
        if not self._is_closed:
            self._inbox.reply(text)
            self._count(1, len(text))

    def sent(self, text: str) -> None:
        """Note that a reply has been sent."""
        self._count(-1, -len(text))

    async def room(self) -> None:
        """Wait until few enough replies are unsent, by number and by size, that there may be more."""
        await self._has_room.wait()

    def close(self) -> None:
        """Send no more, as the client has gone, and keep nobody waiting for room."""
        self._is_closed = True
        self._has_room.set()

    def _count(self, number: int, characters: int) -> None:
        self._number += number
        self._characters += characters
        if self._is_closed or (self._number < MOST_REPLIES and self._characters < MOST_CHARACTERS):
            self._has_room.set()
        else:
            self._has_room.clear()
