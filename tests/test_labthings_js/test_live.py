"""A web page has what the server has, or knows that it has not."""

from __future__ import annotations

from typing import Any

import pytest

from tests.test_labthings_js.pages import opened

IS_STALE = "try { state.data; } catch (error) { return error.name; }"
GOOD = {"op": "replace", "path": "/bias", "value": 2}


def test_the_state_follows_the_server(tab: Any, server: Any) -> None:
    tab.run("follow(live('/supply', 'state')); state.ready.then(() => told.push('ready'));")
    assert tab.run(IS_STALE) == "StaleStateError"
    assert tab.run("return [state.lastKnown, state.version, state.etag, state.isCurrent]") == [None, None, None, False]
    talk = server.next_talk()
    assert talk.path == "/supply/ws"
    assert talk.heard() == {"messageType": "addPropertyObservation", "data": {"state": "patches"}}
    tab.until("state.reason.includes('not come yet')")
    tab.run("told.length = 0")
    talk.snapshot(7, {"bias": 1})
    talk.patch(7, GOOD, origin={"invocation": "4f"})
    tab.until("state.version === 8")
    assert tab.run("return state.data") == {"bias": 2}
    assert tab.run("return [state.epoch, state.etag, state.reason, state.since]") == ["e1", '"e1-8"', None, None]
    assert tab.run("return told") == [
        ["status", {"isCurrent": True, "reason": None}],
        ["change", {"version": 7, "patch": None, "origin": None}],
        "ready",
        ["change", {"version": 8, "patch": [GOOD], "origin": {"invocation": "4f"}}],
    ]


def test_the_state_cannot_be_changed_by_the_page_and_shares_what_has_not_changed(tab: Any, talk: Any) -> None:
    tab.run("window.before = state.data")
    talk.patch(7, {"op": "add", "path": "/channels/0/name", "value": {"short": "a"}})
    tab.until("state.version === 8")
    assert tab.run("return before.channels[1] === state.data.channels[1] && before !== state.data")
    assert "name" not in tab.run("return before.channels[0]")
    for script in ("state.data.bias = 5", "state.data.channels.push(1)", "state.data.channels[0].name.short = 'b'"):
        assert tab.run(f"'use strict'; try {{ {script} }} catch (error) {{ return error.name }}") == "TypeError"


GAPS = {
    "missed": {"baseVersion": 8, "version": 9, "patch": [GOOD]},
    "of another run": {"epoch": "e2", "patch": [GOOD]},
    "half of it does not fit": {"patch": [GOOD, {"op": "remove", "path": "/channels/2"}]},
    "no patch": {"patch": None},
    "half an operation": {"patch": [GOOD, {"op": "add", "path": "/bias"}]},
    "nonsense": {"patch": [None]},
    "something else is there": {"patch": [GOOD, {"op": "test", "path": "/bias", "value": 1}]},
}


def test_after_a_gap_the_state_is_asked_for_again(tab: Any, talk: Any) -> None:
    for number, gap in enumerate(GAPS.values()):
        tab.run("told.length = 0")
        talk.say(
            {"messageType": "propertyPatch", "data": {"state": {"epoch": "e1", "baseVersion": 7, "version": 8} | gap}}
        )
        assert talk.heard() == {"messageType": "addPropertyObservation", "data": {"state": "patches"}}
        assert tab.run(IS_STALE) == "StaleStateError"
        assert tab.run("return [state.isCurrent, state.version, state.lastKnown.bias]") == [False, 7, 1]
        assert "A change was missed" in tab.run("return state.reason")
        for base in (7, 8, 9):  # they are of no use any more
            talk.patch(base, GOOD)
        talk.snapshot(20 + number, {"bias": 9}, epoch="e2")
        talk.set(20 + number, "/bias", 10, epoch="e2")
        tab.until(f"state.version === {21 + number}")
        assert tab.run("return state.data") == {"bias": 10}
        assert [each for each, _ in tab.run("return told")] == ["status", "status", "change", "change"]
        talk.snapshot(7, {"bias": 1, "channels": [{"on": True}, {"on": False}]})
        tab.until("state.version === 7")


def test_if_asking_does_not_help_the_connection_is_made_anew(tab: Any, server: Any, talk: Any) -> None:
    talk.patch(9, GOOD)
    assert talk.heard()
    talk.snapshot(3, {"bias": 3})
    talk.patch(4, GOOD)
    talk.wait_for_end()
    again = server.next_talk()
    again.heard()
    again.snapshot(9, {"bias": 4})
    tab.until("state.isCurrent")
    assert tab.run("return state.data") == {"bias": 4}


def test_what_is_known_already_is_no_news(tab: Any, talk: Any) -> None:
    talk.patch(5, GOOD)
    talk.patch(6, GOOD)
    talk.set(7, "/bias", 3)
    tab.until("state.version === 8")
    assert tab.run("return told.length") == 1


def test_a_snapshot_may_come_at_any_time(tab: Any, talk: Any) -> None:
    talk.snapshot(70, {"bias": 7})
    talk.patch(70, GOOD)
    tab.until("state.version === 71")
    assert tab.run("return told.map(([type, { patch }]) => [type, patch === null])") == [
        ["change", True],
        ["change", False],
    ]


def test_what_is_of_others_does_no_harm(tab: Any, talk: Any) -> None:
    talk.say(b"\x00numbers")
    talk.say(None)
    talk.say({"messageType": "propertySnapshot", "data": None})
    talk.say({"messageType": "propertyStatus", "data": {"state": {"bias": 5}}})
    talk.snapshot(1, {}, name="other")
    talk.set(7, "/bias", 3)
    tab.until("state.version === 8")
    assert tab.run("return told.length") == 1


def test_a_property_may_have_the_name_of_what_every_object_has(tab: Any, server: Any) -> None:
    tab.run("follow(live('/supply/', 'constructor'))")
    talk = server.next_talk()
    talk.heard()
    talk.snapshot(1, {})
    talk.snapshot(2, {}, name="constructor")
    tab.until("state.version === 2")
    assert tab.run("return told.filter(([type]) => type === 'change').length") == 1


def test_what_is_no_json_ends_the_connection(tab: Any, server: Any, talk: Any) -> None:
    talk.say("{")
    talk.wait_for_end()
    assert server.next_talk().heard()
    assert not tab.run("return state.isCurrent")


def test_when_the_connection_is_lost_the_state_is_an_old_one_until_it_is_back(tab: Any, server: Any, talk: Any) -> None:
    tab.run("window.before = Date.now()")
    talk.hang_up()
    again = server.next_talk()
    assert again.heard() == {"messageType": "addPropertyObservation", "data": {"state": "patches"}}
    assert tab.run(IS_STALE) == "StaleStateError"
    assert tab.run("return state.lastKnown.bias") == 1
    assert tab.run("return told[0]") == [
        "status",
        {"isCurrent": False, "reason": "The connection is lost: The server is stopping."},
    ]
    assert tab.run("return before <= state.since && state.since <= Date.now()")
    again.snapshot(1, {"bias": 5}, epoch="e2")
    tab.until("state.isCurrent")
    assert tab.run("return [state.data, state.epoch]") == [{"bias": 5}, "e2"]


def test_what_is_not_there_is_refused(tab: Any, server: Any) -> None:
    tab.run("follow(live('/supply/', 'stat')); state.ready.catch((error) => told.push(['ready', error.status]));")
    talk = server.next_talk()
    talk.heard()
    problem = {"status": "404", "title": "Not Found", "detail": "'supply' has no property 'stat'."}
    talk.say({"messageType": "response", "operation": "observeproperty", "name": "stat", "error": problem})
    tab.until("told.some(([type]) => type === 'ready')")
    words = f"{server.url}/supply/stat: 'supply' has no property 'stat'. (404)"
    assert tab.run("return told.slice(-3)") == [
        ["status", {"isCurrent": False, "reason": words}],
        ["error", words],
        ["ready", 404],
    ]
    talk.hang_up()
    again = server.next_talk()  # the server may have been given it
    again.heard()
    again.snapshot(0, {}, name="stat")
    tab.until("state.isCurrent")


def test_a_thing_that_does_not_run_says_why_and_may_run_later(tab: Any, server: Any) -> None:
    problem = {"status": 503, "title": "ThingFailedError", "detail": "'supply' does not run: no cable."}
    server.refusal = (503, problem)
    tab.run("follow(live('/supply/', 'state'))")
    tab.until("state.reason.endsWith(\"'supply' does not run: no cable. (503)\")")
    tab.until("told.filter(([type]) => type === 'error').length === 1")
    assert server.asked.get(timeout=9) == "/supply/ws"
    assert server.asked.get(timeout=9) == "/supply/state"
    for _ in range(2):  # it is told once, however often it is tried
        while server.asked.get(timeout=9) != "/supply/ws":
            pass
    server.refusal = None
    talk = server.next_talk()
    talk.heard()
    talk.snapshot(0, {})
    tab.run("await state.ready")
    assert tab.run("return told.filter(([type]) => type === 'error').length") == 1
    assert tab.run("return state.isCurrent")


def test_a_proxy_that_passes_no_websockets_is_told_of(tab: Any, server: Any) -> None:
    server.refusal = (502, None)
    tab.run("follow(live('/supply/', 'state'))")
    tab.until("state.reason.includes('answers, but its WebSocket does not')")


def test_a_server_that_is_silent_is_asked_whether_it_is_there(tab: Any, server: Any) -> None:
    tab.run("follow(live('/supply/', 'state', { silence: 0.05, patience: 60 }))")
    talk = server.next_talk()
    talk.heard()
    talk.snapshot(0, {})
    tab.until("state.isCurrent")
    for _ in range(3):
        question = talk.heard()
        assert (question["operation"], question["names"]) == ("readmultipleproperties", [])
        assert tab.run("return state.isCurrent")
        talk.answer(question)
    talk.heard()
    assert tab.run("return state.isCurrent")
    tab.run("const now = Date.now; Date.now = () => now() + 61_000;")
    again = server.next_talk()  # this time, there was no answer
    assert "has not answered for" in str(tab.run("return told"))
    again.heard()
    again.snapshot(1, {})
    tab.until("state.version === 1")


def test_after_the_computer_has_slept_the_state_is_in_doubt(tab: Any, server: Any) -> None:
    tab.run("follow(live('/supply/', 'state', { silence: 0.1, patience: 60 }))")
    talk = server.next_talk()
    talk.heard()
    talk.snapshot(0, {})
    tab.until("state.isCurrent")
    tab.run("const now = Date.now; Date.now = () => now() + 100_000;")
    tab.until("!state.isCurrent")
    assert "has not been heard for 100 s" in tab.run("return state.reason")
    talk.set(0, "", {"bias": 1})  # which may have been on its way for long
    tab.until("state.version === 1")
    assert not tab.run("return state.isCurrent")
    tab.run("told.length = 0")
    talk.answer(talk.heard())
    tab.until("state.isCurrent")
    status, change = tab.run("return told")
    assert status == ["status", {"isCurrent": True, "reason": None}]
    assert change == ["change", {"version": 1, "patch": None, "origin": None}]


def test_pauses_grow_and_differ(tab: Any) -> None:
    tab.run(
        """window.pauses = []; const wait = setTimeout;
        window.WebSocket = class { constructor() { wait(() => this.onclose({ code: 1006 })); } close() {} };
        window.setTimeout = (act, ms) => { if (pauses.push(ms) < 10) wait(act); };
        follow(live("/supply/", "state"));"""
    )
    tab.until("pauses.length === 10")
    pauses = tab.run("return pauses")
    for pause, most in zip(pauses, [100, 200, 400, 800, 1600, 3200, 6400, 10000, 10000, 10000], strict=True):
        assert most / 2 <= pause <= most
    assert len({pause / 2**number for number, pause in enumerate(pauses[:7])}) == 7


@pytest.mark.parametrize("event", ["online", "visibilitychange"])
def test_when_there_is_reason_to_hope_it_does_not_wait(tab: Any, server: Any, talk: Any, event: str) -> None:
    tab.run("window.setTimeout = () => 0")  # it would wait for ever
    talk.hang_up()
    tab.until("!state.isCurrent")
    tab.run(f"(window.on{event} === undefined ? document : window).dispatchEvent(new Event('{event}'))")
    assert server.next_talk().heard()


def test_a_page_that_is_put_away_and_fetched_back_is_current_again(tab: Any, server: Any, talk: Any) -> None:
    tab.run("window.onpageshow = ({ persisted }) => { window.wasKept = persisted; };")
    opened(tab, f"{server.url}/other/page")
    talk.wait_for_end()
    tab.evaluate("history.back()")
    tab.until("location.pathname === '/page' && window.wasKept")
    again = server.next_talk()
    assert tab.run(IS_STALE) == "StaleStateError"
    again.heard()
    again.snapshot(8, {"bias": 8})
    tab.until("state.isCurrent")


def test_what_is_closed_is_closed(tab: Any, talk: Any) -> None:
    tab.run("state.close(); state.close();")
    talk.wait_for_end()
    tab.run("window.WebSocket = class { constructor() { told.push('opened'); } close() {} };")
    tab.run("window.dispatchEvent(new Event('online'))")
    assert tab.run("return told") == [["status", {"isCurrent": False, "reason": "It has been closed."}]]
    assert tab.run(IS_STALE) == "StaleStateError"


def test_what_is_closed_early_is_never_ready(tab: Any, server: Any) -> None:
    script = (
        "const state = live('/supply/', 'state'); state.close(); return state.ready.catch((error) => error.message);"
    )
    assert tab.run(script) == "It has been closed."


def test_urls_may_be_relative_to_the_page(tab: Any, server: Any) -> None:
    opened(tab, f"{server.url}/lab%201/api/page")
    tab.run("follow(live('supply', 'state'))")
    assert server.next_talk().path == "/lab%201/api/supply/ws"
    assert tab.run("return state.url") == f"{server.url}/lab%201/api/supply/state"


def test_a_name_is_needed(tab: Any) -> None:
    script = "try { live('/supply/'); } catch (error) { return String(error); }"
    assert tab.run(script).startswith("TypeError: live() takes a Thing's URL and the name of a property")


def test_what_listeners_do_wrong_does_no_harm(tab: Any, talk: Any) -> None:
    tab.run("window.onerror = () => true; state.addEventListener('change', () => { throw new Error('mine'); });")
    talk.set(7, "/bias", 2)
    talk.set(8, "/bias", 3)
    tab.until("state.version === 9")
