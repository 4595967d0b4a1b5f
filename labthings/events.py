"""Events of Things: what happens now and then, and clients and other Things want to know."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, Generic, TypeVar, get_args, get_origin, overload

from pydantic import TypeAdapter
from typing_extensions import Self

from labthings.base_descriptor import FieldTypedBaseDescriptor, Host, InfoCollection
from labthings.exceptions import InvalidValueError, MissingTypeError, UnserialisableTypeError
from labthings.introspection import MISSING, types_of
from labthings.observable import ObservableInfo
from labthings.properties.base import adapter_of, checked_argument
from labthings.types.markers import holds_blobs

Data = TypeVar("Data")


class Event(ObservableInfo["EventDescriptor[Any]"], Generic[Data]):
    """An event of a class, or of one Thing: ``overheated: lt.Event[float] = lt.event()``."""

    def __init__(self, descriptor: EventDescriptor[Any] | None = None, thing: Host | None = None) -> None:
        if descriptor is None:
            raise TypeError("An event is declared by `lt.event()`, with a small letter.")
        super().__init__(descriptor, thing)

    @property
    def value_type(self) -> Any:
        """The type of its data."""
        return self.descriptor.value_type

    @property
    def adapter(self) -> TypeAdapter[Any] | None:
        """Validates and serialises its data; none if it has none."""
        return self.descriptor.adapter

    @overload
    def emit(self: Event[None], /) -> None: ...
    @overload
    def emit(self, data: Data, /) -> None: ...
    def emit(self: Event[Any], data: Any = MISSING, /) -> None:
        """Tell whoever has subscribed that it has happened; in any thread, or in the event loop.

        :param data: what there is to say of it. It is made JSON of at once, so it may be changed afterwards.
        :raises InvalidValueError: if the data does not fit the event's type.
        """
        value, document = self.descriptor.serialised(self.thing, None if data is MISSING else data)
        self.thing._thing_server_interface.publish_event(self.name, value, document)


class EventCollection(InfoCollection[Event[Any]]):
    """The events of a class or of a Thing, by name."""


class EventDescriptor(FieldTypedBaseDescriptor[Host, Event[Data]], Generic[Data]):
    """An event of a Thing's class.

    :param function: what the event is named and documented after; it is never called.
    """

    def __init__(self, function: Callable[[Any], Data] | None = None) -> None:
        super().__init__(None if function is None else function.__doc__ or "")
        self._function = function

    @overload
    def __get__(self, obj: None, owner: type | None = None) -> Self: ...
    @overload
    def __get__(self, obj: Host, owner: type | None = None) -> Event[Data]: ...
    def __get__(self, obj: Any, owner: type | None = None) -> Any:
        return self if obj is None else obj.events[self.name]

    def __set__(self, obj: Host, value: object) -> None:
        raise AttributeError(f"'{obj.name}.{self.name}' is an event: use its `emit`, instead of assigning to it.")

    def check(self) -> None:
        super().check()
        if self.adapter is not None and holds_blobs(self.adapter):
            raise UnserialisableTypeError(
                f"The event '{self._qualified_name}' cannot hold a blob, as that might be gone when a client learns of "
                "it. Return it from an action, or have a property for it."
            )

    @cached_property
    def value_type(self) -> Any:
        """The type of the event's data.

        :raises MissingTypeError: if it is not annotated.
        """
        return self._annotated if self._function is None else self._returned

    @cached_property
    def adapter(self) -> TypeAdapter[Any] | None:
        """Validates and serialises the event's data; none if it has none.

        :raises UnserialisableTypeError: if the type has no JSON form.
        """
        if self.value_type in (None, type(None)):
            return None
        return adapter_of(self.value_type, self._qualified_name)

    def serialised(self, obj: Host, data: Any) -> tuple[Any, bytes]:
        """The event's data as its type, and as JSON.

        :raises InvalidValueError: if it does not fit the type, or has no JSON form.
        """
        if self.adapter is None and data is not None:
            raise InvalidValueError(f"{obj.name}.{self.name} has no data: `emit()` takes none, since its type is None.")
        return checked_argument(self.adapter or _NOTHING, data, f"{obj.name}.{self.name}")

    @property
    def _annotated(self) -> Any:
        try:
            annotated = super().value_type
        except MissingTypeError as error:
            raise self._says_nothing() from error
        if annotated is Event:
            raise self._says_nothing()
        return get_args(annotated)[0] if get_origin(annotated) is Event else annotated

    def _says_nothing(self) -> MissingTypeError:
        return MissingTypeError(
            f"'{self._qualified_name}' does not say what data it has. "
            f"Annotate it, as in `{self.name}: lt.Event[float] = lt.event()`, or with `lt.Event[None]`."
        )

    @property
    def _returned(self) -> Any:
        assert self._function is not None
        returned = types_of(self._function, self.owner).get("return", MISSING)
        if returned is MISSING:
            raise MissingTypeError(
                f"The event '{self._qualified_name}' does not say what data it has. "
                f"Annotate what it returns, as in `def {self.name}(self) -> float:`, or `-> None`."
            )
        return returned


@overload
def event(function: Callable[[Any], Data], /) -> EventDescriptor[Data]: ...
@overload
def event() -> Any: ...
def event(function: Callable[[Any], Any] | None = None, /) -> Any:
    """Declare an event of a Thing: ``overheated: lt.Event[float] = lt.event()``, with a docstring beneath.

    The type in brackets is that of its data, ``None`` if there is none. It may also be a decorator of a method that has
    the event's name, docstring and type, and no body. ``self.overheated.emit(92.0)`` tells whoever has subscribed.

    :param function: when used as a decorator, the method.
    """
    return EventDescriptor(function)


_NOTHING: TypeAdapter[Any] = TypeAdapter(None)
