"""Properties that are kept on disk."""

from __future__ import annotations

from typing import Any

from labthings.base_descriptor import Owner, Value
from labthings.exceptions import UnserialisableTypeError
from labthings.properties.base import BaseProperty
from labthings.properties.data import DataProperty
from labthings.properties.functional import FunctionalProperty
from labthings.types.markers import holds_blobs


class BaseSetting(BaseProperty[Owner, Value]):
    """A property that is kept on disk."""

    def check(self) -> None:
        super().check()
        if "adapter" in self.__dict__ and holds_blobs(self.adapter):
            raise UnserialisableTypeError(
                f"The setting '{self._qualified_name}' cannot hold a blob: the link to it would lead nowhere after a "
                "restart. Save the bytes to a file, and have a setting with its path."
            )


class DataSetting(DataProperty[Owner, Value], BaseSetting[Owner, Value]):
    """A setting that holds a value."""

    is_saved = True

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
