"""Clients have the state, and are told how it changes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError
from starlette.testclient import TestClient

from labthings.exceptions import StateError
from labthings.state import Replica, origin, patch_log
from labthings.sync import LabSync, audience, messages, shared_document
from tests.test_sync.conftest import State

Share = Callable[..., Any]


def follow(replica: Replica, websocket: Any) -> Any:
    """Have a replica told one message."""
    message = websocket.receive_json()
    (replica.load if message["type"] == "snapshot" else replica.apply)(message)
    return replica.data


def test_threads_may_change_it(share: Share) -> None:
    shared = share()
    shared.state.bias = 1
    shared.start()
    websocket = shared.connect()
    replica = Replica(websocket.snapshot)
    assert replica.data == {"bias": 1, "text": "", "items": []}
    shared.state.items.append(5)
    assert follow(replica, websocket)["items"] == [5]
    thread = threading.Thread(target=shared.state.items.append, args=[6])
    thread.start()
    thread.join()
    assert follow(replica, websocket)["items"] == [5, 6]


def test_changes_within_a_turn_of_the_loop_make_one_patch(share: Share) -> None:
    shared = share()

    @shared.sync.command  # type: ignore[untyped-decorator]
    async def change() -> None:
        shared.state.bias = 1
        shared.state.items.append(1)
        async with shared.sync.batch():
            shared.state.text = "a"
            await asyncio.sleep(0)
            shared.state.bias = 2

    shared.start()
    websocket = shared.connect()
    websocket.send_json({"type": "command", "command": "change"})
    patch = websocket.receive_json()
    assert [each["path"] for each in patch["patch"]] == ["/bias", "/items/0", "/text", "/bias"]


@pytest.fixture
def for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once it has told of something, it rests for ever."""
    monkeypatch.setattr(shared_document, "REST", 1000)


@pytest.mark.usefixtures("for_ever")
def test_what_a_thread_changes_is_told_at_once_and_then_gathered(share: Share) -> None:
    shared = share()
    shared.sync.command(name="nothing")(lambda: None)
    shared.start()
    websocket, replica = shared.connect(), Replica()
    shared.state.bias = 1
    assert websocket.receive_json()["patch"] == [{"op": "replace", "path": "/bias", "value": 1}]
    shared.state.bias = 2
    shared.state.text = "a"
    websocket.send_json({"type": "ping"})
    assert websocket.receive_json() == {"type": "pong"}
    websocket.send_json({"type": "command", "command": "nothing"})
    assert [each["path"] for each in websocket.receive_json()["patch"]] == ["/bias", "/text"]
    assert websocket.receive_json()["type"] == "command_ack"
    shared.state.bias = 3
    websocket.send_json({"type": "resync"})
    assert follow(replica, websocket)["bias"] == 3
    shared.state.bias = 4
    assert shared.client.get("/sync/state").json()["data"]["bias"] == 4
    assert follow(replica, websocket)["bias"] == 4
    with shared.sync.batch():
        shared.state.bias = 5
    assert follow(replica, websocket)["bias"] == 5


@pytest.mark.usefixtures("for_ever")
def test_what_is_changed_in_the_event_loop_is_told_turn_by_turn(share: Share) -> None:
    shared = share()

    @shared.sync.command  # type: ignore[untyped-decorator]
    async def ramp() -> None:
        for number in range(1, 4):
            shared.state.bias = number
            await asyncio.sleep(0)
        shared.sync.load_state({"bias": 4})

    shared.start()
    websocket = shared.connect()
    shared.state.text = "at once"
    assert websocket.receive_json()["patch"][0]["value"] == "at once"
    shared.state.text = "later"
    websocket.send_json({"type": "command", "command": "ramp"})
    values = [websocket.receive_json()["patch"][0]["value"] for _ in range(5)]
    assert values == ["later", 1, 2, 3, {"bias": 4, "text": "", "items": []}]
    assert websocket.receive_json()["type"] == "command_ack"


@pytest.mark.usefixtures("for_ever")
def test_what_rests_when_the_event_loop_ends_is_told_in_the_next(share: Share) -> None:
    sync = LabSync()
    state = sync.bind_state(State())
    for number in (1, 3):
        with TestClient(sync.create_app()) as client, client.websocket_connect("/sync/ws") as websocket:
            assert websocket.receive_json()["data"]["bias"] == number - 1
            state.bias = number
            assert websocket.receive_json()["patch"][0]["value"] == number
            state.bias = number + 1


def test_everything_can_be_replaced(share: Share) -> None:
    shared = share()
    shared.start()
    websocket = shared.connect()
    with pytest.raises(ValidationError):
        shared.sync.load_state({"bias": "x"})
    shared.sync.load_state({"bias": 3, "items": [1]})
    assert [each["path"] for each in websocket.receive_json()["patch"]] == [""]
    assert shared.state.items == [1]
    assert shared.sync.publish() is None


def test_an_origin_of_ones_own_is_told_of(share: Share) -> None:
    shared = share()
    shared.start()
    websocket = shared.connect()
    with origin({"invocation": "x", "type": "y"}):
        shared.state.bias = 1
    patch = websocket.receive_json()
    assert (patch["type"], patch["origin"]) == ("patch", {"invocation": "x", "type": "y"})


def test_there_is_one_state() -> None:
    sync = LabSync()
    with pytest.raises(StateError, match="use `bind_state` first"):
        sync.batch()
    state = sync.bind_state(State())
    assert sync.document.model is state
    with pytest.raises(StateError, match="has one state"):
        sync.bind_state(State())


def test_clients_may_come_before_the_state() -> None:
    sync = LabSync()
    sync.command(name="ping")(lambda: "pong")
    with TestClient(sync.create_app()) as client, client.websocket_connect("/sync/ws") as websocket:
        assert client.get("/sync/state").status_code == 404
        websocket.send_json({"type": "command", "command": "ping"})
        assert websocket.receive_json()["result"] == "pong"
        sync.bind_state(State())
        assert websocket.receive_json()["type"] == "snapshot"
        assert client.get("/sync/state").json()["data"] == {"bias": 0, "text": "", "items": []}


def test_a_patch_is_encoded_once(share: Share, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[str] = []
    monkeypatch.setattr(audience, "patch_text", lambda patch: encoded.append(messages.patch_text(patch)) or encoded[-1])
    shared = share()
    shared.start()
    websockets = [shared.connect() for _ in range(5)]
    shared.state.bias = 1
    assert {each.receive_text() for each in websockets} == set(encoded)
    assert len(encoded) == 1


def test_a_client_that_has_missed_too_much_gets_a_snapshot(share: Share, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patch_log, "MOST_PATCHES", 3)
    shared = share()

    @shared.sync.command  # type: ignore[untyped-decorator]
    async def change(times: int) -> None:  # in one turn of the loop, so that nobody is told meanwhile
        for number in range(times):
            shared.state.items.append(number)
            shared.sync.document.flush()

    shared.start()
    websocket, replica = shared.connect(), Replica()
    websocket.send_json({"type": "command", "command": "change", "params": {"times": 3}, "requestId": 1})
    kinds = [websocket.receive_json()["type"] for _ in range(4)]
    assert kinds == ["patch"] * 3 + ["command_ack"]
    websocket.send_json({"type": "command", "command": "change", "params": {"times": 500}})
    while replica.version < 503:
        message = websocket.receive_json()
        kinds.append(message["type"])
        if message["type"] == "snapshot":
            replica.load(message)
        elif not replica.needs_snapshot:
            replica.apply(message)
    assert "snapshot" in kinds
    assert replica.data["items"] == shared.state.items
    assert websocket.receive_json()["type"] == "command_ack"
