"""Operations on events in the Web Thing Protocol."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from labthings.message_broker import MessageBroker
from labthings.messages import Message
from labthings.routes.positions import number_in_position, position_of
from labthings.websockets.answers import Methods, Texts, answer, subscribed
from labthings.websockets.requests import Request
from labthings.websockets.subscriptions import Subscriptions
from labthings.websockets.web_thing_protocol import DIALECT, loss_of_events, notification, tail


class EventOperations:
    """Subscribes one client to events.

    :param subscriptions: the client's.
    :param broker: keeps the last events.
    """

    def __init__(self, subscriptions: Subscriptions, broker: MessageBroker) -> None:
        self._subscriptions, self._broker = subscriptions, broker
        self.methods: Methods = {
            "subscribeevent": self._subscribe,
            "unsubscribeevent": self._unsubscribe,
            "subscribeallevents": self._subscribe_all,
            "unsubscribeallevents": self._unsubscribe_all,
        }

    async def _subscribe(self, request: Request) -> Texts:
        name = request.find_event().name
        return self._begin(request, name, [name])

    async def _subscribe_all(self, request: Request) -> Texts:
        return self._begin(request, None, request.thing.served.events)

    async def _unsubscribe(self, request: Request) -> Texts:
        return self._end(request, [request.find_event().name])

    async def _unsubscribe_all(self, request: Request) -> Texts:
        return self._end(request, request.thing.served.events)

    def _begin(self, request: Request, event: str | None, names: Iterable[str]) -> Texts:
        """
        :param event: none for all of the Thing's.
        """
        thing, epoch = request.thing.served.name, self._broker.epoch
        tell = EventTeller(epoch, event is None, tail(request.thing_id, request.correlation_id))
        position = self._broker.history.position(thing, event)
        response = subscribed(request, epoch, eventID=position_of(epoch, position))
        missed = [] if request.last_event_id is None else list(self._missed(request, event, tell))
        tell.after = position if request.last_event_id is not None else 0
        for name in names:
            self._subscriptions.add(thing, name, DIALECT, tell)
        return [*response, *missed]

    def _end(self, request: Request, names: Iterable[str]) -> Texts:
        for name in names:
            self._subscriptions.remove(request.thing.served.name, name, DIALECT)
        return answer(request)

    def _missed(self, request: Request, event: str | None, tell: EventTeller) -> Iterator[str]:
        """What tells the client of the events since the last that it knows, and of how many are no longer kept."""
        thing, history = request.thing.served.name, self._broker.history
        position = number_in_position(request.last_event_id or "", self._broker.epoch)
        if position is not None and position > history.position(thing, event):
            position = None
        missed = history.since(thing, event, position or 0)
        if missed.lost or position is None:
            yield loss_of_events(event, None if position is None else missed.lost) + tell.tail
        yield from (text for message in missed.messages for text in tell(message))


class EventTeller:
    """Tells one client of events.

    :param epoch: tells this run of the server from others.
    :param of_all: whether events are numbered as those of the Thing, not each for itself.
    :param tail: the end of notifications.
    """

    def __init__(self, epoch: str, of_all: bool, tail: str) -> None:
        self._epoch, self._of_all, self.tail = epoch, of_all, tail
        self.after = 0
        """The number of the last event that it does not tell of, because the client has been told, or knows it."""

    def __call__(self, message: Message) -> Sequence[str]:
        number = message.thing_number if self._of_all else message.number
        if number <= self.after:
            return ()
        return (f'{message.encoded(notification)},"eventID":"{position_of(self._epoch, number)}"{self.tail}',)
