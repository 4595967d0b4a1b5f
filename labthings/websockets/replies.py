"""The replies to one client."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from labthings.inbox import Inbox
from labthings.messages import Reply
from labthings.websockets.room import Room


class Replies:
    """Sends replies by way of a client's inbox, in order with its messages.

    They are bounded by `room`, which whoever makes them waits for: a client that reads none is soon asked for no more.

    :param inbox: the client's.
    """

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._is_closed = False
        self.room = Room()

    def send(self, text: str) -> None:
        """Send a reply after everything that the client was sent before."""
        self._reply(Reply(text))

    def send_late(self, make: Callable[[], Sequence[str]]) -> None:
        """Send what a function makes when everything that the client was sent before has been sent."""
        self._reply(Reply("", make))

    def sent(self, reply: Reply) -> None:
        """Note that a reply has been sent."""
        self.room.remove(reply.text)

    def close(self) -> None:
        """Send no more, as the client has gone, and keep nobody waiting for room."""
        self._is_closed = True
        self.room.close()

    def _reply(self, reply: Reply) -> None:
        if not self._is_closed:
            self._inbox.reply(reply)
            self.room.add(reply.text)
