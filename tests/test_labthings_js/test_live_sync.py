"""A web page follows the state of a LabSync, and has commands done."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pydantic import Field
from starlette.applications import Starlette
from starlette.responses import HTMLResponse
from starlette.routing import Route

from labthings.state import Patch, ReactiveModel, Replica
from labthings.sync import CommandError, LabSync
from tests.live_server import served
from tests.tcp_proxy import proxy_to
from tests.test_labthings_js.pages import opened, page
from tests.test_state.followers import words

STALE = "StaleStateError"
LOCK = threading.Lock()


class Channel(ReactiveModel):
    bias: float = Field(0, le=10)
    tags: list[str] = Field(default_factory=list)


class State(ReactiveModel):
    channels: list[Channel] = Field(default_factory=lambda: [Channel(bias=1), Channel(bias=2)])
    by_name: dict[str, Channel] = Field(default_factory=dict, alias="by/~name")
    done: bool = False


class Panel:
    """A LabSync with a page."""

    def __init__(self) -> None:
        self.sync = LabSync()
        self.state = self.sync.bind_state(State())
        self.may_end = threading.Event()

        @self.sync.command
        def set_bias(channel: int, bias: float) -> float:
            if bias > 5:
                raise CommandError("interlock", "Not so much.")
            self.state.channels[channel].bias = bias
            return bias

        @self.sync.command
        def wait() -> None:
            assert self.may_end.wait(20)

    @contextmanager
    def running(self, port: int = 0) -> Iterator[int]:
        routes = [*self.sync.routes, Route("/page", lambda _: HTMLResponse(page("/sync/labthings.js")))]
        with served(Starlette(routes=routes, lifespan=self.sync.lifespan), port=port) as port:
            try:
                yield port
            finally:
                self.may_end.set()


@pytest.fixture
def panel() -> Panel:
    return Panel()


@pytest.fixture
def followed(browser: Any, panel: Panel) -> Iterator[Any]:
    with panel.running() as port:
        opened(browser, f"http://127.0.0.1:{port}/page")
        browser.run("await follow(liveSync()).ready")
        yield browser
        browser.run("state.close()")


def test_every_version_is_what_the_server_had(followed: Any, panel: Panel) -> None:
    replica = Replica(panel.sync.document.snapshot())
    states = {0: words(replica.data)}

    def follow(patch: Patch) -> None:
        replica.apply(patch)
        states[patch.version] = words(replica.data)

    panel.sync.document.subscribe(follow)
    followed.run("window.seen = []; state.addEventListener('change', () => seen.push([state.version, state.data]));")
    threads = [threading.Thread(target=change_often, args=(panel, seed)) for seed in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    panel.state.done = True
    followed.until("state.lastKnown.done")
    found = json.loads(followed.run("return JSON.stringify(seen)"))
    for version, data in found:
        assert words(Replica({"epoch": "", "version": version, "data": as_floats(data)}).data) == states[version]
    assert len(found) > 300


def change_often(panel: Panel, seed: int) -> None:
    chance, state = random.Random(seed), panel.state
    for _ in range(500):
        kind = chance.randrange(7)
        if chance.random() < 0.5:
            panel.sync.document.flush()  # or what is changed in a moment would make few patches
        with LOCK:
            if kind == 0:
                state.channels.insert(0, Channel(bias=chance.randrange(10)))
            elif kind == 1 and len(state.channels) > 1:
                state.channels.pop(chance.randrange(len(state.channels)))
            elif kind == 2:
                state.channels[-1].tags.append(chance.choice(["a", "ü", "\u2028"]))
            elif kind == 3:
                state.channels.reverse()
            elif kind == 4:
                state.by_name[chance.choice(["a/b", "~", "__proto__", "", "~1"])] = Channel(tags=["x"])
            elif kind == 5 and state.by_name:
                state.by_name.popitem()
            else:
                state.channels[chance.randrange(len(state.channels))].bias = chance.random()


def as_floats(data: Any) -> Any:
    """What came through JavaScript, where 1.0 is 1."""
    if isinstance(data, list):
        return [as_floats(each) for each in data]
    if isinstance(data, dict):
        return {key: float(each) if key == "bias" else as_floats(each) for key, each in data.items()}
    return data


def test_a_list_shifts_under_a_change(followed: Any, panel: Panel) -> None:
    second = panel.state.channels[1]
    with panel.sync.batch():
        second.bias = 3
        panel.state.channels.insert(0, Channel(bias=9))
        second.bias = 4
        del panel.state.channels[1]
        second.tags.append("shifted")
    followed.until("state.version === 1")
    data = followed.run("return state.data.channels")
    assert data == [{"bias": 9, "tags": []}, {"bias": 4, "tags": ["shifted"]}]


def test_when_the_server_is_started_again_its_state_is_followed(browser: Any, panel: Panel) -> None:
    with panel.running() as port:
        opened(browser, f"http://127.0.0.1:{port}/page")
        browser.run("await follow(liveSync()).ready; window.epoch = state.epoch;")
        panel.state.channels[0].bias = 5
        browser.until("state.lastKnown.channels[0].bias === 5")
    browser.until("!state.isCurrent")
    script = "try { state.data } catch (error) { return [error.name, state.lastKnown.channels[0].bias] }"
    assert browser.run(script) == [STALE, 5]
    other = Panel()
    with other.running(port):
        browser.until("state.isCurrent")
        assert browser.run("return state.epoch !== epoch && state.data.channels[0].bias === 1")
        other.state.channels[0].bias = 2
        browser.until("state.data.channels[0].bias === 2")
    browser.run("state.close()")


def test_a_command_is_done_and_the_state_is_told_first(followed: Any) -> None:
    followed.run("told.length = 0")
    script = "return [await state.command('set_bias', { channel: 1, bias: 4 }), state.data.channels[1].bias, told]"
    result, bias, told = followed.run(script)
    assert (result, bias) == (4, 4)
    ((_, change),) = told
    assert change["origin"]["command"] == "set_bias"
    assert len(change["origin"]["originClientId"]) == 16


def test_a_command_that_fails_says_why(followed: Any) -> None:
    script = """try { await state.command('set_bias', { channel: 1, bias: 6 }); }
        catch (error) { return [error.name, error.message, error.problem.code]; }"""
    assert followed.run(script) == ["LiveStateError", "Not so much.", "interlock"]


@pytest.mark.parametrize(
    ("params", "code"),
    [("{ text: 'x'.repeat(2 ** 21) }", "message_too_large"), ("{ text: nested(5000) }", "invalid_message")],
)
def test_a_command_that_the_server_cannot_read_fails(followed: Any, params: str, code: str) -> None:
    followed.run("window.nested = (levels) => { let it = []; while (levels--) it = [it]; return it; }")
    failed = f"return await state.command('set_bias', {params}).catch((error) => error.problem.code)"
    assert followed.run(failed) == code


def test_of_a_command_whose_connection_is_lost_nobody_knows(followed: Any) -> None:
    script = """const words = (error) => error.message;
        const lost = state.command("wait").catch(words);
        state._connection.lose("The cable is out.");
        return [await lost, await state.command("wait").catch(words)];"""
    assert followed.run(script) == [
        "Whether it is done is not known: The cable is out.",
        "'wait' has not been sent: The cable is out.",
    ]


def test_a_command_that_is_closed_ends(followed: Any) -> None:
    script = "const lost = state.command('wait'); state.close(); return lost.catch((error) => error.message);"
    assert followed.run(script) == "Whether it is done is not known: It has been closed."


SLEEP_ONCE_NO_ANSWER_IS_AWAITED = """
    const { now } = Date, { parse } = JSON;
    const sleep = () => { Date.now = () => now() + 100_000; };
    JSON.parse = (text) => {
        const message = parse(text);
        if (message.type === "pong") queueMicrotask(sleep);
        return message;
    };
"""


def test_a_silent_server_answers(browser: Any, panel: Panel) -> None:
    with panel.running() as port:
        opened(browser, f"http://127.0.0.1:{port}/page")
        browser.run("await follow(liveSync('/sync/ws', { silence: 0.05, patience: 5 })).ready; told.length = 0;")
        browser.run(SLEEP_ONCE_NO_ANSWER_IS_AWAITED)
        browser.until("told.length === 2")
        assert [each["isCurrent"] for _, each in browser.run("return told")] == [False, True]
        browser.run("state.close()")


def test_a_server_that_has_stalled_is_noticed(tab: Any, server: Any) -> None:
    tab.run("follow(liveSync('/sync/ws', { silence: 0.05, patience: 60 }))")
    talk, told = server.next_talk(), {"type": "snapshot", "epoch": "e1", "version": 0, "data": {"bias": 1}}
    talk.say(told)
    tab.until("state.isCurrent")
    question = {"type": "ping", "requestId": "labthings.js"}
    for _ in range(3):
        assert talk.heard() == question
        assert tab.run("return state.isCurrent")
        talk.say({**question, "type": "pong"})
    assert talk.heard() == question
    tab.run("const now = Date.now; Date.now = () => now() + 61_000;")
    again = server.next_talk()  # this time, there was no answer
    assert tab.run("try { state.data } catch (error) { return error.name }") == STALE
    assert "has not answered for" in str(tab.run("return told"))
    again.say({**told, "version": 3})
    tab.until("state.version === 3 && state.isCurrent")


def test_a_connection_that_has_died_without_a_word_is_noticed(browser: Any, panel: Panel) -> None:
    with panel.running() as port, proxy_to(port) as proxy:
        opened(browser, f"http://127.0.0.1:{proxy.port}/page")
        browser.run("await follow(liveSync('/sync/ws', { silence: 0.1, patience: 0.3 })).ready")
        proxy.go_dead()
        panel.state.channels[0].bias = 5
        browser.until("!state.isCurrent")
        script = "try { state.data } catch (error) { return [error.name, state.lastKnown.channels[0].bias] }"
        assert browser.run(script) == [STALE, 1]
        proxy.revive()
        browser.until("state.isCurrent && state.data.channels[0].bias === 5")
        browser.run("state.close()")
