"""The settings of one Thing, between its attributes and its file."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

from labthings.exceptions import InvalidValueError, UnfinishedBatchError
from labthings.properties import SettingInfo
from labthings.properties.saving import saved_document
from labthings.settings_file import SettingsFile
from labthings.thing import Thing


class ThingSettings:
    """Loads a Thing's settings from its file, and saves them there.

    :param thing: the Thing.
    """

    def __init__(self, thing: Thing) -> None:
        self._thing = thing
        self.file = SettingsFile(Path(thing._thing_server_interface.settings_file_path))
        self.name = thing.name
        self._is_loading = False
        self._saved: dict[str, Any] = {}
        self._kept: set[str] = set()  # what stays in the file as it is: values not loaded yet, or that do not fit
        self._unreadable: set[str] = set()
        self._deferred: list[tuple[SettingInfo, Awaitable[None]]] = []

    @property
    def path(self) -> Path:
        """The file."""
        return self.file.path

    def load(self) -> None:
        """Give the settings their saved values, without telling anybody. A value that does not fit is passed over.

        :raises OSError: if the file cannot be read.
        """
        if not self._thing.settings:
            return
        self._saved = self.file.load()
        self._is_loading = True
        try:
            for name, info in self._thing.settings.items():
                if name in self._saved:
                    self._load(info, self._saved[name])
        finally:
            self._is_loading = False

    async def load_deferred(self) -> None:
        """Load the settings that have ``async`` setters."""
        deferred, self._deferred = self._deferred, []
        for info, loading in deferred:
            try:
                await loading
            except Exception as error:  # noqa: BLE001 - the setter is the Thing's own code
                self._refuse(info, error)
            else:
                self._kept.discard(info.name)

    def load_at_once(self) -> None:
        """Load all settings, in an event loop of this thread's own if some have ``async`` setters.

        :raises OSError: if the file cannot be read.
        """
        self.load()
        if self._deferred:
            asyncio.run(self.load_deferred())

    def notice_change(self, setting: str) -> bool:
        """Take note that a setting has been set, and say whether it needs to be saved: not while they are loaded."""
        if self._is_loading:
            return False
        self._kept.discard(setting)
        return True

    def save_now(self) -> None:
        """Write the settings to the file, in this thread."""
        if not self._thing.settings:
            return
        values = {name: self._dumped(info) for name, info in self._thing.settings.items() if name not in self._kept}
        self.file.save({name: value for name, value in values.items() if value is not _ABSENT})

    def _load(self, info: SettingInfo, saved: Any) -> None:
        try:
            loading = info.load(info.validate_saved(saved_document(saved)))  # as strict types read it
        except InvalidValueError as error:
            self._refuse(info, error)
        except Exception as error:  # noqa: BLE001 - the setter is the Thing's own code
            self._refuse(info, error)
        else:
            if loading is not None:
                self._kept.add(info.name)
                self._deferred.append((info, loading))

    def _refuse(self, info: SettingInfo, error: Exception) -> None:
        self._kept.add(info.name)
        self._thing.logger.error(
            "The saved value of the setting '%s' in %s cannot be used. The default is in force, and the file is "
            "left as it is until the setting is set. %s: %s",
            info.name,
            self.path,
            type(error).__name__,
            error,
        )

    def _dumped(self, info: SettingInfo) -> Any:
        try:
            has_async_getter = info.is_read_in_loop and not info.is_data
            value = self._get_async(info) if has_async_getter else info.get()
            dumped = info.to_saved(value)
        except UnfinishedBatchError:  # it is saved when that is finished
            return self._saved.get(info.name, _ABSENT)
        except Exception as error:  # noqa: BLE001 - the getter is the Thing's own code
            self._thing.logger.error(
                "The setting '%s' cannot be saved, so its last saved value is kept. %s: %s",
                info.name,
                type(error).__name__,
                error,
            )
            return self._saved.get(info.name, _ABSENT)
        if dumped != self._saved.get(info.name, _ABSENT):
            self._check_readable(info, dumped)
        self._saved[info.name] = dumped
        return dumped

    def _check_readable(self, info: SettingInfo, dumped: Any) -> None:
        """Say so once if a value could not be loaded after a restart."""
        try:
            info.validate_saved(saved_document(dumped))
        except Exception as error:  # noqa: BLE001 - validators are the Thing's own code
            if info.name not in self._unreadable:
                self._thing.logger.error(
                    "The setting '%s' is saved as %.100r, which cannot be read back after a restart. Have what "
                    "serialises it write what its type reads. %s: %s",
                    info.name,
                    dumped,
                    type(error).__name__,
                    error,
                )
            self._unreadable.add(info.name)
        else:
            self._unreadable.discard(info.name)

    def _get_async(self, info: SettingInfo) -> Any:
        return self._thing._thing_server_interface.call_async_task(info.get_async)


_ABSENT: Any = object()
