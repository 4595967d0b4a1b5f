"""One client's WebSocket, from its opening to its end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import anyio
from starlette.websockets import WebSocketDisconnect

from labthings.exceptions import BodyTooLargeError, LabThingsError, RequestError
from labthings.messages import Message
from labthings.routes.http import Receive, Scope, Send, base_url
from labthings.routes.thing_access import ThingAccess
from labthings.websockets import labthings_dialect, web_thing_protocol
from labthings.websockets.follower import Follower
from labthings.websockets.operations import Operations, SocketServer
from labthings.websockets.outgoing import Outgoing
from labthings.websockets.replies import Replies
from labthings.websockets.requests import Request, head_of, require_operation
from labthings.websockets.socket_inbox import SocketInbox
from labthings.websockets.subscriptions import Subscriptions, Teller
from labthings.websockets.texts import parsed
from labthings.websockets.thing_finder import ThingFinder
from labthings.websockets.together import together
from labthings.websockets.turns import Turns
from labthings.websockets.wire import Wire

LOGGER = logging.getLogger(__name__)
SUBPROTOCOLS = (web_thing_protocol.SUBPROTOCOL, labthings_dialect.SUBPROTOCOL)
GOING_AWAY = 1001
GONE = (OSError, RuntimeError, WebSocketDisconnect)
"""What servers raise when something is sent to a client that has gone."""


class Session:
    """Serves one client: one task sends what there is for it, another does what it asks for.

    :param server: the Things' server.
    :param thing: the Thing that the WebSocket is of; none if it is of the whole server.
    """

    def __init__(
        self, server: SocketServer, thing: ThingAccess | None, scope: Scope, receive: Receive, send: Send
    ) -> None:
        self._server = server
        self._scope, self._receive, self._send = scope, receive, send
        self._inbox = SocketInbox()
        server.message_broker.open_inbox(self._inbox)
        self._replies = Replies(self._inbox)
        self._subscriptions = Subscriptions(server.message_broker, self._inbox)
        self._operations = Operations(server, self._subscriptions)
        self._turns = Turns()
        self._finder = ThingFinder(server.accesses, server.identity, thing)
        address = base_url(scope)[:-1] + server.api_prefix
        self._outgoing = Outgoing(self._subscriptions, self._replies, server.client_blobs, address)

    async def run(self) -> None:
        """Serve the client until it goes, or the server stops."""
        await self._receive()
        await self._send({"type": "websocket.accept", "subprotocol": self._subprotocol, "headers": []})
        self._wire = Wire(self._receive)
        self._inbox.pass_on = self._pass_on
        with self._outgoing.urls():
            try:
                await together(self._write, self._read)
            finally:
                self._leave()
            await together(self._stopping, self._turns.end)  # what was asked for is done, though nobody waits
            self._leave()
        await self._wire.cut()  # or else one who reads nothing would hold up the server's end

    def _leave(self) -> None:
        self._replies.close()
        self._server.message_broker.unsubscribe_all(self._inbox)

    async def _stopping(self) -> None:
        """Wait until the server stops."""
        async for _ in self._inbox:
            continue

    @property
    def _subprotocol(self) -> str | None:
        return next((each for each in self._scope.get("subprotocols", ()) if each in SUBPROTOCOLS), None)

    # --- to the client ------------------------------------------------------------------------------------------

    async def _write(self) -> None:
        """Send what there is until the client has gone or the server stops."""
        try:
            await self._drain()
        except anyio.EndOfStream:
            await self._close()
        except GONE:
            LOGGER.debug("The client of a WebSocket has gone")

    async def _drain(self) -> None:
        receive, send, texts = self._inbox.receive, self._send, self._outgoing.texts
        while True:
            for text in texts(await receive()):
                await send({"type": "websocket.send", "text": text})

    def _pass_on(self, message: Message) -> bool:
        """Send a message at once, unless the client cannot take it."""
        if not self._wire.is_ready:
            return False
        for text in self._outgoing.texts(message):
            self._wire.write(text)
        return True

    async def _close(self) -> None:
        try:
            await self._send({"type": "websocket.close", "code": GOING_AWAY, "reason": "The server is stopping"})
        except GONE:
            return

    # --- from the client ----------------------------------------------------------------------------------------

    async def _read(self) -> None:
        while (received := await self._received())["type"] != "websocket.disconnect":
            await asyncio.sleep(0)  # a client that floods the server must not keep the event loop to itself
            await self._handle(received.get("text") or received.get("bytes") or b"")
            await self._turns.room()
            await self._replies.room.wait_unless_closing(self._wire)

    async def _received(self) -> Mapping[str, Any]:
        try:
            return await self._receive()
        except GONE:
            return {"type": "websocket.disconnect"}

    async def _handle(self, text: str | bytes) -> None:
        try:
            self._check_size(text)
            message = parsed(text)
        except RequestError as error:
            self._replies.send(labthings_dialect.refusal(error))
            return
        if message.get("messageType") == "request":
            self._begin(message)
            return
        for reply in self._observe(message):
            self._replies.send(reply)
            await self._replies.room.wait_unless_closing(self._wire)

    def _check_size(self, text: str | bytes) -> None:
        """
        :raises BodyTooLargeError: if the message has too many bytes.
        """
        limit = self._server.maximum_body_size
        size = len(text) if isinstance(text, bytes) or text.isascii() else len(text.encode())
        if size > limit:
            raise BodyTooLargeError(
                f"The message is larger than {limit} bytes, the `maximum_body_size` of the server's configuration."
            )

    # --- in LabThings' dialect ----------------------------------------------------------------------------------

    def _observe(self, message: Mapping[str, Any]) -> Iterator[str]:
        thing_id = message.get("thingID")
        own = {} if thing_id is None else {"thingID": thing_id}
        try:
            thing = self._finder.find(thing_id)
            thing.served.require_running()
        except LabThingsError as error:
            yield labthings_dialect.refusal(error, own)
            return
        begin = partial(self._begin_observing, thing.served.name, labthings_dialect.teller(own))
        follow = partial(self._begin_following, thing, labthings_dialect.tail(own))
        end = partial(self._subscriptions.remove, thing.served.name, dialect=labthings_dialect.DIALECT)
        yield from labthings_dialect.Observer(thing.served, begin, end, own, follow).replies(message)

    def _begin_observing(self, thing: str, teller: Teller, affordance: str) -> None:
        self._subscriptions.add(thing, affordance, labthings_dialect.DIALECT, teller)

    def _begin_following(self, thing: ThingAccess, tail: str, name: str) -> None:
        follower = Follower(thing.served.properties[name].document, tail)
        self._subscriptions.add(thing.served.name, name, labthings_dialect.DIALECT, follower)
        self._replies.send_late(follower.begin)

    # --- in the Web Thing Protocol ------------------------------------------------------------------------------

    def _begin(self, message: Mapping[str, Any]) -> None:
        thing_id = self._finder.own_id
        try:
            require_operation(message)
            thing = self._finder.find(message.get("thingID"))
            thing_id = self._finder.id_of(thing)
            request = Request(thing, thing_id, message)
            self._turns.start(request.subjects, partial(self._perform, request))
        except Exception as error:  # noqa: BLE001 - the edge: every error becomes a response here
            self._refuse(message, thing_id, error)

    async def _perform(self, request: Request) -> None:
        await self._replies.room.wait_unless_closing(self._wire)
        try:
            for text in await self._operations.perform(request):
                self._replies.send(text)
        except Exception as error:  # noqa: BLE001 - as above
            self._refuse(request.members, request.thing_id, error)

    def _refuse(self, message: Mapping[str, Any], thing_id: str | None, error: Exception) -> None:
        """Answer a request that cannot be met."""
        if not isinstance(error, LabThingsError):
            LOGGER.error("The request for %s failed", message.get("operation"), exc_info=error)
        self._replies.send(web_thing_protocol.refusal(head_of(message, thing_id), error, self._server.debug))
