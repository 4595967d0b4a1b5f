"""A client that blocks follows live state, and knows when it does not."""

from __future__ import annotations

import gc
import queue
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from pydantic import BaseModel, Field, ValidationError

from labthings.client import live_copy
from labthings.client.live_property import LiveProperty
from labthings.exceptions import (
    ClientPropertyError,
    StaleStateError,
    StateTimeoutError,
    UnobservableClientPropertyError,
)
from labthings.state import ReactiveModel
from tests.test_client.fake_thing import ID, FakeThing
from tests.test_client.test_observation import next_soon, observing_threads

SOON = 10.0


class State(ReactiveModel):
    enabled: bool = False
    bias: list[float] = Field(default_factory=lambda: [0.0, 0.0])


@pytest.fixture
def supply(lamp) -> FakeThing:
    """A Thing with live state."""
    lamp.show("state", {"enabled": False, "bias": [0.0, 0.0]})
    return lamp


def version_is(number: int, live: Any) -> Callable[[Any], bool]:
    return lambda value: live.version >= number


def test_the_state_is_there_at_once_and_is_kept(supply):
    with supply.client().live("state") as live:
        assert live.data == {"enabled": False, "bias": [0.0, 0.0]}
        assert (live.version, live.epoch, live.is_current) == (7, "aaaa", True)
        supply.change("state", "/bias/1", 1.25)
        assert live.wait_until(lambda state: state["bias"][1], SOON) == {"enabled": False, "bias": [0.0, 1.25]}
        assert (live.version, live.data["bias"], live.last_known) == (8, [0.0, 1.25], live.data)
        assert repr(live) == "<LiveState lamp.state, version 8, current>"


def test_why_it_is_not_current_and_since_when(supply):
    before = datetime.now().astimezone()
    with supply.client().live("state") as live:
        assert (live.reason, live.since) == (None, None)
        supply.held = {"addPropertyObservation"}
        supply.patch("state", epoch="bbbb", baseVersion=7, version=8, patch=[])
        supply.expect("addPropertyObservation")
        supply.expect("addPropertyObservation")
        since = live.since
        assert before <= since <= datetime.now().astimezone()
        assert "was given a patch of bbbb" in live.reason
    assert (live.reason, live.since) == ("it was closed", since)


def test_what_is_said_is_in_the_dialect_of_labthings(supply):
    with supply.client().live("state"):
        request = supply.expect("addPropertyObservation")
    assert (request["data"], request["thingID"]) == ({"state": "patches"}, ID)
    assert supply.gone.get(timeout=SOON)


def test_what_is_read_is_a_copy(supply):
    with supply.client().live("state") as live:
        live.data["bias"].clear()
        live.last_known["bias"].clear()
        next_soon(live).data["bias"].clear()
        assert live.data["bias"] == live.last_known["bias"] == [0.0, 0.0]


def test_the_state_as_a_model_which_is_made_once_for_each_version(supply):
    with supply.client().live("state", State) as live:
        before = live.value
        assert before == State(enabled=False, bias=[0.0, 0.0])
        assert live.value is before
        assert live.read(State) is not before
        supply.change("state", "/enabled", True)
        assert live.wait_until(lambda state: state.enabled, SOON) is live.value
        assert (before.enabled, live.value.enabled) == (False, True)


def test_a_state_that_does_not_fit_the_model(supply):
    class Other(BaseModel):
        temperature: float

    with supply.client().live("state", Other) as live:
        with pytest.raises(ValidationError, match="temperature"):
            _ = live.value
        assert live.data["enabled"] is False


@pytest.mark.parametrize(("model", "words"), [(print, "Use `callback=print`"), ("State", "not a model"), (int, "mod")])
def test_a_model_is_a_class_of_pydantics(supply, model, words):
    with pytest.raises(TypeError, match=words):
        supply.client().live("state", model)


# --- changes --------------------------------------------------------------------------------------------------------


def test_changes_tell_what_has_become_of_the_state_and_why(supply):
    with supply.client().live("state", State) as live:
        first = next_soon(live)
        assert (first.version, first.operations, first.origin) == (7, None, None)
        supply.change("state", "/enabled", True, origin={"invocation": "x"})
        change = next_soon(live)
        assert (change.version, change.version.epoch, change.origin) == (8, "aaaa", {"invocation": "x"})
        assert change.operations == ({"op": "replace", "path": "/enabled", "value": True},)
        supply.change("state", "/bias/0", 2)
        assert next_soon(live).operations[0]["path"] == "/bias/0"
        assert (first.data["enabled"], change.data["enabled"], change.data["bias"]) == (False, True, [0.0, 0.0])
        assert (change.value, change.value) == (State(enabled=True), change.read(State))


def test_a_slow_reader_gets_the_newest_state_once_and_what_has_made_it(supply):
    with supply.client().live("state") as live:
        assert next_soon(live).version == 7
        for number in range(3):
            supply.change("state", "/bias/0", number, origin={"by": "me"})
        live.wait_until(version_is(10, live), SOON)
        change = next_soon(live)
        assert (change.version, [each["value"] for each in change.operations]) == (10, [0, 1, 2])
        assert change.origin == {"by": "me"}
        supply.change("state", "/bias/0", 3, origin={"by": "me"})
        supply.change("state", "/bias/0", 4, origin={"by": "you"})
        live.wait_until(version_is(12, live), SOON)
        change = next_soon(live)
        assert (change.version, len(change.operations), change.origin) == (12, 2, None)


@pytest.mark.parametrize(("limit", "value"), [("MOST_PATCHES", 3), ("MOST_BYTES", 300)])
def test_a_reader_that_is_too_slow_is_not_told_what_has_made_it(supply, monkeypatch, limit, value):
    monkeypatch.setattr(live_copy, limit, value)
    with supply.client().live("state") as live:
        assert next_soon(live).version == 7
        for number in range(20):
            supply.change("state", "/bias/0", number)
        live.wait_until(version_is(27, live), SOON)
        change = next_soon(live)
        assert (change.version, change.operations, change.data["bias"]) == (27, None, [19, 0.0])
        supply.change("state", "/bias/0", 20)
        assert len(next_soon(live).operations) == 1


def test_a_snapshot_may_come_at_any_time(supply):
    with supply.client().live("state") as live:
        assert next_soon(live).version == 7
        supply.show("state", {"enabled": True}, version=2000)
        supply.snapshot("state")
        change = next_soon(live)
        assert (change.version, change.operations, change.data) == (2000, None, {"enabled": True})
        supply.change("state", "/enabled", False)
        assert next_soon(live).version == 2001


def test_a_patch_that_is_known_already_is_no_news(supply):
    with supply.client().live("state") as live:
        supply.patch("state", epoch="aaaa", baseVersion=6, version=7, patch=[{"op": "remove", "path": "/bias"}])
        supply.change("state", "/enabled", True)
        live.wait_until(lambda state: state["enabled"], SOON)
        assert live.data["bias"] == [0.0, 0.0]


def test_all_six_operations_are_understood(supply):
    operations = [
        {"op": "test", "path": "/enabled", "value": False},
        {"op": "copy", "from": "/bias", "path": "/a~1b"},
        {"op": "move", "from": "/bias", "path": "/c"},
        {"op": "add", "path": "/c/-", "value": 3},
        {"op": "remove", "path": "/c/0"},
        {"op": "replace", "path": "/enabled", "value": None},
    ]
    with supply.client().live("state") as live:
        supply.patch("state", epoch="aaaa", baseVersion=7, version=8, patch=operations)
        data = live.wait_until(version_is(8, live), SOON)
        assert data == {"enabled": None, "a/b": [0.0, 0.0], "c": [0.0, 3]}


def test_a_callback_is_called_with_the_state_and_each_change(supply):
    changes: queue.Queue[Any] = queue.Queue()
    with supply.client().live("state", callback=changes.put) as live:
        assert changes.get(timeout=SOON).data["enabled"] is False
        supply.change("state", "/enabled", True)
        assert changes.get(timeout=SOON).data["enabled"] is True
        with pytest.raises(TypeError, match="has a callback"):
            next(live)
    assert observing_threads() == []


def test_a_callback_may_close_it(supply):
    opened, closed = threading.Event(), threading.Event()

    def close(change: Any) -> None:
        assert opened.wait(SOON)
        live.close()
        closed.set()

    live = supply.client().live("state", callback=close)
    opened.set()
    assert closed.wait(SOON)
    live.close()
    assert observing_threads() == []


# --- gaps -----------------------------------------------------------------------------------------------------------

GAPS = {
    "a version is missing": (
        {"baseVersion": 8, "version": 9, "patch": []},
        "patch of version 8, but this is version 7",
    ),
    "another epoch": (
        {"epoch": "bbbb", "baseVersion": 7, "version": 8, "patch": []},
        "a patch of bbbb, but this is aa",
    ),
    "it does not fit": (
        {"baseVersion": 7, "version": 8, "patch": [{"op": "remove", "path": "/gone"}]},
        "does not fit .There is nothing at '/gone'",
    ),
    "no patch at all": ({"baseVersion": 7, "version": 8}, "makes no sense .KeyError"),
    "an odd operation": ({"baseVersion": 7, "version": 8, "patch": [5]}, "does not fit"),
}


@pytest.mark.parametrize(("patch", "words"), GAPS.values(), ids=GAPS)
def test_a_gap_is_found_told_of_and_filled(supply, caplog, patch, words):
    noted: queue.Queue[bool] = queue.Queue()
    changes: queue.Queue[Any] = queue.Queue()
    with supply.client().live("state", callback=changes.put, on_connection=noted.put) as live:
        assert changes.get(timeout=SOON).version == 7
        supply.expect("addPropertyObservation")
        supply.held = {"addPropertyObservation"}
        supply.patch("state", **{"epoch": "aaaa", **patch})
        assert noted.get(timeout=SOON) is False
        for read in (lambda: live.data, lambda: live.value, lambda: live.read(State)):
            with pytest.raises(StaleStateError, match=words):
                read()
        assert (live.is_current, live.last_known["enabled"], live.version) == (False, False, 7)
        assert supply.expect("addPropertyObservation")["data"] == {"state": "patches"}
        supply.change("state", "/enabled", True)  # which comes before the snapshot, so it is passed over
        supply.snapshot("state")
        change = changes.get(timeout=SOON)
        assert noted.get(timeout=SOON) is True
        assert (change.version, change.operations, live.data["enabled"]) == (8, None, True)
    assert "lamp.state is not current since" in caplog.text


def test_a_gap_right_after_the_snapshot_that_filled_one(supply):
    with supply.client().live("state") as live:
        supply.expect("addPropertyObservation")
        supply.held = {"addPropertyObservation"}
        supply.patch("state", epoch="bbbb", baseVersion=1, version=2, patch=[])
        supply.expect("addPropertyObservation")
        supply.held = set()
        supply.snapshot("state")
        supply.patch("state", epoch="bbbb", baseVersion=1, version=2, patch=[])
        supply.expect("addPropertyObservation")
        supply.change("state", "/enabled", True)
        live.wait_until(lambda state: state["enabled"], SOON)


@pytest.mark.usefixtures("short_pauses")
def test_a_server_that_gets_it_wrong_each_time_is_asked_after_longer_and_longer_pauses(supply, monkeypatch):
    counts: list[int] = []
    count = LiveProperty.count_gap
    monkeypatch.setattr(LiveProperty, "count_gap", lambda *args: counts.append(count(*args)) or counts[-1])
    with supply.client().live("state") as live:
        for _ in range(5):
            supply.expect("addPropertyObservation")
            supply.change("state", "/enabled", True)
            live.wait_until(lambda state: state["enabled"], SOON)
            supply.change("state", "/enabled", False)
            supply.patch("state", epoch="bbbb", baseVersion=1, version=2, patch=[])
        supply.expect("addPropertyObservation")
    assert counts == [1, 2, 3, 4, 5]


NONSENSE = {"state": {"epoch": "aaaa", "data": {"enabled": True}}}


def nonsense_as_answer(supply: FakeThing) -> None:
    """Tell live state without its version."""
    supply.expect("addPropertyObservation")
    supply.send({"messageType": "propertySnapshot", "data": NONSENSE})


def test_a_first_snapshot_that_makes_no_sense_is_an_error(supply):
    supply.held = {"addPropertyObservation"}
    answering = threading.Thread(target=nonsense_as_answer, args=[supply])
    answering.start()
    client = supply.client()
    words = r"Following lamp\.state failed: a snapshot makes no sense \(KeyError: 'version'\)\.$"
    with pytest.raises(ClientPropertyError, match=words):
        client.live("state")
    answering.join(SOON)
    assert supply.gone.get(timeout=SOON)
    supply.held = set()
    with client.live("state") as live:
        assert live.data["enabled"] is False


@pytest.mark.usefixtures("short_pauses")
@pytest.mark.parametrize("loses_connection", [True, False])
def test_a_later_snapshot_that_makes_no_sense_is_asked_for_again(supply, loses_connection):
    errors: queue.Queue[Any] = queue.Queue()
    changes: queue.Queue[Any] = queue.Queue()
    client = supply.client()
    with client.live("state", None, changes.put, on_error=errors.put) as live:
        assert changes.get(timeout=SOON).version == 7
        supply.expect("addPropertyObservation")
        supply.held = {"addPropertyObservation"}
        if loses_connection:
            supply.drop()
        else:
            supply.patch("state", epoch="bbbb", baseVersion=7, version=8, patch=[])
        for _ in range(3):
            nonsense_as_answer(supply)
            assert "a snapshot makes no sense" in str(errors.get(timeout=SOON))
            assert "a snapshot makes no sense" in live.reason
        supply.expect("addPropertyObservation")
        supply.change("state", "/enabled", True)
        supply.snapshot("state")
        assert changes.get(timeout=SOON).data == live.data == {"enabled": True, "bias": [0.0, 0.0]}
        assert (live.reason, live.error) == (None, None)


def test_several_snapshots_that_make_no_sense_have_one_asked_for(supply, monkeypatch):
    asked: queue.Queue[bool] = queue.Queue()
    misses = LiveProperty.misses
    with supply.client().live("state") as live:
        supply.expect("addPropertyObservation")
        monkeypatch.setattr(LiveProperty, "misses", lambda *args: asked.put(wanted := misses(*args)) or wanted)
        supply.held = {"addPropertyObservation"}
        supply.patch("state", epoch="bbbb", baseVersion=7, version=8, patch=[])
        supply.expect("addPropertyObservation")
        assert asked.get(timeout=SOON) is True
        for _ in range(2):
            supply.send({"messageType": "propertySnapshot", "data": NONSENSE})
        assert [asked.get(timeout=SOON) for _ in range(2)] == [False, True]
        supply.expect("addPropertyObservation")
        supply.snapshot("state")
        assert live.wait_until(lambda state: True, SOON)


def test_who_joins_while_something_is_missing_waits_for_it(supply):
    client = supply.client()
    with client.live("state") as live, client.observe("position"):
        supply.expect("addPropertyObservation")
        supply.expect("observeproperty")
        supply.expect("readproperty")
        supply.held = {"addPropertyObservation"}
        supply.patch("state", epoch="bbbb", baseVersion=1, version=2, patch=[])
        supply.expect("addPropertyObservation")
        joined: queue.Queue[Any] = queue.Queue()
        thread = threading.Thread(target=lambda: joined.put(client.live("state")))
        thread.start()
        supply.expect("addPropertyObservation")
        assert joined.empty()
        supply.show("state", {"enabled": True})
        supply.snapshot("state")
        other = joined.get(timeout=SOON)
        thread.join(SOON)
        assert other.data == live.data == {"enabled": True}
        other.close()


# --- connections ----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("short_pauses")
def test_a_lost_connection_is_told_of_and_made_good(supply):
    noted: queue.Queue[bool] = queue.Queue()
    changes: queue.Queue[Any] = queue.Queue()
    before = datetime.now().astimezone()
    with supply.client().live("state", callback=changes.put, on_connection=noted.put) as live:
        assert changes.get(timeout=SOON).version == 7
        supply.stop()
        assert noted.get(timeout=SOON) is False
        with pytest.raises(
            StaleStateError, match=r"lamp\.state is not current since \d.*connection .* was lost"
        ) as stale:
            _ = live.data
        assert stale.value.since is not None
        assert before <= stale.value.since <= before + timedelta(seconds=SOON)
        assert "was lost" in stale.value.reason
        assert (live.is_current, live.last_known["enabled"]) == (False, False)
        assert "not current since" in repr(live)
        supply.show("state", {"enabled": True}, version=0, epoch="bbbb")
        supply.start()
        assert noted.get(timeout=SOON) is True
        change = changes.get(timeout=SOON)
        assert (change.version, change.version.epoch, change.operations) == (0, "bbbb", None)
        assert (live.data, live.epoch, live.is_current) == ({"enabled": True}, "bbbb", True)


@pytest.mark.usefixtures("short_pauses")
def test_a_server_that_refuses_to_go_on(supply, caplog):
    errors: queue.Queue[Any] = queue.Queue()
    with supply.client().live("state", callback=print, on_error=errors.put) as live:
        supply.states.clear()
        supply.drop()
        error = errors.get(timeout=SOON)
        assert isinstance(error, UnobservableClientPropertyError)
        assert live.error is error
        with pytest.raises(StaleStateError, match=r"Following lamp\.state failed: 'state' is not live state"):
            _ = live.data
    assert "Following lamp.state failed" in caplog.text


@pytest.mark.usefixtures("short_pauses")
def test_that_a_server_refuses_to_go_on_is_logged_once_by_default(supply, caplog, monkeypatch):
    failed = threading.Event()
    fail = LiveProperty.fail
    monkeypatch.setattr(LiveProperty, "fail", lambda *args: (fail(*args), failed.set()))
    with supply.client().live("state") as live:
        assert next_soon(live).version == 7
        supply.states.clear()
        supply.drop()
        assert failed.wait(SOON)
        supply.show("state", {"enabled": 1})
        supply.drop()
        assert next_soon(live).data == {"enabled": 1}
    assert caplog.text.count("Following lamp.state failed") == 1


@pytest.mark.usefixtures("short_pauses")
def test_a_server_that_does_not_answer_after_a_gap_is_connected_to_again(supply, monkeypatch):
    with supply.client().live("state") as live:
        supply.connections.get(timeout=SOON)
        supply.expect("addPropertyObservation")
        monkeypatch.setattr("labthings.client.channel.REPLY_SECONDS", 0.02)
        supply.held = {"addPropertyObservation"}
        supply.patch("state", epoch="bbbb", baseVersion=1, version=2, patch=[])
        supply.expect("addPropertyObservation")
        supply.connections.get(timeout=SOON)
        supply.held = set()
        assert live.wait_until(lambda state: True, SOON)


def test_a_server_that_has_lost_its_settings_has_given_its_thing_another_id(supply):
    client = supply.client()
    supply.id = "urn:uuid:another"
    with client.live("state") as live:
        assert live.data["enabled"] is False


REFUSALS = {
    "403": ("state", UnobservableClientPropertyError, "Following lamp.position failed: no .403 No."),
    "404": ("state", ClientPropertyError, "Following lamp.position failed: no .404 No."),
    "503": (None, ClientPropertyError, "Following lamp.position failed: no .503 No."),
    "400": (None, ClientPropertyError, "the server seems to be too old to tell of live state: no .400 No."),
}


@pytest.mark.parametrize("status", REFUSALS)
def test_what_a_server_refuses(supply, status):
    name, kind, words = REFUSALS[status]
    supply.held = {"addPropertyObservation"}
    refusing = threading.Thread(
        target=lambda: [
            supply.expect("addPropertyObservation") and supply.refuse(name and "position", status, "no")
            for _ in ("with the Thing's id", "and without")
        ]
    )
    refusing.start()
    with pytest.raises(kind, match=words):
        supply.client().live("position")
    refusing.join(SOON)
    assert observing_threads() == []


@pytest.mark.parametrize(
    ("name", "words"), [("stat", "Did you mean 'state'"), ("overheated", "is an event"), ("blink", "is an action")]
)
def test_what_is_no_property(supply, name, words):
    with pytest.raises(ClientPropertyError, match=words):
        supply.client().live(name)


# --- several at once, and their ends ----------------------------------------------------------------------------------


def test_two_of_one_property_share_a_copy_until_the_last_one_is_closed(supply):
    client = supply.client()
    one, two = client.live("state"), client.live("state", State)
    assert next_soon(two).value == State()
    supply.change("state", "/enabled", True)
    assert next_soon(two).value.enabled
    assert one.wait_until(lambda state: state["enabled"], SOON)
    one.close()
    supply.change("state", "/enabled", False)
    assert next_soon(two).value.enabled is False
    with pytest.raises(StaleStateError, match="it was closed"):
        _ = one.data
    with client.observe("position"):
        two.close()
        supply.expect("addPropertyObservation")
        for operation in ("observeproperty", "readproperty", "removePropertyObservation"):
            supply.expect(operation)


def test_it_can_be_followed_and_observed_at_once(supply):
    supply.values["state"] = 1
    client = supply.client()
    with client.live("state") as live, client.observe("state") as observation:
        assert next_soon(observation) == 1
        supply.set("state", 2)
        assert next_soon(observation) == 2
        supply.change("state", "/enabled", True)
        live.wait_until(lambda state: state["enabled"], SOON)


def test_nobody_waits_for_one_that_is_closed(supply):
    live = supply.client().live("state")
    began = threading.Event()
    errors: queue.Queue[Any] = queue.Queue()

    def wait() -> None:
        with pytest.raises(StaleStateError, match=r"lamp\.state is not current since .*: it was closed") as stale:
            live.wait_until(lambda state: began.set())
        errors.put(stale.value)

    thread = threading.Thread(target=wait)
    thread.start()
    assert began.wait(SOON)
    live.close()
    assert errors.get(timeout=SOON)
    thread.join(SOON)
    assert list(live) == []
    assert live.last_known["enabled"] is False


def test_it_ends_with_the_client(supply):
    client = supply.client()
    live = client.live("state")
    client.close()
    assert not live.is_current
    with pytest.raises(StaleStateError, match="it was closed"):
        live.read(State)


def test_it_ends_when_nobody_refers_to_it_any_more(supply):
    live = supply.client().live("state")
    assert next_soon(live).data
    del live
    gc.collect()
    assert supply.gone.get(timeout=SOON)


def test_waiting_for_something_that_does_not_come(supply):
    with supply.client().live("state") as live:
        with pytest.raises(
            StateTimeoutError, match=r"did not come within 0.01 s: <LiveState lamp.state, version 7, cur"
        ):
            live.wait_until(lambda state: state["enabled"], 0.01)
        with pytest.raises(TimeoutError):
            live.wait_until(lambda state: state["enabled"], 0)
        with pytest.raises(KeyError):
            live.wait_until(lambda state: state["gone"])
        assert live.wait_until(lambda state: not state["enabled"], 0) == live.data


@pytest.mark.usefixtures("short_pauses")
def test_an_old_state_is_not_what_was_waited_for(supply):
    noted: queue.Queue[bool] = queue.Queue()
    with supply.client().live("state", callback=lambda change: None, on_connection=noted.put) as live:
        supply.stop()
        assert noted.get(timeout=SOON) is False
        with pytest.raises(StateTimeoutError, match="not current since"):
            live.wait_until(lambda state: True, 0.01)
        supply.start()
        assert live.wait_until(lambda state: True, SOON)
