"""The faults of the predecessor, none of which this server has."""

import json
import os
import threading
import time
from collections.abc import Callable
from datetime import datetime
from statistics import median
from typing import Any

import pytest
from starlette.websockets import WebSocketDisconnect

import labthings as lt


def in_threads(number: int, function: Callable[[], Any]) -> list[threading.Thread]:
    threads = [threading.Thread(target=function) for _ in range(number)]
    for thread in threads:
        thread.start()
    return threads


@pytest.mark.parametrize("value", [0, False, "", None, [], {}, 0.0])
def test_falsy_outputs_answered_503(client_of, value):
    class Thing(lt.Thing):
        @lt.action
        def give(self) -> Any:
            return value

    client = client_of(Thing)
    invocation = client.post("/thing/give?wait=9").json()
    assert invocation["output"] == value
    output = client.get(invocation["links"][1]["href"])
    assert (output.status_code, output.json()) == (200, value)


def test_id_printed_literally_in_errors(client_of, refused):
    client = client_of(lt.Thing)
    for response in (
        client.get("/action_invocations/abc"),
        client.delete("/action_invocations/abc"),
        client.get("/action_invocations/abc/output"),
        client.get("/things/abc"),
    ):
        assert "'abc'" in refused(response, 404)["detail"]
        assert "{" not in response.json()["detail"]


def test_setting_a_property_on_the_event_loop_raised(client_of):
    class Thing(lt.Thing):
        x: int = lt.property(default=0)
        saved: int = lt.setting(default=0)

        @lt.property
        async def both(self) -> int:
            self.x, self.saved = 1, 2
            return self.x + self.saved

        @lt.action
        async def change(self) -> int:
            self.x = 10
            return self.x

    client = client_of(Thing)
    with client.websocket_connect("/thing/ws") as websocket:
        websocket.send_json({"messageType": "addPropertyObservation", "data": {"x": True, "nope": True}})
        assert websocket.receive_json()["error"]["status"] == "404"
        assert client.get("/thing/both").json() == 3
        assert websocket.receive_json()["data"] == {"x": 1}
        assert client.post("/thing/change?wait=9").json()["output"] == 10
        assert websocket.receive_json()["data"] == {"x": 10}
    assert client.get("/thing/saved").json() == 2


def test_a_malformed_websocket_message_killed_the_socket(client_of):
    class Thing(lt.Thing):
        x: int = lt.property(default=0)

    with client_of(Thing).websocket_connect("/thing/ws") as websocket:
        for message in ("", "{", "[]", '{"messageType": 3}', '{"messageType": "addPropertyObservation", "data": 1}'):
            websocket.send_text(message)
            assert websocket.receive_json()["error"]["status"] == "400"


def test_no_unobserve(client_of):
    class Thing(lt.Thing):
        x: int = lt.property(default=0)

        @lt.action
        def act(self) -> None:
            pass

    client = client_of(Thing)
    with client.websocket_connect("/thing/ws") as websocket:
        for kind, name in (("Property", "x"), ("Action", "act")):
            for verb in ("add", "remove"):
                websocket.send_json({"messageType": f"{verb}{kind}Observation", "data": {name: True}})
        websocket.send_text("settle")
        assert websocket.receive_json()["error"]["status"] == "400"
        client.put("/thing/x", json=1)
        client.post("/thing/act?wait=9")
        websocket.send_text("settle")
        assert websocket.receive_json()["error"]["status"] == "400"


def test_a_slow_observer_kept_a_stale_value_for_ever(client_of):
    class Thing(lt.Thing):
        x: int = lt.property(default=0)

    client = client_of(Thing)
    with client.websocket_connect("/thing/ws") as websocket:
        websocket.send_json({"messageType": "addPropertyObservation", "data": {"x": True, "nope": True}})
        assert websocket.receive_json()["error"]["status"] == "404"
        for number in range(1, 20_001):
            client.server.things["thing"].x = number
        received = 0
        while received != 20_000:
            received = websocket.receive_json()["data"]["x"]


def test_attribute_errors_in_user_code_swallowed_while_mounting(client_of, refused):
    class Thing(lt.Thing):
        x: int = lt.property(default=0)

        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.no_such_attribute  # noqa: B018

    client = client_of(Thing)
    refused(client.get("/thing/x"), 503, "AttributeError", "no_such_attribute")


def test_attribute_errors_of_properties_are_told(client_of, refused):
    class Thing(lt.Thing):
        @lt.property
        def broken(self) -> int:
            return self.neither_this  # type: ignore[attr-defined]

        @property
        def plain(self) -> int:
            raise AttributeError("never to be asked for")

    client = client_of(Thing)
    problem = refused(client.get("/thing/broken"), 500, "thing.broken", "neither_this")
    assert problem["title"] == "AttributeError"
    assert client.get("/thing/").json()["properties"].keys() == {"broken"}


def test_settings_truncated_in_place(client_of, tmp_path, monkeypatch):
    class Thing(lt.Thing):
        x: int = lt.setting(default=0)

    client = client_of(Thing)
    file = tmp_path / "settings" / "thing" / "Settings-Thing.json"
    client.put("/thing/x", json=1)
    before, replaced = file.read_bytes(), []

    def replace(source: Any, target: Any) -> None:
        replaced.append(file.read_bytes())
        os.rename(source, target)

    monkeypatch.setattr(os, "replace", replace)
    client.put("/thing/x", json=2)
    assert before in replaced
    assert json.loads(file.read_text())["x"] == 2


def test_a_half_written_file_replaced_by_defaults(client_of, tmp_path):
    class Thing(lt.Thing):
        x: int = lt.setting(default=0)

    folder = tmp_path / "settings" / "thing"
    folder.mkdir(parents=True)
    (folder / "Settings-Thing.json").write_text('{"x": 12')
    client = client_of(Thing)
    assert client.get("/thing/x").json() == 0
    client.put("/thing/x", json=1)
    assert '{"x": 12' in [file.read_text() for file in folder.rglob("*") if file.is_file()]


def test_one_failing_thing_took_the_server_down(client_of, refused):
    class Broken(lt.Thing):
        x: int = lt.property(default=0)

        def __enter__(self):
            raise OSError("unplugged")

    class Fine(lt.Thing):
        x: int = lt.property(default=0)

    client = client_of({"broken": Broken, "fine": Fine})
    refused(client.get("/broken/x"), 503, "unplugged")
    assert client.get("/broken/").status_code == 200
    assert client.get("/fine/x").json() == 0


class Holder(lt.Thing):
    """Has code that goes on until it is told to end."""

    quick: int = lt.property(default=1)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.begun, self.go_on = threading.Semaphore(0), threading.Event()

    def __exit__(self, *args: Any) -> None:
        self.go_on.set()

    @lt.property
    def slow(self) -> int:
        self.begun.release()
        assert self.go_on.wait(20)
        return 1

    @lt.property
    def computed(self) -> int:
        return 2

    @lt.action
    def sleep(self) -> None:
        self.begun.release()
        lt.cancellable_sleep(60)


def test_unbounded_threads(client_of):
    client = client_of({"holder": Holder})
    holder = client.server.things["holder"]
    before = threading.active_count()
    hrefs = [client.post("/holder/sleep").json()["href"] for _ in range(300)]
    for _ in range(16):
        assert holder.begun.acquire(timeout=10)
    assert threading.active_count() - before <= 17
    for href in reversed(hrefs):  # those that wait are cancelled first, and at once
        assert client.delete(href).status_code == 204
    assert {client.get(href, params={"wait": 10}).json()["status"] for href in hrefs} == {"cancelled"}
    assert not holder.begun.acquire(blocking=False)
    assert client.get("/holder/computed").json() == 2


def test_slow_reads_delayed_every_other_things_reads(client_of):
    client = client_of({"slow": Holder, "other": Holder})
    slow, answers = client.server.things["slow"], []
    before = threading.active_count()
    threads = in_threads(80, lambda: answers.append(client.get("/slow/slow").json()))
    for _ in range(16):
        assert slow.begun.acquire(timeout=10)
    times = []
    for _ in range(20):
        for path in ("/other/computed", "/other/quick", "/slow/computed", "/slow/quick"):
            began = time.perf_counter()
            assert client.get(path).status_code == 200
            times.append(time.perf_counter() - began)
    assert median(times) < 0.2
    assert answers == []
    assert threading.active_count() - before <= 80 + 2 * 16 + 4
    slow.go_on.set()
    for thread in threads:
        thread.join(20)
    assert answers == [1] * 80


def test_async_actions_returned_a_coroutine_as_output(client_of):
    class Thing(lt.Thing):
        @lt.action
        async def answer(self) -> int:
            return 42

    invocation = client_of(Thing).post("/thing/answer?wait=9").json()
    assert (invocation["status"], invocation["output"]) == ("completed", 42)


def test_naive_timestamps(client_of):
    class Thing(lt.Thing):
        @lt.action
        def act(self) -> None:
            self.logger.info("now")

    told = client_of(Thing).post("/thing/act?wait=9").json()
    times = [told["timeRequested"], told["timeStarted"], told["timeCompleted"], told["log"][0]["created"]]
    assert all(datetime.fromisoformat(each).tzinfo is not None for each in times)


def test_any_web_page_on_the_network_could_drive_the_instrument(client_of, refused):
    client = client_of({"holder": Holder})
    headers = {"Origin": "http://evil.example"}
    refused(client.put("/holder/quick", json=2, headers=headers), 403)
    refused(client.post("/holder/sleep", headers=headers), 403)
    refused(client.options("/holder/quick", headers={**headers, "Access-Control-Request-Method": "PUT"}), 403)
    with pytest.raises(WebSocketDisconnect) as raised, client.websocket_connect("/holder/ws", headers=headers):
        pass
    assert raised.value.status_code == 403
    assert client.get("/holder/quick").json() == 1
    assert client.get("/holder/actions").json() == []


def test_two_things_of_one_class_shared_state_through_mutable_defaults(client_of):
    class Thing(lt.Thing):
        values: list[int] = lt.property(default=[1])
        saved: dict[str, int] = lt.setting(default={"a": 1})

    client = client_of({"one": Thing, "other": Thing})
    one = client.server.things["one"]
    one.values.append(2)
    one.saved["b"] = 2
    assert client.get("/one/properties").json() == {"values": [1, 2], "saved": {"a": 1, "b": 2}}
    assert client.get("/other/properties").json() == {"values": [1], "saved": {"a": 1}}
    assert client.get("/one/").json()["properties"]["values"]["default"] == [1]
