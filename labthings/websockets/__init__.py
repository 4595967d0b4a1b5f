"""WebSockets: of each Thing, and of the whole server; in LabThings' own dialect, and in the Web Thing Protocol."""

from __future__ import annotations

from typing import cast

from anyio.abc import ObjectReceiveStream
from fastapi import WebSocket
from starlette.websockets import WebSocketDisconnect

from labthings.exceptions import RequestError
from labthings.message_broker import Message, MessagesLost, Subscriber
from labthings.messages import Reply
from labthings.routes.http import base_url
from labthings.thing import Thing
from labthings.url_for import PLACEHOLDER
from labthings.websockets.labthings_dialect import ObservedThing, Observer, loss, notification, refusal
from labthings.websockets.operations import SocketServer
from labthings.websockets.session import Session
from labthings.websockets.texts import parsed


async def websocket_endpoint(thing: Thing, websocket: WebSocket) -> None:
    """Serve one client of a Thing's WebSocket, until either of them goes.

    :param thing: the Thing whose affordances the client can use.
    :param websocket: the connection.
    """
    server = cast(SocketServer, thing._thing_server_interface.server)  # which is more than Things may know of
    access = server.accesses[thing.name]
    await Session(server, access, websocket.scope, websocket.receive, websocket.send).run()


async def relay_notifications_to_websocket(
    websocket: WebSocket, receive_stream: ObjectReceiveStream[Message | MessagesLost | Reply]
) -> None:
    """Send what comes out of a stream to a client, in LabThings' dialect, until the stream ends.

    :param websocket: the connection.
    :param receive_stream: gives the broker's messages.
    """
    async for message in receive_stream:
        if isinstance(message, Message):
            text = message.encoded(notification)
            await websocket.send_text(text.replace(PLACEHOLDER, _address(websocket)) if PLACEHOLDER in text else text)
        else:
            await websocket.send_text(loss(message) if isinstance(message, MessagesLost) else message.text)


async def process_messages_from_websocket(websocket: WebSocket, send_stream: Subscriber, thing: Thing) -> None:
    """Do what a client asks for in LabThings' dialect, until it disconnects.

    :param websocket: the connection.
    :param send_stream: where notifications go.
    :param thing: the Thing whose affordances the client can observe.
    """
    broker = thing._thing_server_interface.server.message_broker

    def end(name: str) -> None:
        if broker.is_subscribed(thing.name, name, send_stream):
            broker.unsubscribe_nowait(thing.name, name, send_stream)

    observer = Observer(thing, lambda name: broker.subscribe_nowait(thing.name, name, send_stream), end)
    try:
        while (received := await websocket.receive())["type"] != "websocket.disconnect":
            for reply in _replies(observer, received.get("text") or received.get("bytes") or b""):
                await websocket.send_text(reply)
    except (WebSocketDisconnect, RuntimeError):  # the client has gone without saying so, or the server is stopping
        return


def _replies(observer: Observer, text: str | bytes) -> list[str]:
    try:
        return list(observer.replies(parsed(text)))
    except RequestError as error:
        return [refusal(error)]


def _address(websocket: WebSocket) -> str:
    """The URL at which the client reaches the server, prefix included, without a slash at its end."""
    scope = websocket.scope
    prefix = scope["path"].removeprefix(scope.get("root_path", "")).rsplit("/", 2)[0]
    return f"{base_url(scope)[:-1]}{prefix}"


__all__ = [
    "ObservedThing",
    "Observer",
    "Session",
    "SocketServer",
    "process_messages_from_websocket",
    "relay_notifications_to_websocket",
    "websocket_endpoint",
]
