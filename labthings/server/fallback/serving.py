"""Serve the page until the process is interrupted or terminated."""

from __future__ import annotations

import sys
from socket import socket

import uvicorn

from labthings.server.announcement import url_of
from labthings.server.fallback.app import FallbackApp
from labthings.server.fallback.failure import Failure
from labthings.server.serving import ending_quietly, port_of, uvicorn_config


def serve_fallback(failure: Failure, host: str, port: int) -> None:
    """Serve a page that says why the server could not start, until the process is interrupted or terminated."""
    with ending_quietly():
        _FallbackServer(uvicorn_config(FallbackApp(failure), host, port, lifespan="off")).run()


class _FallbackServer(uvicorn.Server):
    async def startup(self, sockets: list[socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            url = url_of(self.config.host, port_of(self))
            sys.stdout.write(f"Serving a page that says why, at {url}\nPress Ctrl+C to stop.\n")
            sys.stdout.flush()
