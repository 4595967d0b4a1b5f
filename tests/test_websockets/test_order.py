"""In which order requests of one client are dealt with."""

import threading

import labthings as lt
from labthings.websockets.turns import MOST_TASKS
from tests.test_websockets.asking import ask, send


def responses(websocket, count):
    """The next responses, by the correlation ids of their requests, in their order."""
    return {message["correlationID"]: message for message in (websocket.receive_json() for _ in range(count))}


def test_requests_about_one_property_keep_their_order(websocket, stage):
    ids = [send(websocket, "writeproperty", name="slow", value=number) for number in range(5)]
    ids.append(send(websocket, "readproperty", name="slow"))
    stage.go_on.set()
    answered = responses(websocket, 6)
    assert list(answered) == ids
    assert answered[ids[-1]]["value"] == 4.0
    assert stage.written == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_a_slow_property_holds_up_no_other(websocket, stage):
    slow = send(websocket, "writeproperty", name="slow", value=1)
    assert stage.begun.wait(10)
    assert ask(websocket, "readproperty", name="x")["value"] == 0.0
    assert ask(websocket, "invokeaction", name="add", input={"a": 1})["status"]["state"] == "pending"
    stage.go_on.set()
    assert slow in responses(websocket, 3)


def test_several_properties_wait_for_earlier_requests_about_any_of_them(websocket, stage):
    first = send(websocket, "writeproperty", name="slow", value=1)
    several = send(websocket, "writemultipleproperties", values={"slow": 2, "x": 2})
    after = send(websocket, "readproperty", name="x")
    assert stage.begun.wait(10)
    assert ask(websocket, "readproperty", name="label")["value"] == ""
    assert stage.x == 0.0
    stage.go_on.set()
    answered = responses(websocket, 3)
    assert list(answered) == [first, several, after]
    assert answered[after]["value"] == 2.0
    assert stage.written == [1.0, 2.0]


def test_two_clients_do_not_wait_for_each_other(client, websocket, stage):
    send(websocket, "writeproperty", name="slow", value=1)
    assert stage.begun.wait(10)
    with client.websocket_connect("/stage/ws") as other:
        assert ask(other, "readproperty", name="x")["value"] == 0.0
    stage.go_on.set()


def test_a_client_that_asks_for_too_much_at_once_is_read_no_further(client, websocket, stage):
    ids = [send(websocket, "writeproperty", name="slow", value=number) for number in range(MOST_TASKS)]
    late = send(websocket, "writeproperty", name="label", value="late")
    with client.websocket_connect("/stage/ws") as other:
        for _ in range(10):
            ask(other, "readproperty", name="x")
    assert stage.label == ""
    stage.go_on.set()
    assert set(responses(websocket, MOST_TASKS + 1)) == {*ids, late}
    assert stage.label == "late"


def test_what_was_asked_for_is_done_even_if_the_client_has_gone(client, stage):
    with client.websocket_connect("/stage/ws") as websocket:
        for number in range(3):
            send(websocket, "writeproperty", name="slow", value=number)
        send(websocket, "writeproperty", name="label", value="done")
        stage.go_on.set()
        websocket.close()
        settled = threading.Event()
        for _ in range(10_000):
            if len(stage.written) == 3:
                settled.set()
                break
            client.get("/health")
    assert settled.is_set()


def test_a_stop_does_not_wait_for_requests_that_have_not_begun(client_of):
    begun, go_on, written = threading.Event(), threading.Event(), []

    class Thing(lt.Thing):
        @lt.property
        def slow(self) -> int:
            return 0

        @slow.setter
        def _set_slow(self, value: int) -> None:
            begun.set()
            assert go_on.wait(20)
            written.append(value)

    client = client_of(Thing)
    with client.websocket_connect("/thing/ws") as websocket:
        for number in range(5):
            send(websocket, "writeproperty", name="slow", value=number)
        assert begun.wait(10)
        client.portal.call(client.server.end_streams)
        assert websocket.receive()["type"] == "websocket.close"
    go_on.set()
    client.get("/health")
    assert written in ([], [0])
