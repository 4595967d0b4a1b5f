"""Publish what happens on Things to whoever has subscribed to it."""

from __future__ import annotations

import asyncio
import logging
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Literal, TypeAlias
from weakref import WeakSet

import anyio
import pydantic_core
from anyio.abc import ObjectReceiveStream
from anyio.streams.memory import MemoryObjectSendStream

from labthings.exceptions import MessageDroppedWarning, ServerNotRunningError
from labthings.workers import LoopCalls

LOGGER = logging.getLogger(__name__)


@dataclass(slots=True)
class Message:
    """Something that happened to an affordance of a Thing.

    :param thing: the Thing's name.
    :param affordance: the name of the property or action.
    :param message_type: what kind of affordance it is.
    :param payload: a property's value, or a dictionary that tells an action's status.
    :param serialise: makes JSON of the payload.
    """

    thing: str
    affordance: str
    message_type: Literal["property", "action"]
    payload: Any
    serialise: Callable[[Any], bytes] = field(default=pydantic_core.to_json, repr=False, compare=False)
    _encodings: dict[Callable[[Message], str], str] | None = field(default=None, init=False, repr=False, compare=False)

    def payload_json(self) -> bytes:
        """The payload as JSON."""
        return self.serialise(self.payload)

    def encoded(self, encode: Callable[[Message], str]) -> str:
        """The message as text, which is made once however many subscribers ask for it."""
        if self._encodings is None:
            self._encodings = {}
        if encode not in self._encodings:
            self._encodings[encode] = encode(self)
        return self._encodings[encode]


@dataclass(frozen=True, slots=True)
class MessagesLost:
    """How many messages a subscriber was too slow for, in place of the messages."""

    count: int


class Inbox(ObjectReceiveStream["Message | MessagesLost"]):
    """A subscriber's messages, from the broker's delivery until they are received.

    Property values that nobody has received yet are replaced by newer ones, so the last one always arrives. Other
    messages keep their order; past ``bound`` of them the oldest are dropped, and the subscriber is told how many.
    For the event loop's thread only.
    """

    def __init__(self, bound: int = 1000) -> None:
        self._bound = bound
        self._numbers = count()
        self._messages: dict[object, Message] = {}
        self._ordered = 0
        self._lost = 0
        self._closed = False
        self._waiter: asyncio.Future[None] | None = None

    def send_nowait(self, message: Message) -> None:
        """Take delivery of a message."""
        if self._closed:
            raise anyio.ClosedResourceError
        if message.message_type == "property":
            key: object = (message.thing, message.affordance)
            self._messages.pop(key, None)
        else:
            key = next(self._numbers)
            self._ordered += 1
        self._messages[key] = message
        if self._ordered > self._bound:
            self._drop_oldest()
        self._wake()

    async def receive(self) -> Message | MessagesLost:
        """Wait for the next message.

        :raises anyio.EndOfStream: once the inbox is closed and empty.
        """
        while not self._messages and not self._lost:
            if self._closed:
                raise anyio.EndOfStream
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        if self._lost:
            lost, self._lost = self._lost, 0
            return MessagesLost(lost)
        key = next(iter(self._messages))
        self._ordered -= isinstance(key, int)
        return self._messages.pop(key)

    def close(self) -> None:
        """Take no more messages; what is there can still be received."""
        self._closed = True
        self._wake()

    async def aclose(self) -> None:
        self.close()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _drop_oldest(self) -> None:
        oldest = next(key for key in self._messages if isinstance(key, int))
        del self._messages[oldest]
        self._ordered -= 1
        self._lost += 1


Subscriber: TypeAlias = "Inbox | MemoryObjectSendStream[Message]"


class MessageBroker:
    """Relays messages to the streams that have subscribed to them.

    It belongs to the event loop: only `MessageBroker.post` and `MessageBroker.is_observed` may be called from other
    threads. It does not check that Things or affordances exist.
    """

    def __init__(self, loop_calls: LoopCalls | None = None) -> None:
        self._loop_calls = loop_calls or LoopCalls()
        self._subscriptions: dict[str, dict[str, WeakSet[Subscriber]]] = {}
        self._posted: dict[object, Message] = {}
        self._posted_lock = threading.Lock()
        self._numbers = count()
        self._inboxes: WeakSet[Inbox] = WeakSet()

    def open_inbox(self) -> Inbox:
        """A new inbox, which is closed when the server stops, even if it is subscribed to nothing."""
        inbox = Inbox()
        self._inboxes.add(inbox)
        return inbox

    def is_observed(self, thing: str, affordance: str) -> bool:
        """Whether anything may be subscribed to an affordance."""
        return affordance in self._subscriptions.get(thing, ())

    def post(self, message: Message) -> None:
        """Have a message published by the event loop, from any thread.

        A property's value that has not been published yet is replaced: a thread that sets a property in a tight loop
        costs the event loop no more than one that sets it now and then. While there is no event loop, nobody is told.
        """
        with self._posted_lock:
            first = not self._posted
            if message.message_type == "property":
                key: object = (message.thing, message.affordance)
                self._posted.pop(key, None)
            else:
                key = next(self._numbers)
            self._posted[key] = message
        if first:
            try:
                self._loop_calls.call_soon(self._publish_posted)
            except ServerNotRunningError:
                LOGGER.debug("The server is not running, so %s.%s is not published", message.thing, message.affordance)
                self._forget_posted()  # or else later messages would wait for this one to be published

    def _publish_posted(self) -> None:
        with self._posted_lock:
            posted, self._posted = self._posted, {}
        for message in posted.values():
            self.publish_nowait(message)

    def _forget_posted(self) -> None:
        with self._posted_lock:
            self._posted.clear()

    async def subscribe(self, thing: str, affordance: str, stream: Subscriber) -> None:
        """Send a stream every message from an affordance, for as long as something else refers to the stream.

        :param thing: the Thing's name.
        :param affordance: the affordance's name.
        :param stream: where to send messages.
        :raises TypeError: if a name is not a string.
        """
        self.subscribe_nowait(thing, affordance, stream)

    def subscribe_nowait(self, thing: str, affordance: str, stream: Subscriber) -> None:
        _check_names(thing, affordance)
        self._subscriptions.setdefault(thing, {}).setdefault(affordance, WeakSet()).add(stream)

    async def unsubscribe(self, thing: str, affordance: str, stream: Subscriber) -> None:
        """Send a stream no more messages from an affordance.

        :raises KeyError: if it is not subscribed.
        :raises TypeError: if a name is not a string.
        """
        self.unsubscribe_nowait(thing, affordance, stream)

    def unsubscribe_nowait(self, thing: str, affordance: str, stream: Subscriber) -> None:
        _check_names(thing, affordance)
        streams = self._subscriptions[thing][affordance]
        streams.remove(stream)
        if not streams:
            self._forget(thing, affordance)

    def unsubscribe_all(self, stream: Subscriber) -> None:
        """Send a stream no more messages from anything."""
        for thing, affordance, streams in list(self._all()):
            if stream in streams:
                self.unsubscribe_nowait(thing, affordance, stream)

    def is_subscribed(self, thing: str, affordance: str, stream: Subscriber) -> bool:
        """Whether a stream is sent the messages from an affordance."""
        return stream in self._subscriptions.get(thing, {}).get(affordance, ())

    async def publish(self, message: Message) -> None:
        """Send a message to every stream that has subscribed to its affordance."""
        self.publish_nowait(message)

    def publish_nowait(self, message: Message) -> None:
        streams = self._subscriptions.get(message.thing, {}).get(message.affordance)
        if streams is None:
            return
        for stream in list(streams):
            try:
                stream.send_nowait(message)
            except anyio.WouldBlock:
                text = f"A subscriber to {message.thing}.{message.affordance} is too slow: a message was dropped."
                warnings.warn(text, MessageDroppedWarning, stacklevel=2)
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                streams.discard(stream)
        if not streams:
            self._forget(message.thing, message.affordance)

    async def close_streams(self) -> None:
        """Close every stream that is subscribed to anything."""
        for stream in {*self._inboxes, *(stream for _, _, streams in self._all() for stream in streams)}:
            stream.close()
        self._subscriptions.clear()
        self._forget_posted()

    def _all(self) -> Iterator[tuple[str, str, WeakSet[Subscriber]]]:
        for thing, affordances in self._subscriptions.items():
            for affordance, streams in affordances.items():
                yield thing, affordance, streams

    def _forget(self, thing: str, affordance: str) -> None:
        affordances = self._subscriptions[thing]
        affordances.pop(affordance, None)
        if not affordances:
            del self._subscriptions[thing]


def _check_names(thing: str, affordance: str) -> None:
    if not isinstance(thing, str) or not isinstance(affordance, str):
        raise TypeError(f"The names of a Thing and its affordance must be strings, not {thing!r} and {affordance!r}.")
