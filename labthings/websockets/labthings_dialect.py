"""LabThings' own dialect: observe properties and actions of a Thing."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from labthings.exceptions import FeatureNotAvailableError, LabThingsError, NotFoundError, RequestError
from labthings.messages import Message, MessagesLost
from labthings.problem_details import text_of
from labthings.websockets.problems import ERRORS, problem_members
from labthings.websockets.subscriptions import Dialect, Teller
from labthings.websockets.texts import to_text

LOGGER = logging.getLogger(__name__)
SUBPROTOCOL = "labthings"
PATCHES = "patches"
"""What a client wants that follows live state, instead of whole values."""
DIALECT: Dialect = "LabThings"
OPERATIONS = {
    "addPropertyObservation": "observeproperty",
    "removePropertyObservation": "unobserveproperty",
    "addActionObservation": "observeaction",
    "removeActionObservation": "unobserveaction",
}


class ObservableProperty(Protocol):
    """A property, which may be one that can be observed."""

    def require_observable(self) -> None:
        """Make sure that it can be observed."""


class ObservedThing(Protocol):
    """A Thing whose affordances can be observed."""

    @property
    def name(self) -> str: ...
    @property
    def properties(self) -> Mapping[str, ObservableProperty]: ...
    @property
    def actions(self) -> Mapping[str, Any]: ...


class Observer:
    """Does what a client asks for.

    :param thing: the Thing.
    :param begin: subscribes the client to an affordance.
    :param end: ends that.
    :param own: members of every reply.
    :param follow: subscribes it to the patches of a property, if that can be done.
    """

    def __init__(
        self,
        thing: ObservedThing,
        begin: Callable[[str], None],
        end: Callable[[str], None],
        own: Mapping[str, Any] | None = None,
        follow: Callable[[str], None] | None = None,
    ) -> None:
        self._thing, self._begin, self._end = thing, begin, end
        self._follow = follow or _follow_nothing
        self._own = own or {}

    def replies(self, message: Mapping[str, Any]) -> Iterator[str]:
        """Do what a message asks for, and give the replies to send: one for each thing that goes wrong."""
        try:
            names = _names(message)
        except RequestError as error:
            yield refusal(error, self._own)
            return
        for name, wanted in names.items():
            try:
                self._act(message["messageType"], name, wanted)
            except LabThingsError as error:
                yield _problem({"operation": OPERATIONS[message["messageType"]], "name": name}, error, self._own)

    def _act(self, kind: str, name: str, wanted: object) -> None:
        is_action = kind.endswith("ActionObservation")
        if name not in (self._thing.actions if is_action else self._thing.properties):
            raise NotFoundError(f"'{self._thing.name}' has no {'action' if is_action else 'property'} '{name}'.")
        if kind == "addPropertyObservation":
            self._thing.properties[name].require_observable()
        begin = self._follow if wanted == PATCHES else self._begin
        (begin if kind.startswith("add") else self._end)(name)


def _follow_nothing(name: str) -> None:
    raise FeatureNotAvailableError(f"There are no patches of '{name}' here. Observe it with true, for whole values.")


def _names(message: Mapping[str, Any]) -> Mapping[str, object]:
    kind, data = message.get("messageType"), message.get("data")
    if not isinstance(kind, str) or kind not in OPERATIONS:
        known = ", ".join((*OPERATIONS, "request"))
        raise RequestError(f"A message must be an object with a 'messageType' among {known}.")
    wants = (True, PATCHES) if kind == "addPropertyObservation" else (True,)
    if not isinstance(data, dict) or not all(value is True or value in wants[1:] for value in data.values()):
        words = " or ".join(map(to_text, wants))
        raise RequestError(f"The 'data' of {kind} must be an object of names, each with the value {words}.")
    return data


def refusal(error: LabThingsError, own: Mapping[str, Any] | None = None) -> str:
    """The reply to a message that makes no sense.

    :param own: more members of it.
    """
    return _problem({"operation": "unknown"}, error, own or {})


def _problem(head: Mapping[str, Any], error: BaseException, own: Mapping[str, Any]) -> str:
    return to_text({"messageType": "response", **head, **own, "error": problem_members(error)})


def notification(message: Message) -> str:
    """What tells a client of a message."""
    if message.message_type == "action":
        return f'{{"messageType":"actionStatus","data":{to_text(message.payload)}}}'
    if message.error is not None:
        return _unreadable(message, text_of(message.error))
    try:
        value = message.payload_json().decode()
    except Exception as error:  # noqa: BLE001 - the value is the Thing's own
        return _unreadable(message, without_json_form(message, error))
    return f'{{"messageType":"propertyStatus","data":{{{to_text(message.affordance)}:{value}}}}}'


def teller(own: Mapping[str, Any]) -> Teller:
    """What tells a client of messages.

    :param own: members of its notifications.
    """
    if not own:
        return lambda message: (message.encoded(notification),)
    end = tail(own)
    return lambda message: (message.encoded(notification)[:-1] + end,)


def tail(own: Mapping[str, Any]) -> str:
    """The end of a message that has some members of its own."""
    return f",{to_text(own)[1:]}" if own else "}"


def without_json_form(message: Message, error: Exception) -> str:
    """Log that a value cannot be told, and say so."""
    detail = f"The value of '{message.thing}.{message.affordance}' has no JSON form: {error}"
    LOGGER.error(detail)
    return detail


def _unreadable(message: Message, detail: str) -> str:
    title = "Internal Server Error"
    error = {"status": "500", "type": f"{ERRORS}#internal-error", "title": title, "detail": detail}
    head = {"messageType": "response", "operation": "observeproperty", "name": message.affordance}
    return to_text({**head, "error": error})


def loss(lost: MessagesLost) -> str:
    """What tells a client that it was too slow."""
    return f'{{"messageType":"messagesLost","data":{{"count":{lost.count}}}}}'
