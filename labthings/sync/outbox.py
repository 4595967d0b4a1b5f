"""What one client is yet to be sent."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

from labthings.state import Snapshot
from labthings.state.patch_log import PatchLog
from labthings.sync.messages import at_version, snapshot_text
from labthings.sync.streams import Stream
from labthings.websockets.room import Room


class _Reply(NamedTuple):
    text: str
    version: int
    says_version: bool


class Outbox:
    """Knows how far a client has been told of the state and of each stream, and keeps the replies to it.

    What a client has not been told of is not kept for it: it is looked up when the client can take more, and then it
    may be a snapshot. For the event loop's thread only.

    :param snapshot: gives the state, or None if there is none yet.
    """

    def __init__(self, client_id: str, log: PatchLog, snapshot: Callable[[], Snapshot | None]) -> None:
        self._client_id, self._log, self._snapshot = client_id, log, snapshot
        self._version: int | None = None
        self._positions: dict[Stream, int] = {}
        self._news: dict[Stream, None] = {}
        self._replies: deque[_Reply] = deque()
        self.room = Room()
        """For replies that are not sent yet."""

    def reply(self, text: str) -> None:
        """Send a reply."""
        self._reply(_Reply(text, 0, says_version=False))

    def answer(self, text: str, version: int) -> None:
        """Send the answer to a command, once the client has been told of a version; it says of which it has."""
        self._reply(_Reply(text, version, says_version=True))

    def resync(self) -> None:
        """Tell the client the state again."""
        self._version = None

    def tell_of(self, stream: Stream, anew: bool = False) -> None:
        """Tell the client what is new in a stream, or everything in it."""
        self._news[stream] = None
        if anew:
            self._positions.pop(stream, None)

    @property
    def has_frames(self) -> bool:
        """Whether there is something new in a stream."""
        return bool(self._news)

    def texts(self) -> Iterator[str]:
        """What there is to send of the state, and replies; what is taken counts as sent."""
        yield from self._changes()
        while self._replies and self._replies[0].version <= (self._version or 0):
            reply = self._replies.popleft()
            self.room.remove(reply.text)
            yield (
                reply.text if self._version is None or not reply.says_version else at_version(reply.text, self._version)
            )

    def frames(self) -> Iterator[str | bytes]:
        """What there is to send of streams."""
        for stream in tuple(self._news):
            self._news.pop(stream, None)
            message, self._positions[stream] = stream.since(self._positions.get(stream))
            if message is not None:
                yield message

    def _reply(self, reply: _Reply) -> None:
        self._replies.append(reply)
        self.room.add(reply.text)

    def _changes(self) -> Iterator[str]:
        newest = self._log.version
        while self._version is None or self._version < newest:
            patch = None if self._version is None else self._log.after(self._version)
            if patch is not None and self._version is not None:
                self._version += 1
                yield patch
            elif (snapshot := self._snapshot()) is not None:
                self._version = snapshot.version
                yield snapshot_text(snapshot, self._client_id)
            else:
                return
