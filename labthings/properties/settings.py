"""Properties that are kept on disk."""

from __future__ import annotations

from typing import Any

from labthings.base_descriptor import Owner, Value
from labthings.exceptions import InvalidValueError, UnserialisableTypeError
from labthings.properties.base import BaseProperty
from labthings.properties.data import DataProperty
from labthings.properties.functional import FunctionalProperty
from labthings.properties.saved_types import check_saved
from labthings.properties.saving import is_kept, saved_document, to_saved


class BaseSetting(BaseProperty[Owner, Value]):
    """A property that is kept on disk."""

    def check(self) -> None:
        super().check()
        check_saved(self.adapter, self._qualified_name, self._location)


class DataSetting(DataProperty[Owner, Value], BaseSetting[Owner, Value]):
    """A setting that holds a value."""

    is_saved = True

    def check(self) -> None:
        super().check()
        if not self._makes_default:
            self._check_default(self.default_value())

    def _check_default(self, default: Any) -> None:
        """Make sure that the default can be read back when it has been saved."""
        try:
            saved = to_saved(self.adapter.core_schema, self.validated(default))
        except (InvalidValueError, ValueError):  # such as None, which existing Things have; reading it tells
            return
        try:
            read = self.validated_saved(saved_document(saved))
        except InvalidValueError as error:
            raise UnserialisableTypeError(f"{self._misread(default, saved)} {error}") from error
        if not is_kept(saved, to_saved(self.adapter.core_schema, read)) and _differ(read, default):
            raise UnserialisableTypeError(f"{self._misread(default, saved)} That is {read!r}.")

    def _misread(self, default: Any, saved: Any) -> str:
        return (
            f"The setting '{self._qualified_name}' could not be read back after a restart: its default, {default!r}, "
            f"is saved as {saved!r}."
        )

    def store(self, obj: Owner, value: Any) -> None:
        super().store(obj, value)
        obj._thing_server_interface.setting_changed(self.name)

    def notify(self, obj: Owner) -> None:
        super().notify(obj)
        obj._thing_server_interface.setting_changed(self.name)


class FunctionalSetting(FunctionalProperty[Owner, Value], BaseSetting[Owner, Value]):
    """A setting that is read by calling a method, and set by calling another."""

    def store(self, obj: Owner, value: Any) -> Any:
        result = super().store(obj, value)
        if self.has_async_setter:
            return self._store_and_save(obj, result)
        obj._thing_server_interface.setting_changed(self.name)
        return result

    def restore_default(self, obj: Owner) -> Any:
        result = super().restore_default(obj)
        if self.has_async_resetter:
            return self._store_and_save(obj, result)
        obj._thing_server_interface.setting_changed(self.name)
        return result

    def load(self, obj: Owner, value: Any) -> Any:
        return super().store(obj, value)

    async def _store_and_save(self, obj: Owner, stored: Any) -> None:
        await stored
        obj._thing_server_interface.setting_changed(self.name)


def _differ(value: Any, other: Any) -> bool:
    try:
        return bool(value != other)
    except ValueError:  # of arrays it is not told whether they are the same
        return True
