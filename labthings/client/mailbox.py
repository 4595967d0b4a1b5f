"""What has come for somebody who observes a property, or has subscribed to an event."""

from __future__ import annotations

import logging
import threading
from abc import ABC, abstractmethod
from collections import deque
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from labthings.exceptions import LabThingsError

LOGGER = logging.getLogger("labthings.client")

MOST_EVENTS = 1000  # that may wait for their reader


@dataclass(frozen=True)
class Value:
    """A property's value, or an event's data."""

    value: Any


@dataclass(frozen=True)
class Failure:
    """The property cannot be read, or the server refuses to tell of it any more."""

    error: LabThingsError


@dataclass(frozen=True)
class Connected:
    """The connection was lost, or is back."""

    is_connected: bool


Item: TypeAlias = Value | Failure | Connected


class Signal(Protocol):
    """A ``threading.Event`` or an ``asyncio.Event``."""

    def set(self) -> object: ...
    def clear(self) -> object: ...


class Mailbox(ABC):
    """Holds what its reader has not yet taken, which takes a bounded amount of memory.

    :param arrived: is set while there is something in it, and once it is closed.
    """

    def __init__(self, arrived: Signal) -> None:
        self._arrived = arrived
        self._items: deque[Item] = deque()
        self._lock = threading.Lock()  # its reader may be another thread
        self.is_closed = False
        self.is_connected = False
        self.error: LabThingsError | None = None
        self.lost = 0

    def put(self, item: Item) -> None:
        """Put something in."""
        with self._lock:
            if self.is_closed:
                return
            if not isinstance(item, Connected):
                self.error = item.error if isinstance(item, Failure) else None
            self._make_room(item)
            self._items.append(item)
            self._arrived.set()

    def connect(self, is_connected: bool) -> None:
        """Note that the connection was lost, or is back."""
        if is_connected != self.is_connected:
            self.is_connected = is_connected
            self.put(Connected(is_connected))

    def take(self) -> Item | None:
        """The first thing in it, if there is any."""
        with self._lock:
            item = self._items.popleft() if self._items else None
            if not self._items and not self.is_closed:
                self._arrived.clear()
            return item

    def close(self) -> None:
        """Throw away what is in it, and whatever may still come."""
        with self._lock:
            self.is_closed, self.is_connected = True, False
            self._items.clear()
            self._arrived.set()

    def _make_room(self, item: Item) -> None:
        if not isinstance(item, Connected):
            self._make_room_for_news()
        elif len(noted := [each for each in self._items if isinstance(each, Connected)]) > 1:
            self._items.remove(noted[0])  # that it was lost and came back needs to be told only once
            self._items.remove(noted[1])

    @abstractmethod
    def _make_room_for_news(self) -> None: ...


class LatestValue(Mailbox):
    """Holds one value only, the newest."""

    def _make_room_for_news(self) -> None:
        self._items = deque(each for each in self._items if isinstance(each, Connected))


class Backlog(Mailbox):
    """Holds events in their order. If there are too many, it forgets the oldest ones, and counts them."""

    _is_losing = False

    def _make_room_for_news(self) -> None:
        was_losing, self._is_losing = self._is_losing, len(self._items) >= MOST_EVENTS
        if self._is_losing:
            self._items.popleft()
            self.lost += 1
            if not was_losing:
                LOGGER.warning("Events come faster than they are taken. The oldest ones are thrown away.")
