"""What is promised to every subscriber, in both dialects, whatever clients do."""

import json
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import Annotated, Any, NamedTuple

import pytest
from pydantic import PlainSerializer

import labthings as lt
from labthings.inbox import MOST_MESSAGES
from tests.live_server import served
from tests.test_websockets.asking import ask, send
from tests.test_websockets.raw_client import RawClient
from tests.test_websockets.stage import Stage

VALUE = "x" * 100_000
PUBLISHED = 100


class Dialect(NamedTuple):
    """How a client observes a property, and what it is told of its value."""

    name: str
    observe: Callable[[str], dict[str, Any]]
    value: Callable[[dict[str, Any]], Any]


LABTHINGS = Dialect(
    "LabThings",
    lambda name: {"messageType": "addPropertyObservation", "data": {name: True}},
    lambda message: next(iter(message["data"].values())),
)
PROTOCOL = Dialect(
    "Web Thing Protocol",
    lambda name: {"messageType": "request", "operation": "observeproperty", "name": name, "correlationID": "o"},
    lambda message: message["value"],
)


@pytest.fixture(params=[LABTHINGS, PROTOCOL], ids=lambda dialect: dialect.name)
def dialect(request):
    return request.param


def observe(websocket: Any, dialect: Dialect, name: str) -> None:
    """Observe a property, and wait until that has begun."""
    websocket.send_text(json.dumps(dialect.observe(name)))
    if dialect is PROTOCOL:
        assert websocket.receive_json()["correlationID"] == "o"
    ask(websocket, "readproperty", name=name)


def test_the_last_value_arrives_however_slow_the_reader_and_nobody_else_waits(live, connect, dialect):
    stalled, other = connect(), connect()
    stage = live.server.things["stage"]
    for each in (stalled, other):
        observe(each, dialect, "label")
    for number in range(PUBLISHED):
        stage.label = f"{number} {VALUE}"
        assert dialect.value(other.receive_json()) == stage.label
    numbers = []
    while not numbers or numbers[-1] != PUBLISHED - 1:
        numbers.append(int(dialect.value(stalled.receive_json()).partition(" ")[0]))
    assert numbers == sorted(numbers)
    assert len(numbers) < PUBLISHED  # what it did not read in time has not been kept for it


def test_a_reader_that_is_too_slow_for_events_is_told_so_and_resumes(live, connect):
    stalled, other = connect(), connect()
    stage = live.server.things["stage"]
    observe(stalled, PROTOCOL, "label")
    ask(stalled, "subscribeevent", name="arrived")
    first = ask(other, "subscribeevent", name="arrived")["eventID"]
    for number in range(60):  # until its connection takes no more
        stage.label = f"{number} {VALUE}"
        ask(other, "readproperty", name="computed")
    for number in range(1, MOST_MESSAGES + 101):
        stage.arrived.emit(number)
        assert other.receive_json()["data"] == number
    lost, events = 0, []
    while not events or events[-1]["data"] != MOST_MESSAGES + 100:
        message = stalled.receive_json()
        lost += message.get("messagesLost", 0)
        events += [message] if "data" in message else []
    assert lost == 100
    assert [each["data"] for each in events] == list(range(101, MOST_MESSAGES + 101))
    ask(stalled, "subscribeevent", name="arrived", lastEventID=events[-2]["eventID"])
    assert stalled.receive_json()["data"] == MOST_MESSAGES + 100
    ask(stalled, "subscribeevent", name="arrived", lastEventID=first)
    assert stalled.receive_json()["messagesLost"] == 100  # no more are kept


def test_values_in_a_tight_loop(live, connect, dialect):
    stage = live.server.things["stage"]
    observers, other = [connect() for _ in range(3)], connect()
    for each in observers:
        observe(each, dialect, "label")
    stop = threading.Event()

    def set_again_and_again() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            stage.label = str(number)
        stage.label = "end"

    thread = threading.Thread(target=set_again_and_again)
    thread.start()
    for _ in range(20):
        ask(other, "readproperty", name="x")
        assert "error" not in ask(other, "invokeaction", name="add", input={"a": 1})
        assert [other.receive_json()["status"]["state"] for _ in range(2)] == ["running", "completed"]
    stop.set()
    thread.join(10)
    for each in observers:
        values = [dialect.value(each.receive_json())]
        while values[-1] != "end":
            values.append(dialect.value(each.receive_json()))
        numbers = list(map(int, values[:-1]))
        assert numbers == sorted(set(numbers))


def test_a_client_that_goes_badly_is_forgotten(live, connect, dialect):
    stage = live.server.things["stage"]
    going, staying = connect(), connect()
    observe(going, dialect, "label")
    observe(staying, dialect, "x")
    for number in range(30):
        stage.label = f"{number} {VALUE}"
    going.close()
    while live.server.message_broker.is_observed("stage", "label"):
        stage.label = VALUE
        ask(staying, "readproperty", name="x")
    stage.x = 3
    assert dialect.value(staying.receive_json()) == 3.0


@pytest.mark.parametrize("is_live", [False, True])
def test_a_value_is_encoded_once_for_each_dialect(serve_live, client_of, is_live):
    encoded = []

    def encode(value: int) -> int:
        encoded.append(value)
        return value

    class Thing(lt.Thing):
        x: float = lt.property(default=0.0)
        value: Annotated[int, PlainSerializer(encode)] = lt.property(default=0)

    with ExitStack() as stack:
        if is_live:
            live = serve_live({"thing": Thing})
            server, sockets = live.server, [RawClient(live.port, "/thing/ws") for _ in range(6)]
            for each in sockets:
                stack.callback(each.close)
        else:
            client = client_of(Thing)
            connections = [client.websocket_connect("/thing/ws") for _ in range(6)]
            server, sockets = client.server, [stack.enter_context(each) for each in connections]
        spoken = dict(zip(sockets, [LABTHINGS, PROTOCOL] * 3, strict=True))
        for each, dialect in spoken.items():
            observe(each, dialect, "x")
            observe(each, dialect, "value")
        encoded.clear()
        server.things["thing"].value = 7
        assert [dialect.value(each.receive_json()) for each, dialect in spoken.items()] == [7] * 6
    assert encoded == [7, 7]


def test_a_client_can_tell_that_the_server_has_been_started_again(client_of):
    ids = []
    for _ in range(2):
        client = client_of({"stage": Stage})
        with client.websocket_connect("/stage/ws") as websocket:
            begun = ask(websocket, "subscribeevent", name="arrived", **({"lastEventID": ids[-1]} if ids else {}))
            assert begun["epoch"] not in [id.partition("-")[0] for id in ids]
            if ids:
                assert websocket.receive_json()["messagesLost"] is None
            ids.append(begun["eventID"])
            client.server.things["stage"].arrived.emit(1)
            assert websocket.receive_json()["data"] == 1.0


SERVED = """
import sys
import time
import labthings as lt

class Stage(lt.Thing):
    label: str = lt.property(default="")

    @lt.property
    def slow(self) -> int:
        time.sleep(0.3)
        return 1

lt.ThingServer.from_things({"stage": Stage}, settings_folder=sys.argv[1]).serve("127.0.0.1", 0)
"""


def test_a_stop_waits_for_no_client(tmp_path):
    command = [sys.executable, "-c", SERVED, str(tmp_path)]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process,
        ExitStack() as stack,
    ):
        stack.callback(process.kill)
        assert process.stdout is not None
        found = re.search(
            r"http://127\.0\.0\.1:(\d+)/", "".join(iter(process.stdout.readline, "Press Ctrl+C to stop.\n"))
        )
        assert found, process.communicate(timeout=20)
        stalled, busy, idle = [RawClient(int(found[1])) for _ in range(3)]
        for each in (stalled, busy, idle):
            stack.callback(each.close)
        observe(stalled, PROTOCOL, "label")
        for number in range(60):  # more than its connection takes
            ask(idle, "writeproperty", name="label", value=f"{number} {VALUE}")
        for _ in range(100):  # which would take half a minute
            send(busy, "readproperty", name="slow")
        assert ask(idle, "readproperty", name="label")["value"]
        process.send_signal(signal.SIGINT)
        opcode, size = idle.stream.read(2)
        assert (opcode, int.from_bytes(idle.stream.read(size)[:2], "big")) in ((0x88, 1001), (0x88, 1012))
        _, said = process.communicate(timeout=20)
        assert (said, process.returncode) == ("", 0)


def test_a_stop_waits_for_nobody_who_asks_and_does_not_read_the_answers(tmp_path):
    server = lt.ThingServer.from_things({"stage": Stage}, settings_folder=str(tmp_path))
    with ExitStack() as stack:
        with served(server.app) as port:  # as somebody's own code may, which knows nothing of our clients
            stalled, other = RawClient(port), RawClient(port)
            for each in (stalled, other):
                stack.callback(each.close)
            ask(other, "writeproperty", name="label", value=VALUE)
            for _ in range(500):
                send(stalled, "readproperty", name="label")
            assert ask(other, "readproperty", name="label")["value"] == VALUE
        assert other.stream.read(1) == b"\x88"
