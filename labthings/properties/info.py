"""What is known about a property of a class or of a Thing, and the ways to read and write it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pydantic_core
from pydantic import BaseModel, RootModel, TypeAdapter

from labthings.base_descriptor import InfoCollection
from labthings.exceptions import LabThingsError, PropertyNotLiveError, PropertyNotObservableError
from labthings.observable import ObservableInfo
from labthings.properties.base import BaseProperty, serialised, told_plainly
from labthings.properties.data import DataProperty
from labthings.properties.functional import FunctionalProperty
from labthings.properties.property_document import PropertyDocument
from labthings.properties.saving import to_saved
from labthings.properties.settings import BaseSetting
from labthings.types.markers import Kind, kind_of

PLAIN_TYPES = {"float": float, "int": int, "str": str, "bool": bool}
"""What values are of schemas that have no parts."""

AnyProperty = BaseProperty[Any, Any]


class PropertyInfo(ObservableInfo[AnyProperty]):
    """A property of a class, or of one Thing."""

    @property
    def value_type(self) -> Any:
        """The type of its value, without constraints."""
        return self.descriptor.value_type

    @property
    def adapter(self) -> TypeAdapter[Any]:
        """Validates and serialises its values."""
        return self.descriptor.adapter

    @property
    def kind(self) -> Kind:
        """Whether its values are arrays, hold arrays, are bytes, or are none of these."""
        try:
            return kind_of(self.adapter)
        except (NameError, LabThingsError):  # the server logs it, and so does reading it
            return "json"

    @property
    def readonly(self) -> bool:
        """Whether clients may only read it."""
        return self.descriptor.readonly

    @property
    def unit(self) -> str | None:
        """The unit of its value."""
        return self.descriptor.unit

    @property
    def is_observable(self) -> bool:
        """Whether clients can be told of its changes."""
        return self.descriptor.is_observable

    @property
    def is_resettable(self) -> bool:
        """Whether clients can give it its default value again."""
        return self.descriptor.is_resettable

    @property
    def is_setting(self) -> bool:
        """Whether it is kept on disk."""
        return isinstance(self.descriptor, BaseSetting)

    @property
    def is_data(self) -> bool:
        """Whether it holds a value, which can be read without running a Thing's own code."""
        return isinstance(self.descriptor, DataProperty)

    @property
    def is_live(self) -> bool:
        """Whether its value is live state, which is changed in place."""
        return isinstance(self.descriptor, DataProperty) and self.descriptor.is_live

    @property
    def document(self) -> PropertyDocument:
        """The live state, if it is such.

        :raises PropertyNotLiveError: if it is not.
        """
        if not isinstance(self.descriptor, DataProperty) or not self.descriptor.is_live:
            raise PropertyNotLiveError(
                f"'{self}' is not live state, of which patches could be told: its type is no ReactiveModel."
            )
        return self.descriptor.document(self.thing)

    @property
    def default(self) -> Any:
        """Its default value.

        :raises MissingDefaultError: if it has none.
        """
        return self.descriptor.default_value()

    @property
    def has_default(self) -> bool:
        """Whether it has a default value."""
        return self.descriptor.has_default

    @property
    def model(self) -> type[BaseModel]:
        """A pydantic model of its value, constraints included."""
        value_type: Any = self.descriptor.constrained_type
        return type(f"{self.name}_model", (RootModel[value_type],), {})

    @property
    def model_instance(self) -> BaseModel:
        """Its value, as an instance of `model`."""
        return self.model.model_validate(self.get())

    # --- in threads ---------------------------------------------------------------------------------------------

    def get(self) -> Any:
        """Read it."""
        return self.descriptor.__get__(self.thing)

    def set(self, value: Any) -> None:
        """Write it.

        :raises InvalidValueError: if the value does not fit.
        :raises ReadOnlyPropertyError: if it cannot be set.
        """
        self.descriptor.__set__(self.thing, value)

    def reset(self) -> Any:
        """Give it its default value again.

        :raises FeatureNotAvailableError: if that cannot be done.
        """
        with self.descriptor.hold_lock(self.thing):
            return self.descriptor.restore_default(self.thing)

    def notify(self) -> None:
        """Tell observers of its value, because that has changed, or may have. It is read by another thread.

        :raises PropertyNotObservableError: if its class does not say that it can be observed.
        """
        self.require_observable()
        self.descriptor.notify(self.thing)

    def require_observable(self) -> None:
        """Make sure that clients can be told of its changes.

        :raises PropertyNotObservableError: if they cannot.
        """
        if not self.is_observable:
            raise PropertyNotObservableError(
                f"'{self}' cannot be observed, as it is computed when it is read. Read it instead, or have it declared "
                "with `poll`, `depends_on` or `observable=True`."
            )

    def validate(self, value: Any) -> Any:
        """A value as the property's type, converted where pydantic does so.

        :raises InvalidValueError: if it does not fit.
        """
        return self.descriptor.validated(value, self._thing)

    def validate_json(self, document: bytes) -> Any:
        """The value that a JSON document stands for.

        :raises InvalidValueError: if it is not JSON, or does not fit.
        """
        return self.descriptor.validated_json(document, self._thing)

    def to_json(self, value: Any) -> bytes:
        """A value of the property, as JSON.

        :raises InvalidReturnValueError: if it does not fit the type, or has no JSON form.
        """
        if self.is_live:
            return self.document.snapshot().data
        return serialised(self.adapter, value, self, validate=self._may_not_fit)

    def to_plain(self, value: Any) -> Any:
        """A value of the property, in mappings, lists, strings, numbers, arrays; or bytes.

        :raises InvalidReturnValueError: if it does not fit the type, or cannot be told so.
        """
        if self.is_live:
            return pydantic_core.from_json(self.document.snapshot().data)
        return told_plainly(self.adapter, value, self, validate=self._may_not_fit)

    def to_saved(self, value: Any) -> Any:
        """A value of the property as it is kept on disk: in dictionaries, lists, strings and numbers.

        :raises UnfinishedBatchError: if it is live state that is being changed in a batch.
        """
        return self.document.to_saved() if self.is_live else to_saved(self.adapter.core_schema, value)

    def get_copy(self) -> Any:
        """Its value, which does not change when live state does."""
        return self.document.copy() if self.is_live else self.get()

    @property
    def takes_no_lock(self) -> bool:
        """Whether writing it never waits for the server's global lock."""
        lock = None if self._thing is None else self._thing._thing_server_interface.global_lock
        return lock is None or not self.descriptor.takes_global_lock

    def store_unlocked(self, value: Any) -> Any:
        """Write a value that has been validated, where `takes_no_lock`."""
        return self.descriptor.store(self.thing, value)

    def quick_json(self) -> Callable[[], bytes]:
        """A function that reads it and gives its value as JSON, with all that can be looked up beforehand."""
        if self.is_live:
            document = self.document
            return lambda: document.snapshot().data
        if self._may_not_fit:
            return lambda: self.to_json(self.get())
        to_json, read, thing = self.adapter.serializer.to_json, self.descriptor.__get__, self.thing
        plain = PLAIN_TYPES.get(self.adapter.core_schema["type"])

        def quick() -> bytes:
            value = read(thing)
            return to_json(value, by_alias=True, warnings=False if type(value) is plain else "error")

        return quick

    def store(self, value: Any) -> Any:
        """Write a value that has been validated."""
        with self.descriptor.hold_lock(self.thing):
            return self.descriptor.store(self.thing, value)

    # --- in the event loop --------------------------------------------------------------------------------------

    @property
    def is_read_in_loop(self) -> bool:
        """Whether reading it runs in the event loop: it holds a value, or has an ``async`` getter."""
        return self.is_data or self._functional.has_async_getter

    @property
    def is_written_in_loop(self) -> bool:
        return self.is_data or self._functional.has_async_setter

    @property
    def is_reset_in_loop(self) -> bool:
        return self.is_data or self._functional.has_async_resetter

    async def get_async(self) -> Any:
        """Read it, where `is_read_in_loop`."""
        value = self.get()
        return value if self.is_data else await value

    async def set_async(self, value: Any) -> None:
        """Write it, where `is_written_in_loop`.

        :raises InvalidValueError: if the value does not fit.
        """
        await self.store_async(self.validate(value))

    async def store_async(self, value: Any) -> None:
        """Write a value that has been validated, where `is_written_in_loop`."""
        async with self.descriptor.hold_lock_async(self.thing):
            result = self.descriptor.store(self.thing, value)
            if result is not None:
                await result

    async def reset_async(self) -> None:
        """Reset it, where `is_reset_in_loop`."""
        async with self.descriptor.hold_lock_async(self.thing):
            result = self.descriptor.restore_default(self.thing)
            if result is not None:
                await result

    @property
    def _may_not_fit(self) -> bool:
        """Whether values come from the Thing's own code, unvalidated."""
        return not self.is_data or not self.thing._validate_properties_on_set

    @property
    def _functional(self) -> FunctionalProperty[Any, Any]:
        if not isinstance(self.descriptor, FunctionalProperty):
            raise TypeError(f"'{self}' is neither a data property nor a functional one.")
        return self.descriptor


class SettingInfo(PropertyInfo):
    """A setting of a class, or of one Thing."""

    def validate_saved(self, document: bytes) -> Any:
        """The value that was saved as a JSON document, which may have more in it than there is now.

        :raises InvalidValueError: if it does not fit.
        """
        return self.descriptor.validated_saved(document, self._thing)

    def load(self, value: Any) -> Any:
        """Store a value that was saved before, without telling anybody.

        :return: an awaitable if the setting has an ``async`` setter.
        """
        return self.descriptor.load(self.thing, value)


class PropertyCollection(InfoCollection[PropertyInfo]):
    """The properties of a class or of a Thing, by name."""


class SettingCollection(InfoCollection[SettingInfo]):
    """The settings of a class or of a Thing, by name."""


def property_info(descriptor: AnyProperty, thing: Any) -> PropertyInfo:
    return SettingInfo(descriptor, thing) if isinstance(descriptor, BaseSetting) else PropertyInfo(descriptor, thing)
