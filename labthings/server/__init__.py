"""The server: it makes Things from a configuration, and makes them available over HTTP and WebSocket."""

from __future__ import annotations

import asyncio
import logging
import sys
import uuid
import warnings
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from anyio.from_thread import BlockingPortal
from fastapi import Depends, FastAPI
from typing_extensions import Self

from labthings.actions import ActionManager
from labthings.actions.manager import Keeping
from labthings.base_descriptor import faults_of
from labthings.client_blobs import BlobLimits, ClientBlobs
from labthings.exceptions import ConfigurationError, NotFoundError
from labthings.global_lock import GlobalLock
from labthings.listeners import Listeners
from labthings.logs import configure_thing_logger
from labthings.message_broker import MessageBroker
from labthings.outputs.storage import most_files_to_hold_open
from labthings.retention import Limits, Sizes
from labthings.routes.actions import action_routes, invocation_routes
from labthings.routes.blobs import blob_routes
from labthings.routes.documentation import documented
from labthings.routes.events import event_routes
from labthings.routes.http import Receive, Route, Scope, Send
from labthings.routes.observation import Observation
from labthings.routes.properties import property_routes
from labthings.routes.streams import stream_routes
from labthings.routes.table import Table
from labthings.routes.thing_access import ThingAccess
from labthings.routes.things import Descriptions, description_route, directory_routes
from labthings.routes.watching import HeldRequests
from labthings.server.app import ServerApp, Socket
from labthings.server.config_model import ThingConfig, ThingServerConfig
from labthings.server.front_page import with_front_page
from labthings.server.guard import Guard
from labthings.server.hosted_thing import HostedThing, State
from labthings.server.household import Household
from labthings.server.identity import server_identity
from labthings.server.javascript import javascript_route
from labthings.settings_writer import SettingsWriter
from labthings.thing import Thing
from labthings.thing_server_interface import ThingServerInterface
from labthings.websockets import Session
from labthings.workers import LoopCalls

LOGGER = logging.getLogger(__name__)
ThingSubclass = TypeVar("ThingSubclass", bound=Thing)


@dataclass(frozen=True)
class ThingStatus:
    """Whether a Thing is running, and if it failed, why."""

    state: State
    error: BaseException | None = None


class ThingServer:
    """Makes Things from a configuration, and makes them available over HTTP and WebSocket.

    :param config: the configuration, or a dictionary like its JSON form.
    :param debug: whether Things log at DEBUG, and clients are told where errors were raised.
    :raises ConfigurationError: if the configuration cannot be used.
    :raises ThingSlotError: if a thing slot cannot be filled.
    """

    def __init__(
        self, config: ThingServerConfig | Mapping[str, Any] | None = None, debug: bool = False, **kwargs: Any
    ) -> None:
        if config is None:
            text = "Pass a configuration to ThingServer, or use ThingServer.from_things, instead of keyword arguments."
            warnings.warn(text, DeprecationWarning, stacklevel=2)
            config = kwargs
        elif kwargs:
            raise TypeError(f"ThingServer takes a configuration or keyword arguments ({', '.join(kwargs)}), not both.")
        self.config = ThingServerConfig.from_mapping(config) if isinstance(config, Mapping) else config
        self.debug = debug
        configure_thing_logger(logging.DEBUG if debug else logging.INFO)
        self.global_lock = GlobalLock() if self.config.enable_global_lock else None
        self.loop_calls = LoopCalls()
        self.message_broker = MessageBroker(self.loop_calls)
        self.listeners = Listeners(self.message_broker, self.loop_calls)
        self.held_requests = HeldRequests()
        kept = Sizes(self.config.maximum_kept_memory, self.config.maximum_kept_files, most_files_to_hold_open())
        self.action_manager = ActionManager(
            self.loop_calls,
            Keeping(Limits(self.config.maximum_invocations, kept), self.config.spool_size, self.config.spool_folder),
            debug=debug,
            lock_log_level=self.config.global_lock_log_level,
        )
        self.client_blobs = ClientBlobs(
            BlobLimits(
                upload_size=self.config.maximum_upload_size,
                upload_seconds=self.config.upload_retention,
                spool_size=self.config.spool_size,
                spool_folder=self.config.spool_folder,
                kept=kept,
            )
        )
        self.blocking_portal: BlockingPortal | None = None
        self._writer = SettingsWriter()
        self._hosted = {name: self._host(name, each) for name, each in self.config.thing_configs.items()}
        self._household = Household(self._hosted, self.config.start_timeout, self.config.stop_timeout)
        self._household.prepare()
        self.accesses: Mapping[str, ThingAccess] = {
            name: ThingAccess(each, self.message_broker, self.loop_calls, self.client_blobs)
            for name, each in self._hosted.items()
        }
        self.app = self._make_app()

    @classmethod
    def from_config(cls, config: ThingServerConfig | Mapping[str, Any], debug: bool = False) -> Self:
        """Do the same as the constructor. Deprecated."""
        warnings.warn("ThingServer.from_config(x) is ThingServer(x). Use that.", DeprecationWarning, stacklevel=2)
        return cls(config, debug)

    @classmethod
    def from_things(
        cls,
        things: Mapping[str, ThingConfig | Mapping[str, Any] | type[Thing] | str],
        debug: bool = False,
        **kwargs: Any,
    ) -> Self:
        """Make a server of Things.

        :param things: for each name a Thing's class, its import string, or a configuration of it.
        :param kwargs: the rest of the configuration.
        """
        return cls({"things": things, **kwargs}, debug)

    # --- what there is ------------------------------------------------------------------------------------------

    @property
    def things(self) -> Mapping[str, Thing]:
        """The Things, by name, without those that could not be made."""
        return {name: each.thing for name, each in self._hosted.items() if each.thing is not None}

    @property
    def statuses(self) -> Mapping[str, ThingStatus]:
        """Whether each Thing is running, by name."""
        return {name: ThingStatus(each.state, each.error) for name, each in self._hosted.items()}

    def things_by_class(self, cls: type[ThingSubclass]) -> list[ThingSubclass]:
        """The Things that are instances of a class."""
        return [thing for thing in self.things.values() if isinstance(thing, cls)]

    def thing_by_class(self, cls: type[ThingSubclass]) -> ThingSubclass:
        """The one Thing that is an instance of a class.

        :raises NotFoundError: if there is none, or more than one.
        """
        found = self.things_by_class(cls)
        if len(found) != 1:
            raise NotFoundError(f"There are {len(found)} Things of class {cls.__name__} on the server, not one.")
        return found[0]

    def path_for_thing(self, name: str) -> str:
        """The path of a Thing's URL, with slashes at both ends.

        :raises NotFoundError: if there is no Thing of that name.
        """
        if name not in self.config.thing_configs:
            raise NotFoundError(f"There is no Thing '{name}' on the server.")
        return f"{self.api_prefix}/{name}/"

    @property
    def api_prefix(self) -> str:
        """What the path of every URL begins with: empty, or with a slash at the start and none at the end."""
        return self.config.api_prefix

    @property
    def application_config(self) -> Mapping[str, Any] | None:
        """The ``application_config`` of the configuration."""
        return self.config.application_config

    @property
    def settings_folder(self) -> Path:
        """The folder in which Things' settings are kept."""
        return Path(self.config.settings_folder)

    @property
    def identity(self) -> uuid.UUID:
        """What tells this server from others; the ids of its Things are made from it."""
        return server_identity(self.settings_folder)

    # --- running ------------------------------------------------------------------------------------------------

    def serve(self, host: str = "localhost", port: int = 5000, discovery: bool | None = None) -> None:
        """Serve the Things until the process is interrupted or terminated.

        :param host: the address to listen at; ``"0.0.0.0"`` for all of the computer's.
        :param port: the port to listen at.
        :param discovery: whether to announce the server on the network. By default, the configuration says that.
        """
        from labthings.server.serving import serve

        serve(self, host, port, self.config.discovery if discovery is None else discovery)

    def test_client(self, **kwargs: Any) -> AbstractContextManager[Any]:
        """A client that talks to the server without a network. Use it in a ``with`` statement: that starts the Things.

        :param kwargs: arguments for Starlette's ``TestClient``.
        """
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*httpx.*", module="starlette.testclient|labthings.*")
            from starlette.testclient import TestClient

        return TestClient(self.app, **kwargs)

    @asynccontextmanager
    async def _lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        interval = sys.getswitchinterval()
        sys.setswitchinterval(self.config.switch_interval)
        self.loop_calls.attach(asyncio.get_running_loop())
        try:
            async with BlockingPortal() as self.blocking_portal:
                self._writer.start()
                self.action_manager.start()
                self.client_blobs.start(self.loop_calls.loop)
                self.listeners.start()
                self.held_requests.open()
                await self._household.start()
                try:
                    yield
                finally:
                    await self._stop()
                    await self.blocking_portal.stop(cancel_remaining=True)
        finally:
            self.blocking_portal = None
            self.loop_calls.detach()
            sys.setswitchinterval(interval)

    async def _stop(self) -> None:
        await self.end_streams()
        await self.action_manager.stop(self.config.stop_timeout)
        self.client_blobs.stop()
        await self._household.stop()
        await self.listeners.stop(self.config.stop_timeout)
        await self.message_broker.close_streams()
        await asyncio.to_thread(self._writer.close)

    def give_up_starting(self) -> None:
        """Do not wait for Things that are still starting, as the server is to stop. For the event loop's thread."""
        self._household.give_up_starting()

    async def end_streams(self) -> None:
        """Let go of every client that waits for something, so that the server can stop."""
        self.message_broker.close_inboxes()
        self.held_requests.close()
        for invocation in self.action_manager.invocations:
            invocation.release_waiters()
        for hosted in self._hosted.values():
            hosted.end_streams()

    # --- for the Things' interfaces -----------------------------------------------------------------------------

    @property
    def thing_names(self) -> Collection[str]:
        """The names of all Things, those included that could not be made."""
        return self._hosted.keys()

    def running_thing(self, name: str) -> Thing:
        """A Thing, if it is running.

        :raises ThingFailedError: if it is not, with the reason.
        """
        hosted = self._hosted[name]
        hosted.require_running()
        return hosted.candidate

    def setting_changed(self, name: str, setting: str) -> None:
        """Have a Thing's settings written to disk, by another thread, because one of them has been set."""
        settings = self._hosted[name].settings
        if settings is not None and settings.notice_change(setting):
            self._writer.mark_changed(settings)

    def save_settings_now(self, name: str) -> None:
        """Write a Thing's settings to disk.

        :raises SettingsNotSavedError: if they cannot be written.
        """
        settings = self._hosted[name].settings
        if settings is not None:
            self._writer.mark_changed(settings)
            self._writer.flush(settings)

    # --- for routes ---------------------------------------------------------------------------------------------

    @property
    def served_things(self) -> Mapping[str, HostedThing]:
        """All Things, those included that could not be made."""
        return self._hosted

    @property
    def maximum_body_size(self) -> int:
        """How many bytes the body of a request may have."""
        return self.config.maximum_body_size

    def health(self) -> Mapping[str, Any]:
        """Whether each Thing is running, as JSON."""
        things = {
            name: {"state": each.state}
            | ({"error": f"{type(each.error).__name__}: {each.error}"} if each.error else {})
            for name, each in self._hosted.items()
        }
        states = {each["state"] for each in things.values()}
        return {"status": "degraded" if states - {"running"} else "running", "things": things}

    # --- making it ----------------------------------------------------------------------------------------------

    def _host(self, name: str, config: ThingConfig) -> HostedThing:
        interface = ThingServerInterface(self, name, config.cls.__name__)
        return HostedThing(name, config, interface, f"{self.api_prefix}/{name}/", self.loop_calls, self._writer)

    def _make_app(self) -> ServerApp:
        table, descriptions = Table(), Descriptions(self)
        for hosted in self._hosted.values():
            table.add([description_route(descriptions, hosted)])
            access = self.accesses[hosted.name]
            table.add(property_routes(access, Observation(self, access), self.maximum_body_size))
            table.add(event_routes(self, hosted))
            table.add(action_routes(self, hosted))
            table.add(stream_routes(hosted))
        table.add(invocation_routes(self))
        table.add(blob_routes(self))
        table.add(directory_routes(self, descriptions))
        table.add([javascript_route(self.api_prefix)])
        sockets = {f"{each.served.path}ws": self._socket(each) for each in self.accesses.values()}
        sockets[f"{self.api_prefix}/ws"] = self._socket(None)
        guard = Guard(self.config.allowed_origins)
        app = ServerApp(
            table,
            sockets,
            guard,
            self.client_blobs,
            partial(documented, self),
            self.api_prefix,
            debug=self.debug,
            title="LabThings server",
            description="Instruments, and what they can do.",
            lifespan=self._lifespan,
        )
        app.router.default = with_front_page(self, app.router.default)
        for hosted in self._hosted.values():
            _add_endpoints(app, table, hosted)
        return app

    def _socket(self, thing: ThingAccess | None) -> Socket:
        """The WebSocket of a Thing, or of the whole server."""

        async def serve(scope: Scope, receive: Receive, send: Send) -> None:
            if thing is not None:
                thing.served.require_running()
            await Session(self, thing, scope, receive, send).run()

        return serve


def _add_endpoints(app: ServerApp, table: Table, hosted: HostedThing) -> None:
    async def require_running() -> None:
        hosted.require_running()

    answering: dict[tuple[str, str], str] = {}
    faults = faults_of(hosted.cls)
    for endpoint in hosted.endpoints.values():
        path, name = hosted.path + endpoint.path, f"'{hosted.cls.__name__}.{endpoint.name}'"
        other = "an affordance" if table.has(path, endpoint.method) else answering.get((path, endpoint.method))
        if other is not None:
            raise ConfigurationError(
                f"The endpoint {name} and {other} would both answer {endpoint.method} {path}. "
                "Give one of them another name."
            )
        answering[path, endpoint.method] = name
        dependencies = [Depends(require_running), *endpoint.options.get("dependencies", ())]
        options = {"tags": [hosted.name], **endpoint.options, "dependencies": dependencies}
        if endpoint.name in faults:
            options["include_in_schema"] = False  # or else it would keep all others out of the documentation
        app.add_api_route(path, endpoint.__get__(hosted.candidate), methods=[endpoint.method], **options)
        if table.has_path(path):
            table.add([Route(path, endpoint.method, app.serve_rest)])


__all__ = ["ThingConfig", "ThingServer", "ThingServerConfig", "ThingStatus"]
