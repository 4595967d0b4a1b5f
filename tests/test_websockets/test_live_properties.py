"""Live state over WebSockets: whole values for some, patches for others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pydantic import Field

import labthings as lt
from labthings.state import Replica, batch, document_of, patch_log


class State(lt.ReactiveModel):
    gain: float = 1.0
    items: list[int] = Field(default_factory=list)


class Supply(lt.Thing):
    state: State = lt.property(default_factory=State)
    other: State = lt.setting(default_factory=State)
    plain: int = lt.property(default=0)

    done: lt.Event[int] = lt.event()

    @lt.action
    def change(self, gain: float) -> None:
        self.state.gain = gain
        if gain < 0:
            raise ValueError("too low")

    @lt.action
    def change_and_tell(self) -> None:
        self.state.gain = 8
        self.done.emit(1)


@pytest.fixture
def client(client_of: Callable[..., Any]) -> Any:
    return client_of({"supply": Supply})


@pytest.fixture
def supply(client: Any) -> Supply:
    found: Supply = client.server.things["supply"]
    return found


def observation(**wanted: Any) -> dict[str, Any]:
    return {"messageType": "addPropertyObservation", "data": wanted}


@contextmanager
def following(client: Any, path: str = "/supply/ws", **wanted: Any) -> Iterator[Any]:
    with client.websocket_connect(path) as socket:
        socket.send_json(observation(**wanted))
        yield socket


def told(socket: Any, kind: str, name: str = "state") -> dict[str, Any]:
    message = socket.receive_json()
    assert message["messageType"] == kind, message
    found: dict[str, Any] = message["data"][name]
    return found


def test_a_snapshot_and_then_each_patch(client: Any, supply: Supply) -> None:
    with following(client, state="patches") as socket:
        first = told(socket, "propertySnapshot")
        epoch = document_of(supply.state).epoch
        assert first == {"epoch": epoch, "version": 0, "data": {"gain": 1.0, "items": []}}
        with batch(supply.state):
            supply.state.gain = 2
            supply.state.items.append(3)
        operations = [
            {"op": "replace", "path": "/gain", "value": 2.0},
            {"op": "add", "path": "/items/0", "value": 3},
        ]
        patch = told(socket, "propertyPatch")
        assert patch == {"epoch": epoch, "baseVersion": 0, "version": 1, "patch": operations}


def test_others_get_whole_values(client: Any, supply: Supply) -> None:
    with following(client, state=True) as whole, following(client, state="patches") as patches:
        told(patches, "propertySnapshot")
        supply.state.gain = 2
        assert told(whole, "propertyStatus") == {"gain": 2.0, "items": []}
        assert told(patches, "propertyPatch")["version"] == 1


def test_asking_again_gives_another_snapshot(client: Any, supply: Supply) -> None:
    with following(client, state="patches") as socket:
        assert told(socket, "propertySnapshot")["version"] == 0
        supply.state.gain = 2
        assert told(socket, "propertyPatch")["version"] == 1
        socket.send_json(observation(state="patches"))
        assert told(socket, "propertySnapshot") | {"epoch": ""} == {
            "epoch": "",
            "version": 1,
            "data": {"gain": 2.0, "items": []},
        }
        supply.state.gain = 3
        assert told(socket, "propertyPatch")["version"] == 2


def test_the_last_that_is_asked_for_counts(client: Any, supply: Supply) -> None:
    with following(client, state="patches") as socket:
        told(socket, "propertySnapshot")
        socket.send_json(observation(state=True))
        socket.send_json(observation(nothing=True))
        assert socket.receive_json()["error"]["status"] == "404"
        supply.state.gain = 2
        assert told(socket, "propertyStatus")["gain"] == 2


def test_it_ends_when_it_is_not_wanted_any_more(client: Any, supply: Supply) -> None:
    with following(client, state="patches", plain=True) as socket:
        told(socket, "propertySnapshot")
        socket.send_json({"messageType": "removePropertyObservation", "data": {"state": True}})
        socket.send_json(observation(nothing=True))
        assert socket.receive_json()["error"]["status"] == "404"
        supply.state.gain = 2
        supply.plain = 3
        assert told(socket, "propertyStatus", "plain") == 3
    assert not client.server.message_broker.is_observed("supply", "state")


@pytest.mark.parametrize(
    ("wanted", "status", "words"),
    [
        ({"plain": "patches"}, "403", "'supply.plain' is not live state"),
        ({"nothing": "patches"}, "404", "no property 'nothing'"),
        ({"state": "pathces"}, "400", 'each with the value true or "patches"'),
        ({"state": 1}, "400", "each with the value true"),
        ({"state": ["patches"]}, "400", "each with the value true"),
    ],
)
def test_what_cannot_be_followed_is_refused(client: Any, wanted: Any, status: str, words: str) -> None:
    with following(client, **wanted) as socket:
        response = socket.receive_json()
        assert (response["messageType"], response["error"]["status"]) == ("response", status)
        assert words in response["error"]["detail"]


def test_the_refusal_says_that_the_property_is_not_live_state(client: Any) -> None:
    with following(client, plain="patches") as socket:
        error = socket.receive_json()["error"]
    assert (error["type"], error["title"]) == ("urn:labthings:error:property-not-live", "Not Live State")


def test_actions_have_no_patches(client: Any) -> None:
    with client.websocket_connect("/supply/ws") as socket:
        socket.send_json({"messageType": "addActionObservation", "data": {"change": "patches"}})
        assert socket.receive_json()["error"]["detail"].endswith("each with the value true.")


def test_on_the_socket_of_all_things_the_thing_is_named(client: Any, supply: Supply) -> None:
    with client.websocket_connect("/ws") as socket:
        socket.send_json({**observation(state="patches"), "thingID": "supply"})
        assert socket.receive_json()["thingID"] == "supply"
        supply.state.gain = 2
        message = socket.receive_json()
        assert (message["thingID"], message["messageType"]) == ("supply", "propertyPatch")


@pytest.mark.parametrize("gain", [2, -1])
def test_the_end_of_an_action_is_told_after_its_patches(client: Any, gain: int) -> None:
    with following(client, state="patches") as socket:
        told(socket, "propertySnapshot")
        socket.send_json({"messageType": "addActionObservation", "data": {"change": True}})
        socket.send_json(observation(nothing=True))
        assert socket.receive_json()["error"]["status"] == "404"
        id = client.post("/supply/change", json={"gain": gain}).json()["id"]
        messages = []
        while not messages or messages[-1]["data"].get("status") not in ("completed", "error"):
            messages.append(socket.receive_json())
        (patch,) = [each["data"]["state"] for each in messages if each["messageType"] == "propertyPatch"]
        assert patch["patch"] == [{"op": "replace", "path": "/gain", "value": gain}]
        assert patch["origin"] == {"invocation": id}


def test_an_event_is_told_after_the_changes_before_it(client: Any) -> None:
    with following(client, state="patches") as socket:
        told(socket, "propertySnapshot")
        request = {"messageType": "request", "operation": "subscribeevent", "name": "done"}
        socket.send_json(request)
        assert socket.receive_json()["messageType"] == "response"
        client.post("/supply/change_and_tell")
        assert told(socket, "propertyPatch")["patch"][0]["value"] == 8
        assert socket.receive_json()["operation"] == "subscribeevent"


def test_who_is_too_slow_gets_a_snapshot(client: Any, supply: Supply, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patch_log, "MOST_PATCHES", 3)
    document = supply.properties["state"].document
    client.server.message_broker.is_observed = lambda thing, affordance: True
    texts, version = document.texts_after(None)
    replica = Replica(document.snapshot())
    for number in range(3):
        supply.state.gain = number
        document.flush()
    texts, version = document.texts_after(0)
    assert [text.partition(",")[0] for text in texts] == ['{"messageType":"propertyPatch"'] * 3
    supply.state.gain = 7
    document.flush()
    (text,), newest = document.texts_after(0)
    assert text.startswith('{"messageType":"propertySnapshot"')
    assert (version, newest) == (3, 4)
    assert document.texts_after(newest) == ([], newest)
    assert replica.version == 0


def test_patches_while_nobody_followed_are_made_up_for(client: Any, supply: Supply) -> None:
    for gain in (2, 3):
        with following(client, state="patches") as socket:
            version = told(socket, "propertySnapshot")["version"]
            supply.state.gain = gain
            assert told(socket, "propertyPatch")["version"] == version + 1
        supply.state.items.append(gain)
