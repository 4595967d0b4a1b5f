"""Requests in the Web Thing Protocol, as clients send them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from labthings.actions import ActionInfo
from labthings.events import Event
from labthings.exceptions import NotFoundError, RequestError
from labthings.introspection import MISSING
from labthings.routes.property_access import PropertyAccess
from labthings.routes.thing_access import ThingAccess
from labthings.websockets.problems import remedy
from labthings.websockets.texts import to_document

LONGEST_CORRELATION_ID = 1000  # characters: it is kept with each subscription
MEMBERS: dict[str, tuple[type, str]] = {
    "name": (str, "a string"),
    "names": (list, "an array of strings"),
    "values": (dict, "an object of values by name"),
    "value": (object, "a value"),
    "actionID": (str, "a string"),
}
NEEDS: dict[str, tuple[str, ...]] = {
    "readproperty": ("name",),
    "writeproperty": ("name", "value"),
    "observeproperty": ("name",),
    "unobserveproperty": ("name",),
    "readallproperties": (),
    "readmultipleproperties": ("names",),
    "writemultipleproperties": ("values",),
    "observeallproperties": (),
    "unobserveallproperties": (),
    "invokeaction": ("name",),
    "queryaction": ("actionID",),
    "cancelaction": ("actionID",),
    "queryallactions": (),
    "subscribeevent": ("name",),
    "unsubscribeevent": ("name",),
    "subscribeallevents": (),
    "unsubscribeallevents": (),
}
"""The operations, and which members their requests must have."""

Affordance = TypeVar("Affordance")


@dataclass(frozen=True)
class Request:
    """A request whose members are of the right types.

    :param thing: the Thing that it is about.
    :param thing_id: the id of its Thing Description.
    :param members: what the client has sent.
    """

    thing: ThingAccess
    thing_id: str
    members: Mapping[str, Any]

    def __post_init__(self) -> None:
        for each in NEEDS[self.operation]:
            _check_member(self.operation, self.members, each)
        for each in ("correlationID", "lastEventID", "name", "messageID"):
            if not isinstance(self.members.get(each, ""), str | None):
                raise RequestError(f"The '{each}' of a request must be a string.")
        if len(self.correlation_id or "") > LONGEST_CORRELATION_ID:
            raise RequestError(f"The 'correlationID' may have {LONGEST_CORRELATION_ID} characters at most.")

    @property
    def operation(self) -> str:
        return str(self.members["operation"])

    @property
    def correlation_id(self) -> str | None:
        return self.members.get("correlationID")

    @property
    def last_event_id(self) -> str | None:
        return self.members.get("lastEventID")

    @property
    def subjects(self) -> Collection[tuple[str, str]]:
        """What it is about: those about the same are to be dealt with in their order."""
        return {(self.thing.served.name, name) for name in self._names}

    @property
    def _names(self) -> Iterable[str]:
        served, members = self.thing.served, self.members
        if self.operation in ("queryaction", "cancelaction"):
            return [f"actionID {members['actionID']}"]
        if self.operation.endswith("allproperties"):
            return served.properties
        if self.operation.endswith("allevents"):
            return served.events
        if self.operation == "queryallactions":
            return served.actions
        named = members[NEEDS[self.operation][0]]
        return [named] if isinstance(named, str) else named

    # --- what it names ------------------------------------------------------------------------------------------

    def find_property(self) -> PropertyAccess:
        """The property that it names.

        :raises NotFoundError: if there is no such property.
        """
        return self._found(self.thing.properties, "property", self.members["name"])

    def find_properties(self) -> list[str]:
        """The names of several properties.

        :raises NotFoundError: if one of them is not there.
        """
        names = list(dict.fromkeys(self.members["names"]))
        for name in names:
            self._found(self.thing.properties, "property", name)
        return names

    def find_action(self) -> ActionInfo:
        """The action that it names.

        :raises NotFoundError: if there is no such action.
        """
        return self._found(self.thing.served.actions, "action", self.members["name"])

    def find_event(self) -> Event[Any]:
        """The event that it names.

        :raises NotFoundError: if there is no such event.
        """
        return self._found(self.thing.served.events, "event", self.members["name"])

    def find_values(self) -> bytes:
        """Values of several properties, as JSON.

        :raises NotFoundError: if one of the properties is not there.
        """
        for name in self.members["values"]:
            self._found(self.thing.properties, "property", name)
        return to_document(self.members["values"])

    def document(self, member: str) -> bytes:
        """What a member of the request is, as JSON; nothing if it is not there."""
        return to_document(self.members[member]) if member in self.members else b""

    def _found(self, there: Mapping[str, Affordance], kind: str, name: str) -> Affordance:
        if name in there:
            return there[name]
        raise NotFoundError(f"'{self.thing.served.name}' has no {kind} '{name}'. {remedy(there)}")


def head_of(message: Mapping[str, Any], thing_id: str | None) -> dict[str, Any]:
    """What a response has in common with its request."""
    told = {"thingID": thing_id, **{key: message.get(key) for key in ("operation", "name", "correlationID")}}
    head = {key: value for key, value in told.items() if isinstance(value, str)}
    return {"operation": "unknown", **head}


def require_operation(message: Mapping[str, Any]) -> None:
    """Make sure that a request asks for something that there is.

    :raises RequestError: if it does not.
    """
    operation = message.get("operation")
    if not isinstance(operation, str) or operation not in NEEDS:
        raise RequestError(f"A request must have an 'operation' among {', '.join(NEEDS)}.")


def _check_member(operation: str, members: Mapping[str, Any], name: str) -> None:
    kind, article = MEMBERS[name]
    value = members.get(name, MISSING)
    is_fitting = isinstance(value, kind) and value is not MISSING
    if not is_fitting or (name == "names" and not all(isinstance(each, str) for each in value)):
        raise RequestError(f"A request for {operation} must have '{name}', which is {article}.")
