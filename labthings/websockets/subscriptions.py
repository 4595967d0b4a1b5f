"""What one client has subscribed to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal, TypeAlias

from labthings.inbox import Inbox
from labthings.message_broker import MessageBroker
from labthings.messages import Message
from labthings.websockets.follower import Follower

Dialect: TypeAlias = Literal["LabThings", "Web Thing Protocol"]
Teller: TypeAlias = Callable[[Message], "Sequence[str]"]
"""Makes the texts that tell a client of a message."""


class Subscriptions:
    """Has messages delivered to a client's inbox, and knows in which dialects the client wants to be told of them.

    :param broker: delivers messages.
    :param inbox: the client's.
    """

    def __init__(self, broker: MessageBroker, inbox: Inbox) -> None:
        self._broker, self._inbox = broker, inbox
        self._tellers: dict[tuple[str, str], dict[Dialect, Teller]] = {}
        self.followers: list[Follower] = []
        """What tells the client of live state that it follows."""

    def add(self, thing: str, affordance: str, dialect: Dialect, teller: Teller) -> None:
        """Tell the client of an affordance in a dialect, in place of how it was told in this dialect before."""
        tellers = self._tellers.get((thing, affordance), {})
        self._tellers[thing, affordance] = {**tellers, dialect: teller}  # another, as the old one may be in use
        self._find_followers()
        self._broker.subscribe_nowait(thing, affordance, self._inbox)

    def remove(self, thing: str, affordance: str, dialect: Dialect) -> None:
        """Tell the client no more of an affordance in a dialect."""
        tellers = self._tellers.get((thing, affordance), {})
        left = {each: teller for each, teller in tellers.items() if each != dialect}
        if left:
            self._tellers[thing, affordance] = left
        elif tellers:
            del self._tellers[thing, affordance]
            if self._broker.is_subscribed(thing, affordance, self._inbox):
                self._broker.unsubscribe_nowait(thing, affordance, self._inbox)
        self._find_followers()

    def get(self, thing: str, affordance: str, dialect: Dialect) -> Teller | None:
        """What tells the client of an affordance in a dialect."""
        return self._tellers.get((thing, affordance), {}).get(dialect)

    def tellers(self, message: Message) -> Iterable[Teller]:
        """What tells the client of a message."""
        return self._tellers.get((message.thing, message.affordance), {}).values()

    @property
    def dialects(self) -> set[Dialect]:
        """The dialects in which the client is told of anything."""
        return {dialect for tellers in self._tellers.values() for dialect in tellers}

    def _find_followers(self) -> None:
        tellers = (each for tellers in self._tellers.values() for each in tellers.values())
        self.followers = [each for each in tellers if isinstance(each, Follower)]
