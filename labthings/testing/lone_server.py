"""What a Thing has in place of a server, if it has none."""

from __future__ import annotations

import threading
from collections.abc import Collection
from pathlib import Path

from labthings.exceptions import NotFoundError
from labthings.global_lock import GlobalLock
from labthings.testing.lone_listeners import LoneBroker, LoneListeners
from labthings.thing import Thing
from labthings.thing_server_interface import ThingServerInterface
from labthings.thing_settings import ThingSettings


class LoneServer:
    """Has one Thing, which it does not make available to anybody, and those that are connected to its slots.

    There is no event loop: functions that listen to the Thing are called at once, and settings are written to disk as
    soon as they are set.

    :param folder: where the Thing may keep files.
    """

    application_config = None
    blocking_portal = None

    def __init__(self, folder: Path, *, enable_global_lock: bool) -> None:
        self.settings_folder = folder
        self.listeners = LoneListeners()
        self.message_broker = LoneBroker(self.listeners, self._read)
        self.global_lock = GlobalLock() if enable_global_lock else None
        self.things: dict[str, Thing] = {}
        self.settings: ThingSettings | None = None

    @property
    def thing_names(self) -> Collection[str]:
        return self.things.keys()

    def _read(self, name: str, property_name: str) -> object:
        return self.things[name].properties[property_name].get()

    def running_thing(self, name: str) -> Thing:
        return self.things[name]

    def path_for_thing(self, name: str) -> str:
        if name not in self.things:
            raise NotFoundError(f"There is no Thing '{name}' here.")
        return f"/{name}/"

    def setting_changed(self, name: str, setting: str) -> None:
        if self.settings is not None and self.settings.notice_change(setting):
            self.settings.save_now()

    def save_settings_now(self, name: str) -> None:
        if self.settings is not None:
            self.settings.save_now()


class LoneInterface(ThingServerInterface):
    """The interface of a Thing that has no server. It keeps what there is in its place alive."""

    def __init__(self, server: LoneServer, name: str, class_name: str) -> None:
        super().__init__(server, name, class_name)
        self._kept = server
        self.property_lock = threading.RLock()  # as a function that is told of a value may set another one

    @property
    def settings_folder(self) -> str:
        return str(self._kept.settings_folder)
