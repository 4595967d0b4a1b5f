"""Things that have no server."""

from __future__ import annotations

import logging
import shutil
import weakref
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, TypeVar

from labthings.logs import configure_thing_logger
from labthings.testing.lone_server import LoneInterface, LoneServer
from labthings.testing.slots import empty_optional_slots, mock_slots
from labthings.thing import Thing
from labthings.thing_settings import ThingSettings

ThingSubclass = TypeVar("ThingSubclass", bound=Thing)


def create_thing_without_server(
    cls: type[ThingSubclass],
    *args: Any,
    settings_folder: str | Path | None = None,
    mock_all_slots: bool = False,
    enable_global_lock: bool = True,
    **kwargs: Any,
) -> ThingSubclass:
    """Make a Thing that needs no server, to test its code by itself.

    Its name is that of its class in lower case. Properties, settings, actions and the logger work, actions being called
    like other methods. Nothing is served, and there is no event loop. The Thing is not entered: use ``with`` for that.

    :param args: positional arguments for the class.
    :param settings_folder: where the settings are kept; by default, in a folder that is removed with the Thing.
    :param mock_all_slots: whether to fill the thing slots with mocks. By default, they are left to
        `manually_connect_thing_slot`; optional ones are empty.
    :param enable_global_lock: whether there is a global lock.
    :param kwargs: keyword arguments for the class.
    """
    configure_thing_logger(logging.INFO)
    folder = Path(mkdtemp(prefix="labthings-") if settings_folder is None else settings_folder)
    server = LoneServer(folder, enable_global_lock=enable_global_lock)
    interface = LoneInterface(server, cls.__name__.lower(), cls.__name__)
    if settings_folder is None:
        weakref.finalize(interface, shutil.rmtree, folder, ignore_errors=True)
    server.things[interface.name] = thing = cls(*args, **{**kwargs, "thing_server_interface": interface})
    (mock_slots if mock_all_slots else empty_optional_slots)(thing)
    server.settings = ThingSettings(thing)
    server.settings.load_at_once()
    return thing
