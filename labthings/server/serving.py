"""Run a server with uvicorn."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from socket import socket
from types import FrameType
from typing import Any, Protocol

import uvicorn

from labthings.exceptions import ServerNotRunningError
from labthings.server.announcement import Announced, announcement, url_of
from labthings.server.app import ServerApp
from labthings.server.discovery import Identified, NetworkAnnouncement, how_to_find, is_wanted, reachable_at

GRACE_SECONDS = 1
PONG_SECONDS = 120  # a client's pong is behind requests that wait for those before them, if there are so many
ANSWERED = 2  # a WebSocket message that is larger than it may be is answered; one of this many times the size ends it


class Serveable(Announced, Identified, Protocol):
    """What is needed of a server to run it."""

    @property
    def app(self) -> ServerApp: ...
    @property
    def maximum_body_size(self) -> int: ...
    def give_up_starting(self) -> None: ...
    async def end_streams(self) -> None: ...


def serve(server: Serveable, host: str, port: int, discovery: bool | None = None) -> None:
    """Serve until the process is interrupted or terminated.

    :param discovery: whether to announce the server on the network; by default, if it can be reached from there.
    :raises ServerNotRunningError: if the application could not start.
    """
    config = uvicorn_config(server.app, host, port, ws_max_size=ANSWERED * server.maximum_body_size)
    uvicorn_server = _UvicornServer(config, server, discovery)
    try:
        with ending_quietly():
            uvicorn_server.run()
    except SystemExit:  # which has several reasons: that it cannot listen has been logged
        if uvicorn_server.started or server.app.startup_error is None:
            raise
    if not uvicorn_server.started:
        raise ServerNotRunningError(
            "The server could not start. What was logged before this says why."
        ) from server.app.startup_error


def uvicorn_config(app: Any, host: str, port: int, **options: Any) -> uvicorn.Config:
    """How uvicorn runs an application."""
    logging.getLogger("uvicorn.error").addFilter(_is_worth_logging)
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        access_log=False,
        log_level="warning",
        ws="websockets-sansio",
        ws_ping_timeout=PONG_SECONDS,
        ws_per_message_deflate=False,  # it would be done for each client anew: many times the cost of sending
        timeout_graceful_shutdown=GRACE_SECONDS,
        **options,
    )


def _is_worth_logging(record: logging.LogRecord) -> bool:
    """Not that a request was cancelled: only a server that stops does that, and says how many there are."""
    return record.exc_info is None or not isinstance(record.exc_info[1], asyncio.CancelledError)


def port_of(server: uvicorn.Server) -> Any:
    """The port that a server listens to, which the system has chosen if 0 was asked for."""
    return server.servers[0].sockets[0].getsockname()[1] if server.servers else server.config.port


def hosts_of(server: uvicorn.Server) -> list[str]:
    """The addresses at which a server listens to that port."""
    names = [each.getsockname() for servers in server.servers for each in servers.sockets]
    return [name[0] for name in names if name[1] == port_of(server)]


@contextmanager
def ending_quietly() -> Iterator[None]:
    """Return after an interrupt or a request to terminate, which uvicorn would raise again once it has stopped."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _do_nothing) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _do_nothing(number: int, frame: FrameType | None) -> None:
    """Handle a signal that has been acted on."""


class _UvicornServer(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, server: Serveable, discovery: bool | None) -> None:
        super().__init__(config)
        self._server, self._discovery = server, discovery
        self._network: NetworkAnnouncement | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        if self.started and not self.should_exit:
            self._announce()
            if is_wanted(self._discovery, hosts_of(self)):
                self._announce_on_the_network()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._server.give_up_starting)

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        goodbye = None if self._network is None else asyncio.create_task(self._network.stop())
        await self._server.end_streams()  # nothing that waits or streams holds up the end
        await super().shutdown(sockets)
        if goodbye is not None:
            await goodbye

    def _announce_on_the_network(self) -> None:
        hosts = hosts_of(self)
        self._network = NetworkAnnouncement(self._server, port_of(self), lambda: reachable_at(hosts))
        self._network.start()

    def _announce(self) -> None:
        url, hosts = url_of(self.config.host, port_of(self)), hosts_of(self)
        hint = how_to_find(hosts) if is_wanted(self._discovery, hosts) else None
        sys.stdout.write(announcement(self._server, url, hint) + "\n")
        sys.stdout.flush()
