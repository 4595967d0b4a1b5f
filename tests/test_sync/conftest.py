"""What tests of live state for browsers use."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import uvicorn
from pydantic import Field
from starlette.testclient import TestClient

from labthings.sync import LabSync, ReactiveModel


class State(ReactiveModel):
    bias: float = 0
    text: str = ""
    items: list[int] = Field(default_factory=list)


class Shared:
    """A LabSync with a state, in an application that a client talks to."""

    def __init__(self, stack: ExitStack, **options: Any) -> None:
        self.sync = LabSync(**options)
        self.state = self.sync.bind_state(State())
        self._stack = stack

    def start(self) -> TestClient:
        self.client: TestClient = self._stack.enter_context(TestClient(self.sync.create_app()))
        return self.client

    def connect(self) -> Any:
        """A WebSocket, which has been told the state but not the streams."""
        websocket = self._stack.enter_context(self.client.websocket_connect("/sync/ws"))
        websocket.snapshot = websocket.receive_json()
        return websocket


@pytest.fixture
def share() -> Iterator[Callable[..., Shared]]:
    with ExitStack() as stack:
        yield lambda **options: Shared(stack, **options)


@pytest.fixture
def serve_sync() -> Callable[[LabSync], Any]:
    """Serve a LabSync with uvicorn meanwhile, and give the address of its WebSocket."""
    return _served


@contextmanager
def _served(sync: LabSync) -> Iterator[str]:
    config = uvicorn.Config(sync.create_app(), ws="websockets-sansio", log_config=None)
    runner = _Runner(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=runner.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            assert runner.has_started.wait(20)
            yield f"ws://127.0.0.1:{listener.getsockname()[1]}/sync/ws"
        finally:
            runner.should_exit = True
            thread.join(10)
            assert not thread.is_alive()


class _Runner(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.has_started = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.has_started.set()
