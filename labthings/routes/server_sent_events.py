"""Server-sent events: an answer that tells what happens, for as long as the client wants to know."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Collection, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from typing_extensions import Self

from labthings.inbox import Inbox
from labthings.messages import Message, MessagesLost, Reply
from labthings.routes.event_blocks import COMMENT, Blocks, lost_block
from labthings.routes.http import Handler, Headers, Receive, Scope, Send, base_url
from labthings.routes.negotiation import MEDIA_TYPES, accept_of, best_offer
from labthings.routes.positions import last_event_id
from labthings.routes.served_thing import ServedThings
from labthings.routes.watching import body_part
from labthings.url_for import placeholder_url, use_url_for, with_address

MEDIA_TYPE = "text/event-stream"
LARGEST_CHUNK = 65_536  # bytes, unless a single message is larger
PATIENCE_SECONDS = 0.3  # in which what can be read is sent in its order
KEEP_ALIVE_SECONDS = 15.0  # between comments, by which proxies see that the connection is in use


class Topic(Protocol):
    """Affordances of a Thing that a client can follow together."""

    @property
    def thing(self) -> str:
        """The Thing's name."""

    @property
    def names(self) -> Collection[str]:
        """The affordances' names."""

    def check(self) -> None:
        """Make sure that they can be followed.

        :raises LabThingsError: if they cannot, such as when the Thing does not run.
        """

    def newest(self) -> int:
        """The number of the last message."""

    def block_of(self, message: Message) -> bytes:
        """A message as clients are sent it."""

    def missed_since(self, position: str) -> Sequence[bytes]:
        """What a client that was away has to be sent first, as blocks.

        :param position: that of the last message that it got.
        """

    def present(self) -> Sequence[Coroutine[Any, Any, bytes]]:
        """What a client that was away has to be sent too, but may have to be waited for, as blocks."""


class EventStream:
    """Sends clients whatever happens to some affordances.

    :param server: the server.
    :param topic: the affordances.
    :param blocks: tells clients where they are.
    """

    def __init__(self, server: ServedThings, topic: Topic, blocks: Blocks) -> None:
        self._topic, self._blocks, self._encode = topic, blocks, topic.block_of
        self._broker, self._held, self._prefix = server.message_broker, server.held_requests, server.api_prefix

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        self._topic.check()
        self._held.require_open()
        if scope["method"] == "HEAD":
            await send({"type": "http.response.start", "status": 200, "headers": _headers()})
            await send(body_part(b"", more=False))
            return
        with use_url_for(placeholder_url):  # a message is encoded once for all clients
            await self._held.hold(self._answer(scope, send), receive)

    async def _answer(self, scope: Scope, send: Send) -> None:
        address = f"{base_url(scope)[:-1]}{self._prefix}"
        with self._subscribed() as inbox, _KeepAlive(inbox):
            position, newest = last_event_id(scope), self._topic.newest()
            missed = [] if position is None else self._topic.missed_since(position)
            async with _Reading([] if position is None else self._topic.present()) as reading:
                present = await reading.prompt(inbox)
                await send({"type": "http.response.start", "status": 200, "headers": _headers()})
                for chunk in _chunks([*missed, *present, self._blocks.of_position(newest)]):
                    await send(body_part(with_address(chunk, address)))
                await self._relay(inbox, send, address)
        await send(body_part(b"", more=False))

    @contextmanager
    def _subscribed(self) -> Iterator[Inbox]:
        inbox = self._broker.open_inbox()
        for name in self._topic.names:
            self._broker.subscribe_nowait(self._topic.thing, name, inbox)
        try:
            yield inbox
        finally:
            self._broker.unsubscribe_all(inbox)

    async def _relay(self, inbox: Inbox, send: Send, address: str) -> None:
        """Send what comes, until the server stops; when the client takes its time, as much at once as there is."""
        async for message in inbox:
            blocks = [self._block(message)]
            size = len(blocks[0])
            while size < LARGEST_CHUNK and not inbox.is_empty:
                blocks.append(self._block(inbox.receive_nowait()))
                size += len(blocks[-1])
            await send(body_part(with_address(b"".join(blocks), address)))

    def _block(self, message: Message | MessagesLost | Reply) -> bytes:
        if isinstance(message, Message):
            return message.encoded(self._encode)
        return lost_block(message.count) if isinstance(message, MessagesLost) else message.text.encode()


def read_or_follow(read: Handler, follow: Handler) -> Handler:
    """Answer a request with a value, or with server-sent events, as the client wants."""

    def answer(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        follows = _TAKES_ANYTHING not in scope["headers"] and _prefers_events(scope)
        return (follow if follows else read)(scope, receive, send)

    return answer


_TAKES_ANYTHING = (b"accept", b"*/*")  # what most clients that read values say, which is quickly found


def _prefers_events(scope: Scope) -> bool:
    for name, value in scope["headers"]:
        if name == b"accept" and b"event-stream" in value.lower():
            return best_offer(accept_of(scope), (*MEDIA_TYPES, MEDIA_TYPE)) == MEDIA_TYPE
    return False


class _Reading:
    """Reads what a client is to be sent. What takes long, such as a sensor that hangs, does not keep back the rest."""

    def __init__(self, work: Sequence[Coroutine[Any, Any, bytes]]) -> None:
        self._tasks = [asyncio.ensure_future(each) for each in work]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def prompt(self, inbox: Inbox) -> list[bytes]:
        """What is read soon. The rest comes into the inbox when it has been read."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=PATIENCE_SECONDS)
        prompt = [task.result() for task in self._tasks if task.done()]
        for late in (task for task in self._tasks if not task.done()):
            late.add_done_callback(lambda done: None if done.cancelled() else inbox.reply(done.result().decode()))
        return prompt


class _KeepAlive:
    """Has a comment sent now and then, unless the last one has not been taken yet."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox

    def __enter__(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(KEEP_ALIVE_SECONDS, self._comment)

    def __exit__(self, *error: object) -> None:
        self._timer.cancel()

    def _comment(self) -> None:
        if not self._inbox.unsent:
            self._inbox.reply(COMMENT)
        self.__enter__()


def _chunks(blocks: Sequence[bytes]) -> Iterator[bytes]:
    """Blocks together, as many as make a chunk."""
    collected: list[bytes] = []
    size = 0
    for block in blocks:
        collected.append(block)
        size += len(block)
        if size >= LARGEST_CHUNK:
            yield b"".join(collected)
            collected, size = [], 0
    yield b"".join(collected)


def _headers() -> Headers:
    return [
        (b"content-type", MEDIA_TYPE.encode()),
        (b"cache-control", b"no-store"),
        (b"vary", b"Accept"),
        (b"x-accel-buffering", b"no"),  # or else nginx, as a proxy, would collect messages
    ]
