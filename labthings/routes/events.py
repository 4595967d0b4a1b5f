"""Subscribe to events over HTTP: by server-sent events, and by long-polling."""

from __future__ import annotations

from collections.abc import Collection, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

from labthings.inbox import Inbox
from labthings.message_broker import MessageBroker
from labthings.routes.event_blocks import Blocks, lost_block, unknown_block
from labthings.routes.http import Route
from labthings.routes.long_poll import Found, LongPoll, as_json
from labthings.routes.positions import number_in_position
from labthings.routes.served_thing import ServedThing, ServedThings
from labthings.routes.server_sent_events import EventStream


def event_routes(server: ServedThings, served: ServedThing) -> Iterator[Route]:
    """The routes of all events of a Thing."""
    broker = server.message_broker
    blocks = Blocks(broker.epoch, server.debug)
    for name in served.events:
        stream = EventStream(server, EventTopic(served, broker, blocks, name), blocks)
        poll = LongPoll(server, EventOccurrences(served, broker, name))
        yield Route(f"{served.path}{name}", "GET", stream.serve)
        yield Route(f"{served.path}{name}/observe", "GET", poll.serve)
    everything = EventStream(server, EventTopic(served, broker, blocks), blocks)
    yield Route(f"{served.path}events", "GET", everything.serve)


class EventTopic:
    """An event of a Thing, or all of them, of which a client is told.

    :param event: its name; none for all.
    """

    def __init__(self, served: ServedThing, broker: MessageBroker, blocks: Blocks, event: str | None = None) -> None:
        self._served, self._broker, self._event = served, broker, event
        self.block_of = blocks.of_thing_event if event is None else blocks.of_event

    @property
    def thing(self) -> str:
        return self._served.name

    @property
    def names(self) -> Collection[str]:
        return self._served.events.keys() if self._event is None else (self._event,)

    def check(self) -> None:
        self._served.require_running()

    def newest(self) -> int:
        return self._broker.history.position(self._served.name, self._event)

    def missed_since(self, position: str) -> list[bytes]:
        number = number_in_position(position, self._broker.epoch)
        if number is None or number > self.newest():
            return [unknown_block(position), *self._since(0)[1]]
        lost, blocks = self._since(number)
        return [lost_block(lost), *blocks] if lost else blocks

    def present(self) -> list[Coroutine[Any, Any, bytes]]:
        return []

    def _since(self, number: int) -> tuple[int, list[bytes]]:
        missed = self._broker.history.since(self._served.name, self._event, number)
        return missed.lost, [message.encoded(self.block_of) for message in missed.messages]


class EventOccurrences:
    """An event of a Thing, for which clients wait."""

    def __init__(self, served: ServedThing, broker: MessageBroker, event: str) -> None:
        self._served, self._broker, self._event = served, broker, event

    def check(self) -> None:
        self._served.require_running()

    @contextmanager
    def polled(self) -> Iterator[Inbox]:
        inbox = self._broker.open_inbox()
        self._broker.subscribe_nowait(self._served.name, self._event, inbox)
        try:
            yield inbox
        finally:
            self._broker.unsubscribe_all(inbox)

    def newest(self) -> int:
        return self._broker.history.position(self._served.name, self._event)

    async def after(self, number: int | None) -> Found | None:
        missed = self._broker.history.since(self._served.name, self._event, number or 0)
        if not missed.messages:
            return None
        first = missed.messages[0]
        lost = "unknown" if number is None else str(missed.lost or "")
        return Found(first.number, first.encoded(as_json), lost)
