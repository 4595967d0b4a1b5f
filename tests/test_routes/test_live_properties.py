"""Live state over HTTP: versions, and patches."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cbor2
import numpy as np
import pytest
from pydantic import ConfigDict, Field, computed_field

import labthings as lt
from labthings.state import batch
from labthings.types.numpy import NDArray

PATCH = {"content-type": "application/json-patch+json"}
GAIN = [{"op": "replace", "path": "/gain", "value": 2}]


class Channel(lt.ReactiveModel):
    bias: float = Field(0.0, le=10)


class State(lt.ReactiveModel):
    gain: float = 1.0
    channels: list[Channel] = Field(default_factory=lambda: [Channel()])
    tree: Any = None
    steps: int = 0

    @computed_field
    @property
    def total(self) -> float:
        return sum(each.bias for each in self.channels)


class Trace(lt.ReactiveModel):
    samples: NDArray = Field(default_factory=lambda: np.zeros(3))


class Strict(lt.ReactiveModel):
    model_config = ConfigDict(extra="forbid")


class Supply(lt.Thing):
    state: State = lt.property(default_factory=State)
    strict: Strict = lt.property(default_factory=Strict)
    calibration: State = lt.setting(default_factory=State)
    fixed: State = lt.property(default_factory=State, readonly=True)
    trace: Trace = lt.property(default_factory=Trace)

    @lt.property
    def broken(self) -> float:
        return 1.0

    @broken.setter
    def _set_broken(self, value: float) -> None:
        raise RuntimeError("no")


@pytest.fixture
def client(client_of: Callable[..., Any]) -> Any:
    return client_of({"supply": Supply}, enable_global_lock=True)


@pytest.fixture
def supply(client: Any) -> Supply:
    found: Supply = client.server.things["supply"]
    return found


def tag_of(response: Any) -> dict[str, str]:
    return {"if-match": response.headers["etag"]}


def test_an_answer_has_the_version_for_a_tag(client: Any, supply: Supply) -> None:
    first = client.get("/supply/state")
    assert first.headers["cache-control"] == "no-cache"
    supply.state.channels[0].bias = 2
    second = client.get("/supply/state")
    assert second.json() == {"gain": 1.0, "channels": [{"bias": 2.0}], "tree": None, "steps": 0, "total": 2.0}
    assert first.headers["etag"] != second.headers["etag"] == client.head("/supply/state").headers["etag"]


@pytest.mark.parametrize("form", ["{}", "W/{}", '"other", {}', "*"])
def test_who_has_the_newest_version_is_sent_nothing(client: Any, supply: Supply, form: str) -> None:
    known = {"if-none-match": form.format(client.get("/supply/state").headers["etag"])}
    again = client.get("/supply/state", headers=known)
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == client.get("/supply/state").headers["etag"]
    supply.state.gain = 3
    assert client.get("/supply/state", headers=known).status_code == (304 if form == "*" else 200)


def test_who_changes_it_is_told_the_version(client: Any, supply: Supply) -> None:
    whole = client.get("/supply/state").json() | {"gain": 3}
    for change in (
        lambda: client.put("/supply/state", json=whole),
        lambda: client.patch("/supply/state", json=GAIN, headers=PATCH),
        lambda: client.post("/supply/state/reset"),
    ):
        answer = change()
        assert answer.status_code == 204
        assert tag_of(client.get("/supply/state")) == tag_of(answer)
    assert supply.state == State()


def test_whoever_knows_an_old_version_changes_nothing(
    client: Any, supply: Supply, refused: Callable[..., dict[str, Any]]
) -> None:
    old = tag_of(client.get("/supply/state"))
    supply.state.gain = 5
    for answer in (
        client.put("/supply/state", json={"gain": 3}, headers=old),
        client.patch("/supply/state", json=GAIN, headers=PATCH | old),
        client.post("/supply/state/reset", headers=old),
    ):
        refused(answer, 412, "but now there is version 1")
    assert supply.state.gain == 5
    new = tag_of(client.get("/supply/state"))
    assert client.patch("/supply/state", json=GAIN, headers=PATCH | new).status_code == 204
    refused(client.patch("/supply/state", json=GAIN, headers=PATCH | new), 412)
    assert client.put("/supply/state", json={"gain": 7}, headers={"if-match": "*"}).status_code == 204


def test_of_many_who_know_a_version_one_changes_it(client: Any, supply: Supply) -> None:
    known = tag_of(client.get("/supply/state"))
    answers: list[int] = []

    def change(gain: int) -> None:
        patch = [{"op": "replace", "path": "/gain", "value": gain}]
        answers.append(client.patch("/supply/state", json=patch, headers=PATCH | known).status_code)

    threads = [threading.Thread(target=change, args=(gain,)) for gain in range(2, 10)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(answers) == [204, *[412] * 7]


def test_a_patch_is_applied_as_a_whole(client: Any, supply: Supply) -> None:
    channel = supply.state.channels[0]
    operations = [
        {"op": "test", "path": "/gain", "value": 1},
        {"op": "add", "path": "/channels/-", "value": {"bias": 3}},
        {"op": "copy", "from": "/channels/1", "path": "/channels/0"},
        {"op": "move", "from": "/channels/1", "path": "/channels/2"},
        {"op": "replace", "path": "/tree", "value": {"a/b": [1]}},
        {"op": "remove", "path": "/tree/a~1b/0"},
        {"op": "replace", "path": "/steps", "value": 3.0},
        {"op": "test", "version": 0},
    ]
    assert client.patch("/supply/state", json=operations, headers=PATCH).status_code == 204
    assert [each.bias for each in supply.state.channels] == [3, 3, 0]
    assert supply.state.tree == {"a/b": []}
    assert (supply.state.total, supply.state.steps) == (6, 3)
    assert channel in supply.state.channels


@pytest.mark.parametrize(
    ("operation", "status", "words"),
    [
        ({"op": "test", "path": "/gain", "value": 2}, 409, "What is at '/gain' is not what the patch says."),
        ({"op": "test", "version": 7}, 409, "for version 7, but now there is version 0"),
        ({"op": "test", "version": 0, "epoch": "of yesterday"}, 409, "another epoch"),
        ({"op": "replace", "path": "/gain", "value": "2"}, 422, "gain: Input should be a valid number"),
        ({"op": "remove", "path": "/nothing"}, 409, "There is nothing at '/nothing'."),
        ({"op": "add", "path": "/channels/2", "value": {}}, 409, "/channels/2"),
        ({"op": "replace", "path": "/channels/0/bias", "value": 11}, 422, "channels.0.bias"),
        ({"op": "remove", "path": "/gain", "value": 1}, 204, ""),  # it has a default
        ({"op": "frobnicate", "path": "/gain"}, 409, "'frobnicate' is no operation"),
        ({"path": "/gain"}, 409, "has no 'op'"),
        ("gain", 422, "1: Input should be an object"),
    ],
)
def test_a_patch_that_does_not_fit_changes_nothing(
    client: Any, supply: Supply, refused: Callable[..., Any], operation: Any, status: int, words: str
) -> None:
    first = {"op": "replace", "path": "/channels/0/bias", "value": 5}
    answer = client.patch("/supply/state", json=[first, operation], headers=PATCH)
    if status == 204:
        assert answer.status_code == 204
        return
    refused(answer, status, words)
    assert supply.state == State()
    assert client.get("/supply/state").headers["etag"].endswith('-0"')


def test_what_is_no_patch_is_refused(client: Any, refused: Callable[..., Any]) -> None:
    refused(client.patch("/supply/state", content=b"{", headers=PATCH), 422, "Invalid JSON")
    refused(client.patch("/supply/state", content=b"", headers=PATCH), 422)
    refused(client.patch("/supply/state", json={"gain": 1}, headers=PATCH), 422, "valid array")
    answer = client.patch("/supply/state", json=GAIN)
    refused(answer, 415, "application/json-patch+json")
    assert answer.headers["accept-patch"] == "application/json-patch+json"


def test_what_is_nested_too_deeply_is_refused(client: Any, supply: Supply, refused: Callable[..., Any]) -> None:
    deep = "[" * 195 + "]" * 195
    body = f'[{{"op":"replace","path":"/tree","value":{deep}}}]'
    refused(client.patch("/supply/state", content=body, headers=PATCH), 422)
    assert supply.state.tree is None


def test_only_live_state_that_clients_may_write_takes_patches(client: Any, refused: Callable[..., Any]) -> None:
    for name in ("fixed", "broken"):
        refused(client.patch(f"/supply/{name}", json=GAIN, headers=PATCH), 405, "does not take PATCH")
    assert client.get("/supply/fixed").headers["etag"]
    refused(client.put("/supply/fixed", json={}), 405)


def test_what_is_computed_may_be_sent_back(client: Any, supply: Supply) -> None:
    supply.state.channels[0].bias = 4
    supply.state.gain = math.inf
    for path in ("/supply/state", "/supply/properties"):
        known = client.get(path).json()
        known = {name: value for name, value in known.items() if name not in ("fixed", "broken")}
        assert client.put(path, json=known).status_code == 204
    assert (supply.state.total, supply.state.gain) == (4, math.inf)


def test_what_is_not_known_of_it_is_not_called_read_only(client: Any, refused: Callable[..., Any]) -> None:
    problem = refused(client.put("/supply/properties", json={"strict": {"unknown": 1}}), 422)
    assert problem["detail"] == "supply.properties: strict.unknown: Extra inputs are not permitted"


def test_a_value_that_does_not_fit_is_refused(client: Any, refused: Callable[..., Any]) -> None:
    refused(client.put("/supply/state", json={"gain": "1"}), 422, "gain")
    refused(client.put("/supply/state", content=b"{"), 422, "Invalid JSON")
    refused(client.put("/supply/state", json=[]), 422)


def test_a_setting_is_on_disk_when_a_patch_is_answered(client: Any, tmp_path: Path) -> None:
    def saved() -> Any:
        (path,) = tmp_path.glob("settings/supply/Settings-Supply.json")
        return json.loads(path.read_text())["calibration"]["gain"]

    assert client.patch("/supply/calibration", json=GAIN, headers=PATCH).status_code == 204
    assert saved() == 2
    assert client.put("/supply/calibration", json={"gain": 4}).status_code == 204
    assert saved() == 4
    assert client.post("/supply/calibration/reset").status_code == 204
    assert saved() == 1


def test_changing_it_takes_the_global_lock(client: Any, supply: Supply, refused: Callable[..., Any]) -> None:
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with supply._thing_server_interface.hold_global_lock():
            held.set()
            done.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(5)
    refused(client.patch("/supply/state", json=GAIN, headers=PATCH), 409)
    refused(client.put("/supply/state", json={}), 409)
    refused(client.post("/supply/state/reset"), 409)
    assert client.get("/supply/state").status_code == 200
    done.set()
    thread.join()
    assert client.patch("/supply/state", json=GAIN, headers=PATCH).status_code == 204


def test_all_properties_at_once(client: Any, supply: Supply, refused: Callable[..., Any]) -> None:
    assert client.get("/supply/properties").json()["state"] == client.get("/supply/state").json()
    supply.state.gain = 5
    refused(client.put("/supply/properties", json={"state": {"gain": 7}, "broken": 2}), 500)
    assert supply.state.gain == 5  # which was put back
    assert client.put("/supply/properties", json={"state": {"gain": 7}, "calibration": {}}).status_code == 204
    assert supply.state.gain == 7


def test_an_unfinished_batch_is_not_to_be_seen(client: Any, supply: Supply, refused: Callable[..., Any]) -> None:
    with batch(supply.state):
        supply.state.gain = 2
        before = client.get("/supply/state")
        assert before.json()["gain"] == 1
        supply.state.gain = 3
        refused(client.patch("/supply/state", json=GAIN, headers=PATCH | tag_of(before)), 412)
    assert client.get("/supply/state").json()["gain"] == 3


def test_arrays_in_it_have_a_binary_form(client: Any, supply: Supply) -> None:
    as_json = client.get("/supply/trace")
    assert (as_json.json(), as_json.headers["etag"][-3:]) == ({"samples": [0, 0, 0]}, '-0"')
    as_cbor = client.get("/supply/trace", headers={"accept": "application/cbor"})
    assert cbor2.loads(as_cbor.content) == {"samples": [0, 0, 0]}
    assert "etag" not in as_cbor.headers
    body = cbor2.dumps({"samples": [1, 2]})
    assert client.put("/supply/trace", content=body, headers={"content-type": "application/cbor"}).status_code == 204
    assert supply.trace.samples.tolist() == [1, 2]


def test_large_state_is_dealt_with_in_threads(client: Any, supply: Supply) -> None:
    supply.state.tree = list(range(50_000))
    tag = tag_of(client.get("/supply/state"))
    assert client.patch("/supply/state", json=GAIN, headers=PATCH | tag).status_code == 204
    whole = client.get("/supply/state").json()
    assert (whole["gain"], len(whole["tree"])) == (2, 50_000)
    assert client.put("/supply/state", json=whole).status_code == 204
    assert client.put("/supply/state", json={}).status_code == 204
    assert client.put("/supply/state", json=whole).status_code == 204
    assert supply.state.tree == list(range(50_000))


class Failing(lt.Thing):
    state: State = lt.property(default_factory=State)

    def __enter__(self) -> Any:
        raise RuntimeError("unplugged")


def test_a_thing_that_does_not_run_tells_nothing(client_of: Callable[..., Any], refused: Callable[..., Any]) -> None:
    client = client_of({"supply": Failing})
    refused(client.get("/supply/state"), 503)
    refused(client.patch("/supply/state", json=GAIN, headers=PATCH), 503)
    refused(client.put("/supply/state", json={}), 503)
