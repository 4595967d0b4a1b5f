"""Control laboratory instruments over HTTP and WebSocket, from a Python class per instrument."""

from __future__ import annotations

import importlib
from typing import Any

from labthings import exceptions, outputs
from labthings.actions import action
from labthings.client import AsyncThingClient, ThingClient, discover
from labthings.endpoints import endpoint
from labthings.events import Event, event
from labthings.invocation_contexts import (
    ThreadWithInvocationID,
    cancellable_sleep,
    raise_if_cancelled,
    report_progress,
)
from labthings.logs import get_thing_logger
from labthings.outputs import blob
from labthings.properties import DataProperty, DataSetting, property, setting
from labthings.server import ThingConfig, ThingServer, ThingServerConfig
from labthings.state import ReactiveModel
from labthings.thing import Thing, ThingClassSettings
from labthings.thing_server_interface import ThingServerInterface
from labthings.thing_slots import thing_slot

_MODULES = {"cli": "labthings.server.cli"}  # imported when they are first used


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(_MODULES[name])
    raise AttributeError(f"module 'labthings' has no attribute '{name}'")


__all__ = [
    "AsyncThingClient",
    "DataProperty",
    "DataSetting",
    "Event",
    "ReactiveModel",
    "Thing",
    "ThingClassSettings",
    "ThingClient",
    "ThingConfig",
    "ThingServer",
    "ThingServerConfig",
    "ThingServerInterface",
    "ThreadWithInvocationID",
    "action",
    "blob",
    "cancellable_sleep",
    "cli",
    "discover",
    "endpoint",
    "event",
    "exceptions",
    "get_thing_logger",
    "outputs",
    "property",
    "raise_if_cancelled",
    "report_progress",
    "setting",
    "thing_slot",
]
