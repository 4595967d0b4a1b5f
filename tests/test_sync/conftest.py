"""What tests of live state for browsers use."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from pydantic import Field
from starlette.testclient import TestClient

from labthings.sync import LabSync, ReactiveModel
from tests.live_server import served


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
    with served(sync.create_app()) as port:
        yield f"ws://127.0.0.1:{port}/sync/ws"
