"""What is told to whoever has subscribed to an affordance."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import pydantic_core

Encoded = TypeVar("Encoded", str, bytes)


@dataclass(slots=True)
class Message:
    """Something that happened to an affordance of a Thing.

    :param thing: the Thing's name.
    :param affordance: the name of the property, action or event.
    :param message_type: what kind of affordance it is.
    :param payload: a property's value, a dictionary that tells an action's status, or an event's data.
    :param serialise: makes JSON of the payload.
    :param error: why a property could not be read, in which case there is no payload.
    :param time: when it happened, in seconds since the epoch, as ``time.time`` gives them.
    :param number: of an event: how many times it has happened, this time included.
    :param thing_number: of an event: how many events of the Thing there have been, this one included.
    """

    thing: str
    affordance: str
    message_type: Literal["property", "action", "event"]
    payload: Any
    serialise: Callable[[Any], bytes] = field(default=pydantic_core.to_json, repr=False, compare=False)
    error: Exception | None = field(default=None, repr=False)
    time: float = field(default_factory=time.time, repr=False, compare=False)
    number: int = field(default=0, repr=False, compare=False)
    thing_number: int = field(default=0, repr=False, compare=False)
    _encodings: dict[Callable[[Message], Any], Any] | None = field(default=None, init=False, repr=False, compare=False)

    def payload_json(self) -> bytes:
        """The payload as JSON."""
        return self.serialise(self.payload)

    def encoded(self, encode: Callable[[Message], Encoded]) -> Encoded:
        """What a function makes of the message, which is made once however many subscribers ask for it."""
        if self._encodings is None:
            self._encodings = {}
        if encode not in self._encodings:
            self._encodings[encode] = encode(self)
        made: Encoded = self._encodings[encode]
        return made


@dataclass(frozen=True, slots=True)
class MessagesLost:
    """How many messages a subscriber was too slow for, in place of the messages."""

    count: int


@dataclass(frozen=True, slots=True)
class Reply:
    """What a subscriber asked for, on its way through the subscriber's inbox.

    :param make: makes what is sent when its turn has come, instead of the text.
    """

    text: str
    make: Callable[[], Sequence[str]] | None = None
