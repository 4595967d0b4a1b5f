"""The inbox of a WebSocket's client."""

from __future__ import annotations

from collections.abc import Callable

from labthings.inbox import Inbox
from labthings.messages import Message, MessagesLost, Reply


class SocketInbox(Inbox):
    """An inbox in which a message does not wait if the client has received everything before it and can take more."""

    def __init__(self) -> None:
        super().__init__()
        self.pass_on: Callable[[Message], bool] = lambda message: False
        """Sends the client a message, unless it cannot take that at once; and says whether it could."""
        self._is_waiting = False

    def send_nowait(self, message: Message) -> None:
        if not (self._is_waiting and self.is_empty and self.pass_on(message)):
            super().send_nowait(message)

    async def receive(self) -> Message | MessagesLost | Reply:
        self._is_waiting = True
        try:
            return await super().receive()
        finally:
            self._is_waiting = False
