"""What a client is told of a property or an event, value by value."""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable, Iterator
from inspect import iscoroutinefunction
from typing import Any, TypeAlias

from typing_extensions import Self

from labthings.client.background import Background
from labthings.client.mailbox import Connected, Failure, Mailbox, Value
from labthings.client.topic import Topic
from labthings.exceptions import InvocationCancelledError, LabThingsError

LOGGER = logging.getLogger("labthings.client")

HEED_SECONDS = 1.0  # Windows lets Ctrl-C interrupt no wait that has no end

OnError: TypeAlias = Callable[[LabThingsError], object]
OnConnection: TypeAlias = Callable[[bool], object]


class Told:
    """What there is to say of a property that is observed, or of an event that is subscribed to."""

    def __init__(
        self, topic: Topic, mailbox: Mailbox, on_error: OnError | None, on_connection: OnConnection | None
    ) -> None:
        self._label, self._mailbox = topic.label, mailbox
        self._on_error, self._on_connection = on_error, on_connection

    @property
    def is_connected(self) -> bool:
        """Whether the server is telling of it now."""
        return self._mailbox.is_connected

    @property
    def error(self) -> LabThingsError | None:
        """Why the property cannot be read now, if that is so."""
        return self._mailbox.error

    @property
    def lost(self) -> int:
        """How many events are known to have been lost."""
        return self._mailbox.lost

    def __repr__(self) -> str:
        state = "closed" if self._mailbox.is_closed else "connected" if self.is_connected else "not connected"
        return f"<{type(self).__name__} {self._label}, {state}>"

    def _require_no_callback(self, callback: object) -> None:
        if callback is not None:
            raise TypeError(f"{self!r} has a callback, which gets its values. Leave that out to iterate over them.")

    def _tell(self, item: Failure | Connected) -> Any:
        if isinstance(item, Connected):
            return None if self._on_connection is None else self._on_connection(item.is_connected)
        if self._on_error is not None:
            return self._on_error(item.error)
        LOGGER.warning("%s", item.error)
        return None


class Observation(Told):
    """Values of a property, or the data of events, as they come: use it in a ``for`` loop, or with a callback.

    It goes on when the connection is lost and comes back, and when a property cannot be read for a while, until it is
    closed: by `close`, at the end of a ``with`` block, with the client, or when nobody refers to it any more.
    """

    def __init__(
        self,
        background: Background,
        topic: Topic,
        callback: Callable[[Any], object] | None,
        on_error: OnError | None,
        on_connection: OnConnection | None,
    ) -> None:
        require_callable(callback, topic.label)
        if iscoroutinefunction(callback):
            raise TypeError(f"The callback for {topic.label} is asynchronous: use an AsyncThingClient.")
        self._arrived = threading.Event()
        super().__init__(topic, topic.mailbox_type(self._arrived), on_error, on_connection)
        self._membership = background.join(topic, self._mailbox)
        self._abandon = weakref.finalize(self, self._membership.abandon)
        self._abandon.atexit = False
        self._thread: threading.Thread | None = None
        if callback is not None:
            self._thread = threading.Thread(target=self._relay, args=(callback,), name=repr(self), daemon=True)
            self._thread.start()

    def close(self) -> None:
        """End it: whatever waits for its next value does so no longer."""
        if self._abandon.detach() is not None:
            self._membership.end()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def __iter__(self) -> Iterator[Any]:
        self._require_no_callback(self._thread)
        return self

    def __next__(self) -> Any:
        self._require_no_callback(self._thread)
        item = self._next()
        if item is None:
            raise StopIteration
        return item.value

    def _next(self) -> Value | None:
        """The next value; none once it is closed."""
        while not self._mailbox.is_closed:
            item = self._mailbox.take()
            if isinstance(item, Value):
                return item
            if item is None:
                self._arrived.wait(HEED_SECONDS)
            else:
                self._tell(item)
        return None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _relay(self, callback: Callable[[Any], object]) -> None:
        while not self._mailbox.is_closed:
            try:
                while (item := self._next()) is not None:
                    callback(item.value)
            except (Exception, InvocationCancelledError):
                LOGGER.exception("A callback for %s failed. It is called again for the next value.", self._label)


def require_callable(callback: object, label: str) -> None:
    """Make sure that a callback, if there is one, is a function."""
    if callback is not None and not callable(callback):
        raise TypeError(f"{callback!r} cannot be called with the values of {label}: it is not a function.")
