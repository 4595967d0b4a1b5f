"""Messages that go to a client without a task being woken for it."""

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest
from websockets.sync.client import connect as connect_politely

from labthings.websockets.wire import Wire
from tests.test_websockets.asking import ask


@pytest.mark.parametrize("size", [0, 50, 100, 125, 126, 1000, 2**16 - 1, 2**16, 300_000])
def test_texts_of_any_size(live, connect, size):
    client = connect()
    ask(client, "observeproperty", name="label")
    for text in ("a" * size, "ä" * size):
        live.server.things["stage"].label = text
        assert client.receive_json()["value"] == text


def test_replies_and_messages_keep_their_order(live, connect):
    client, stage = connect(), live.server.things["stage"]
    ask(client, "subscribeevent", name="arrived")
    asked = 0
    for number in range(300):
        stage.arrived.emit(number)
        if number % 3 == 0:
            client.send_text('{"messageType": "request", "operation": "readproperty", "name": "x"}')
            asked += 1
    messages = [client.receive_json() for _ in range(300 + asked)]
    assert [each["data"] for each in messages if "data" in each] == list(range(300))
    assert len([each for each in messages if "value" in each]) == asked


def test_a_client_that_wants_frames_to_be_compressed(live):
    with connect_politely(f"ws://127.0.0.1:{live.port}/stage/ws", compression="deflate") as client:
        client.send('{"messageType": "addPropertyObservation", "data": {"label": true, "nope": true}}')
        assert "404" in client.recv(timeout=20)
        assert client.protocol.extensions
        for number in range(5):
            live.server.things["stage"].label = f"{number}" * 1000
            assert json.loads(client.recv(timeout=20))["data"] == {"label": f"{number}" * 1000}


class OtherProtocol:
    """A connection of uvicorn's as its protocol for wsproto has it."""

    def __init__(self) -> None:
        self.conn, self.writable = SimpleNamespace(state="open"), asyncio.Event()
        self.transport = SimpleNamespace(get_write_buffer_size=lambda: 0)

    async def receive(self) -> Any:
        return {}


async def receive() -> Any:
    return {}


@pytest.mark.parametrize("receive", [receive, OtherProtocol().receive])
def test_a_server_that_is_not_known_is_never_ready(receive):
    async def check() -> None:
        wire = Wire(receive)
        assert not wire.is_ready
        await wire.cut()

    asyncio.run(check())
