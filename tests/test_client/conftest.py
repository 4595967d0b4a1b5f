from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from socket import socket
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI

import labthings as lt
from tests.test_client.fake_thing import FakeThing

Connect = Callable[..., Any]


@pytest.fixture
def connect(tmp_path: Path) -> Iterator[Connect]:
    """Serves a Thing as ``thing`` without a network, and returns a ThingClient of it."""
    with ExitStack() as stack:

        def connect_to(cls: type[lt.Thing], **config: Any) -> Any:
            server = lt.ThingServer.from_things({"thing": cls}, settings_folder=str(tmp_path), **config)
            return lt.ThingClient.from_url("/thing/", stack.enter_context(server.test_client()))

        yield connect_to


@pytest.fixture
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has the server answer soon when it is asked to wait."""
    monkeypatch.setattr("labthings.client.connection.LONGEST_WAIT", 0.05)


class WhileBusy:
    """Something to do while an action is at ``work``."""

    def __init__(self) -> None:
        self._begun, self._enough = threading.Event(), threading.Event()

    def work(self) -> None:
        self._begun.set()
        assert self._enough.wait(10)

    @contextmanager
    def __call__(self, invoke: Callable[[], Any]) -> Iterator[None]:
        thread = threading.Thread(target=invoke)
        thread.start()
        try:
            assert self._begun.wait(10)
            yield
        finally:
            self._enough.set()
            thread.join(10)


@pytest.fixture
def while_busy() -> WhileBusy:
    return WhileBusy()


@pytest.fixture
def served() -> Callable[[FastAPI], AbstractContextManager[str]]:
    """Serves an application on a real socket, and tells its URL."""
    return _serve


@contextmanager
def _serve(app: FastAPI) -> Iterator[str]:
    server = _Server(uvicorn.Config(app, port=0, log_level="warning", ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        assert server.is_up.wait(10)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_up = threading.Event()

    async def startup(self, sockets: list[socket] | None = None) -> None:
        await super().startup(sockets)
        self.is_up.set()


@pytest.fixture
def lamp() -> Iterator[FakeThing]:
    """A Thing whose server does what a test says."""
    lamp = FakeThing()
    lamp.start()
    yield lamp
    lamp.stop()


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has clients whose connection is lost try again soon."""
    monkeypatch.setattr("labthings.client.channel.SHORTEST_PAUSE", 0.001)
    monkeypatch.setattr("labthings.client.channel.LONGEST_PAUSE", 0.01)
