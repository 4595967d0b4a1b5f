"""Run a server with uvicorn."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from socket import socket
from types import FrameType
from typing import Any, Protocol

import uvicorn
from fastapi import FastAPI

from labthings.exceptions import ServerNotRunningError
from labthings.server.announcement import Announced, announcement, url_of

GRACE_SECONDS = 1


class Serveable(Announced, Protocol):
    """What is needed of a server to run it."""

    @property
    def app(self) -> FastAPI: ...
    async def end_streams(self) -> None: ...


def serve(server: Serveable, host: str, port: int) -> None:
    """Serve until the process is interrupted or terminated.

    :raises ServerNotRunningError: if the application could not start.
    """
    config = uvicorn.Config(
        server.app,
        host=host,
        port=port,
        access_log=False,
        log_level="warning",
        ws="websockets-sansio",
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    uvicorn_server = _UvicornServer(config, server)
    with _ending_quietly():
        uvicorn_server.run()
    if not uvicorn_server.started:
        raise ServerNotRunningError("The server could not start. What was logged before this says why.")


@contextmanager
def _ending_quietly() -> Iterator[None]:
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

    async def startup(self, sockets: list[socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._announce()

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        await self._server.end_streams()  # nothing that waits or streams holds up the end
        await super().shutdown(sockets)

    def _announce(self) -> None:
        sys.stdout.write(announcement(self._server, url_of(self.config.host, self._port())) + "\n")
        sys.stdout.flush()

    def _port(self) -> Any:
        """The port, which the system has chosen if 0 was asked for."""
        return self.servers[0].sockets[0].getsockname()[1] if self.servers else self.config.port
