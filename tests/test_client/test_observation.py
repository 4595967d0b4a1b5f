"""A client that blocks is told of changes and events."""

from __future__ import annotations

import gc
import logging
import queue
import signal
import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest

import labthings as lt
from labthings.client import mailbox
from labthings.exceptions import (
    ClientPropertyError,
    FailedToSubscribeError,
    InvocationCancelledError,
    PropertyNotObservableError,
    UnobservableClientPropertyError,
)
from tests.test_client.fake_thing import ID, FakeThing

BROKEN = {"status": "500", "title": "OSError", "detail": "the sensor is unplugged"}


def next_soon(observation: Any) -> Any:
    """The next value, or an error instead of waiting for ever."""
    watchdog = threading.Timer(10, observation.close)
    watchdog.start()
    try:
        return next(observation)
    finally:
        watchdog.cancel()
        watchdog.join()


def observing_threads() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if "labthings-client" in each.name or "Observation" in each.name]


def test_the_current_value_comes_first_and_then_each_change(lamp):
    with lamp.client().observe("position") as observation:
        assert observation.is_connected
        assert next_soon(observation) == 0.0
        lamp.set("position", 1.5)
        assert next_soon(observation) == 1.5
        lamp.set("position", 1.5)
        assert next_soon(observation) == 1.5
    assert not observation.is_connected


def test_requests_are_as_the_protocol_has_them(lamp):
    with lamp.client().observe("position") as observation:
        next_soon(observation)
    observe, read = lamp.expect("observeproperty"), lamp.expect("readproperty")
    assert (observe["messageType"], observe["name"], observe["thingID"]) == ("request", "position", ID)
    assert len({observe["correlationID"], read["correlationID"], observe["messageID"], read["messageID"]}) == 4


def test_a_change_is_at_least_as_new_as_a_value_that_is_read_meanwhile(lamp):
    lamp.held = {"readproperty"}
    with lamp.client().observe("position") as observation:
        lamp.expect("observeproperty")
        request = lamp.expect("readproperty")
        lamp.set("position", 2)
        assert next_soon(observation) == 2
        lamp.answer(request, value=1)
        lamp.set("position", 3)
        assert next_soon(observation) == 3


def test_a_slow_reader_gets_the_newest_value(lamp):
    client = lamp.client()
    reached = threading.Event()
    with client.observe("position") as slow, client.observe("position", lambda value: value == 99 and reached.set()):
        assert next_soon(slow) == 0
        for number in range(100):
            lamp.set("position", number)
        assert reached.wait(10)
        assert next_soon(slow) == 99
        lamp.set("position", 100)
        assert next_soon(slow) == 100


def test_a_callback_is_called_in_a_thread_of_its_own_until_the_end(lamp):
    values: queue.Queue[Any] = queue.Queue()
    observation = lamp.client().observe("position", lambda value: values.put((value, threading.current_thread())))
    value, thread = values.get(timeout=10)
    assert value == 0.0
    assert thread is not threading.main_thread()
    lamp.set("position", 2)
    assert values.get(timeout=10) == (2, thread)
    observation.close()
    observation.close()
    assert observing_threads() == []


def test_a_callback_that_fails_is_called_again(lamp, caplog):
    errors = iter([ValueError("no"), InvocationCancelledError("stopped")])
    values: queue.Queue[Any] = queue.Queue()

    def fail_twice(value: Any) -> None:
        values.put(value)
        for error in errors:
            raise error

    with lamp.client().observe("position", fail_twice):
        for number in range(3):
            assert values.get(timeout=10) == number
            lamp.set("position", number + 1)
    failures = [r for r in caplog.records if "callback for lamp.position failed" in r.getMessage()]
    assert [str(each.exc_info[1]) for each in failures if each.exc_info] == ["no", "stopped"]


def test_a_callback_may_close_its_observation(lamp):
    closed = threading.Event()
    opened = threading.Event()

    def close(value: Any) -> None:
        assert opened.wait(10)
        observation.close()
        closed.set()

    observation = lamp.client().observe("position", close)
    opened.set()
    assert closed.wait(10)
    observation.close()
    assert observing_threads() == []


def test_an_observation_with_a_callback_is_not_iterated_over(lamp):
    with lamp.client().observe("position", print) as observation, pytest.raises(TypeError, match="has a callback"):
        iter(observation)
    with lamp.client().observe("position", print) as observation, pytest.raises(TypeError, match="has a callback"):
        next(observation)


async def later(value: Any) -> None:
    """A callback that nobody would await."""


@pytest.mark.parametrize(
    ("callback", "words"),
    [("speed", "'speed' cannot be called with the values of lamp.position"), (later, "use an AsyncThingClient")],
)
def test_a_callback_is_a_function_that_is_not_asynchronous(lamp, callback, words):
    with pytest.raises(TypeError, match=words):
        lamp.client().observe("position", callback)
    assert observing_threads() == []


def test_closing_ends_an_iterator_that_waits_in_another_thread(lamp):
    observation = lamp.client().observe("position")
    values: list[Any] = []
    begun = threading.Event()

    def read() -> None:
        for value in observation:
            values.append(value)
            begun.set()

    thread = threading.Thread(target=read)
    thread.start()
    assert begun.wait(10)
    observation.close()
    thread.join(10)
    assert not thread.is_alive()
    assert values == [0.0]
    assert list(observation) == []
    assert repr(observation) == "<Observation lamp.position, closed>"


@pytest.mark.parametrize("close", [lambda client: client.close(), lambda client: client.__exit__(None, None, None)])
def test_closing_the_client_ends_everything_that_is_observed(lamp, close):
    client = lamp.client()
    with client.observe("position") as one, client.subscribe("overheated") as other:
        close(client)
        assert list(one) == list(other) == []
        assert lamp.gone.get(timeout=10)
    assert observing_threads() == []


def test_a_client_that_was_closed_observes_nothing(lamp):
    http = lamp.http()
    client = lt.ThingClient.from_url(f"http://127.0.0.1:{lamp.port}/lamp/", http)
    http.close()
    with pytest.raises(ClientPropertyError, match=r"Observing lamp.position failed: the client has been closed"):
        client.observe("position")
    assert observing_threads() == []


def test_ctrl_c_interrupts_a_loop(lamp):
    with lamp.client().observe("position") as observation:
        next_soon(observation)
        interrupt = threading.Timer(0.05, signal.pthread_kill, [threading.main_thread().ident, signal.SIGINT])

        def wait() -> None:
            interrupt.start()
            next_soon(observation)

        with pytest.raises(KeyboardInterrupt):
            wait()
        lamp.set("position", 4)
        assert next_soon(observation) == 4


# --- properties that cannot be read -----------------------------------------------------------------------------


def test_a_property_that_cannot_be_read_gives_no_value_until_it_can(lamp, caplog):
    with lamp.client().observe("position") as observation:
        assert next_soon(observation) == 0.0
        lamp.notify("observeproperty", "position", error=BROKEN)
        reader = threading.Thread(target=lambda: values.append(next_soon(observation)))
        values: list[Any] = []
        reader.start()
        wait_for(lambda: "Reading lamp.position failed: the sensor is unplugged (500 OSError)" in caplog.text)
        assert isinstance(observation.error, ClientPropertyError)
        assert values == []
        lamp.set("position", 7)
        reader.join(10)
        assert values == [7]
        assert observation.error is None


def test_a_value_that_is_stale_by_now_is_not_given(lamp):
    errors: queue.Queue[Exception] = queue.Queue()
    client = lamp.client()
    with client.observe("position") as slow, client.observe("position", print, on_error=errors.put):
        next_soon(slow)
        lamp.set("position", 1)
        lamp.notify("observeproperty", "position", error=BROKEN)
        assert errors.get(timeout=10)
        lamp.set("position", 2)
        assert next_soon(slow) == 2


def test_an_error_says_only_once_what_failed(lamp):
    lamp.answers["readproperty"] = {"error": {**BROKEN, "detail": "Reading lamp.position failed: it is unplugged"}}
    errors: queue.Queue[Any] = queue.Queue()
    with lamp.client().observe("position", print, on_error=errors.put):
        assert str(errors.get(timeout=10)) == "Reading lamp.position failed: it is unplugged (500 OSError)"


def test_what_on_error_raises_leaves_the_loop_which_may_go_on(lamp):
    def give_up(error: Exception) -> None:
        raise error

    lamp.answers["readproperty"] = {"error": BROKEN}
    with lamp.client().observe("position", on_error=give_up) as observation:
        with pytest.raises(ClientPropertyError, match="unplugged") as caught:
            next_soon(observation)
        assert caught.value.problem.status == 500
        lamp.set("position", 3)
        assert next_soon(observation) == 3


# --- one connection ---------------------------------------------------------------------------------------------


def test_observations_of_one_client_share_a_connection(lamp):
    client = lamp.client()
    with client.observe("position") as one, client.observe("position") as two, client.subscribe("overheated"):
        assert next_soon(one) == next_soon(two) == 0.0
        lamp.set("position", 5)
        assert next_soon(one) == next_soon(two) == 5
        one.close()
        lamp.set("position", 6)
        assert next_soon(two) == 6
        two.close()
        operations = [lamp.requests.get(timeout=10)["operation"] for _ in range(5)]
        assert sorted(operations) == [
            *["observeproperty", "readproperty", "readproperty", "subscribeevent", "unobserveproperty"]
        ]
        assert lamp.gone.empty()
    lamp.gone.get(timeout=10)
    assert lamp.connections.qsize() == 1
    assert observing_threads() == []


def test_observation_that_nobody_refers_to_is_ended(lamp):
    for value in lamp.client().observe("position"):
        assert value == 0.0
        break
    gc.collect()
    lamp.gone.get(timeout=10)
    wait_for(lambda: observing_threads() == [])


def test_observing_again_after_the_last_one_has_ended(lamp):
    client = lamp.client()
    for _ in range(3):
        with client.observe("position") as observation:
            assert next_soon(observation) == 0.0
    assert lamp.connections.qsize() == 3


# --- lost connections -------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("short_pauses")
def test_a_lost_connection_comes_back_by_itself_and_the_value_is_read_again(lamp, caplog):
    noted: list[bool] = []
    caplog.set_level(logging.INFO, "labthings.client")
    with lamp.client().observe("position", on_connection=noted.append) as observation:
        assert next_soon(observation) == 0.0
        lamp.stop()
        wait_for(lambda: not observation.is_connected)
        lamp.values["position"] = 8
        lamp.start()
        assert next_soon(observation) == 8
        assert observation.is_connected
        assert noted == [False, True]
        lamp.set("position", 9)
        assert next_soon(observation) == 9
    url = f"ws://127.0.0.1:{lamp.port}/lamp/ws"
    levels = [(r.levelname, r.getMessage()) for r in caplog.records if r.name == "labthings.client"]
    assert levels[0][0] == "WARNING"
    assert levels[0][1].startswith(f"The connection to {url} is lost (")
    assert any(level == "INFO" and text.startswith(f"Connected to {url} again, after") for level, text in levels)


@pytest.mark.usefixtures("short_pauses")
def test_a_slow_reader_is_told_once_of_a_connection_that_comes_and_goes(lamp):
    noted: list[bool] = []
    client = lamp.client()
    back: queue.Queue[bool] = queue.Queue()
    with client.observe("position", on_connection=noted.append) as slow:
        assert next_soon(slow) == 0.0
        with client.observe("position", lambda value: None, on_connection=back.put):
            for _ in range(3):
                lamp.connections.get(timeout=10)
                lamp.drop()
                assert [back.get(timeout=10), back.get(timeout=10)] == [False, True]
        while not noted:  # a value that came before the last loss is given before that is told
            assert next_soon(slow) == 0.0
    assert noted == [False, True]


@pytest.mark.usefixtures("short_pauses")
def test_a_server_that_refuses_after_a_restart_is_an_error_that_is_told(lamp):
    errors: queue.Queue[Exception] = queue.Queue()
    with lamp.client().observe("position", lambda value: None, on_error=errors.put) as observation:
        lamp.answers["observeproperty"] = {"error": {"status": "404", "title": "Not Found", "detail": "no position"}}
        lamp.connections.get(timeout=10)
        lamp.drop()
        assert "Observing lamp.position failed: no position (404 Not Found)" in str(errors.get(timeout=10))
        assert not observation.is_connected
        assert observation.error is not None


@pytest.mark.usefixtures("short_pauses")
def test_a_thing_may_have_a_new_id_after_a_restart(lamp):
    client = lamp.client()
    with client.observe("position") as observation, client.subscribe("overheated") as events:
        next_soon(observation)
        lamp.id = "urn:uuid:new"
        lamp.drop()
        assert next_soon(observation) == 0.0
        wait_for(lambda: events.is_connected)
        lamp.emit("overheated", 1, data=5)
        assert next_soon(events) == 5


@pytest.mark.usefixtures("short_pauses")
def test_a_server_that_does_not_answer_any_more_is_left(lamp, monkeypatch):
    with lamp.client().observe("position") as observation:
        next_soon(observation)
        lamp.held = {"observeproperty"}
        monkeypatch.setattr("labthings.client.channel.REPLY_SECONDS", 0.02)
        lamp.connections.get(timeout=10)
        lamp.drop()
        lamp.connections.get(timeout=10)
        lamp.connections.get(timeout=10)  # it has tried a further time
        lamp.held = set()
        assert next_soon(observation) == 0.0


def test_pauses_grow_up_to_a_bound_until_a_connection_has_lasted(lamp, monkeypatch):
    pauses: list[float] = []
    enough = threading.Event()

    def choose(low: float, high: float) -> float:
        pauses.append(channel._pause)
        enough.set() if len(pauses) == 10 else None
        return 0

    monkeypatch.setattr("labthings.client.channel.RANDOM.uniform", choose)
    client = lamp.client()
    with client.observe("position"):
        channel = client._background._thread.channel
        lamp.stop()
        assert enough.wait(10)
    assert pauses[:10] == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10, 10])


# --- events -----------------------------------------------------------------------------------------------------


def test_events_come_in_order(lamp):
    with lamp.client().subscribe("overheated") as observation:
        for number in range(3):
            lamp.emit("overheated", number, data=number)
        lamp.emit("tripped", 3)
        assert [next_soon(observation) for _ in range(3)] == [0, 1, 2]
        assert observation.lost == 0


def test_event_without_data(lamp):
    with lamp.client().subscribe("tripped") as observation:
        lamp.emit("tripped", 1)
        assert next_soon(observation) is None


@pytest.mark.usefixtures("short_pauses")
def test_events_go_on_where_they_were_after_a_lost_connection(lamp, caplog):
    with lamp.client().subscribe("overheated") as observation:
        assert "lastEventID" not in lamp.expect("subscribeevent")
        lamp.drop()
        assert lamp.expect("subscribeevent")["lastEventID"] == "aaaa-0"
        lamp.emit("overheated", 7, data=1)
        assert next_soon(observation) == 1
        lamp.epoch = "bbbb"
        lamp.drop()
        assert lamp.expect("subscribeevent")["lastEventID"] == "aaaa-7"
        lamp.notify("subscribeevent", "overheated", messagesLost=None)
        lamp.emit("overheated", 1, data=2)
        assert next_soon(observation) == 2
        lamp.drop()
        assert lamp.expect("subscribeevent")["lastEventID"] == "bbbb-1"
        assert observation.lost == 0
    assert "lamp.overheated: Some events may have been lost, since the server was restarted." in caplog.text


@pytest.mark.parametrize("name", [{"name": "overheated"}, {}])
def test_lost_events_are_counted_and_logged(lamp, caplog, name):
    with lamp.client().subscribe("overheated") as observation:
        lamp.send({"messageType": "notification", "operation": "subscribeevent", **name, "messagesLost": 12})
        lamp.emit("overheated", 13, data=1)
        assert next_soon(observation) == 1
        assert observation.lost == 12
    assert "lamp.overheated: 12 lost." in caplog.text


def test_a_reader_who_is_too_slow_for_events_loses_the_oldest_and_is_told(lamp, caplog, monkeypatch):
    monkeypatch.setattr(mailbox, "MOST_EVENTS", 3)
    reached = threading.Event()
    client = lamp.client()
    with client.subscribe("overheated") as slow, client.subscribe("overheated", lambda n: n == 9 and reached.set()):
        for number in range(10):
            lamp.emit("overheated", number, data=number)
        assert reached.wait(10)
        assert [next_soon(slow) for _ in range(3)] == [7, 8, 9]
        assert slow.lost == 7
    assert "Events come faster than they are taken" in caplog.text


# --- what cannot be observed ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ask", "error", "message"),
    [
        (lambda c: c.observe("silent"), UnobservableClientPropertyError, r"lamp\.silent cannot be observed: the serv"),
        (lambda c: c.observe("positoin"), ClientPropertyError, r"no property 'positoin'\. Did you mean 'position'\?"),
        (lambda c: c.observe("overheated"), ClientPropertyError, r"is an event\. Use `subscribe\('overheated'\)`"),
        (lambda c: c.subscribe("position"), FailedToSubscribeError, r"is a property\. Use `observe\('position'\)`"),
        (lambda c: c.subscribe("overheat"), FailedToSubscribeError, r"no event 'overheat'\. Did you mean 'overheated'"),
        (lambda c: c.observe("blink"), ClientPropertyError, r"lamp\.blink is an action, which cannot be observed"),
        (lambda c: setattr(c, "overheated", 1), AttributeError, r"lamp\.overheated is an event, which the Thing's own"),
        (lambda c: c.overheated, AttributeError, r"lamp\.overheated is an event\. Use `subscribe\('overheated'\)`"),
    ],
)
def test_what_cannot_be_observed_is_refused_at_once(lamp, ask, error, message):
    with pytest.raises(error, match=message):
        ask(lamp.client())
    assert lamp.connections.empty()


@pytest.mark.parametrize(
    ("status", "kind"), [("403", UnobservableClientPropertyError), ("404", ClientPropertyError), (None, RuntimeError)]
)
def test_refusal_of_the_server(lamp, status, kind):
    lamp.answers["observeproperty"] = {"error": {"status": status, "title": "No", "detail": "not that"}}
    with pytest.raises(kind, match=r"Observing lamp\.position failed: not that") as caught:
        lamp.client().observe("position")
    assert isinstance(caught.value, PropertyNotObservableError) is (status == "403")
    lamp.gone.get(timeout=10)
    assert observing_threads() == []


def test_server_that_cannot_be_reached_at_first():
    lamp = FakeThing()
    url = f"ws://127.0.0.1:{lamp.port}/lamp/ws"
    with pytest.raises(
        ClientPropertyError, match=rf"^Observing lamp\.position failed: no answer from {url}: .*Refused"
    ):
        lamp.client().observe("position")
    with pytest.raises(FailedToSubscribeError, match=r"^Subscribing to lamp\.overheated failed: no answer"):
        lamp.client().subscribe("overheated")
    assert observing_threads() == []


def test_observing_more_while_the_connection_is_lost(lamp, monkeypatch):
    monkeypatch.setattr("labthings.client.channel.SHORTEST_PAUSE", 100)
    client = lamp.client()
    with client.observe("position") as observation:
        lamp.drop()
        wait_for(lambda: not observation.is_connected)
        with pytest.raises(ClientPropertyError, match=r"there is no connection to .* at the moment"):
            client.observe("position")


def test_a_server_that_does_not_answer_at_first(lamp, monkeypatch):
    monkeypatch.setattr("labthings.client.channel.REPLY_SECONDS", 0.02)
    lamp.held = {"observeproperty"}
    with pytest.raises(ClientPropertyError, match="ws does not answer"):
        lamp.client().observe("position")


def test_closing_the_client_while_it_begins_to_observe(lamp):
    lamp.held = {"observeproperty"}
    client = lamp.client()
    closer = threading.Thread(target=lambda: (lamp.expect("observeproperty"), client.close()))
    closer.start()
    with pytest.raises(ClientPropertyError, match="closed meanwhile"):
        client.observe("position")
    closer.join(10)


def test_client_without_a_network(client_of):
    class Lamp(lt.Thing):
        position: float = lt.property(default=0.0)

    client = lt.ThingClient.from_url("/thing/", client_of(Lamp))
    with pytest.raises(ClientPropertyError, match="is a TestClient, which has no network and so no WebSockets"):
        client.observe("position")


def test_description_without_a_websocket(lamp, monkeypatch):
    monkeypatch.setattr(FakeThing, "description", {**lamp.description, "forms": []})
    with pytest.raises(ClientPropertyError, match="tells of no WebSocket for the Web Thing Protocol"):
        lamp.client().observe("position")


def test_websocket_of_another_protocol():
    lamp = FakeThing()
    lamp.subprotocols = None
    lamp.start()
    try:
        with pytest.raises(ClientPropertyError, match="does not speak the Web Thing Protocol"):
            lamp.client().observe("position")
    finally:
        lamp.stop()


def test_what_the_http_client_sends_with_each_request_is_sent_too(lamp):
    options = {"auth": ("ada", "secret"), "cookies": {"session": "7"}, "headers": {"x-lab": "3"}}
    with lamp.client(**options).observe("position"):
        headers = lamp.connections.get(timeout=10).request.headers
    expected = httpx.Request(
        "GET", "http://lab", headers={"authorization": httpx.BasicAuth("ada", "secret")._auth_header}
    )
    assert headers["authorization"] == expected.headers["authorization"]
    assert (headers["cookie"], headers["x-lab"]) == ("session=7", "3")
    assert headers.get_all("host") == [f"127.0.0.1:{lamp.port}"]


@pytest.mark.parametrize(
    "garbage", ["{", "[]", "3", "{}", b"\xff", '{"messageType": "notification"}', '{"messageType": 1}']
)
def test_what_cannot_be_understood_does_no_harm(lamp, garbage, caplog):
    with lamp.client().observe("position") as observation:
        next_soon(observation)
        lamp.send(garbage)
        lamp.send({"messageType": "response", "error": {"status": "400", "detail": "bad"}})
        lamp.set("position", 5)
        assert next_soon(observation) == 5
    assert "bad" in caplog.text


def wait_for(condition: Callable[[], bool]) -> None:
    """Look again and again until something is so, as what nobody signals."""
    pause = threading.Event()
    for _ in range(2000):
        if condition():
            return
        pause.wait(0.005)
    raise AssertionError("It never came to that.")
