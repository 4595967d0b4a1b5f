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

GRACE_SECONDS = 1


class Serveable(Announced, Protocol):
    """What is needed of a server to run it."""

    @property
    def app(self) -> ServerApp: ...
    def give_up_starting(self) -> None: ...
    async def end_streams(self) -> None: ...


def serve(server: Serveable, host: str, port: int) -> None:
    """Serve until the process is interrupted or terminated.

    :raises ServerNotRunningError: if the application could not start.
    """
    uvicorn_server = _UvicornServer(uvicorn_config(server.app, host, port), server)
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
        timeout_graceful_shutdown=GRACE_SECONDS,
        **options,
    )


def _is_worth_logging(record: logging.LogRecord) -> bool:
    """Not that a request was cancelled: only a server that stops does that, and says how many there are."""
    return record.exc_info is None or not isinstance(record.exc_info[1], asyncio.CancelledError)


def port_of(server: uvicorn.Server) -> Any:
    """The port that a server listens to, which the system has chosen if 0 was asked for."""
    return server.servers[0].sockets[0].getsockname()[1] if server.servers else server.config.port


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
    def __init__(self, config: uvicorn.Config, server: Serveable) -> None:
        super().__init__(config)
        self._server = server
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        if self.started and not self.should_exit:
            self._announce()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._server.give_up_starting)

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        await self._server.end_streams()  # nothing that waits or streams holds up the end
        await super().shutdown(sockets)

    def _announce(self) -> None:
        sys.stdout.write(announcement(self._server, url_of(self.config.host, port_of(self))) + "\n")
        sys.stdout.flush()
