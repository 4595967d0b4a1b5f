"""The last events of each Thing, for clients that were away when they happened."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from operator import attrgetter

from labthings.messages import Message

MOST_MESSAGES = 1000  # of each event
MOST_BYTES = 2**22  # of each event, as JSON


@dataclass(frozen=True)
class Missed:
    """What somebody has missed who was away.

    :param lost: how many messages there were that are no longer kept.
    :param messages: those that are, the oldest first.
    """

    lost: int
    messages: list[Message]


@dataclass
class _Kept:
    """The last messages of one event."""

    count: int = 0
    size: int = 0
    messages: deque[Message] = field(default_factory=deque)

    def add(self, message: Message) -> None:
        self.count += 1
        self.messages.append(message)
        self.size += len(message.payload_json())
        while len(self.messages) > MOST_MESSAGES or (self.size > MOST_BYTES and len(self.messages) > 1):
            self.size -= len(self.messages.popleft().payload_json())


class EventHistory:
    """Numbers events as they happen, and keeps the last ones of each. For the event loop's thread only."""

    def __init__(self) -> None:
        self._kept: dict[str, dict[str, _Kept]] = {}

    def record(self, message: Message) -> None:
        """Give an event's message its numbers, and keep it."""
        kept = self._kept.setdefault(message.thing, {}).setdefault(message.affordance, _Kept())
        message.number = kept.count + 1
        message.thing_number = self.position(message.thing) + 1
        kept.add(message)

    def position(self, thing: str, event: str | None = None) -> int:
        """How many times an event has happened; without its name, how many events of the Thing there have been."""
        return sum(kept.count for kept in self._of(thing, event))

    def since(self, thing: str, event: str | None, position: int) -> Missed:
        """What has happened after a `position`.

        :param event: the event's name; none for all events of the Thing.
        """
        number = attrgetter("thing_number" if event is None else "number")
        messages = [each for kept in self._of(thing, event) for each in kept.messages if number(each) > position]
        lost = max(self.position(thing, event) - position, 0) - len(messages)
        return Missed(lost, sorted(messages, key=attrgetter("thing_number")))

    def _of(self, thing: str, event: str | None) -> Iterator[_Kept]:
        events = self._kept.get(thing, {})
        if event is None:
            yield from events.values()
        elif event in events:
            yield events[event]
