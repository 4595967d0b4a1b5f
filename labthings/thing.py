"""The class that a scientist subclasses for each instrument."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, ClassVar

from pydantic import TypeAdapter, ValidationError
from typing_extensions import Self, TypedDict

from labthings.actions import ActionCollection, ActionDescriptor, ActionInfo
from labthings.base_descriptor import Affordances, BaseDescriptor, descriptors_of
from labthings.events import Event, EventCollection, EventDescriptor
from labthings.exceptions import (
    InvalidClassSettingsError,
    NotConnectedToServerError,
    ReservedNameError,
    UntrackableTypeError,
)
from labthings.invocation_contexts import require_invocation_context
from labthings.logs import get_thing_logger, require_thing_logger
from labthings.properties import BaseProperty, BaseSetting, PropertyCollection, SettingCollection
from labthings.properties.info import property_info
from labthings.state import ReactiveModel
from labthings.thing_server_interface import ThingServerInterface

RESERVED_NAMES = frozenset({"properties", "actions", "events", "ws", "forms"})


class ThingClassSettings(TypedDict, total=False):
    """How a Thing's class uses LabThings.

    ``validate_properties_on_set`` says whether a property is validated when the Thing's own code sets it, which is so
    by default. What clients send always is.
    """

    __pydantic_config__ = {"extra": "forbid", "strict": True}  # type: ignore[misc]  # noqa: RUF012

    validate_properties_on_set: bool


class _NotConnected:
    """Stands in for the interface of a Thing that has not been given one."""

    def __get__(self, obj: object, owner: type) -> Any:
        if obj is None:
            return self
        raise NotConnectedToServerError(
            f"A {owner.__name__} was used before it was connected to a server. "
            f"In `{owner.__name__}.__init__`, call `super().__init__(thing_server_interface)` first."
        )


class Thing:
    """An instrument, or another unit, that a server makes available.

    Its capabilities are its attributes: properties, settings, actions, endpoints and thing slots. Communication with
    hardware is opened in ``__enter__`` and closed in ``__exit__`` (or their ``async`` counterparts), which the server
    calls when it starts and stops.

    :param thing_server_interface: gives access to the server. A subclass's ``__init__`` passes it on.
    """

    title: str = "Thing"
    """What people call it; by default the name of the class."""

    _class_settings: ClassVar[ThingClassSettings] = {}
    _validate_properties_on_set: ClassVar[bool] = True
    _thing_server_interface: ThingServerInterface = _NotConnected()  # type: ignore[assignment]

    properties = Affordances(BaseProperty, property_info, PropertyCollection)
    """The properties, settings among them, by name: of the class, or of the instance."""

    settings = Affordances(BaseSetting, property_info, SettingCollection)
    """The settings, by name: of the class, or of the instance."""

    actions = Affordances(ActionDescriptor, ActionInfo, ActionCollection)
    """The actions, by name: of the class, or of the instance."""

    events = Affordances(EventDescriptor, Event, EventCollection)
    """The events, by name: of the class, or of the instance."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "title" not in vars(cls):
            cls.title = cls.__name__
        cls._validate_properties_on_set = _class_settings(cls).get("validate_properties_on_set", True)
        for name, descriptor in descriptors_of(cls, BaseDescriptor).items():
            if name in RESERVED_NAMES or hasattr(Thing, name):
                raise ReservedNameError(f"'{cls.__name__}.{name}' must have another name: LabThings uses '{name}'.")
            with suppress(NameError):  # a forward reference: the server checks it again
                descriptor.check_once()
        for name, value in vars(cls).items():
            if isinstance(value, ReactiveModel):
                raise UntrackableTypeError(
                    f"'{cls.__name__}.{name}' is live state that belongs to no Thing. Make it a property: "
                    f"`{name}: {type(value).__name__} = lt.property(default_factory={type(value).__name__})`."
                )

    def __init__(self, thing_server_interface: ThingServerInterface) -> None:
        self._thing_server_interface = thing_server_interface

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Release what ``__enter__`` acquired."""

    @property
    def name(self) -> str:
        """Its name on the server."""
        return self._thing_server_interface.name

    @property
    def path(self) -> str:
        """The path of its URL, with slashes at both ends."""
        return self._thing_server_interface.path

    @property
    def logger(self) -> logging.Logger:
        """A logger named after it. What an action logs here is kept with its invocation."""
        return get_thing_logger(self.name)

    @property
    def thing_state(self) -> Mapping[str, Any]:
        """Metadata for other code to store with its results; a subclass says which."""
        return {}

    def get_current_invocation_logs(self) -> list[logging.LogRecord]:
        """What the action that runs this code has logged, up to the last 1,000 records.

        :raises NoInvocationContextError: if no action runs it.
        """
        require_thing_logger()
        return list(require_invocation_context().log)

    def save_settings(self) -> None:
        """Write the settings to disk now. Setting one has it written soon, in any case.

        :raises SettingsNotSavedError: if they cannot be written.
        """
        self._thing_server_interface.save_settings_now()


def _class_settings(cls: type[Thing]) -> ThingClassSettings:
    try:
        return _CLASS_SETTINGS.validate_python(cls._class_settings)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        known = ", ".join(ThingClassSettings.__annotations__)
        raise InvalidClassSettingsError(
            f"'{cls.__name__}._class_settings' is wrong: {faults}. There are these settings: {known}."
        ) from error


_CLASS_SETTINGS: TypeAdapter[ThingClassSettings] = TypeAdapter(ThingClassSettings)
