"""Observe properties over HTTP: by server-sent events, and by long-polling."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import anyio

from labthings.inbox import Inbox
from labthings.message_broker import MessageBroker
from labthings.messages import Message
from labthings.routes.event_blocks import Blocks
from labthings.routes.http import Handler, Route
from labthings.routes.long_poll import Found, LongPoll, as_json
from labthings.routes.property_access import PropertyAccess
from labthings.routes.served_thing import ServedThing, ServedThings
from labthings.routes.server_sent_events import EventStream
from labthings.routes.thing_access import ThingAccess

LINGER_SECONDS = 5.0  # for which changes of a property are noticed between polls


class Observation:
    """Has clients observe the properties of a Thing.

    :param server: the server.
    :param thing: the Thing.
    """

    def __init__(self, server: ServedThings, thing: ThingAccess) -> None:
        self._server, self._thing = server, thing
        self._blocks = Blocks(server.message_broker.epoch, server.debug)

    def routes(self) -> Iterator[Route]:
        """The routes of polls."""
        for name, access in self._thing.properties.items():
            changes = PropertyChanges(self._thing.served, access, self._server.message_broker)
            yield Route(f"{self._thing.served.path}{name}/observe", "GET", LongPoll(self._server, changes).serve)

    def follow(self, name: str) -> Handler:
        """Answers with server-sent events: the values of a property."""
        return self._stream({name: self._thing.properties[name]})

    def follow_all(self) -> Handler:
        """Answers with server-sent events: the values of all properties that can be observed."""
        accesses = self._thing.properties.items()
        return self._stream({name: access for name, access in accesses if access.info.is_observable})

    def _stream(self, accesses: Mapping[str, PropertyAccess]) -> Handler:
        topic = PropertyTopic(self._thing.served, accesses, self._blocks)
        return EventStream(self._server, topic, self._blocks).serve


class PropertyTopic:
    """Some properties of a Thing, of whose values a client is told."""

    def __init__(self, served: ServedThing, accesses: Mapping[str, PropertyAccess], blocks: Blocks) -> None:
        self._served, self._accesses, self._blocks = served, accesses, blocks

    @property
    def thing(self) -> str:
        return self._served.name

    @property
    def names(self) -> Collection[str]:
        return self._accesses.keys()

    def check(self) -> None:
        for access in self._accesses.values():
            access.info.require_observable()
        self._served.require_running()

    def newest(self) -> int:
        return 0  # values are not counted: whoever was away is sent the present one

    def block_of(self, message: Message) -> bytes:
        return self._blocks.of_property(message)

    def missed_since(self, position: str) -> list[bytes]:
        return []  # whatever it was, the present value is what matters

    def present(self) -> list[Coroutine[Any, Any, bytes]]:
        return [self._present(name) for name in self._accesses]

    async def _present(self, name: str) -> bytes:
        try:
            return self._blocks.of_value(name, await self._accesses[name].read())
        except Exception as error:  # noqa: BLE001 - it has been logged, and the client is told
            return self._blocks.of_problem(name, error)


class PropertyChanges:
    """Counts the changes of a property while clients poll it, and for a while after that.

    When it is polled again, there may have been a change in between, which counts as one.
    """

    def __init__(self, served: ServedThing, access: PropertyAccess, broker: MessageBroker) -> None:
        self._served, self._access, self._broker = served, access, broker
        self._name = access.info.name
        self._noticing = Inbox()
        self._number = 0
        self._latest: Message | None = None
        self._polls = 0
        self._timer: asyncio.TimerHandle | None = None

    def check(self) -> None:
        self._access.info.require_observable()
        self._served.require_running()

    @contextmanager
    def polled(self) -> Iterator[Inbox]:
        self._notice()
        self._polls += 1
        inbox = self._broker.open_inbox()
        self._broker.subscribe_nowait(self._served.name, self._name, inbox)
        try:
            yield inbox
        finally:
            self._broker.unsubscribe_all(inbox)
            self._polls -= 1
            if not self._polls:
                self._timer = asyncio.get_running_loop().call_later(LINGER_SECONDS, self._forget)

    def newest(self) -> int:
        with suppress(anyio.WouldBlock):
            message = self._noticing.receive_nowait()
            if isinstance(message, Message):
                self._number, self._latest = self._number + 1, message
        return self._number

    async def after(self, number: int | None) -> Found | None:
        newest = self.newest()
        if number == newest:
            return None
        if self._latest is None or number is None:
            return Found(newest, await self._present())
        return Found(newest, _document_of(self._latest))

    async def _present(self) -> bytes | Exception:
        try:
            return await self._access.read()
        except Exception as error:  # noqa: BLE001 - it has been logged, and the client is told
            return error

    def _notice(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if not self._broker.is_subscribed(self._served.name, self._name, self._noticing):
            self._noticing = self._broker.open_inbox()
            self._broker.subscribe_nowait(self._served.name, self._name, self._noticing)
            self._number += 1

    def _forget(self) -> None:
        self._broker.unsubscribe_all(self._noticing)
        self._noticing, self._latest = Inbox(), None


def _document_of(message: Message) -> bytes | Exception:
    if message.error is not None:
        return message.error
    try:
        return message.encoded(as_json)
    except Exception as error:  # noqa: BLE001 - the value is the Thing's own, and the client is told
        return error
