"""What tests of WebSockets use."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import labthings as lt
from tests.test_websockets.raw_client import RawClient
from tests.test_websockets.stage import Stage


@pytest.fixture
def client(client_of: Callable[..., Any]) -> Any:
    return client_of({"stage": Stage})


@pytest.fixture(scope="module")
def client_of_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A client of a server that serves all tests of a module."""
    server = lt.ThingServer.from_things({"stage": Stage}, settings_folder=str(tmp_path_factory.mktemp("settings")))
    with server.test_client() as client:
        client.server = server
        yield client


@pytest.fixture
def stage(client: Any) -> Stage:
    thing: Stage = client.server.things["stage"]
    return thing


@pytest.fixture
def websocket(client: Any) -> Iterator[Any]:
    with client.websocket_connect("/stage/ws", subprotocols=["webthingprotocol"]) as websocket:
        yield websocket


@pytest.fixture(scope="module")
def live(serve_live_to_all: Callable[..., Any]) -> Any:
    """A server that runs with uvicorn, for all tests of a module."""
    return serve_live_to_all({"stage": Stage})


@pytest.fixture
def connect(live: Any) -> Iterator[Callable[[], RawClient]]:
    """Connect a client to a server that runs with uvicorn."""
    clients: list[RawClient] = []

    def connect() -> RawClient:
        clients.append(RawClient(live.port))
        return clients[-1]

    yield connect
    for each in clients:
        each.close()
