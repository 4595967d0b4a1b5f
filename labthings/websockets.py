"""Tell clients of changes over a WebSocket per Thing, in LabThings' own dialect."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import anyio
import anyio.lowlevel
import pydantic_core
from anyio.abc import ObjectReceiveStream
from fastapi import WebSocket
from starlette.websockets import WebSocketDisconnect

from labthings.exceptions import LabThingsError, PropertyNotObservableError
from labthings.message_broker import Inbox, Message, MessageBroker, MessagesLost, Subscriber
from labthings.routes.http import base_url
from labthings.thing import Thing
from labthings.url_for import PLACEHOLDER

LOGGER = logging.getLogger(__name__)
ERRORS = "https://w3c.github.io/web-thing-protocol/errors"
GOING_AWAY = 1001
SUBPROTOCOL = "labthings"


class ObservedThing(Protocol):
    """A Thing whose affordances can be observed."""

    @property
    def name(self) -> str: ...
    @property
    def properties(self) -> Mapping[str, Any]: ...
    @property
    def actions(self) -> Mapping[str, Any]: ...


class InvalidMessageError(LabThingsError, ValueError):
    """A client's message is not one that this server knows."""

    status_code = 400


async def websocket_endpoint(thing: Thing, websocket: WebSocket) -> None:
    """Serve one client of a Thing's WebSocket, until either of them goes.

    :param thing: the Thing whose affordances the client can observe.
    :param websocket: the connection.
    """
    await websocket.accept(SUBPROTOCOL if SUBPROTOCOL in websocket.scope.get("subprotocols", ()) else None)
    broker = thing._thing_server_interface.server.message_broker
    inbox = broker.open_inbox()
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_relay_until_the_end, websocket, inbox)
            await process_messages_from_websocket(websocket, inbox, thing)
            tasks.cancel_scope.cancel()
    finally:
        broker.unsubscribe_all(inbox)


async def relay_notifications_to_websocket(
    websocket: WebSocket, receive_stream: ObjectReceiveStream[Message | MessagesLost]
) -> None:
    """Send what comes out of a stream to a client, until the stream ends.

    :param websocket: the connection.
    :param receive_stream: gives the broker's messages.
    """
    async for message in receive_stream:
        if isinstance(message, MessagesLost):
            await websocket.send_text(f'{{"messageType":"messagesLost","data":{{"count":{message.count}}}}}')
        else:
            text = message.encoded(_encode)
            await websocket.send_text(text.replace(PLACEHOLDER, _address(websocket)) if PLACEHOLDER in text else text)


async def process_messages_from_websocket(websocket: WebSocket, send_stream: Subscriber, thing: Thing) -> None:
    """Do what a client asks for, until it disconnects.

    :param websocket: the connection.
    :param send_stream: where notifications go, and replies.
    :param thing: the Thing whose affordances the client can observe.
    """
    observer = Observer(thing, thing._thing_server_interface.server.message_broker, send_stream)
    try:
        while (received := await websocket.receive())["type"] != "websocket.disconnect":
            await anyio.lowlevel.checkpoint()  # a client that floods the server must not keep the event loop to itself
            for reply in observer.handle(received.get("text") or received.get("bytes") or b""):
                await websocket.send_text(reply)
                await anyio.lowlevel.checkpoint()
    except (WebSocketDisconnect, RuntimeError):  # the client has gone without saying so, or the server is stopping
        return


async def _relay_until_the_end(websocket: WebSocket, inbox: Inbox) -> None:
    try:
        await relay_notifications_to_websocket(websocket, inbox)
        await websocket.close(GOING_AWAY, "The server is stopping")
    except (WebSocketDisconnect, RuntimeError):  # the client has gone: the other task ends for the same reason
        return


def _address(websocket: WebSocket) -> str:
    """The URL at which the client reaches the server, prefix included, without a slash at its end."""
    scope = websocket.scope
    prefix = scope["path"].removeprefix(scope.get("root_path", "")).rsplit("/", 2)[0]
    return f"{base_url(scope)[:-1]}{prefix}"


class Observer:
    """One client of a Thing's WebSocket: what it asks to observe.

    :param thing: the Thing.
    :param broker: knows who observes what.
    :param stream: where the client's notifications go.
    """

    def __init__(self, thing: ObservedThing, broker: MessageBroker, stream: Subscriber) -> None:
        self._thing, self._broker, self._stream = thing, broker, stream
        self._operations: dict[str, tuple[str, Callable[[str], None]]] = {
            "addPropertyObservation": ("observeproperty", self._observe_property),
            "removePropertyObservation": ("unobserveproperty", self._unobserve_property),
            "addActionObservation": ("observeaction", self._observe_action),
            "removeActionObservation": ("unobserveaction", self._unobserve_action),
        }

    def handle(self, text: str | bytes) -> Iterator[str]:
        """Do what a message asks for, and give the replies to send: one for each thing that goes wrong."""
        try:
            kind, names = self._parsed(text)
        except InvalidMessageError as error:
            yield _problem("unknown", None, 400, "bad-request", "Bad Request", str(error))
            return
        operation, act = self._operations[kind]
        for name in names:
            reply = self._attempt(operation, act, name)
            if reply is not None:
                yield reply

    def _parsed(self, text: str | bytes) -> tuple[str, list[str]]:
        try:
            message = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InvalidMessageError(f"A message must be JSON: {error}") from error
        kind = message.get("messageType") if isinstance(message, dict) else None
        if not isinstance(kind, str) or kind not in self._operations:
            known = ", ".join(self._operations)
            raise InvalidMessageError(f"A message must be an object with a 'messageType' among {known}.")
        data = message.get("data")
        if not isinstance(data, dict) or not all(value is True for value in data.values()):
            raise InvalidMessageError(f"The 'data' of {kind} must be an object of names, each with the value true.")
        return kind, list(data)

    def _attempt(self, operation: str, act: Callable[[str], None], name: str) -> str | None:
        try:
            act(name)
        except KeyError:
            kind = "action" if operation.endswith("action") else "property"
            detail = f"'{self._thing.name}' has no {kind} '{name}'."
            return _problem(operation, name, 404, "not-found", "Not Found", detail)
        except PropertyNotObservableError as error:
            return _problem(operation, name, 403, "not-observable", "Not Observable", str(error))
        return None

    def _observe_property(self, name: str) -> None:
        if not self._thing.properties[name].is_observable:
            raise PropertyNotObservableError(
                f"'{self._thing.name}.{name}' cannot be observed: it is computed when it is read. Read it instead."
            )
        self._broker.subscribe_nowait(self._thing.name, name, self._stream)

    def _observe_action(self, name: str) -> None:
        self._broker.subscribe_nowait(self._thing.name, self._thing.actions[name].name, self._stream)

    def _unobserve_property(self, name: str) -> None:
        self._unobserve(self._thing.properties[name].name)

    def _unobserve_action(self, name: str) -> None:
        self._unobserve(self._thing.actions[name].name)

    def _unobserve(self, name: str) -> None:
        if self._broker.is_subscribed(self._thing.name, name, self._stream):
            self._broker.unsubscribe_nowait(self._thing.name, name, self._stream)


def _encode(message: Message) -> str:
    if message.message_type == "action":
        return f'{{"messageType":"actionStatus","data":{_json(message.payload)}}}'
    name = _json(message.affordance)
    try:
        value = message.payload_json().decode()
    except Exception as error:  # noqa: BLE001 - the value is the Thing's own
        detail = f"The value of '{message.thing}.{message.affordance}' has no JSON form: {error}"
        LOGGER.error(detail)
        return _problem("observeproperty", message.affordance, 500, "internal-error", "Internal Server Error", detail)
    return f'{{"messageType":"propertyStatus","data":{{{name}:{value}}}}}'


def _problem(operation: str, name: str | None, status: int, kind: str, title: str, detail: str) -> str:
    error = {"status": str(status), "type": f"{ERRORS}#{kind}", "title": title, "detail": detail}
    reply = {"messageType": "response", "operation": operation, "name": name, "error": error}
    return _json({key: value for key, value in reply.items() if value is not None})


def _json(value: Any) -> str:
    try:
        return pydantic_core.to_json(value, inf_nan_mode="null", serialize_unknown=True).decode()
    except pydantic_core.PydanticSerializationError:  # half a character, which only an escape can stand for
        return json.dumps(value, default=str)
