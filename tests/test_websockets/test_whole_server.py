"""The WebSocket of the whole server."""

import pytest

from tests.test_websockets.asking import ask, error_of, send
from tests.test_websockets.stage import Stage


@pytest.fixture
def client(client_of):
    return client_of({"one": Stage, "two": Stage})


@pytest.fixture
def websocket(client):
    with client.websocket_connect("/ws", subprotocols=["webthingprotocol"]) as websocket:
        yield websocket


def test_each_message_says_which_thing_it_is_about(client, websocket):
    ids = {name: client.get(f"/{name}/").json()["id"] for name in ("one", "two")}
    ask(websocket, "writeproperty", name="x", value=2, thingID="two")
    assert ask(websocket, "readproperty", name="x", thingID=ids["two"])["value"] == 2.0
    assert ask(websocket, "readproperty", name="x", thingID=ids["one"])["value"] == 0.0
    for name in ids:
        assert ask(websocket, "observeproperty", name="x", thingID=name)["thingID"] == ids[name]
        client.server.things[name].x = 5
        message = websocket.receive_json()
        assert (message["thingID"], message["value"]) == (ids[name], 5.0)


def test_a_request_must_say_which_thing_it_is_about(websocket):
    error_of(ask(websocket, "readproperty", name="x"), "400", "thingID")
    error_of(ask(websocket, "readproperty", name="x", thingID=3), "400", "thingID")
    error_of(ask(websocket, "readproperty", name="x", thingID="three"), "404", "three", "one, two")


def test_things_do_not_wait_for_each_other(client, websocket):
    slow = send(websocket, "writeproperty", name="slow", value=1, thingID="one")
    assert client.server.things["one"].begun.wait(10)
    client.server.things["two"].go_on.set()
    assert "error" not in ask(websocket, "writeproperty", name="slow", value=1, thingID="two")
    client.server.things["one"].go_on.set()
    assert websocket.receive_json()["correlationID"] == slow


def test_an_invocation_of_another_thing(websocket):
    id = ask(websocket, "invokeaction", name="home", thingID="one")["actionID"]
    for _ in range(2):
        websocket.receive_json()
    error_of(ask(websocket, "queryaction", actionID=id, thingID="two"), "404", "one.home")
    assert ask(websocket, "queryallactions", thingID="two")["statuses"] == {}
    assert list(ask(websocket, "queryallactions", thingID="one")["statuses"]) == ["home"]


def test_labthings_dialect(client, websocket):
    observe = {"messageType": "addPropertyObservation", "thingID": "two", "data": {"x": True, "nope": True}}
    websocket.send_json(observe)
    reply = websocket.receive_json()
    assert (reply["name"], reply["thingID"], reply["error"]["status"]) == ("nope", "two", "404")
    client.server.things["one"].x = 1
    client.server.things["two"].x = 2
    assert websocket.receive_json() == {"messageType": "propertyStatus", "data": {"x": 2.0}, "thingID": "two"}
    for bad, status in ((None, "400"), ("three", "404"), ([], "400")):
        websocket.send_json({**observe, "thingID": bad})
        error_of(websocket.receive_json(), status)
    websocket.send_json({"messageType": "addActionObservation", "thingID": "one", "data": {"home": True}})
    client.post("/one/home?wait=9")
    states = [websocket.receive_json() for _ in range(3)]
    assert [(each["thingID"], each["data"]["status"]) for each in states] == [
        ("one", "pending"),
        ("one", "running"),
        ("one", "completed"),
    ]


def test_it_has_the_servers_prefix(client_of):
    client = client_of({"one": Stage}, api_prefix="/api/v1")
    with client.websocket_connect("/api/v1/ws") as websocket:
        status = ask(websocket, "invokeaction", name="home", thingID="one")["status"]
        assert client.get(status["href"]).status_code == 200
        assert "/api/v1/action_invocations/" in status["href"]
