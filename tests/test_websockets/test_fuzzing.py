"""Whatever clients send, in whichever dialect: each request is answered once, and another client is told of changes."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import labthings as lt
from labthings.websockets.labthings_dialect import OPERATIONS
from labthings.websockets.requests import NEEDS
from tests.test_websockets.asking import ask

NAMES = ["x", "label", "serial", "computed", "broken", "tick", "add", "fail", "thing", "", "nope", "größe \ud800"]


class Target(lt.Thing):
    x: float = lt.property(default=0.0, ge=-10)
    label: Any = lt.property(default="")
    serial: str = lt.property(default="S1", readonly=True)
    watched: int = lt.property(default=0)
    tick: lt.Event[float] = lt.event()

    @lt.property
    def computed(self) -> int:
        self.tick.emit(1.0)
        return 1

    @lt.property(observable=True)
    def broken(self) -> int:
        raise OSError("no cable")

    @lt.action
    def add(self, a: int, b: int = 1) -> int:
        self.label = a + b
        return a + b

    @lt.action
    def fail(self) -> None:
        raise OSError("stuck")


names = st.sampled_from(NAMES)
leaves = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | names | st.text(max_size=5)
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3), max_leaves=8
)
members = {
    "name": names,
    "names": st.lists(names, max_size=4),
    "value": values,
    "values": st.dictionaries(names, values, max_size=3),
    "input": st.dictionaries(st.sampled_from(["a", "b", "c"]), st.integers(0, 9), max_size=3),
    "actionID": names,
    "lastEventID": st.sampled_from(["0-0", "", "x-1", f"-{'9' * 30}"]),
    "thingID": st.sampled_from(["thing", "nobody"]),
    "messageID": st.text(max_size=3),
}
requests = st.fixed_dictionaries(
    {"messageType": st.just("request"), "operation": st.sampled_from([*NEEDS, "zap"])}, optional=members
)
observations = st.fixed_dictionaries(
    {"messageType": st.sampled_from([*OPERATIONS, "propertyStatus"])},
    optional={"data": st.dictionaries(names, st.just(True) | leaves, max_size=4), "thingID": members["thingID"]},
)


@st.composite
def spoiled(draw: Any, messages: Any) -> Any:
    """Messages of which a member may be anything, or not be there."""
    message = dict(draw(messages))
    key = draw(st.sampled_from([*message, *members, None, None]))
    if key is not None:
        message.pop(key, None)
        if draw(st.booleans()):
            message[key] = draw(values)
    return message


conversations = st.lists(
    spoiled(requests) | spoiled(requests) | spoiled(observations) | values, min_size=1, max_size=25
)
mutilated = st.tuples(spoiled(requests), st.integers(0, 200), st.binary(max_size=3))


@pytest.fixture
def sockets(client_of):
    """A WebSocket of the Thing, one of the whole server, and another client's of the Thing."""
    client = client_of(Target)
    with (
        client.websocket_connect("/thing/ws") as own,
        client.websocket_connect("/ws") as whole,
        client.websocket_connect("/thing/ws") as other,
    ):
        other.send_json({"messageType": "addPropertyObservation", "data": {"watched": True}})
        ask(other, "readproperty", name="x")
        other.thing = client.server.things["thing"]
        yield own, whole, other


def answers(websocket: Any) -> list[dict[str, Any]]:
    """What the client has been sent, up to the reply to one more request."""
    members = {"operation": "readproperty", "name": "watched", "thingID": "thing", "correlationID": "last"}
    websocket.send_text(json.dumps({"messageType": "request", **members}))
    messages = [websocket.receive_json()]
    while messages[-1].get("correlationID") != "last":
        messages.append(websocket.receive_json())
    return messages


def check(websocket: Any, other: Any, ids: list[str]) -> None:
    messages = answers(websocket)
    late = ids.copy()
    while True:  # those that take turns with slower ones come after the last request's
        answered = [each.get("correlationID") for each in messages if each["messageType"] == "response"]
        late = [id for id in ids if id not in answered]
        if not late:
            break
        messages.append(websocket.receive_json())
    assert sorted(id for id in answered if id in ids) == sorted(ids)
    for each in messages:
        assert each["messageType"] in ("response", "notification", "propertyStatus", "actionStatus")
        if "error" in each:
            assert each["error"]["status"].isdigit()
            assert each["error"]["detail"]
            assert each["error"]["status"] != "500" or "no cable" in each["error"]["detail"], each
    other.thing.watched += 1
    assert other.receive_json() == {"messageType": "propertyStatus", "data": {"watched": other.thing.watched}}


FEW = settings(max_examples=40, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))


@FEW
@given(conversation=conversations, whole=st.booleans())
def test_every_request_is_answered_once(sockets, conversation, whole):
    websocket, ids = sockets[1 if whole else 0], []
    for number, message in enumerate(conversation):
        if isinstance(message, dict) and message.get("messageType") == "request":
            ids.append(f"fuzz {number}")
            message = {**message, "correlationID": ids[-1]}
        websocket.send_text(json.dumps(message))
    check(websocket, sockets[2], ids)


@FEW
@given(mutilated)
def test_mutilated_messages(sockets, mutilated):
    message, position, rubbish = mutilated
    data = json.dumps(message).encode()
    position = position % len(data)
    sockets[0].send({"type": "websocket.receive", "bytes": data[:position] + rubbish + data[position:]})
    sockets[0].send({"type": "websocket.receive", "text": (data[:position] + rubbish).decode(errors="replace")})
    check(sockets[0], sockets[2], [])
