"""Whatever clients send: it gets an answer, costs little, and disturbs nobody else."""

import json
from typing import Annotated, Any

import anyio
import pytest
from pydantic import Field

import labthings as lt
from labthings.server.serving import uvicorn_config
from labthings.websockets.requests import LONGEST_CORRELATION_ID
from labthings.websockets.room import MOST_TEXTS
from labthings.websockets.turns import MOST_TASKS
from tests.test_websockets.asking import ask, error_of, send
from tests.test_websockets.stage import Stage

ERRORS = "https://w3c.github.io/web-thing-protocol/errors"


@pytest.fixture
def client(client_of_all):
    stage = client_of_all.server.things["stage"]
    stage.x, stage.label = 0.0, ""
    return client_of_all


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"operation": None},
        {"operation": ["readproperty"]},
        {"operation": ""},
        {"operation": "readproperty"},
        {"operation": "readproperty", "name": None},
        {"operation": "readproperty", "name": 3},
        {"operation": "readproperty", "name": ["x"]},
        {"operation": "readproperty", "name": "x", "thingID": 3},
        {"operation": "readproperty", "name": "x", "messageID": {}},
        {"operation": "writeproperty", "name": "x"},
        {"operation": "readmultipleproperties"},
        {"operation": "readmultipleproperties", "names": "x"},
        {"operation": "readmultipleproperties", "names": ["x", 1]},
        {"operation": "writemultipleproperties", "values": ["x"]},
        {"operation": "writemultipleproperties", "values": None},
        {"operation": "queryaction"},
        {"operation": "queryaction", "actionID": 3},
        {"operation": "queryaction", "actionID": "a", "name": []},
        {"operation": "cancelaction", "actionID": None},
        {"operation": "subscribeevent", "name": "hit", "lastEventID": 3},
    ],
)
def test_a_request_with_wrong_members(websocket, members):
    websocket.send_json({"messageType": "request", "correlationID": "mine", **members})
    response = websocket.receive_json()
    error = error_of(response, "400")
    assert (error["type"], error["title"]) == (f"{ERRORS}#bad-request", "Bad Request")
    assert len(error["detail"]) > 20
    assert response["correlationID"] == "mine"
    assert ask(websocket, "readproperty", name="x")["value"] == 0.0


@pytest.mark.parametrize("members", [{"names": True}, {"values": 3}, {"value": [None]}, {"actionID": {}}, {"zap": 1}])
def test_members_that_a_request_does_not_need_do_not_matter(websocket, members):
    assert ask(websocket, "readproperty", name="x", **members)["value"] == 0.0


@pytest.mark.parametrize("id", [3, None, ["a"], {}])
def test_a_correlation_id_that_is_no_string(websocket, id):
    websocket.send_json({"messageType": "request", "operation": "readproperty", "name": "x", "correlationID": id})
    response = websocket.receive_json()
    assert ("error" in response) == (id is not None)
    assert "correlationID" not in response


def test_a_correlation_id_that_is_too_long_to_be_kept(websocket, stage):
    longest = "i" * LONGEST_CORRELATION_ID
    error_of(ask(websocket, "observeproperty", name="x", correlationID=f"{longest}i"), "400", "correlationID")
    ask(websocket, "observeproperty", name="x", correlationID=longest)
    stage.x = 1
    assert websocket.receive_json()["correlationID"] == longest


REQUEST = '{"messageType": "request", "operation": "writeproperty", "name": "x", "value": '


@pytest.mark.parametrize(
    "message",
    [
        REQUEST + "[" * 100_000,
        REQUEST + "[" * 300 + "]" * 300 + "}",
        REQUEST + "1" * 5000 + "}",
        REQUEST + '"\\ud800",',
        REQUEST,
        b"\xff\xfe",
        REQUEST.encode() + b'"\xff"}',
        "\ufeff" + REQUEST + "1}",
        '{"messageType": "response"}',
        '{"messageType": "notification", "operation": "observeproperty"}',
        '{"messageType": "REQUEST"}',
    ],
)
def test_a_message_that_is_none(websocket, stage, message):
    websocket.send({"type": "websocket.receive", "text" if isinstance(message, str) else "bytes": message})
    error_of(websocket.receive_json(), "400")
    assert ask(websocket, "readproperty", name="x")["value"] == 0.0


@pytest.mark.parametrize("value", ["\ud800", ["\udfff"], {"\ud83d": 1}, 1e999, float("nan"), "x" * 100_000])
def test_values_that_only_look_like_json(client_of, value):
    class Thing(lt.Thing):
        value: float = lt.property(default=0.0, allow_inf_nan=False)

        @lt.action
        def take(self, value: Annotated[float, Field(le=1)]) -> None:
            pass

    client = client_of(Thing)
    with client.websocket_connect("/thing/ws") as websocket:
        error_of(ask(websocket, "writeproperty", name="value", value=value), "422", "thing.value")
        error_of(ask(websocket, "writemultipleproperties", values={"value": value}), "422", "thing.properties")
        error_of(ask(websocket, "invokeaction", name="take", input={"value": value}), "422", "thing.take")
        assert ask(websocket, "readproperty", name="value")["value"] == 0.0


@pytest.mark.parametrize("depth", [150, 900])
def test_values_that_are_nested_deeply(client_of, depth):
    class Thing(lt.Thing):
        value: Any = lt.property(default=0)

    client = client_of(Thing)
    with client.websocket_connect("/thing/ws") as websocket:
        nested = "[" * depth + '"\\ud800"' + "]" * depth
        text = f'{{"messageType": "request", "operation": "writeproperty", "name": "value", "value": {nested}}}'
        websocket.send_text(text)
        assert websocket.receive_json()["error"]["status"] in ("400", "422")
        assert ask(websocket, "readproperty", name="value")["value"] == 0


def test_a_message_that_is_too_large(client_of):
    client = client_of({"stage": Stage}, maximum_body_size=1000)
    with client.websocket_connect("/stage/ws") as websocket:
        for size, character in ((1001, "a"), (600, "ä"), (100_000, "a")):
            websocket.send_text(json.dumps({"messageType": "request", "value": character * size}, ensure_ascii=False))
            error_of(websocket.receive_json(), "413", "1000 bytes", "maximum_body_size")
        websocket.send_bytes(b"1" * 1001)
        error_of(websocket.receive_json(), "413")
        assert "error" not in ask(websocket, "writeproperty", name="label", value="a" * 800)


def test_what_uvicorn_is_told(client):
    config = uvicorn_config(client.app, "127.0.0.1", 0, ws_max_size=2000)
    assert not config.ws_per_message_deflate
    assert (config.ws_max_size, config.ws_ping_timeout) == (2000, 120)


def test_thousands_of_names(client, websocket, stage):
    assert ask(websocket, "readmultipleproperties", names=["x"] * 10_000)["values"] == {"x": 0.0}
    error_of(ask(websocket, "readmultipleproperties", names=[f"x{number}" for number in range(10_000)]), "404", "'x0'")
    names = {f"x{number}": True for number in range(1_000)}
    websocket.send_json({"messageType": "addPropertyObservation", "data": names | {"x": True}})
    assert [websocket.receive_json()["name"] for _ in names] == list(names)
    stage.x = 1
    assert websocket.receive_json() == {"messageType": "propertyStatus", "data": {"x": 1.0}}


def test_thousands_of_subscriptions(client, websocket, stage):
    for number in range(150):
        send(websocket, "observeallproperties" if number % 2 else "observeproperty", name="x")
        send(websocket, "unobserveallproperties" if number % 3 else "subscribeallevents")
    last = send(websocket, "observeproperty", name="x")
    while websocket.receive_json().get("correlationID") != last:
        continue
    stage.x = 1
    assert websocket.receive_json()["value"] == 1.0
    assert ask(websocket, "readproperty", name="x")["value"] == 1.0


def test_a_flood_of_requests_is_answered_and_disturbs_nobody(client, websocket):
    ids = [send(websocket, "readproperty", name="x") for _ in range(250)]
    ids += [send(websocket, "nonsense") for _ in range(250)]
    with client.websocket_connect("/stage/ws") as other:
        ask(other, "observeproperty", name="label")
        client.server.things["stage"].label = "a"
        assert other.receive_json()["value"] == "a"
    assert sorted(websocket.receive_json()["correlationID"] for _ in ids) == sorted(ids)


class Greedy:
    """A client that makes one request after the other, and takes no replies until it is told to."""

    def __init__(self, text: str, most: int) -> None:
        self.text, self.most = text, most
        self.asked = 0
        self.taken: list[str] = []
        self.takes: Any = None

    async def receive(self) -> Any:
        if self.asked == self.most:
            await self.gone.wait()
            return {"type": "websocket.disconnect"}
        self.asked += 1
        return {"type": "websocket.receive" if self.asked > 1 else "websocket.connect", "text": self.text}

    async def send(self, message: Any) -> None:
        if message["type"] == "websocket.send":
            await self.takes.wait()
            self.taken.append(message["text"])
            if len(self.taken) == self.most - 1:
                self.gone.set()

    async def run(self, app: Any) -> None:
        self.takes, self.gone = anyio.Event(), anyio.Event()
        scope = {"type": "websocket", "path": "/stage/ws", "scheme": "ws", "headers": [], "root_path": ""}
        await app(scope, self.receive, self.send)


@pytest.mark.parametrize(
    "message",
    [
        {"messageType": "request", "operation": "readproperty", "name": "x"},
        {"messageType": "request", "operation": "readproperty", "name": "computed"},
        {"messageType": "request"},
        {"messageType": "addPropertyObservation", "data": {"nope": True}},
        3,
    ],
)
def test_a_client_that_reads_no_replies_is_read_no_further(client, websocket, message):
    greedy = Greedy(json.dumps(message), 400)
    running = client.portal.start_task_soon(greedy.run, client.app)
    settled = 0
    before = -1
    while settled < 20:
        ask(websocket, "readproperty", name="computed")  # which others can, meanwhile
        settled = settled + 1 if greedy.asked == before else 0
        before = greedy.asked
    assert MOST_TEXTS <= greedy.asked <= MOST_TEXTS + MOST_TASKS + 3
    client.portal.call(greedy.takes.set)
    running.result(20)
    assert len(greedy.taken) == 399


def test_few_replies_wait_if_they_are_large(client, websocket, stage):
    stage.label = "x" * 2**21
    greedy = Greedy(json.dumps({"messageType": "request", "operation": "readproperty", "name": "label"}), 20)
    running = client.portal.start_task_soon(greedy.run, client.app)
    for _ in range(60):
        ask(websocket, "readproperty", name="computed")
    inboxes = list(client.server.message_broker._inboxes)
    assert max(each.unsent for each in inboxes) <= 3
    client.portal.call(greedy.takes.set)
    running.result(20)
    assert len(greedy.taken) == 19


# --- on a real connection -----------------------------------------------------------------------------------


def test_text_that_is_no_utf8_ends_that_connection_alone(connect):
    bad, good = connect(), connect()
    bad.send_frame(b'{"messageType": "\xff"}')
    opcode, _ = bad.stream.read(2)
    assert opcode == 0x88
    assert bad.stream.read(2) == (1007).to_bytes(2, "big")
    assert ask(good, "readproperty", name="x")["value"] == 0.0


def test_a_flood_on_a_real_connection(connect):
    flood, other = connect(), connect()
    flood.socket.sendall(b"\x81\x80\0\0\0\0" * 2000)
    assert ask(other, "readproperty", name="x")["value"] == 0.0
    assert {flood.receive_json()["error"]["status"] for _ in range(2000)} == {"400"}
