import json
import threading
from typing import Annotated, Any

import anyio
import httpx
import pytest
from pydantic import PlainSerializer
from starlette.websockets import WebSocketDisconnect
from websockets.sync.client import connect

import labthings as lt
from labthings.message_broker import Message
from labthings.websockets import process_messages_from_websocket, relay_notifications_to_websocket
from tests.test_websockets.raw_client import RawClient

ERRORS = "https://w3c.github.io/web-thing-protocol/errors"


class Stage(lt.Thing):
    x: float = lt.property(default=0.0)
    label: str = lt.property(default="")
    measured: float = lt.property(default=0.0, readonly=True)
    speed: float = lt.setting(default=1.0)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.begun, self.go_on = threading.Event(), threading.Event()

    @lt.property
    def computed(self) -> int:
        return 1

    @lt.action
    def home(self) -> None:
        pass

    @lt.action
    async def home_async(self) -> None:
        pass

    @lt.action
    def fail(self) -> None:
        raise OSError("stuck")

    @lt.action
    def work(self) -> None:
        lt.report_progress(0.5, "halfway")
        self.begun.set()
        while not self.go_on.is_set():
            lt.cancellable_sleep(0.005)


def send(websocket: Any, operation: str, *names: str) -> None:
    websocket.send_json({"messageType": operation, "data": dict.fromkeys(names, True)})


def settle(websocket: Any) -> None:
    """Wait until the server has acted on everything that was sent."""
    send(websocket, "addPropertyObservation", "no-such-property")
    assert websocket.receive_json()["error"]["status"] == "404"


def observe(websocket: Any, *properties: str, actions: tuple[str, ...] = ()) -> None:
    send(websocket, "addPropertyObservation", *properties)
    send(websocket, "addActionObservation", *actions)
    settle(websocket)


@pytest.fixture
def client(client_of):
    return client_of({"stage": Stage})


@pytest.fixture
def stage(client):
    return client.server.things["stage"]


@pytest.fixture
def websocket(client):
    with client.websocket_connect("/stage/ws") as websocket:
        yield websocket


# --- properties ---------------------------------------------------------------------------------------------


def test_an_observer_is_told_what_clients_write(client, websocket):
    observe(websocket, "x")
    client.put("/stage/x", json=3)
    assert websocket.receive_json() == {"messageType": "propertyStatus", "data": {"x": 3.0}}


@pytest.mark.parametrize("name", ["x", "measured", "speed"])
def test_an_observer_is_told_what_the_thing_sets(websocket, stage, name):
    observe(websocket, name)
    setattr(stage, name, 5.5)
    assert websocket.receive_json()["data"] == {name: 5.5}


def test_an_observer_is_told_of_a_reset_and_of_several_written_at_once(client, websocket):
    observe(websocket, "x", "label")
    client.put("/stage/properties", json={"x": 4, "label": "a"})
    assert [websocket.receive_json()["data"] for _ in range(2)] == [{"x": 4.0}, {"label": "a"}]
    client.post("/stage/x/reset")
    assert websocket.receive_json()["data"] == {"x": 0.0}


def test_an_observer_is_told_when_a_value_is_put_back(client_of):
    class Thing(lt.Thing):
        first: int = lt.property(default=1)

        @lt.property
        def second(self) -> int:
            return 0

        @second.setter
        def _set_second(self, value: int) -> None:
            raise OSError("stuck")

    client = client_of(Thing)
    with client.websocket_connect("/thing/ws") as websocket:
        observe(websocket, "first")
        client.put("/thing/properties", json={"first": 2, "second": 2})
        values = [websocket.receive_json()["data"]["first"]]
        if values == [2]:
            values.append(websocket.receive_json()["data"]["first"])
        assert values[-1] == 1


def test_what_is_not_observed_is_not_told(client, websocket):
    observe(websocket, "x")
    client.put("/stage/label", json="a")
    client.put("/stage/x", json=1)
    assert websocket.receive_json()["data"] == {"x": 1.0}


def test_observing_ends(client, websocket):
    observe(websocket, "x", "label")
    send(websocket, "removePropertyObservation", "x")
    settle(websocket)
    client.put("/stage/x", json=1)
    client.put("/stage/label", json="a")
    assert websocket.receive_json()["data"] == {"label": "a"}
    assert not client.server.message_broker.is_observed("stage", "x")


def test_observing_twice_tells_once_and_ending_twice_is_harmless(client, websocket):
    observe(websocket, "x")
    observe(websocket, "x")
    client.put("/stage/x", json=1)
    assert websocket.receive_json()["data"] == {"x": 1.0}
    for _ in range(2):
        send(websocket, "removePropertyObservation", "x")
    settle(websocket)
    client.put("/stage/x", json=2)
    settle(websocket)


def test_observers_do_not_disturb_each_other(client):
    with client.websocket_connect("/stage/ws") as one:
        with client.websocket_connect("/stage/ws") as other:
            observe(one, "x")
            observe(other, "x")
            send(other, "removePropertyObservation", "x")
            settle(other)
            client.put("/stage/x", json=1)
            assert one.receive_json()["data"] == {"x": 1.0}
            observe(other, "x")
        client.put("/stage/x", json=2)
        assert one.receive_json()["data"] == {"x": 2.0}
    settle_gone(client)


def settle_gone(client: Any) -> None:
    for _ in range(1000):
        if not client.server.message_broker.is_observed("stage", "x"):
            return
        client.get("/health")
    raise AssertionError("A client has gone, and is still subscribed.")


def test_values_have_the_json_form_of_their_property(client_of):
    class Thing(lt.Thing):
        value: Annotated[int, PlainSerializer(lambda value: f"<{value}>")] = lt.property(default=0)
        größe: float = lt.property(default=0)

    client = client_of(Thing)
    with client.websocket_connect("/thing/ws") as websocket:
        observe(websocket, "value", "größe")
        client.server.things["thing"].value = 3
        assert websocket.receive_json()["data"] == {"value": "<3>"}
        client.server.things["thing"].größe = float("nan")
        assert websocket.receive_json()["data"] == {"größe": None}


def test_a_value_without_a_json_form_is_a_problem_and_no_more(client_of):
    class Thing(lt.Thing):
        value: Any = lt.property(default=0)

    client = client_of(Thing)
    with client.websocket_connect("/thing/ws") as websocket:
        observe(websocket, "value")
        for bad in (object(), "\udcff"):
            client.server.things["thing"].value = bad
            problem = websocket.receive_json()
            assert (problem["name"], problem["error"]["status"]) == ("value", "500")
            assert "thing.value" in problem["error"]["detail"]
        client.server.things["thing"].value = 1
        assert websocket.receive_json()["data"] == {"value": 1}


# --- actions ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("action", "end"), [("home", "completed"), ("home_async", "completed"), ("fail", "error")])
def test_an_action_passes_through_its_states_in_order(client, websocket, action, end):
    observe(websocket, actions=(action,))
    for _ in range(20):
        id = client.post(f"/stage/{action}").json()["id"]
        told = [websocket.receive_json() for _ in range(3)]
        assert [each["messageType"] for each in told] == ["actionStatus"] * 3
        assert [each["data"]["status"] for each in told] == ["pending", "running", end]
        assert {each["data"]["action name"] for each in told} == {action}
        assert {each["data"]["id"] for each in told} == {id}


def test_an_observer_is_told_why_an_action_ended(client, websocket):
    observe(websocket, actions=("fail",))
    client.post("/stage/fail")
    told = [websocket.receive_json()["data"] for _ in range(3)]
    assert (told[-1]["error"]["title"], told[-1]["error"]["detail"]) == ("OSError", "stuck")
    assert "error" not in told[1]


def test_progress_and_cancelling(client, websocket, stage):
    observe(websocket, actions=("work",))
    href = client.post("/stage/work").json()["href"]
    assert [websocket.receive_json()["data"]["status"] for _ in range(2)] == ["pending", "running"]
    assert websocket.receive_json()["data"]["progress"] == {"fraction": 0.5, "message": "halfway"}
    assert stage.begun.wait(10)
    client.delete(href)
    assert websocket.receive_json()["data"]["status"] == "cancelled"


def test_an_action_that_is_cancelled_while_it_waits_never_runs(client, websocket):
    hrefs = [client.post("/stage/work").json()["href"] for _ in range(16)]
    observe(websocket, actions=("work",))
    waiting = client.post("/stage/work").json()
    client.delete(waiting["href"])
    assert states_of(websocket, waiting["id"]) == ["pending", "cancelled"]
    for href in hrefs:
        client.delete(href)


def states_of(websocket: Any, id: str) -> list[str]:
    """The states that one invocation passes through, up to its end."""
    states: list[str] = []
    while not states or states[-1] in ("pending", "running"):
        told = websocket.receive_json()["data"]
        if told["id"] == id:
            states.append(told["status"])
    return states


def test_observing_an_action_ends(client, websocket):
    observe(websocket, "x", actions=("home",))
    send(websocket, "removeActionObservation", "home")
    settle(websocket)
    client.post("/stage/home?wait=9")
    client.put("/stage/x", json=1)
    assert websocket.receive_json()["data"] == {"x": 1.0}


# --- what clients send --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "operation", "name"),
    [
        ("addPropertyObservation", "observeproperty", "nope"),
        ("addPropertyObservation", "observeproperty", "home"),
        ("removePropertyObservation", "unobserveproperty", "nope"),
        ("addActionObservation", "observeaction", "nope"),
        ("addActionObservation", "observeaction", "x"),
        ("removeActionObservation", "unobserveaction", "größe \ud800"),
    ],
)
def test_names_that_are_not_there(websocket, message, operation, name):
    websocket.send_text(json.dumps({"messageType": message, "data": {name: True}}))
    reply = websocket.receive_json()
    assert reply == {
        "messageType": "response",
        "operation": operation,
        "name": name,
        "error": {
            "status": "404",
            "type": f"{ERRORS}#not-found",
            "title": "Not Found",
            "detail": reply["error"]["detail"],
        },
    }
    assert "'stage'" in reply["error"]["detail"]
    assert f"'{name}'" in reply["error"]["detail"]


def test_a_property_that_cannot_be_observed(websocket):
    send(websocket, "addPropertyObservation", "computed")
    reply = websocket.receive_json()
    assert (reply["operation"], reply["name"]) == ("observeproperty", "computed")
    error = reply["error"]
    assert (error["status"], error["type"], error["title"]) == ("403", f"{ERRORS}#not-observable", "Not Observable")
    assert "stage.computed" in error["detail"]


def test_one_name_that_is_wrong_does_not_spoil_the_others(client, websocket):
    send(websocket, "addPropertyObservation", "nope", "x", "computed")
    assert [websocket.receive_json()["name"] for _ in range(2)] == ["nope", "computed"]
    client.put("/stage/x", json=1)
    assert websocket.receive_json()["data"] == {"x": 1.0}


@pytest.mark.parametrize(
    "message",
    [
        "",
        "nope",
        "{",
        "null",
        "3",
        '"addPropertyObservation"',
        "[]",
        "[" * 100_000,
        "1" * 10_000,
        "{}",
        '{"messageType": null}',
        '{"messageType": ["addPropertyObservation"], "data": {}}',
        '{"messageType": "readproperty", "data": {"x": true}}',
        '{"messageType": "addPropertyObservation"}',
        '{"messageType": "addPropertyObservation", "data": null}',
        '{"messageType": "addPropertyObservation", "data": ["x"]}',
        '{"messageType": "addPropertyObservation", "data": "x"}',
        '{"messageType": "addPropertyObservation", "data": {"x": false}}',
        '{"messageType": "addPropertyObservation", "data": {"x": 1}}',
        '{"messageType": "addPropertyObservation", "data": {"x": {}}}',
        b"\xff\xfe\xfd",
        b"",
    ],
)
def test_a_malformed_message_is_a_problem_and_no_more(client, websocket, message):
    websocket.send({"type": "websocket.receive", "text" if isinstance(message, str) else "bytes": message})
    reply = websocket.receive_json()
    assert reply["messageType"] == "response"
    assert reply["operation"]
    error = reply["error"]
    assert (error["status"], error["type"], error["title"]) == ("400", f"{ERRORS}#bad-request", "Bad Request")
    assert error["detail"]
    observe(websocket, "x")
    client.put("/stage/x", json=1)
    assert websocket.receive_json()["data"] == {"x": 1.0}


def test_a_message_may_be_binary(client, websocket):
    websocket.send_bytes(json.dumps({"messageType": "addPropertyObservation", "data": {"x": True}}).encode())
    settle(websocket)
    client.put("/stage/x", json=1)
    assert websocket.receive_json()["data"] == {"x": 1.0}


# --- the functions themselves -------------------------------------------------------------------------------


def test_what_comes_out_of_any_stream_is_relayed(client):
    sent: list[str] = []

    class Recorder:
        async def send_text(self, text: str) -> None:
            sent.append(text)

    async def relay() -> None:
        give, take = anyio.create_memory_object_stream[Message](3)
        async with give, take:
            give.send_nowait(Message("stage", "x", "property", 1))
            give.send_nowait(Message("stage", "home", "action", {"action name": "home", "status": "running"}))
            give.close()
            await relay_notifications_to_websocket(Recorder(), take)

    client.portal.call(relay)
    assert [json.loads(text) for text in sent] == [
        {"messageType": "propertyStatus", "data": {"x": 1}},
        {"messageType": "actionStatus", "data": {"action name": "home", "status": "running"}},
    ]


# --- connections --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offered", "accepted"),
    [([], None), (["labthings"], "labthings"), (["other", "labthings"], "labthings"), (["other"], None)],
)
def test_the_subprotocol_is_echoed_if_it_is_offered(client, offered, accepted):
    with client.websocket_connect("/stage/ws", subprotocols=offered) as websocket:
        assert websocket.accepted_subprotocol == accepted


def test_a_thing_that_does_not_run_refuses_with_the_reason(client_of):
    class Broken(lt.Thing):
        def __enter__(self):
            raise OSError("no stage")

    with pytest.raises(WebSocketDisconnect) as raised, client_of(Broken).websocket_connect("/thing/ws"):
        pass
    assert (raised.value.status_code, raised.value.json()["status"]) == (503, 503)
    assert "no stage" in raised.value.json()["detail"]


@pytest.mark.parametrize("path", ["/nobody/ws", "/stage/x", "/ws/x"])
def test_there_is_no_websocket_elsewhere(client, path):
    with pytest.raises(WebSocketDisconnect), client.websocket_connect(path):
        pass


def test_a_client_that_goes_while_it_is_answered_is_no_error(client):
    received = iter([{"type": "websocket.connect"}, {"type": "websocket.receive", "text": "nonsense"}])
    sent = []

    async def receive() -> Any:
        return next(received)

    async def send(message: Any) -> None:
        sent.append(message["type"])
        if message["type"] != "websocket.accept":
            raise OSError("connection reset by peer")

    scope = {"type": "websocket", "path": "/stage/ws", "scheme": "ws", "headers": [], "root_path": ""}
    client.portal.call(client.app, scope, receive, send)
    assert sent == ["websocket.accept", "websocket.send"]


# --- delivery -----------------------------------------------------------------------------------------------

VALUE = "x" * 100_000
PUBLISHED = 150


@pytest.fixture
def live(serve_live):
    return serve_live({"stage": Stage})


@pytest.fixture
def stalled(live):
    """A reader that has stalled, beside one that has been told every one of many values."""
    stage, reader = live.server.things["stage"], RawClient(live.port)
    reader.send_text('{"messageType": "addActionObservation", "data": {"home": true}}')
    reader.send_text('{"messageType": "addPropertyObservation", "data": {"label": true, "nope": true}}')
    assert reader.receive_json()["error"]["status"] == "404"
    with connect(f"ws://127.0.0.1:{live.port}/stage/ws", max_size=None, compression=None) as other:
        other.send('{"messageType": "addPropertyObservation", "data": {"label": true, "nope": true}}')
        assert "404" in other.recv(timeout=20)
        for number in range(PUBLISHED):
            stage.label = f"{number} {VALUE}"
            assert json.loads(other.recv(timeout=20))["data"]["label"] == stage.label  # no reader delays another
        yield reader
    reader.close()


def test_the_last_value_arrives_however_slow_the_reader(stalled):
    numbers = []
    while not numbers or numbers[-1] != PUBLISHED - 1:
        numbers.append(int(stalled.receive_json()["data"]["label"].partition(" ")[0]))
    assert numbers == sorted(numbers)
    assert len(numbers) < PUBLISHED  # what it did not read in time has not been kept for it


def test_a_reader_that_is_too_slow_for_an_action_is_told_how_much_it_has_lost(live, stalled):
    with httpx.Client(base_url=live.url) as client:
        ids = [client.post("/stage/home?wait=9").json()["id"] for _ in range(350)]
    lost, states = 0, []
    while not states or states[-1] != (ids[-1], "completed"):
        message = stalled.receive_json()
        if message["messageType"] == "messagesLost":
            lost += message["data"]["count"]
        elif message["messageType"] == "actionStatus":
            states.append((message["data"]["id"], message["data"]["status"]))
    assert lost + len(states) == 3 * 350
    assert lost >= 50
    assert states == [(id, status) for id in ids for status in ("pending", "running", "completed")][lost:]


def test_a_value_is_encoded_once_however_many_observers(client_of):
    encoded = []

    def encode(value: int) -> int:
        encoded.append(value)
        return value

    class Thing(lt.Thing):
        value: Annotated[int, PlainSerializer(encode)] = lt.property(default=0)

    client = client_of(Thing)
    websockets = [client.websocket_connect("/thing/ws").__enter__() for _ in range(5)]
    for websocket in websockets:
        observe(websocket, "value")
    client.server.things["thing"].value = 7
    assert [websocket.receive_json()["data"] for websocket in websockets] == [{"value": 7}] * 5
    assert encoded == [7]
    for websocket in websockets:
        websocket.__exit__(None, None, None)


def test_a_property_that_is_set_in_a_tight_loop_leaves_the_server_answering(client, websocket, stage):
    observe(websocket, "x")
    stop = threading.Event()

    def set_again_and_again() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            stage.x = number
        stage.x = -1

    thread = threading.Thread(target=set_again_and_again)
    thread.start()
    assert all(client.get("/stage/label").status_code == 200 for _ in range(20))
    stop.set()
    thread.join(10)
    received = [websocket.receive_json()["data"]["x"]]
    while received[-1] != -1:
        received.append(websocket.receive_json()["data"]["x"])
    assert received[:-1] == sorted(received[:-1])


def test_what_clients_ask_for_is_processed_for_any_stream(client):
    replies: list[dict[str, Any]] = []
    asked = [
        {"text": '{"messageType": "addPropertyObservation", "data": {"x": true, "nope": true}}'},
        {"bytes": b"nonsense"},
        {"text": '{"messageType": "addPropertyObservation", "data": {"label": true}}'},
        {"text": '{"messageType": "removePropertyObservation", "data": {"label": true, "x": true}}'},
        {"text": '{"messageType": "addActionObservation", "data": {"home": true}}'},
    ]

    class Replayed:
        async def receive(self) -> Any:
            return {"type": "websocket.receive", **asked.pop(0)} if asked else {"type": "websocket.disconnect"}

        async def send_text(self, text: str) -> None:
            replies.append(json.loads(text))

    async def process() -> tuple[bool, ...]:
        give, take = anyio.create_memory_object_stream[Message](3)
        async with give, take:
            await process_messages_from_websocket(Replayed(), give, client.server.things["stage"])
            broker = client.server.message_broker
            return tuple(broker.is_subscribed("stage", name, give) for name in ("x", "label", "home"))

    assert client.portal.call(process) == (False, False, True)
    assert [(each["operation"], each["error"]["status"]) for each in replies] == [
        ("observeproperty", "404"),
        ("unknown", "400"),
    ]
