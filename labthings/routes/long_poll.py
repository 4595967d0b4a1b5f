"""Long-polling: an answer that comes when something has happened."""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import anyio

from labthings.exceptions import ServerNotRunningError
from labthings.inbox import Inbox
from labthings.messages import Message
from labthings.routes.connection import Connection
from labthings.routes.http import (
    JSON,
    Headers,
    Receive,
    Scope,
    Send,
    base_url,
    send_nothing,
    send_problem,
    wanted_wait,
)
from labthings.routes.positions import known_tags, number_in_position, position_of
from labthings.routes.served_thing import ServedThings
from labthings.routes.watching import body_part
from labthings.routes.whereabouts import Whereabouts
from labthings.url_for import placeholder_url, use_url_for, with_address


@dataclass(frozen=True)
class Found:
    """What a client is answered.

    :param number: where it is then.
    :param document: the value, or the event's data, as JSON; or why the property cannot be read.
    :param lost: how much it has missed, if that is anything.
    """

    number: int
    document: bytes | Exception
    lost: str = ""


class Source(Protocol):
    """What a client can wait for."""

    def check(self) -> None:
        """Make sure that it can be waited for.

        :raises LabThingsError: if it cannot, such as when the Thing does not run.
        """

    def polled(self) -> AbstractContextManager[Inbox]:
        """Notice what happens, at least for as long as this lasts. Something comes into the inbox whenever it does."""

    def newest(self) -> int:
        """The number of what has happened last."""

    async def after(self, number: int | None) -> Found | None:
        """What has happened after something else, if anything has.

        :param number: of the other; none if that is not known.
        """


class LongPoll:
    """Answers polls, each when there is something that the client does not know yet.

    :param server: the server.
    :param source: what its clients wait for.
    """

    def __init__(self, server: ServedThings, source: Source) -> None:
        self._source, self._held, self._debug = source, server.held_requests, server.debug
        self._epoch, self._prefix = server.message_broker.epoch, server.api_prefix
        self._whereabouts = Whereabouts()

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        self._source.check()
        self._held.require_open()
        with use_url_for(placeholder_url):  # a message is encoded once for all clients
            if scope["method"] == "HEAD":
                await self._tell_position(scope, receive, send)
            else:
                await self._held.hold(self._answer(scope, Connection(receive), send, wanted_wait(scope)), receive)

    async def _tell_position(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._source.polled():
            headers = self._headers(self._source.newest(), scope, Connection(receive))
        await send({"type": "http.response.start", "status": 200, "headers": [JSON, *headers]})
        await send(body_part(b"", more=False))

    async def _answer(self, scope: Scope, connection: Connection, send: Send, wait: float | None) -> None:
        with self._source.polled() as inbox:
            start = self._start(scope, connection)
            try:
                found = await self._found(inbox, start, wait)
            except asyncio.CancelledError:  # the client has gone, maybe to ask again
                self._note(start, scope, connection)
                raise
        headers = self._headers(start if found is None else found.number, scope, connection)
        if found is None:
            await send_nothing(send, headers=headers)
            return
        if found.lost:
            headers.append((b"messages-lost", found.lost.encode()))
        if isinstance(found.document, Exception):
            await send_problem(send, found.document, self._debug, headers)
        else:
            address = f"{base_url(scope)[:-1]}{self._prefix}"
            await _send_whole(send, with_address(found.document, address), headers)

    def _start(self, scope: Scope, connection: Connection) -> int | None:
        """The number of the last that the client knows of; none if that cannot be told."""
        newest, tags = self._source.newest(), known_tags(scope)
        if not tags:
            told = self._whereabouts.recall(scope, connection)
            return newest if told is None else told
        numbers = (number_in_position(tag, self._epoch) for tag in tags)
        return max((each for each in numbers if each is not None and each <= newest), default=None)

    async def _found(self, inbox: Inbox, start: int | None, wait: float | None) -> Found | None:
        """What has happened since the start, or happens while the client waits."""
        found = await self._source.after(start)
        with anyio.move_on_after(wait):
            while found is None:
                await _arrival(inbox)
                found = await self._source.after(start)
        return found

    def _headers(self, number: int | None, scope: Scope, connection: Connection) -> Headers:
        """Headers that tell the client where it is, unless that is not known."""
        headers = [(b"cache-control", b"no-store")]
        if number is not None:
            self._note(number, scope, connection)
            headers.append((b"etag", f'"{position_of(self._epoch, number)}"'.encode()))
        return headers

    def _note(self, number: int | None, scope: Scope, connection: Connection) -> None:
        if number is not None:
            self._whereabouts.note(scope, connection, number)


def as_json(message: Message) -> bytes:
    """A message's payload, which `Message.encoded` makes once."""
    return message.payload_json()


async def _arrival(inbox: Inbox) -> None:
    try:
        await inbox.receive()
    except anyio.EndOfStream as error:
        raise ServerNotRunningError("The server is stopping, so nothing more will happen.") from error


async def _send_whole(send: Send, document: bytes, headers: Headers) -> None:
    """Send an answer, and wait until the client takes it: then a client that does not will not hold up the server."""
    length = (b"content-length", b"%d" % len(document))
    await send({"type": "http.response.start", "status": 200, "headers": [JSON, length, *headers]})
    await send(body_part(document))
    await send(body_part(b"", more=False))
