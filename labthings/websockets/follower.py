"""A client that follows live state by its patches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from labthings.messages import Message


class Followed(Protocol):
    """Live state."""

    def tell(self) -> None:
        """Tell of what has changed, now."""

    def texts_after(self, version: int | None) -> tuple[list[str], int]:
        """What tells somebody who knows a version what there is to tell since, and the version that this leads to."""


class Follower:
    """Knows which version a client has of live state, and so what it has to be told.

    :param followed: the state.
    :param tail: what every text ends with.
    """

    def __init__(self, followed: Followed, tail: str) -> None:
        self._followed, self._tail = followed, tail
        self._has_begun = False
        self._version: int | None = None

    def begin(self) -> Sequence[str]:
        """Tell the client everything, and from now on what changes."""
        self._has_begun = True
        return self.news()

    def news(self) -> Sequence[str]:
        """What the client has not been told yet: patches, or a snapshot if they are no longer kept."""
        if not self._has_begun:
            return ()
        texts, self._version = self._followed.texts_after(self._version)
        return [text[:-1] + self._tail for text in texts] if self._tail != "}" else texts

    def all_news(self) -> Sequence[str]:
        """The same, with what has changed until now, as what the client is told next may be about that."""
        self._followed.tell()
        return self.news()

    def __call__(self, message: Message) -> Sequence[str]:
        return self.news() if message.message_type == "property" else self.all_news()
