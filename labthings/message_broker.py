"""Publish what happens on Things to whoever has subscribed to it."""

from __future__ import annotations

import logging
import threading
import time
import uuid
import warnings
from collections.abc import Iterator
from itertools import count
from typing import NamedTuple, Protocol, TypeAlias
from weakref import WeakSet

import anyio
from anyio.streams.memory import MemoryObjectSendStream

from labthings.event_history import EventHistory
from labthings.exceptions import MessageDroppedWarning, ServerNotRunningError
from labthings.inbox import MOST_MESSAGES, Inbox
from labthings.messages import Message, MessagesLost
from labthings.workers import LoopCalls

LOGGER = logging.getLogger(__name__)
MOST_POSTED = MOST_MESSAGES // 4  # as an inbox may be delivered that many twice before its owner has a turn
LONGEST_HOLD_UP = 5.0  # seconds

Subscriber: TypeAlias = "Inbox | MemoryObjectSendStream[Message]"


class Watch(Protocol):
    """Finds out about changes that nobody tells of, for as long as somebody is subscribed to them."""

    def begin(self) -> None:
        """Somebody is subscribed now."""

    def end(self) -> None:
        """Nobody is subscribed any more."""

    def refresh(self) -> None:
        """There may have been a change."""


class MessageBroker:
    """Relays messages to the streams that have subscribed to them.

    It belongs to the event loop: only `post`, `post_change` and `is_observed` may be called from other threads. It does
    not check that Things or affordances exist.
    """

    def __init__(self, loop_calls: LoopCalls | None = None) -> None:
        self.loop_calls = loop_calls or LoopCalls()
        self._subscriptions: dict[str, dict[str, WeakSet[Subscriber]]] = {}
        self._watches: dict[tuple[str, str], Watch] = {}
        self._posted: dict[object, Message | _Change] = {}
        self._posted_lock = threading.Lock()
        self._numbers = count()
        self._inboxes: WeakSet[Inbox] = WeakSet()
        self.history = EventHistory()
        self.epoch = uuid.uuid4().hex[:8]
        """What tells the messages of this server from those of an earlier run."""

    def open_inbox(self, inbox: Inbox | None = None) -> Inbox:
        """A new inbox for a client, which is closed when the server stops, even if it is subscribed to nothing.

        :param inbox: one to use as such.
        """
        inbox = Inbox() if inbox is None else inbox
        self._inboxes.add(inbox)
        return inbox

    def watch(self, thing: str, affordance: str, watch: Watch) -> None:
        """Have something look out for changes of an affordance while anything is subscribed to it."""
        self._watches[thing, affordance] = watch

    def is_observed(self, thing: str, affordance: str) -> bool:
        """Whether anything may be subscribed to an affordance."""
        return affordance in self._subscriptions.get(thing, ())

    def has_subscribers(self, thing: str, affordance: str) -> bool:
        """Whether anything is subscribed to an affordance that still exists."""
        streams = self._subscriptions.get(thing, {}).get(affordance)
        if streams is not None and not streams:
            self._forget(thing, affordance)
        return bool(streams)

    # --- from any thread ----------------------------------------------------------------------------------------

    def post(self, message: Message) -> None:
        """Have a message published by the event loop, from any thread.

        A property's value that has not been published yet is replaced: a thread that sets a property in a tight loop
        costs the event loop no more than one that sets it now and then. A thread that tells of events faster than the
        event loop can publish them is held up. While there is no event loop, nobody is told.
        """
        if message.message_type == "property":
            self._post((message.thing, message.affordance), message)
        else:
            if message.message_type == "event":
                self._make_room()
            self._post(next(self._numbers), message)

    def post_change(self, thing: str, affordance: str) -> None:
        """Have whatever watches an affordance find out what its value is now, from any thread."""
        self._post(("change", thing, affordance), _Change(thing, affordance))

    def _post(self, key: object, item: Message | _Change) -> None:
        with self._posted_lock:
            first = not self._posted
            self._posted.pop(key, None)
            self._posted[key] = item
        if first:
            try:
                self.loop_calls.call_soon(self._publish_posted)
            except ServerNotRunningError:
                LOGGER.debug("The server is not running, so %s.%s is not published", item.thing, item.affordance)
                self._forget_posted()  # or else later messages would wait for this one to be published

    def _make_room(self) -> None:
        if len(self._posted) < MOST_POSTED:
            return
        if self.loop_calls.is_here:
            self._publish_posted()
        deadline = time.monotonic() + LONGEST_HOLD_UP
        while len(self._posted) >= MOST_POSTED and time.monotonic() < deadline:
            time.sleep(0.001)

    # --- in the event loop --------------------------------------------------------------------------------------

    def _publish_posted(self) -> None:
        with self._posted_lock:
            posted, self._posted = self._posted, {}
        for item in posted.values():
            try:
                self._publish_item(item)
            except Exception:  # whatever is wrong with one must not keep the others from those who wait for them
                LOGGER.exception("Subscribers may not have been told of %s.%s", item.thing, item.affordance)

    def _publish_item(self, item: Message | _Change) -> None:
        if isinstance(item, Message):
            self.publish_nowait(item)
        elif self.has_subscribers(item.thing, item.affordance):
            self._watches[item.thing, item.affordance].refresh()

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
        affordances = self._subscriptions.setdefault(thing, {})
        is_first = affordance not in affordances
        affordances.setdefault(affordance, WeakSet()).add(stream)
        if is_first and (thing, affordance) in self._watches:
            self._watches[thing, affordance].begin()

    async def unsubscribe(self, thing: str, affordance: str, stream: Subscriber) -> None:
        """Send a stream no more messages from an affordance.

        :raises KeyError: if it is not subscribed.
        :raises TypeError: if a name is not a string.
        """
        self.unsubscribe_nowait(thing, affordance, stream)

    def unsubscribe_nowait(self, thing: str, affordance: str, stream: Subscriber) -> None:
        _check_names(thing, affordance)
        self._subscriptions[thing][affordance].remove(stream)
        if not self._is_wanted(thing, affordance, set()):
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
        if message.message_type == "event":
            self.history.record(message)
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

    def close_inboxes(self) -> None:
        """Close the inboxes of clients. Whatever else is subscribed stays so."""
        for inbox in list(self._inboxes):
            inbox.close()
            self.unsubscribe_all(inbox)

    async def close_streams(self) -> None:
        """Close every stream that is subscribed to anything."""
        for stream in {*self._inboxes, *(stream for _, _, streams in self._all() for stream in streams)}:
            stream.close()
        for thing, affordance, _ in list(self._all()):
            self._forget(thing, affordance)
        self._forget_posted()

    def _forget_posted(self) -> None:
        with self._posted_lock:
            self._posted.clear()

    def _all(self) -> Iterator[tuple[str, str, WeakSet[Subscriber]]]:
        for thing, affordances in self._subscriptions.items():
            for affordance, streams in affordances.items():
                yield thing, affordance, streams

    def _is_wanted(self, thing: str, affordance: str, seen: set[tuple[str, str]]) -> bool:
        """Whether anything is subscribed but watches, of which each may only be there for the sake of the next."""
        seen.add((thing, affordance))
        purposes = (getattr(each, "purpose", None) for each in self._subscriptions[thing].get(affordance, ()))
        return any(each is None or (each not in seen and self._is_wanted(each[0], each[1], seen)) for each in purposes)

    def _forget(self, thing: str, affordance: str) -> None:
        affordances = self._subscriptions[thing]
        affordances.pop(affordance, None)
        if not affordances:
            del self._subscriptions[thing]
        if (thing, affordance) in self._watches:
            self._watches[thing, affordance].end()


class _Change(NamedTuple):
    thing: str
    affordance: str


def _check_names(thing: str, affordance: str) -> None:
    if not isinstance(thing, str) or not isinstance(affordance, str):
        raise TypeError(f"The names of a Thing and its affordance must be strings, not {thing!r} and {affordance!r}.")


__all__ = ["Inbox", "Message", "MessageBroker", "MessagesLost", "Subscriber", "Watch"]
