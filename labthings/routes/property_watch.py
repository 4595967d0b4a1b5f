"""Find out when a property with a getter changes, while somebody observes it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from contextvars import Context
from typing import Any, Protocol

from labthings.inbox import Inbox
from labthings.message_broker import MessageBroker
from labthings.messages import Message
from labthings.problem_details import text_of
from labthings.properties import PropertyInfo
from labthings.url_for import placeholder_url, use_url_for


class Readable(Protocol):
    """What reads the property."""

    @property
    def info(self) -> PropertyInfo: ...
    async def read_with_json(self) -> tuple[Any, bytes]:
        """Its value, and the same as JSON."""


class PropertyWatch:
    """Reads a property when it is time to, when something changes that it depends on, or when the Thing says so.

    Observers are told of its value if that is another than they were told before, or if the Thing has said that it has
    changed; and of the reason if it cannot be read.

    :param access: reads the property.
    :param broker: tells its observers.
    :param thing: the Thing's name.
    :param keep: keeps the blobs to which there are links in what observers are told.
    """

    def __init__(
        self, access: Readable, broker: MessageBroker, thing: str, keep: Callable[[Iterable[object]], None]
    ) -> None:
        self._access, self._broker, self._keep = access, broker, keep
        self._thing, self._name = thing, access.info.name
        self._task: asyncio.Task[None] | None = None
        self._told: object = None
        self._is_due = asyncio.Event()

    def begin(self) -> None:
        """Read it from now on."""
        self._told = None
        self._is_due = asyncio.Event()
        self._task = Context().run(self._start)  # not in that of the request which happens to be the first

    def end(self) -> None:
        """Read it no more."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def refresh(self) -> None:
        """Tell observers of its value, be it the same or another."""
        self._told = None
        self._is_due.set()

    def notice(self, document: bytes) -> None:
        """Note what somebody has read: observers are told if it is something else than they were told.

        :param document: the value, as JSON.
        """
        if self._task is not None and self._told is not None and document != self._told:
            self.refresh()

    def _start(self) -> asyncio.Task[None]:
        return asyncio.get_running_loop().create_task(self._watch(), name=f"Watching {self._access.info}")

    async def _watch(self) -> None:
        descriptor = self._access.info.descriptor
        changes = _Changes((self._thing, self._name))
        for name in descriptor.depends_on:
            self._broker.subscribe_nowait(self._thing, name, changes)
        following = asyncio.ensure_future(self._follow(changes))
        try:
            while self._broker.has_subscribers(self._thing, self._name):
                self._is_due.clear()
                await self._tell()
                with suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._is_due.wait(), descriptor.poll)
        finally:
            following.cancel()
            self._broker.unsubscribe_all(changes)

    async def _follow(self, changes: Inbox) -> None:
        async for _ in changes:
            self._is_due.set()

    async def _tell(self) -> None:
        mentioned: list[object] = []
        try:
            with use_url_for(placeholder_url, mentioned):  # as a message is encoded once for all clients
                value, document = await self._access.read_with_json()
        except Exception as error:  # noqa: BLE001 - whatever it is, it has been logged, and is told to observers
            message = Message(self._thing, self._name, "property", None, error=error)
            self._publish((type(error), text_of(error)), message)
        else:
            self._keep(mentioned)
            self._publish(document, Message(self._thing, self._name, "property", value, lambda value: document))

    def _publish(self, told: object, message: Message) -> None:
        if told != self._told:
            self._told = told
            self._broker.publish_nowait(message)


class _Changes(Inbox):
    """What a watched property depends on has changed.

    :param purpose: the property, by its Thing's name and its own.
    """

    def __init__(self, purpose: tuple[str, str]) -> None:
        super().__init__()
        self.purpose = purpose
