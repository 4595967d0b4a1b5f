import json
from datetime import datetime, timezone
from typing import Any

import pytest

import labthings as lt
from labthings.types.numpy import NDArray
from tests.test_websockets.asking import ask, error_of, send
from tests.test_websockets.stage import Stage

ERRORS = "https://w3c.github.io/web-thing-protocol/errors"


def told(websocket: Any, count: int = 1) -> list[dict[str, Any]]:
    """The next notifications."""
    messages = [websocket.receive_json() for _ in range(count)]
    assert {each["messageType"] for each in messages} == {"notification"}, messages
    return messages


# --- every message ------------------------------------------------------------------------------------------


def test_a_response_says_what_it_answers(client, websocket):
    response = ask(websocket, "readproperty", name="x", correlationID="mine")
    id = response.pop("messageID")
    assert response == {
        "thingID": client.get("/stage/").json()["id"],
        "messageType": "response",
        "operation": "readproperty",
        "name": "x",
        "correlationID": "mine",
        "value": 0.0,
    }
    assert ask(websocket, "readproperty", name="x")["messageID"] != id


def test_a_request_needs_no_correlation_id(websocket):
    websocket.send_json({"messageType": "request", "operation": "readproperty", "name": "x"})
    response = websocket.receive_json()
    assert response["value"] == 0.0
    assert "correlationID" not in response


def test_a_request_may_say_which_thing_it_is_about(client, websocket):
    for id in ("stage", client.get("/stage/").json()["id"]):
        assert ask(websocket, "readproperty", name="x", thingID=id)["value"] == 0.0
    error_of(ask(websocket, "readproperty", name="x", thingID="other"), "404", "other")


@pytest.mark.parametrize(
    ("offered", "accepted"),
    [(["webthingprotocol"], "webthingprotocol"), (["labthings", "webthingprotocol"], "labthings"), (["other"], None)],
)
def test_the_subprotocol_is_echoed_if_it_is_offered(client, offered, accepted):
    with client.websocket_connect("/stage/ws", subprotocols=offered) as websocket:
        assert websocket.accepted_subprotocol == accepted


def test_an_unknown_operation(websocket):
    error = error_of(ask(websocket, "readpropertee", name="x"), "400", "readproperty", "subscribeallevents")
    assert (error["type"], error["title"]) == (f"{ERRORS}#bad-request", "Bad Request")


@pytest.mark.parametrize("operation", ["readproperty", "writeproperty", "observeproperty", "unobserveproperty"])
def test_a_property_that_is_not_there(websocket, operation):
    error = error_of(ask(websocket, operation, name="home", value=1), "404", "'stage' has no property 'home'", "label")
    assert (error["type"], error["title"]) == (f"{ERRORS}#not-found", "Not Found")


@pytest.mark.parametrize(
    ("operation", "members", "kind"),
    [
        ("readmultipleproperties", {"names": ["x", "nope"]}, "property"),
        ("writemultipleproperties", {"values": {"x": 1, "nope": 1}}, "property"),
        ("invokeaction", {"name": "nope"}, "action"),
        ("subscribeevent", {"name": "nope"}, "event"),
        ("unsubscribeevent", {"name": "nope"}, "event"),
    ],
)
def test_an_affordance_that_is_not_there(websocket, operation, members, kind):
    error_of(ask(websocket, operation, **members), "404", f"'stage' has no {kind} 'nope'")


# --- properties ---------------------------------------------------------------------------------------------


def test_reading_and_writing(websocket, stage):
    assert "error" not in ask(websocket, "writeproperty", name="x", value=2)
    assert stage.x == 2.0
    assert ask(websocket, "readproperty", name="x")["value"] == 2.0
    assert ask(websocket, "readproperty", name="computed")["value"] == 1


def test_a_setting_is_on_disk_when_the_response_comes(client, websocket, stage):
    ask(websocket, "writeproperty", name="speed", value=3.5)
    with open(stage._thing_server_interface.settings_file_path, encoding="utf-8") as file:
        assert json.load(file)["speed"] == 3.5


@pytest.mark.parametrize(
    ("name", "value", "status", "words"),
    [
        ("x", 11, "422", ("stage.x", "less than or equal to 10")),
        ("x", "1", "422", ("stage.x",)),
        ("x", {"a": [None]}, "422", ("stage.x",)),
        ("serial", "S2", "405", ("stage.serial", "read-only")),
        ("computed", 2, "405", ("stage.computed", "read-only")),
    ],
)
def test_values_that_cannot_be_written(websocket, stage, name, value, status, words):
    error = error_of(ask(websocket, "writeproperty", name=name, value=value), status, *words)
    assert error["type"].startswith("urn:labthings:error:")
    assert (stage.x, stage.serial) == (0.0, "S1")


def test_a_getter_that_raises(websocket):
    error = error_of(ask(websocket, "readproperty", name="broken"), "500", "stage.broken", "no cable")
    assert error["title"] == "OSError"
    assert "traceback" not in error


def test_several_properties(client_of):
    class Thing(lt.Thing):
        first: int = lt.property(default=1)
        second: list[int] = lt.property(default_factory=list)

    client = client_of(Thing)
    with client.websocket_connect("/thing/ws") as websocket:
        assert ask(websocket, "readallproperties")["values"] == {"first": 1, "second": []}
        assert "error" not in ask(websocket, "writemultipleproperties", values={"first": 5, "second": [6]})
        assert ask(websocket, "readmultipleproperties", names=["second"])["values"] == {"second": [6]}
        assert ask(websocket, "readmultipleproperties", names=[])["values"] == {}
        error_of(ask(websocket, "writemultipleproperties", values={"second": [], "first": "x"}), "422", "first")
        assert ask(websocket, "readallproperties")["values"] == {"first": 5, "second": [6]}


def test_arrays_are_lists(client_of):
    class Thing(lt.Thing):
        array: NDArray = lt.property(default_factory=lambda: [1.5, 2.5])

    client = client_of(Thing)
    with client.websocket_connect("/thing/ws") as websocket:
        ask(websocket, "writeproperty", name="array", value=[[1, 2], [3, 4]])
        assert ask(websocket, "readproperty", name="array")["value"] == [[1, 2], [3, 4]]


def test_a_blob_that_is_read_can_be_downloaded(client_of):
    class Thing(lt.Thing):
        count: int = lt.property(default=0)

        @lt.property(depends_on=["count"])
        def report(self) -> lt.blob.Blob:
            return lt.blob.Blob.from_bytes(f"number {self.count}".encode(), media_type="text/plain")

    client = client_of(Thing)
    with client.websocket_connect("/thing/ws") as websocket:
        link = ask(websocket, "readproperty", name="report")["value"]
        assert client.get(link["href"]).text == "number 0"
        ask(websocket, "observeproperty", name="report")
        [first] = told(websocket)
        assert client.get(first["value"]["href"]).text == "number 0"


# --- observing ----------------------------------------------------------------------------------------------


def test_a_notification_says_what_has_changed(client, websocket, stage):
    begun = ask(websocket, "observeproperty", name="x", correlationID="mine")
    assert begun["epoch"] == client.server.message_broker.epoch
    stage.x = 3
    [notification] = told(websocket)
    assert notification.pop("messageID")
    time = datetime.fromisoformat(notification.pop("timestamp"))
    assert abs((datetime.now(timezone.utc) - time).total_seconds()) < 10
    assert notification == {
        "thingID": begun["thingID"],
        "messageType": "notification",
        "operation": "observeproperty",
        "name": "x",
        "value": 3.0,
        "correlationID": "mine",
    }


def test_observing_ends(websocket, stage):
    ask(websocket, "observeproperty", name="x")
    ask(websocket, "observeproperty", name="label")
    ask(websocket, "unobserveproperty", name="x")
    ask(websocket, "unobserveproperty", name="serial")
    stage.x, stage.label = 1, "a"
    assert told(websocket)[0]["value"] == "a"


def test_observing_everything(client, websocket, stage):
    ask(websocket, "observeallproperties", correlationID="all")
    [unreadable] = told(websocket)
    error_of(unreadable, "500", "no cable")
    assert unreadable["name"] == "broken"
    assert "value" not in unreadable
    stage.x, stage.label = 1, "a"
    assert [(each["name"], each["correlationID"]) for each in told(websocket, 2)] == [("x", "all"), ("label", "all")]
    ask(websocket, "unobserveallproperties")
    stage.x = 2
    assert ask(websocket, "readproperty", name="x")["value"] == 2.0
    assert not client.server.message_broker.is_observed("stage", "x")


def test_a_property_that_cannot_be_observed(websocket):
    error = error_of(ask(websocket, "observeproperty", name="computed"), "403", "stage.computed", "poll")
    assert (error["type"], error["title"]) == (f"{ERRORS}#not-observable", "Not Observable")


def test_the_newest_subscription_has_the_say(websocket, stage):
    for id in ("one", "two"):
        ask(websocket, "observeproperty", name="x", correlationID=id)
    stage.x = 1
    assert told(websocket)[0]["correlationID"] == "two"
    assert ask(websocket, "readproperty", name="x")["value"] == 1.0


def test_both_dialects_on_one_socket(client, websocket, stage):
    websocket.send_json({"messageType": "addPropertyObservation", "data": {"x": True}})
    ask(websocket, "observeproperty", name="x")
    stage.x = 1
    assert {websocket.receive_json()["messageType"] for _ in range(2)} == {"propertyStatus", "notification"}
    websocket.send_json({"messageType": "removePropertyObservation", "data": {"x": True}})
    ask(websocket, "readproperty", name="x")
    stage.x = 2
    assert told(websocket)[0]["value"] == 2.0
    ask(websocket, "unobserveproperty", name="x")
    assert not client.server.message_broker.is_observed("stage", "x")


def test_a_reply_is_never_overtaken_by_an_older_value(websocket, stage):
    ask(websocket, "observeproperty", name="x")
    for number in range(1, 10):
        id = send(websocket, "writeproperty", name="x", value=number)
        message = websocket.receive_json()
        seen = []
        while message.get("correlationID") != id:
            seen.append(message["value"])
            message = websocket.receive_json()
        assert seen in ([], [number - 1.0], [number - 1.0, number])


# --- actions ------------------------------------------------------------------------------------------------


def test_who_invokes_an_action_is_told_of_it_until_its_end(client, websocket):
    invoked = ask(websocket, "invokeaction", name="add", input={"a": 2}, correlationID="mine")
    assert invoked["status"]["state"] == "pending"
    running, completed = told(websocket, 2)
    assert (running["status"]["state"], completed["status"]["state"]) == ("running", "completed")
    assert {each["name"] for each in (running, completed)} == {"add"}
    assert {each["correlationID"] for each in (running, completed)} == {"mine"}
    assert {each["actionID"] for each in (running, completed)} == {invoked["actionID"]}
    assert {each["operation"] for each in (running, completed)} == {"invokeaction"}
    status = completed["status"]
    assert status["output"] == 3
    assert client.get(status["href"]).json()["output"] == 3
    times = [datetime.fromisoformat(status[key]) for key in ("timeRequested", "timeStarted", "timeEnded")]
    assert times == sorted(times)
    assert not {"timeStarted", "timeEnded", "output"} & set(invoked["status"])
    assert not {"timeEnded", "output"} & set(running["status"])


def test_no_state_is_missed_and_nobody_elses_invocations_are_told(client, websocket):
    for _ in range(20):
        invoked = ask(websocket, "invokeaction", name="home")
        client.post("/stage/home?wait=9")
        states = [(each["actionID"], each["status"]["state"]) for each in told(websocket, 2)]
        assert states == [(invoked["actionID"], "running"), (invoked["actionID"], "completed")]
    ask(websocket, "readproperty", name="x")
    assert not client.server.message_broker.is_observed("stage", "home")


def test_an_action_that_fails(websocket):
    ask(websocket, "invokeaction", name="fail")
    failed = told(websocket, 2)[-1]["status"]
    assert failed["state"] == "failed"
    assert (failed["error"]["title"], failed["error"]["detail"], failed["error"]["status"]) == (
        "OSError",
        "stuck",
        "500",
    )
    assert "output" not in failed


def test_querying_and_cancelling(websocket, stage):
    id = ask(websocket, "invokeaction", name="work")["actionID"]
    assert stage.begun.wait(10)
    assert told(websocket, 2)[-1]["status"]["progress"] == {"fraction": 0.5, "message": "halfway"}
    queried = ask(websocket, "queryaction", actionID=id)
    assert (queried["name"], queried["actionID"], queried["status"]["state"]) == ("work", id, "running")
    cancelled = ask(websocket, "cancelaction", name="work", actionID=id)
    assert cancelled["actionID"] == id
    assert told(websocket)[0]["status"]["state"] == "cancelled"
    assert ask(websocket, "queryaction", actionID=id)["status"]["state"] == "cancelled"
    error_of(ask(websocket, "cancelaction", actionID=id), "409", "has ended already")


def test_an_invocation_that_is_not_there(websocket):
    id = ask(websocket, "invokeaction", name="home")["actionID"]
    told(websocket, 2)
    error_of(ask(websocket, "queryaction", actionID="nope"), "404", "nope")
    error_of(ask(websocket, "cancelaction", actionID="nope"), "404", "nope")
    error_of(ask(websocket, "queryaction", actionID=id, name="fail"), "404", "stage.home")


def test_all_invocations(client, websocket):
    for _ in range(2):
        client.post("/stage/home?wait=9")
    client.post("/stage/fail?wait=9")
    statuses = ask(websocket, "queryallactions")["statuses"]
    states = {name: [each["state"] for each in its] for name, its in statuses.items()}
    assert states == {"home": ["completed", "completed"], "fail": ["failed"]}


@pytest.mark.parametrize("input", [{}, {"a": "x"}, {"a": 1, "c": 2}, [1], 3, "a"])
def test_input_that_does_not_fit(client, websocket, input):
    error_of(ask(websocket, "invokeaction", name="add", input=input), "422", "stage.add")
    assert client.get("/action_invocations").json() == []
    assert not client.server.message_broker.is_observed("stage", "add")


@pytest.mark.parametrize("members", [{}, {"input": None}, {"input": {}}])
def test_an_action_without_arguments(websocket, members):
    assert ask(websocket, "invokeaction", name="home", **members)["status"]["state"] == "pending"
    assert told(websocket, 2)[-1]["status"]["output"] is None


def test_arrays_and_blobs_as_outputs(client_of):
    class Thing(lt.Thing):
        @lt.action
        def measure(self) -> NDArray:
            return [1, 2]  # type: ignore[return-value]

        @lt.action
        def store(self, blob: lt.blob.Blob) -> lt.blob.Blob:
            return lt.blob.Blob.from_bytes(blob.content * 2, media_type="text/plain")

    client = client_of(Thing)
    link = client.post("/blob/", content=b"abc").json()
    with client.websocket_connect("/thing/ws") as websocket:
        ask(websocket, "invokeaction", name="measure")
        measured = told(websocket, 2)[-1]["status"]
        assert "output" not in measured
        assert client.get(f"{measured['href']}/output").json() == [1, 2]
        ask(websocket, "invokeaction", name="store", input={"blob": link})
        stored = told(websocket, 2)[-1]["status"]
        assert client.get(stored["output"]["href"]).content == b"abcabc"


# --- events -------------------------------------------------------------------------------------------------


def test_events_arrive_in_order(client, websocket, stage):
    begun = ask(websocket, "subscribeevent", name="arrived", correlationID="mine")
    epoch = client.server.message_broker.epoch
    assert (begun["epoch"], begun["eventID"]) == (epoch, f"{epoch}-0")
    stage.hit.emit()
    for number in range(3):
        stage.arrived.emit(number)
    messages = told(websocket, 3)
    assert [each["data"] for each in messages] == [0.0, 1.0, 2.0]
    assert [each["eventID"] for each in messages] == [f"{epoch}-{number}" for number in (1, 2, 3)]
    assert {(each["operation"], each["name"], each["correlationID"]) for each in messages} == {
        ("subscribeevent", "arrived", "mine")
    }
    assert all(datetime.fromisoformat(each["timestamp"]) for each in messages)
    ask(websocket, "unsubscribeevent", name="arrived")
    stage.arrived.emit(4)
    ask(websocket, "readproperty", name="x")


def test_all_events(client, websocket, stage):
    ask(websocket, "subscribeallevents")
    stage.arrived.emit(1)
    stage.hit.emit()
    stage.arrived.emit(2)
    epoch = client.server.message_broker.epoch
    assert [(each["name"], each["data"], each["eventID"]) for each in told(websocket, 3)] == [
        ("arrived", 1.0, f"{epoch}-1"),
        ("hit", None, f"{epoch}-2"),
        ("arrived", 2.0, f"{epoch}-3"),
    ]
    ask(websocket, "unsubscribeallevents")
    stage.hit.emit()
    ask(websocket, "readproperty", name="x")


def test_a_client_that_comes_back_is_told_what_it_has_missed(client, stage):
    with client.websocket_connect("/stage/ws") as websocket:
        id = ask(websocket, "subscribeevent", name="arrived")["eventID"]
        all_id = ask(websocket, "subscribeallevents")["eventID"]
    for number in range(3):
        stage.arrived.emit(number)
    stage.hit.emit()
    with client.websocket_connect("/stage/ws") as websocket:
        assert ask(websocket, "subscribeevent", name="arrived", lastEventID=id)["eventID"] != id
        missed = told(websocket, 3)
        assert [each["data"] for each in missed] == [0.0, 1.0, 2.0]
        stage.arrived.emit(3)
        assert told(websocket)[0]["data"] == 3.0
        ask(websocket, "subscribeevent", name="arrived", lastEventID=missed[1]["eventID"])
        assert [each["data"] for each in told(websocket, 2)] == [2.0, 3.0]
    with client.websocket_connect("/stage/ws") as websocket:
        ask(websocket, "subscribeallevents", lastEventID=all_id)
        assert [each["name"] for each in told(websocket, 5)] == ["arrived"] * 3 + ["hit", "arrived"]


def test_a_client_is_told_how_much_is_no_longer_kept(websocket, stage, monkeypatch):
    monkeypatch.setattr("labthings.event_history.MOST_MESSAGES", 2)
    id = ask(websocket, "subscribeevent", name="arrived")["eventID"]
    ask(websocket, "unsubscribeevent", name="arrived")
    for number in range(5):
        stage.arrived.emit(number)
    ask(websocket, "subscribeevent", name="arrived", lastEventID=id)
    lost, *messages = told(websocket, 3)
    assert (lost["operation"], lost["name"], lost["messagesLost"]) == ("subscribeevent", "arrived", 3)
    assert [each["data"] for each in messages] == [3.0, 4.0]


@pytest.mark.parametrize("id", ["00000000-1", "nonsense", "", "-", "00000000-²", f"0-{'9' * 5000}"])
def test_a_client_of_an_earlier_run_is_told_that_nobody_knows_how_much_it_has_lost(websocket, stage, id):
    stage.arrived.emit(1)
    ask(websocket, "subscribeevent", name="arrived", lastEventID=id)
    lost, message = told(websocket, 2)
    assert lost["messagesLost"] is None
    assert message["data"] == 1.0


def test_a_thing_that_does_not_run_says_why(client_of):
    class Broken(lt.Thing):
        x: int = lt.property(default=0)

        def __enter__(self):
            raise OSError("no stage")

    client = client_of({"broken": Broken, "stage": Stage})
    with client.websocket_connect("/ws") as websocket:
        for operation in ("readproperty", "writeproperty", "observeproperty"):
            error_of(ask(websocket, operation, name="x", value=1, thingID="broken"), "503", "no stage")
        assert ask(websocket, "readproperty", name="x", thingID="stage")["value"] == 0.0
