"""Connections between the Things of a server."""

from __future__ import annotations

import collections.abc
import types
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from types import EllipsisType
from typing import Any, Generic, TypeAlias, TypeVar, Union, get_args, get_origin
from weakref import ReferenceType, WeakValueDictionary, ref

from labthings.base_descriptor import FieldTypedBaseDescriptor, Host
from labthings.exceptions import ThingNotConnectedError, ThingSlotError

ConnectedThings = TypeVar("ConnectedThings")
_CONTAINERS = (collections.abc.Mapping, collections.abc.Sequence, collections.abc.Set)
Target: TypeAlias = "str | Iterable[str] | EllipsisType | None"
Connection: TypeAlias = "ReferenceType[Any] | WeakValueDictionary[str, Any] | None"


class ThingSlot(FieldTypedBaseDescriptor[Any, ConnectedThings], Generic[ConnectedThings]):
    """An attribute that the server fills with another Thing, or with several.

    The annotation says with what: a `Thing` subclass, a union of them, either of these or ``None``, or a mapping of
    names to Things.

    :param default: the name or names of the Things to connect; ``...`` to find them by their type.
    """

    def __init__(self, *, default: Target = ...) -> None:
        super().__init__()
        self._default = default

    @property
    def default(self) -> Target:
        """The name or names of the Things that are connected by default; ``...`` to find them by their type."""
        return self._default

    @cached_property
    def thing_type(self) -> tuple[type, ...]:
        """The classes that connected Things may have, for use with `isinstance`.

        :raises ThingSlotError: if the annotation is of another kind.
        """
        candidate = self._mapped_type if self.is_mapping else self.value_type
        found = tuple(_without_subscript(each) for each in _members(candidate) if each is not type(None))
        if not found or not all(map(_may_be_thing_class, found)):
            raise ThingSlotError(
                f"The thing slot '{self._qualified_name}' is annotated as {self.value_type!r}. "
                "It takes a Thing subclass, an optional one, or a mapping of `str` to one."
            )
        return found

    @property
    def _key(self) -> str:
        return f"_connection_of_{self.name}"

    @cached_property
    def is_mapping(self) -> bool:
        """Whether it gives a mapping of names to Things, not one Thing."""
        return _without_subscript(self.value_type) in (collections.abc.Mapping, collections.abc.MutableMapping, dict)

    @cached_property
    def is_optional(self) -> bool:
        """Whether it may be left empty."""
        return self.is_mapping or type(None) in _members(self.value_type)

    def connect(self, host: Host, things: Mapping[str, Any], target: Target = ...) -> None:
        """Fill the slot of one Thing.

        :param host: the Thing whose slot it is.
        :param things: the Things of the server, by name.
        :param target: the name or names to connect; ``...`` for the default.
        :raises ThingSlotError: if that is not possible.
        """
        picked = self._pick_things_for(host, things, target)
        names = {id(thing): name for name, thing in things.items()}
        if self.is_mapping:
            vars(host)[self._key] = WeakValueDictionary({names[id(thing)]: thing for thing in picked})
        else:
            vars(host)[self._key] = ref(picked[0]) if picked else None

    def disconnect(self, host: Host, thing: Any) -> None:
        """Leave a Thing out of an optional slot."""
        connection = vars(host).get(self._key)
        if isinstance(connection, WeakValueDictionary):
            vars(host)[self._key] = WeakValueDictionary(
                {name: each for name, each in connection.items() if each is not thing}
            )
        elif connection is not None and connection() is thing:
            vars(host)[self._key] = None

    def connected(self, host: Host) -> list[Any]:
        """The Things that are connected to one Thing's slot."""
        value: Any = self.instance_get(host)
        if value is None:
            return []
        return list(value.values()) if self.is_mapping else [value]

    def instance_get(self, obj: Host) -> ConnectedThings:
        try:
            connection = vars(obj)[self._key]
        except KeyError:
            raise ThingNotConnectedError(
                f"'{obj.name}.{self.name}' is not connected yet. Things are connected once all have been made: "
                "use it in `__enter__` or later, not in `__init__`. "
                "In a test without a server, use `labthings.testing.manually_connect_thing_slot`."
            ) from None
        if isinstance(connection, WeakValueDictionary):
            return types.MappingProxyType(dict(connection))  # type: ignore[return-value]
        if connection is None:
            return None  # type: ignore[return-value]
        thing = connection()
        if thing is None:
            raise ReferenceError(f"The Thing that '{obj.name}.{self.name}' was connected to no longer exists.")
        return thing  # type: ignore[no-any-return]

    def _pick_things_for(self, host: Host, things: Mapping[str, Any], target: Target) -> Sequence[Any]:
        if target is ...:
            target = self._default
        try:
            if target is ...:
                others = {name: thing for name, thing in things.items() if thing is not host}
                return self._pick_things(others, ...)
            return self._pick_things(things, target)
        except KeyError as error:
            raise ThingSlotError(
                f"The thing slot '{host.name}.{self.name}' is to be connected to {error.args[0]!r}, "
                f"but there is no Thing of that name. The Things here are: {', '.join(things) or 'none'}."
            ) from error
        except NameError as error:
            raise ThingSlotError(f"The thing slot '{host.name}.{self.name}' cannot be filled: {error}") from error
        except (ThingSlotError, TypeError) as error:
            remedy = f'Set "thing_slots": {{"{self.name}": ...}} for \'{host.name}\' in the configuration.'
            raise ThingSlotError(
                f"The thing slot '{host.name}.{self.name}' cannot be filled: {error} {remedy}"
            ) from error

    def _pick_things(self, things: Mapping[str, Any], target: Target) -> Sequence[Any]:
        """Choose the Things to connect.

        :raises ThingSlotError: if there is no choice that fits the annotation.
        :raises TypeError: if the target is neither a name, nor names, nor ``None``, nor ``...``.
        :raises KeyError: if there is no Thing of a given name.
        """
        if target is ...:
            found = {name: thing for name, thing in things.items() if isinstance(thing, self.thing_type)}
            if len(found) > 1 and not self.is_mapping:
                raise ThingSlotError(f"it takes one {self._type_names}, and there are several: {', '.join(found)}.")
            if not found and not self.is_optional:
                raise ThingSlotError(f"it needs a {self._type_names}, and there is none.")
            return list(found.values())
        picked = [(name, things[name]) for name in _names(target)]
        for name, thing in picked:
            if not isinstance(thing, self.thing_type):
                raise ThingSlotError(f"it takes a {self._type_names}, but '{name}' is a {type(thing).__name__}.")
        if len(picked) > 1 and not self.is_mapping:
            raise ThingSlotError(f"it takes one Thing, and was given {len(picked)}.")
        if not picked and not self.is_optional:
            raise ThingSlotError(f"it needs a {self._type_names}, and was given none.")
        return [thing for _, thing in picked]

    @property
    def _mapped_type(self) -> Any:
        arguments = get_args(self.value_type)
        if len(arguments) != 2 or arguments[0] is not str:
            raise ThingSlotError(
                f"The thing slot '{self._qualified_name}' is annotated as {self.value_type!r}. "
                "A mapping must be one of `str` to a Thing subclass."
            )
        return arguments[1]

    @property
    def _type_names(self) -> str:
        return " or ".join(each.__name__ for each in self.thing_type)


def thing_slot(default: Target = ...) -> Any:
    """Connect a Thing to others on the same server: ``stage: Stage = lt.thing_slot()``.

    The annotation says to what: a `Thing` subclass, ``Stage | None``, or ``Mapping[str, Stage]``. The server fills the
    slot after all Things have been made, by what its configuration says, else by the default, else by type.

    :param default: the name or names of the Things to connect. ``None`` leaves an optional slot empty, and makes the
        configuration of any other one compulsory. ``...`` finds the Things by their type.
    """
    return ThingSlot(default=default)


def _members(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)


def _may_be_thing_class(candidate: Any) -> bool:
    return isinstance(candidate, type) and candidate is not Any and not issubclass(candidate, _CONTAINERS)


def _without_subscript(annotation: Any) -> Any:
    return get_origin(annotation) or annotation


def _names(target: Any) -> list[str]:
    if target is None:
        return []
    if isinstance(target, str):
        return [target]
    if isinstance(target, Iterable):
        names = list(target)
        if all(isinstance(each, str) for each in names):
            return names
    raise TypeError(f"a target must be the name of a Thing, several names or None, not {target!r}.")
