"""It is served by any application, and nothing holds up that one's end."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import tracemalloc
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest
from fastapi import FastAPI, WebSocket
from starlette.applications import Starlette
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect
from websockets.sync.client import connect

from labthings.exceptions import ConfigurationError
from labthings.state import Replica
from labthings.sync import LabSync
from tests.live_server import served
from tests.test_sync.conftest import State
from tests.test_websockets.raw_client import RawClient

Share = Callable[..., Any]


def test_it_is_part_of_a_starlette_app() -> None:
    sync = LabSync(path="/lab/")
    sync.bind_state(State(bias=2))
    with TestClient(Starlette(routes=[*sync.routes], lifespan=sync.lifespan)) as client:
        assert client.get("/lab/state").json()["data"]["bias"] == 2
        with client.websocket_connect("/lab/ws") as websocket:
            assert websocket.receive_json()["data"]["bias"] == 2


def test_it_is_part_of_a_fastapi_app() -> None:
    sync = LabSync()
    sync.bind_state(State(bias=3))
    app = FastAPI(lifespan=sync.lifespan)

    @app.websocket("/live")
    async def live(websocket: WebSocket) -> None:
        await sync.handle_ws(websocket)

    with TestClient(app) as client, client.websocket_connect("/live") as websocket:
        assert websocket.receive_json()["data"]["bias"] == 3


def test_without_a_lifespan_all_but_updaters_works(caplog: pytest.LogCaptureFixture) -> None:
    sync = LabSync()
    state = sync.bind_state(State())
    sync.updater(interval=1)(lambda: None)
    sync.command(name="ping")(lambda: "pong")
    client = TestClient(Starlette(routes=sync.routes))
    for number in range(1, 4):  # each in a loop of its own
        state.bias = number
        with client.websocket_connect("/sync/ws") as websocket:
            assert websocket.receive_json()["data"]["bias"] == number
            websocket.send_json({"type": "command", "command": "ping"})
            assert websocket.receive_json()["result"] == "pong"
            state.items.append(number)
            assert websocket.receive_json()["patch"][0]["value"] == number
    assert "was not given this LabSync's `lifespan`" in caplog.text


def test_pages_of_other_sites_are_refused(share: Share, caplog: pytest.LogCaptureFixture) -> None:
    shared = share(allowed_origins=["http://panel.local"])
    client = shared.start()
    with (
        pytest.raises(WebSocketDisconnect),
        client.websocket_connect("/sync/ws", headers={"origin": "http://evil.example"}),
    ):
        pass
    assert "A web page of 'http://evil.example' was refused '/sync/ws'" in caplog.text
    assert "add the site to the `allowed_origins` of this LabSync" in caplog.text
    for allowed in ("http://panel.local", "http://testserver"):
        with client.websocket_connect("/sync/ws", headers={"origin": allowed}) as websocket:
            assert websocket.receive_json()["type"] == "snapshot"
    refusal = client.get("/sync/state", headers={"origin": "http://evil.example"})
    assert (refusal.status_code, refusal.json()["title"]) == (403, "ForbiddenOriginError")
    for path in ("/sync/state", "/sync/labthings.js"):
        assert client.get(path, headers={"origin": "http://evil.example"}).status_code == 403
        answer = client.get(path, headers={"origin": "http://panel.local"})
        assert answer.headers["access-control-allow-origin"] == "http://panel.local"
        assert "access-control-allow-origin" not in client.get(path).headers


def test_updaters_run_while_the_server_does(caplog: pytest.LogCaptureFixture) -> None:
    sync, calls = LabSync(), {"thread": list[str](), "loop": list[str]()}
    state = sync.bind_state(State())
    enough = threading.Semaphore(0)

    @sync.updater(interval=0.001)
    def in_thread() -> None:
        calls["thread"].append(threading.current_thread().name)
        enough.release()
        raise ValueError("again")

    @sync.updater(interval=0.001)
    async def in_loop() -> None:
        calls["loop"].append(threading.current_thread().name)
        state.items.append(len(calls["loop"]))
        enough.release()

    with TestClient(sync.create_app()):
        for _ in range(10):
            assert enough.acquire(timeout=5)
    assert all(each.startswith("labthings sync") for each in calls["thread"])
    assert not any(each.startswith("labthings sync") for each in calls["loop"])
    assert len([each for each in caplog.records if "An updater failed" in each.message]) == 1
    count = len(state.items)
    assert count == len(calls["loop"]) > 1
    with pytest.raises(ConfigurationError, match="must be more than 0 seconds"):
        sync.updater(interval=0)


def test_the_end_cancels_what_still_runs(share: Share) -> None:
    sync, state = LabSync(), list[str]()
    begun = threading.Event()

    @sync.command
    async def forever() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            state.append("cancelled")

    with TestClient(sync.create_app()) as client:
        with client.websocket_connect("/sync/ws") as websocket:
            websocket.send_json({"type": "command", "command": "forever"})
            assert begun.wait(5)
        assert state == []  # a command goes on though its client has gone
    assert state == ["cancelled"]


def test_a_client_that_reads_nothing_holds_up_nobody(serve_sync: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    sync = LabSync()
    state = sync.bind_state(State())
    with ExitStack() as stack, serve_sync(sync) as url:
        stack.enter_context(connect(url, max_queue=1, compression=None, close_timeout=0.1)).recv()
        with connect(url, compression=None, max_size=None) as other:
            replica = Replica(str(other.recv()))
            for number in range(1, 20):
                state.text = str(number % 10) * 1_000_000
                state.bias = number
                while replica.data["bias"] != number:
                    replica.apply(str(other.recv(timeout=5)))
        assert len(sync._audience.log._entries) < 10
    assert caplog.text == ""


def test_a_client_that_reads_no_streams_costs_little(serve_sync: Any) -> None:
    sync = LabSync()
    pictures = sync.stream("pictures", mode="replace", capacity=1, dtype="json")
    with ExitStack() as stack, serve_sync(sync) as url:
        stack.enter_context(connect(url, max_queue=1, compression=None, close_timeout=0.1)).recv()
        other = stack.enter_context(connect(url, compression=None, max_size=None))
        stack.callback(tracemalloc.stop)
        tracemalloc.start()
        for number in range(1, 40):
            pictures.replace([str(number) * 1_000_000])
            while json.loads(other.recv(timeout=5))["sequence"] < number:
                pass
        assert tracemalloc.get_traced_memory()[1] < 20_000_000


def test_a_client_that_asks_and_does_not_read_the_answers_holds_up_no_end() -> None:
    sync = LabSync()
    sync.command(name="give")(lambda: "x" * 100_000)
    with ExitStack() as stack, served(sync.create_app()) as port:
        stalled, other = RawClient(port, "/sync/ws"), RawClient(port, "/sync/ws")
        for each in (stalled, other):
            stack.callback(each.close)
        for _ in range(500):
            stalled.send_text('{"type": "command", "command": "give"}')
        other.send_text('{"type": "command", "command": "give"}')
        assert other.receive_json()["type"] == "command_ack"


def test_its_path_begins_with_a_slash() -> None:
    with pytest.raises(ConfigurationError, match="must begin with a slash, as '/sync' does, not 'live'"):
        LabSync(path="live")


def test_one_loop_at_a_time() -> None:
    sync = LabSync()
    app = sync.create_app()
    with TestClient(app), pytest.raises(RuntimeError, match="one event loop at a time"), TestClient(app):
        pass
