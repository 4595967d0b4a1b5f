"""One Thing on a server, and what has become of it."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, Literal, TypeAlias

from labthings.actions import ActionInfo
from labthings.base_descriptor import descriptors_of, faults_of
from labthings.endpoints import EndpointDescriptor
from labthings.events import Event
from labthings.exceptions import NotConnectedToServerError, ThingFailedError, ThingSlotError
from labthings.logs import get_thing_logger
from labthings.outputs.mjpeg_stream import MJPEGStreamDescriptor, MJPEGStreamInfo
from labthings.properties import PropertyInfo
from labthings.server.config_model import ThingConfig
from labthings.settings_writer import SettingsWriter
from labthings.suggestions import did_you_mean
from labthings.thing import Thing
from labthings.thing_server_interface import ThingServerInterface
from labthings.thing_settings import ThingSettings
from labthings.thing_slots import ThingSlot
from labthings.workers import Lane, LoopCalls, Workers

State: TypeAlias = Literal["stopped", "starting", "running", "failed"]


class HostedThing:
    """A Thing on a server.

    A Thing that cannot be made, or cannot start, is still described; its affordances answer with the reason.

    :param name: its name.
    :param config: how to make it.
    :param interface: its access to the server.
    :param path: the path of its URL, with slashes at both ends.
    :param calls: how its threads call back to the event loop.
    :param writer: saves its settings.
    """

    def __init__(
        self,
        name: str,
        config: ThingConfig,
        interface: ThingServerInterface,
        path: str,
        calls: LoopCalls,
        writer: SettingsWriter,
    ) -> None:
        self.name, self.config, self.path = name, config, path
        self.cls: type[Thing] = config.cls
        self.thing: Thing | None = None
        self.state: State = "stopped"
        self.error: BaseException | None = None
        self.workers = Workers(name)
        self.settings: ThingSettings | None = None
        self._interface, self._writer = interface, writer
        self._lifecycle = Lane(f"Starting or stopping {name}", self.workers, calls, running=1)
        self._entered = False
        self._settled: tuple[State, BaseException | None] = ("stopped", None)

    @cached_property
    def candidate(self) -> Thing:
        """What slots are filled with: the Thing, or, if it could not be made, an empty instance of its class."""
        return Thing.__new__(self.cls) if self.thing is None else self.thing

    # --- before the server starts -------------------------------------------------------------------------------

    def make(self) -> None:
        """Make the Thing; what its ``__init__`` raises is kept."""
        try:
            arguments = {**self.config.kwargs, "thing_server_interface": self._interface}
            thing = self.cls(*self.config.args, **arguments)
            if getattr(thing, "_thing_server_interface", None) is None:
                raise NotConnectedToServerError(
                    f"{self.cls.__name__}.__init__ must call `super().__init__(thing_server_interface)`."
                )
        except (Exception, SystemExit) as error:  # noqa: BLE001 - one Thing that fails must not stop the others
            self.fail(f"{self.cls.__name__}.__init__ raised", error)
        else:
            self.thing = thing

    def tell_of_faults(self) -> None:
        """Log what is wrong with its affordances, now that all that they mention should be defined."""
        for name, error in faults_of(self.cls).items():
            self.logger.error("Something is wrong with '%s.%s'. %s: %s", self.name, name, type(error).__name__, error)

    def connect(self, candidates: Mapping[str, Thing]) -> None:
        """Fill the Thing's slots.

        :param candidates: the Things of the server, by name.
        :raises ThingSlotError: if the configuration and the annotations leave no way to do that.
        """
        if self.thing is None:
            return
        for unknown in set(self.config.thing_slots) - set(self.slots):
            raise ThingSlotError(
                f"things.{self.name}.thing_slots.{unknown}: {self.cls.__name__} has no such thing slot."
                f"{did_you_mean(unknown, self.slots)} Its slots are: {', '.join(self.slots) or 'none'}."
            )
        for name, slot in self.slots.items():
            slot.connect(self.thing, candidates, self.config.thing_slots.get(name, ...))

    @property
    def slots(self) -> Mapping[str, ThingSlot[Any]]:
        """The slots of its class."""
        return descriptors_of(self.cls, ThingSlot)

    def connections(self) -> Iterator[tuple[ThingSlot[Any], Thing]]:
        """The Things that it is connected to, and through which slots."""
        if self.thing is not None:
            for slot in self.slots.values():
                for other in slot.connected(self.thing):
                    yield slot, other

    def lose(self, slot: ThingSlot[Any], other: HostedThing) -> None:
        """Do without a Thing that is not available, if possible; otherwise fail too."""
        if slot.is_optional and self.thing is not None:
            slot.disconnect(self.thing, other.candidate)
            self.logger.warning("'%s.%s' does without '%s', which is not available.", self.name, slot.name, other.name)
        else:
            self.fail(
                "It cannot work", ThingFailedError(f"it needs '{other.name}' ({slot.name}), which is not available.")
            )

    def load_settings(self) -> None:
        """Give its settings their saved values."""
        if self.thing is None:
            return
        try:
            self.settings = ThingSettings(self.thing)
            self.settings.load()
        except OSError as error:
            self.settings = None
            self.fail("Its settings cannot be read", error)

    def fail(self, doing: str, error: BaseException) -> None:
        """Note that it cannot run, and why."""
        self.state, self.error = "failed", error
        self.logger.error(
            "'%s' is not available. %s: %s: %s", self.name, doing, type(error).__name__, error, exc_info=error
        )

    # --- while the server runs ----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Load what could not be loaded before, and enter the Thing; what that raises is kept."""
        if self.thing is None or self.state == "failed":
            return
        self.state = "starting"
        for info in self.streams.values():
            info.stream.open()
        try:
            if self.settings is not None:
                await self.settings.load_deferred()
            await self._enter(self.thing)
        except Exception as error:  # noqa: BLE001 - one Thing that fails must not stop the others
            self.fail("It could not start", error)
        else:
            self._entered = True
            self.state = "running"

    async def stop(self) -> None:
        """Exit the Thing."""
        if self.thing is None or not self._entered:
            return
        self.state, self._entered = "stopped", False
        try:
            if hasattr(self.thing, "__aexit__"):
                await self.thing.__aexit__(None, None, None)
            elif type(self.thing).__exit__ is not Thing.__exit__:
                await self._lifecycle.run(self.thing.__exit__, None, None, None)
        except Exception as error:
            self.logger.exception("'%s' could not stop properly: %s", self.name, error)

    def end_streams(self) -> None:
        """Let go of all who watch its streams, or wait for a frame."""
        if self.thing is not None:
            for info in self.streams.values():
                info.stream.close()

    def settle(self) -> None:
        """Remember what has become of it before the server starts."""
        self._settled = (self.state, self.error)

    def reset(self) -> None:
        """Forget what an earlier start has made of it."""
        self.state, self.error = self._settled

    async def _enter(self, thing: Thing) -> None:
        if hasattr(thing, "__aenter__"):
            await thing.__aenter__()
        elif type(thing).__enter__ is not Thing.__enter__:  # which does nothing, and needs no thread for it
            await self._lifecycle.run(thing.__enter__)

    # --- for routes ---------------------------------------------------------------------------------------------

    @property
    def title(self) -> str:
        return self.cls.title

    @property
    def description(self) -> str | None:
        """The docstring of its class."""
        own = self.cls.__doc__ if self.cls is not Thing and "__doc__" in vars(self.cls) else None
        return inspect.cleandoc(own) if own else None

    @property
    def properties(self) -> Mapping[str, PropertyInfo]:
        return (self.cls if self.thing is None else self.thing).properties

    @property
    def actions(self) -> Mapping[str, ActionInfo]:
        return (self.cls if self.thing is None else self.thing).actions

    @property
    def events(self) -> Mapping[str, Event[Any]]:
        return (self.cls if self.thing is None else self.thing).events

    @cached_property
    def streams(self) -> Mapping[str, MJPEGStreamInfo]:
        found = descriptors_of(self.cls, MJPEGStreamDescriptor)
        return {name: MJPEGStreamInfo(each, self.thing) for name, each in found.items()}

    @property
    def endpoints(self) -> Mapping[str, EndpointDescriptor[..., Any]]:
        return descriptors_of(self.cls, EndpointDescriptor)

    @property
    def logger(self) -> logging.Logger:
        return get_thing_logger(self.name)

    def require_running(self) -> None:
        """Make sure that it is running.

        :raises ThingFailedError: if it is not, with the reason.
        """
        if self.state != "running":
            raise ThingFailedError(self._reason)

    async def settings_saved(self) -> None:
        """Wait until its settings are on disk.

        :raises SettingsNotSavedError: if they cannot be written.
        """
        if self.settings is not None:
            await asyncio.wrap_future(self._writer.saved(self.settings))

    @property
    def _reason(self) -> str:
        if self.state == "starting":
            return f"The Thing '{self.name}' is still starting. Try again later."
        if self.error is None:
            return f"The Thing '{self.name}' is not running, because the server has not started or has stopped."
        return f"The Thing '{self.name}' is not available: {type(self.error).__name__}: {self.error}"
