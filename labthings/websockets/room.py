"""Room for so many texts, and no more."""

from __future__ import annotations

import asyncio

from labthings.websockets.together import together
from labthings.websockets.wire import Wire

MOST_TEXTS = 64
MOST_CHARACTERS = 2**22


class Room:
    """Counts the texts that a client has not been sent, and has those wait who would add to them while there are many.

    For the event loop's thread only.
    """

    def __init__(self) -> None:
        self._texts = self._characters = 0
        self._is_closed = False
        self._has_some = asyncio.Event()
        self._has_some.set()

    @property
    def is_used(self) -> bool:
        """Whether there are any texts."""
        return self._texts > 0

    def add(self, text: str) -> None:
        """Count a text."""
        self._count(1, len(text))

    def remove(self, text: str) -> None:
        """Count a text no more."""
        self._count(-1, -len(text))

    async def wait(self) -> None:
        """Wait until there is room for one more."""
        await self._has_some.wait()

    async def wait_unless_closing(self, wire: Wire) -> None:
        """Wait until there is room for one more, or none can be sent any more."""
        if not self._has_some.is_set():
            await together(self.wait, wire.closing)
            if wire.is_closing:
                self.close()

    def close(self) -> None:
        """Keep nobody waiting."""
        self._is_closed = True
        self._has_some.set()

    def _count(self, texts: int, characters: int) -> None:
        self._texts += texts
        self._characters += characters
        if self._is_closed or (self._texts < MOST_TEXTS and self._characters < MOST_CHARACTERS):
            self._has_some.set()
        else:
            self._has_some.clear()
