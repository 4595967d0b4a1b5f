"""A web page follows and changes the state of a Thing on a real server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi.responses import HTMLResponse
from pydantic import Field

import labthings as lt
from labthings.state import ReactiveModel
from tests.live_server import served
from tests.test_labthings_js.pages import opened, page


class Channel(ReactiveModel):
    bias: float = Field(0.0, le=10)


class State(ReactiveModel):
    enabled: bool = False
    channels: list[Channel] = Field(default_factory=lambda: [Channel(), Channel()])
    by_name: dict[str, float] = Field(default_factory=dict)


class Supply(lt.Thing):
    state: State = lt.property(default_factory=State)
    plain: int = lt.property(default=0)

    @lt.action
    def ramp(self) -> None:
        for step in range(5):
            self.state.channels[0].bias = step


class Broken(lt.Thing):
    state: State = lt.property(default_factory=State)

    def __enter__(self) -> None:
        raise OSError("The cable is out.")


class Lab:
    """A server of Things with a page, which may be started again and again."""

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)
        self.supply: Any = None
        self.port = 0

    @contextmanager
    def running(self) -> Iterator[None]:
        things = {"supply": Supply, "broken": Broken}
        server = lt.ThingServer.from_things(things, api_prefix="/api", settings_folder=self._folder)
        server.app.add_api_route("/api/page", lambda: HTMLResponse(page("/api/labthings.js")), methods=["GET"])
        self.supply = server.things["supply"]
        with served(server.app, port=self.port, timeout_graceful_shutdown=1) as self.port:
            yield


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    lab = Lab(tmp_path_factory.mktemp("lab"))
    with lab.running():
        yield lab


@pytest.fixture
def followed(browser: Any, lab: Lab) -> Iterator[Any]:
    lab.supply.state = State()
    opened(browser, f"http://127.0.0.1:{lab.port}/api/page")
    browser.run("await follow(live('supply', 'state')).ready; told.length = 0;")
    yield browser
    browser.run("state.close()")


def test_what_is_changed_in_place_is_followed(followed: Any, lab: Lab) -> None:
    state = lab.supply.state
    state.channels[1].bias = 1.25
    state.by_name["a/b~"] = 2
    state.by_name["__proto__"] = 3
    state.channels.insert(0, Channel(bias=7))
    followed.until("state.lastKnown.channels.length === 3 && state.isCurrent")
    assert followed.run("return JSON.stringify(state.data.by_name)") == '{"a/b~":2,"__proto__":3}'
    assert followed.run("return state.data.channels") == [{"bias": 7}, {"bias": 0}, {"bias": 1.25}]
    lab.supply.state = State(enabled=True)
    followed.until("state.data.enabled")
    assert followed.run("return state.data") == {"enabled": True, "channels": [{"bias": 0}] * 2, "by_name": {}}


def test_what_an_action_changes_says_so(followed: Any, lab: Lab) -> None:
    script = "return (await fetch('supply/ramp', { method: 'POST', headers: { Prefer: 'wait=10' } })).json()"
    invocation = followed.run(script)
    assert invocation["status"] == "completed"
    followed.until("state.data.channels[0].bias === 4")
    changes = [detail for type, detail in followed.run("return told") if type == "change"]
    assert [each["origin"] for each in changes] == [{"invocation": invocation["id"]}] * len(changes)


def test_a_page_changes_the_state(followed: Any, lab: Lab) -> None:
    operations = (
        "[{ op: 'replace', path: '/channels/1/bias', value: 3 }, { op: 'add', path: '/channels/-', value: {} }]"
    )
    tag = followed.run(f"return state.patch({operations}, {{ ifMatch: state.etag }})")
    followed.until(f"state.etag === {tag!r}")
    assert followed.run("return state.data.channels.map(({ bias }) => bias)") == [0, 3, 0]
    assert [each.bias for each in lab.supply.state.channels] == [0, 3, 0]


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        ("[enable], { ifMatch: '\"x-7\"' }", 412),
        ("[enable, { op: 'remove', path: '/channels/2' }]", 409),
        ("[enable, { op: 'replace', path: '/channels/0/bias', value: 11 }]", 422),
    ],
)
def test_a_change_that_is_refused_says_why(followed: Any, lab: Lab, arguments: str, status: int) -> None:
    followed.run("window.enable = { op: 'replace', path: '/enabled', value: true }")
    told = "({ name, status, message }) => [name, status, message]"
    name, found, words = followed.run(f"return state.patch({arguments}).catch({told})")
    assert (name, found) == ("LiveStateError", status)
    assert "/api/supply/state: " in words
    assert not lab.supply.state.enabled


def test_a_misspelt_option_does_not_go_unnoticed(followed: Any, lab: Lab) -> None:
    enable = "[{ op: 'replace', path: '/enabled', value: true }]"
    words = followed.run(f"return state.patch({enable}, {{ ifmatch: 'x' }}).catch(({{ message }}) => message)")
    assert words == "patch(): there is no option ifmatch. There is: ifMatch."
    assert not lab.supply.state.enabled


def test_two_pages_of_which_one_is_late(followed: Any) -> None:
    followed.run("window.other = live('supply/', 'state'); await other.ready; window.seen = state.etag;")
    followed.run("await state.patch([{ op: 'replace', path: '/enabled', value: true }])")
    followed.until("other.lastKnown.enabled && other.etag === state.etag")
    late = "other.patch([{ op: 'replace', path: '/enabled', value: false }], { ifMatch: seen })"
    assert followed.run(f"return {late}.catch((error) => error.status)") == 412
    followed.run("other.close()")


def test_when_the_server_is_started_again_its_state_is_followed(browser: Any, tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    with lab.running():
        opened(browser, f"http://127.0.0.1:{lab.port}/api/page")
        browser.run("await follow(live('supply', 'state')).ready; window.epoch = state.epoch;")
        lab.supply.state.enabled = True
        browser.until("state.lastKnown.enabled")
    browser.until("!state.isCurrent")
    script = "try { state.data; } catch (error) { return [error.name, state.lastKnown.enabled]; }"
    assert browser.run(script) == ["StaleStateError", True]
    browser.until("state.reason.includes('cannot be reached')")
    change = "return state.patch([{ op: 'test', path: '' }]).catch((error) => error.message)"
    assert "/api/supply/state cannot be reached" in browser.run(change)
    with lab.running():
        browser.until("state.isCurrent")
        assert browser.run("return [state.data.enabled, state.epoch !== epoch]") == [False, True]
        assert browser.run("return told.filter(([type]) => type === 'error')") == []
        lab.supply.state.enabled = True
        browser.until("state.data.enabled")
        browser.run("state.close()")


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        ("'supply', 'stat'", 404, "'supply' has no property 'stat'."),
        ("'supply', 'plain'", 403, "is not live state"),
        ("'suply', 'state'", 404, "There is nothing at /api/suply/state. The Things here are listed at /api/things/."),
    ],
)
def test_what_cannot_be_followed_says_why(followed: Any, arguments: str, status: int, words: str) -> None:
    followed.run(f"window.other = live({arguments})")
    found, message = followed.run("return other.ready.catch(({ status, message }) => [status, message])")
    followed.run("other.close()")
    assert found == status
    assert words in message


def test_a_thing_that_does_not_run_says_why(followed: Any) -> None:
    followed.run("window.other = live('broken', 'state')")
    followed.until("other.reason.includes('The cable is out.')")
    followed.run("other.close()")


def test_many_changes_from_threads_end_at_what_the_server_has(followed: Any, lab: Lab) -> None:
    def change() -> None:
        for number in range(1000):
            lab.supply.state.channels[number % 2].bias = number / 100

    threads = [threading.Thread(target=change) for _ in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    lab.supply.state.enabled = True
    followed.until("state.data.enabled")
    assert followed.run("return state.data") == lab.supply.state.model_dump()
