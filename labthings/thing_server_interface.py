"""What a Thing may ask of its server: the one door between Things' threads and the event loop."""

from __future__ import annotations

import logging
import threading
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, ParamSpec, Protocol, TypeVar
from weakref import ref

from anyio.from_thread import BlockingPortal

from labthings.exceptions import (
    FeatureNotEnabledError,
    NotConnectedToServerError,
    ServerNotRunningError,
    ThingFailedError,
)
from labthings.global_lock import GlobalLock
from labthings.inbox import Inbox
from labthings.listeners import Hearing, Subscription
from labthings.logs import get_thing_logger
from labthings.message_broker import Message, MessageBroker
from labthings.workers import LoopCalls

Params = ParamSpec("Params")
ReturnType = TypeVar("ReturnType")


class HasState(Protocol):
    """A Thing, as far as its metadata goes."""

    @property
    def thing_state(self) -> Mapping[str, Any]: ...


class Server(Protocol):
    """What the interface needs of a server."""

    @property
    def thing_names(self) -> Collection[str]: ...
    @property
    def application_config(self) -> Mapping[str, Any] | None: ...
    @property
    def settings_folder(self) -> Path: ...
    @property
    def message_broker(self) -> MessageBroker: ...
    @property
    def listeners(self) -> Hearing: ...
    @property
    def global_lock(self) -> GlobalLock | None: ...
    @property
    def blocking_portal(self) -> BlockingPortal | None: ...
    def running_thing(self, name: str) -> HasState: ...
    def path_for_thing(self, name: str) -> str: ...
    def setting_changed(self, name: str, setting: str) -> None: ...
    def save_settings_now(self, name: str) -> None: ...


class ThingServerInterface:
    """Gives a Thing access to its server. The server makes one for each Thing.

    :param server: the server, to which only a weak reference is kept.
    :param name: the Thing's name.
    :param class_name: the name of the Thing's class, after which its settings file is named.
    """

    def __init__(self, server: Server, name: str, class_name: str) -> None:
        self._server = ref(server)
        self._name = name
        self._class_name = class_name
        self._broker = server.message_broker
        self.global_lock = server.global_lock
        # held while a value is stored and published, and never longer
        self.property_lock: AbstractContextManager[Any] = threading.Lock()

    @property
    def server(self) -> Server:
        """The server.

        :raises NotConnectedToServerError: if it no longer exists.
        """
        server = self._server()
        if server is None:
            raise NotConnectedToServerError(f"The server of Thing '{self._name}' no longer exists.")
        return server

    @property
    def name(self) -> str:
        """The Thing's name."""
        return self._name

    @property
    def path(self) -> str:
        """The path of the Thing's URL, with slashes at both ends."""
        return self.server.path_for_thing(self._name)

    @property
    def settings_folder(self) -> str:
        """A folder in which the Thing may keep files. It need not exist yet."""
        return str(self.server.settings_folder / self._name)

    @property
    def settings_file_path(self) -> str:
        """The file in which the Thing's settings are kept, as JSON."""
        return str(Path(self.settings_folder) / f"Settings-{self._class_name}.json")

    @property
    def application_config(self) -> Mapping[str, Any] | None:
        """The ``application_config`` of the server's configuration."""
        return self.server.application_config

    def start_async_task_soon(
        self, async_function: Callable[Params, Awaitable[ReturnType]], *args: Any
    ) -> Future[ReturnType]:
        """Run an async function in the event loop, without waiting for it.

        :return: a future of what the function returns.
        :raises ServerNotRunningError: if there is no event loop.
        """
        return self._portal.start_task_soon(async_function, *args)

    def call_async_task(self, async_function: Callable[Params, Awaitable[ReturnType]], *args: Any) -> ReturnType:
        """Run an async function in the event loop, and wait for what it returns. Not to be called in the loop.

        :raises ServerNotRunningError: if there is no event loop.
        """
        return self._portal.call(async_function, *args)

    @property
    def loop_calls(self) -> LoopCalls:
        """The way to the event loop."""
        return self._broker.loop_calls

    def get_thing_states(self) -> Mapping[str, Any]:
        """The ``thing_state`` of every Thing on the server, by name: metadata to store with a result.

        In place of the state of a Thing that is not running, or whose code raises, there is ``{"error": "..."}``.
        """
        return {name: self._state_of(name) for name in self.server.thing_names}

    @contextmanager
    def hold_global_lock(self, *, error_if_unavailable: bool = True) -> Iterator[None]:
        """Hold the server's global lock.

        :param error_if_unavailable: whether it is an error that the server has no global lock; otherwise nothing is
            held then.
        :raises GlobalLockBusyError: if something else holds it.
        :raises FeatureNotEnabledError: if the server has none.
        """
        if self.global_lock is not None:
            with self.global_lock.hold():
                yield
        elif error_if_unavailable:
            raise FeatureNotEnabledError(
                f"Thing '{self._name}' asked for the global lock, which the server does not have. "
                "Set `enable_global_lock` to true in its configuration."
            )
        else:
            yield

    def is_observed(self, affordance: str) -> bool:
        """Whether anything has subscribed to an affordance of this Thing."""
        return self._broker.is_observed(self._name, affordance)

    def listen(
        self, affordance: str, callback: Callable[[Any], Any], on_error: Callable[[Exception], Any] | None
    ) -> Subscription:
        """Have a function called when something happens to an affordance of this Thing."""
        return self.server.listeners.add(self._name, affordance, callback, on_error)

    def inbox(self, affordance: str) -> AbstractAsyncContextManager[Inbox]:
        """An inbox for what happens to an affordance of this Thing. For the event loop's thread.

        :raises ServerNotRunningError: if there is no event loop.
        """
        return self.server.listeners.inbox(self._name, affordance)

    def publish_event(self, name: str, data: Any, document: bytes) -> None:
        """Tell subscribers that an event has happened.

        :param document: its data as JSON.
        """
        self._broker.post(Message(self._name, name, "event", data, lambda data: document))

    def property_changed(self, name: str) -> None:
        """Have a property with a getter read, if it is observed, and subscribers told of its value."""
        if self.is_observed(name):
            self._broker.post_change(self._name, name)

    def publish_property(self, name: str, value: Any, serialise: Callable[[Any], bytes]) -> None:
        """Tell subscribers of a property's new value.

        :param serialise: makes JSON of it.
        """
        self._broker.post(Message(self._name, name, "property", value, serialise))

    def publish_action(self, name: str, status: Mapping[str, Any]) -> None:
        """Tell subscribers of the state of an action's invocation."""
        self._broker.post(Message(self._name, name, "action", status))

    def setting_changed(self, setting: str) -> None:
        """Have the Thing's settings written to disk, by another thread, because one of them has been set."""
        self.server.setting_changed(self._name, setting)

    def save_settings_now(self) -> None:
        """Write the Thing's settings to disk.

        :raises SettingsNotSavedError: if they cannot be written.
        """
        self.server.save_settings_now(self._name)

    def _state_of(self, name: str) -> Mapping[str, Any]:
        try:
            return self.server.running_thing(name).thing_state
        except ThingFailedError as error:
            self._logger.warning("The metadata lacks the state of '%s'. %s", name, error)
            return {"error": str(error)}
        except Exception as error:
            self._logger.exception("The metadata lacks the state of '%s', whose `thing_state` raised.", name)
            return {"error": f"{type(error).__name__}: {error}"}

    @property
    def _logger(self) -> logging.Logger:
        return get_thing_logger(self._name)

    @property
    def _portal(self) -> BlockingPortal:
        portal = self.server.blocking_portal
        if portal is None:
            raise ServerNotRunningError(f"Thing '{self._name}' needs the event loop, but the server is not running.")
        return portal
