"""One client's WebSocket, from its opening to its end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

from starlette.websockets import WebSocket, WebSocketDisconnect

from labthings.sync.audience import Audience
from labthings.sync.command_queue import CommandQueue
from labthings.sync.messages import CommandMessage, PingMessage, Refusal, error_text, parsed, pong_text
from labthings.sync.outbox import Outbox
from labthings.sync.performer import Answer
from labthings.websockets.room import Room
from labthings.websockets.together import together
from labthings.websockets.wire import Wire

LOGGER = logging.getLogger(__name__)
GONE = (OSError, RuntimeError, WebSocketDisconnect)
"""What is raised when something is sent to a client that has gone."""
GOING_AWAY = 1001
Start = Callable[[Awaitable[None]], "asyncio.Task[None]"]


class Client:
    """Serves one client: one task sends what there is for it, another receives what it wants.

    :param perform: does a command and gives the answer to it.
    :param start: starts a task that may outlive the connection.
    :param most_bytes: that a message of the client's may have.
    """

    def __init__(
        self,
        client_id: str,
        websocket: WebSocket,
        audience: Audience,
        perform: Callable[[str, CommandMessage], Awaitable[Answer]],
        start: Start,
        most_bytes: int,
    ) -> None:
        self._id, self._websocket, self._audience = client_id, websocket, audience
        self._perform, self._most_bytes = perform, most_bytes
        self.outbox = Outbox(client_id, audience.log, audience.snapshot)
        self._commands = CommandQueue(self._do, start)
        self._answers = Room()  # for those that wait for the end of a batch
        self._news = asyncio.Event()
        self._is_idle = self._stops = self._has_left = False

    async def run(self) -> None:
        """Serve the client until it goes or is stopped."""
        await self._websocket.accept()
        self._wire = Wire(getattr(self._websocket, "_receive", None))  # type: ignore[arg-type]
        self._audience.join(self)
        try:
            await together(self._write, self._read)
        finally:
            self._has_left = True
            self._audience.leave(self)
            self.outbox.room.close()
            self._answers.close()
        await self._wire.cut()  # or else one who reads nothing would hold up the server's end

    def nudge(self) -> None:
        """Send what there is."""
        if not (self._is_idle and self._send_at_once()):
            self._news.set()

    def stop(self) -> None:
        """End the connection."""
        self._stops = True
        self._news.set()

    # --- to the client -----------------------------------------------------------------------------------------

    def _send_at_once(self) -> bool:
        """Send what there is without waking a task, which costs least, and say whether that was all."""
        if self.outbox.has_frames or not self._wire.is_ready:
            return False
        for text in self.outbox.texts():
            self._wire.write(text)
            if not self._wire.is_ready:
                return False
        return True

    async def _write(self) -> None:
        try:
            while not self._stops:
                await self._drain()
                await self._wait()
            await self._websocket.close(GOING_AWAY, "The server is stopping")
        except GONE:
            LOGGER.debug("A client has gone")

    async def _drain(self) -> None:
        self._news.clear()
        for text in self.outbox.texts():
            await self._websocket.send_text(text)
        for frame in self.outbox.frames():
            await (self._websocket.send_text(frame) if isinstance(frame, str) else self._websocket.send_bytes(frame))

    async def _wait(self) -> None:
        self._is_idle = not self._news.is_set()
        try:
            await self._news.wait()
        finally:
            self._is_idle = False

    # --- from the client ---------------------------------------------------------------------------------------

    async def _read(self) -> None:
        with suppress(*GONE):
            while (received := await self._websocket.receive())["type"] != "websocket.disconnect":
                await asyncio.sleep(0)  # a client that floods the server must not keep the event loop to itself
                self._handle(received.get("text") or received.get("bytes") or b"")
                await self.outbox.room.wait_unless_closing(self._wire)

    def _handle(self, text: str | bytes) -> None:
        try:
            message = parsed(text, self._most_bytes)
            if isinstance(message, CommandMessage):
                self._commands.add(message)
            elif isinstance(message, PingMessage):
                self._say(pong_text(message.request_id))
            else:
                self._audience.resync(self, message.streams)
        except Refusal as refusal:
            self._say(error_text(refusal.request_id, refusal.error, refusal.command))

    def _say(self, text: str) -> None:
        self.outbox.reply(text)
        self.nudge()

    async def _do(self, message: CommandMessage) -> None:
        await self.outbox.room.wait()
        await self._answers.wait()
        unclaimed = self._audience.unclaimed_changes
        answer = await self._perform(self._id, message)
        if self._has_left:
            return
        if answer.follows_changes or unclaimed != self._audience.unclaimed_changes or self._answers.is_used:
            self._answers.add(answer.text)
            self._audience.when_told(partial(self._answer_late, answer.text))
        else:  # nothing that a batch of somebody else's could hold back, and no earlier answer that waits for one
            self._audience.once_told(partial(self._answer, answer.text))

    def _answer_late(self, text: str, version: int) -> None:
        self._answers.remove(text)
        self._answer(text, version)

    def _answer(self, text: str, version: int = 0) -> None:
        self.outbox.answer(text, version)
        self.nudge()
