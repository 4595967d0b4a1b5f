"""Server-sent events, through sockets where that matters."""

from __future__ import annotations

import asyncio
import gc
import threading
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Annotated, Any, ClassVar

import httpx
import pytest
from pydantic import PlainSerializer

import labthings as lt
from labthings.exceptions import InvocationError
from labthings.outputs.blob import Blob
from labthings.routes import server_sent_events
from tests.event_source import SECONDS, Stalled, Told, following, until


class Heater(lt.Thing):
    """A heater."""

    power: float = lt.property(default=0.0)
    mode: str = lt.property(default="off")
    trace: list[float] = lt.property(default=[])

    overheated: lt.Event[float] = lt.event()
    """Overheated"""
    finished: lt.Event[None] = lt.event()
    """Finished"""

    logged: lt.Event[str] = lt.event()
    """Logged"""

    fault = ""

    @lt.property(observable=True)
    def temperature(self) -> float:
        """The temperature."""
        if self.fault:
            raise InvocationError(self.fault)
        return 20.0

    @lt.property
    def silent(self) -> float:
        """Says nothing."""
        return 1.0


class Odd(lt.Thing):
    anything: Any = lt.property(default=None)


class Camera(lt.Thing):
    picture: Blob = lt.property(default_factory=lambda: Blob.from_bytes(b"1", "text/plain"))


def counted(value: int) -> int:
    Counted.made.append(value)
    return value


class Counted(lt.Thing):
    made: ClassVar[list[int]] = []
    value: Annotated[int, PlainSerializer(counted)] = lt.property(default=0)


@pytest.fixture(scope="module")
def live(serve_live_to_all: Any) -> Any:
    things = {"heater": Heater, "odd": Odd, "camera": Camera}
    return serve_live_to_all(things, allowed_origins=["http://panel"])


@pytest.fixture
def heater(live: Any) -> Heater:
    heater: Heater = live.server.things["heater"]
    heater.fault = ""
    return heater


@contextmanager
def publishing(heater: Heater) -> Iterator[Callable[[], float]]:
    """Have a thread set a property in a tight loop. At the end, say which value was the last."""
    ended = threading.Event()
    last = 0.0

    def publish() -> None:
        nonlocal last
        while not ended.is_set():
            last += 1
            heater.trace = [last, *range(1000)]

    thread = threading.Thread(target=publish)
    thread.start()

    def end() -> float:
        ended.set()
        thread.join()
        return last

    try:
        yield end
    finally:
        end()


# --- what is sent -------------------------------------------------------------------------------------------------


def test_a_property_tells_each_new_value_from_then_on(live, heater):
    with following(f"{live.url}/heater/power") as told:
        epoch = next(told).epoch
        for value in (1.0, 1.0, -2.5):
            heater.power = value
            assert next(told) == ("power", f"{epoch}-0", value)
    assert epoch == live.server.message_broker.epoch


def test_all_properties_that_can_be_observed_come_in_one_stream(live, heater):
    with following(f"{live.url}/heater/properties") as told:
        next(told)
        found = {}
        heater.mode = "on"
        heater.power = 3.0
        while found.keys() != {"mode", "power", "temperature"}:
            name, _, value = next(told)
            found[name] = value
    assert found == {"mode": "on", "power": 3.0, "temperature": 20.0}


def test_events_are_numbered(live, heater):
    with following(f"{live.url}/heater/overheated") as told:
        start = next(told).number
        heater.finished.emit()
        for number, data in enumerate((90.0, 91.0), start + 1):
            heater.overheated.emit(data)
            block = next(told)
            assert (block.event, block.number, block.data) == ("overheated", number, data)
    with following(f"{live.url}/heater/overheated") as told:
        assert next(told).number == start + 2


def test_all_events_of_a_thing_come_in_one_stream_with_numbers_of_their_own(live, heater):
    with following(f"{live.url}/heater/events") as told:
        start = next(told).number
        heater.overheated.emit(90.0)
        heater.finished.emit()
        heater.overheated.emit(91.0)
        found = [next(told) for _ in range(3)]
    assert [(each.event, each.number - start, each.data) for each in found] == [
        ("overheated", 1, 90.0),
        ("finished", 2, None),
        ("overheated", 3, 91.0),
    ]


@pytest.mark.parametrize("path", ["power", "properties", "overheated", "events"])
def test_head_answers_at_once(live, path):
    answer = httpx.head(f"{live.url}/heater/{path}", headers={"Accept": "text/event-stream"}, verify=False)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"] == "text/event-stream"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-accel-buffering"] == "no"


@pytest.mark.parametrize(
    ("accept", "is_stream"),
    [
        ("text/event-stream", True),
        ("Text/Event-Stream", True),
        ("text/event-stream, */*", True),
        ("text/event-stream;q=0.9, application/json;q=0.1", True),
        ("application/json, text/event-stream", False),
        ("text/event-stream;q=0, application/json", False),
        ("text/html, */*;q=0.8", False),
        ("", False),
    ],
)
@pytest.mark.parametrize("path", ["power", "properties", "trace"])
def test_who_prefers_a_value_gets_one(live, accept, is_stream, path):
    answer = httpx.head(f"{live.url}/heater/{path}", headers={"Accept": accept}, verify=False)
    assert answer.headers["content-type"] == ("text/event-stream" if is_stream else "application/json")


def test_what_cannot_be_followed_is_refused(client_of, refused):
    client = client_of(Heater)
    follow = {"headers": {"Accept": "text/event-stream"}}
    refused(client.get("/thing/silent", **follow), 403, "'thing.silent' cannot be observed")
    refused(client.get("/thing/pressure", **follow), 404)
    refused(client.post("/thing/overheated"), 405)


def test_a_thing_that_does_not_run_tells_nothing(client_of, refused):
    class Broken(Heater):
        def __enter__(self) -> Any:
            raise OSError("unplugged")

    client = client_of(Broken)
    for path in ("power", "properties", "overheated", "events"):
        refused(client.get(f"/thing/{path}", headers={"Accept": "text/event-stream"}), 503, "unplugged")


def test_whoever_observes_a_property_is_told_that_it_cannot_be_read(live, heater):
    with following(f"{live.url}/heater/temperature") as told:
        next(told)
        assert next(told).data == 20.0
        heater.fault = "The sensor is unplugged."
        heater.properties["temperature"].notify()
        event, _, data = next(told)
        assert (event, data["name"]) == ("problem", "temperature")
        assert (data["error"]["status"], data["error"]["detail"]) == (500, "The sensor is unplugged.")
        heater.fault = ""
        heater.properties["temperature"].notify()
        assert next(told)[::2] == ("temperature", 20.0)


def test_a_value_that_has_no_json_form_ends_nothing(live):
    with following(f"{live.url}/odd/anything") as told:
        next(told)
        live.server.things["odd"].anything = object()
        assert next(told).event == "problem"
        live.server.things["odd"].anything = "line\nline\r"
        assert next(told).data == "line\nline\r"


def test_a_blob_has_the_address_that_the_client_uses(live):
    url = live.url.replace("127.0.0.1", "localhost")
    with following(f"{url}/camera/picture") as here, following(f"{live.url}/camera/picture") as there:
        next(here), next(there)
        live.server.things["camera"].picture = Blob.from_bytes(b"2", "text/plain")
        links = [next(told).data["href"] for told in (here, there)]
        assert httpx.get(links[0]).content == b"2"
    assert [link.partition("/blob/")[0] for link in links] == [url, live.url]


def test_an_idle_stream_has_comments_in_it(monkeypatch, live):
    monkeypatch.setattr(server_sent_events, "KEEP_ALIVE_SECONDS", 0.01)
    with httpx.stream("GET", f"{live.url}/heater/events", timeout=SECONDS) as answer:
        lines = answer.iter_lines()
        assert [next(lines) for _ in range(7)][3:] == [":", "", ":", ""]


def test_a_page_of_another_site_needs_permission(live):
    for path in ("events", "power"):
        headers = {"Accept": "text/event-stream", "Origin": "http://panel"}
        with httpx.stream("GET", f"{live.url}/heater/{path}", headers=headers) as answer:
            assert answer.headers["access-control-allow-origin"] == "http://panel"
        headers["Origin"] = "http://elsewhere"
        assert httpx.get(f"{live.url}/heater/{path}", headers=headers).status_code == 403


def test_a_message_is_made_once_for_all_readers(tmp_path):
    chunks: list[bytes] = []

    async def follow_all() -> None:
        done = asyncio.Event()

        async def receive() -> dict[str, Any]:
            await done.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            if b"event: value" in message.get("body", b""):
                chunks.append(message["body"])
                if len(chunks) == 10:
                    done.set()

        async with server.app.router.lifespan_context(server.app):
            readers = [asyncio.ensure_future(server.app(get("/counted/value"), receive, send)) for _ in range(10)]
            while len(server.message_broker._inboxes) < 10:  # noqa: ASYNC110
                await asyncio.sleep(0)
            server.things["counted"].value = 5
            await asyncio.gather(*readers)

    server = lt.ThingServer.from_things({"counted": Counted}, settings_folder=str(tmp_path))
    asyncio.run(asyncio.wait_for(follow_all(), SECONDS))
    assert (set(chunks), Counted.made) == (
        {f"event: value\nid: {server.message_broker.epoch}-0\ndata: 5\n\n".encode()},
        [5],
    )


# --- going on -----------------------------------------------------------------------------------------------------


def test_whoever_comes_back_gets_the_events_in_between(live, heater):
    with following(f"{live.url}/heater/overheated") as told:
        next(told)
        heater.overheated.emit(1.0)
        last = next(told)
    for data in (2.0, 3.0):
        heater.overheated.emit(data)
        heater.finished.emit()
    with following(f"{live.url}/heater/overheated", {"Last-Event-ID": last.id}) as told:
        assert [next(told).data for _ in range(2)] == [2.0, 3.0]
        assert next(told).number == last.number + 2
        heater.overheated.emit(4.0)
        assert next(told).data == 4.0


def test_whoever_comes_back_gets_the_events_of_all_kinds_in_order(live, heater):
    with following(f"{live.url}/heater/events") as told:
        start = next(told)
    for _ in range(2):
        heater.overheated.emit(1.0)
        heater.finished.emit()
    url = f"{live.url}/heater/events?lastEventId={start.id}"
    with following(url) as told:
        assert [next(told).event for _ in range(4)] == ["overheated", "finished"] * 2
    newer = {"Last-Event-ID": f"{start.epoch}-{start.number + 3}"}
    with following(url, newer) as told:
        assert next(told).event == "finished"


def test_whoever_comes_back_to_a_property_gets_its_present_value(live, heater):
    with following(f"{live.url}/heater/power") as told:
        last = next(told).id
    heater.power = 7.0
    for path, names in {"power": {"power"}, "properties": {"power", "mode", "trace", "temperature"}}.items():
        with following(f"{live.url}/heater/{path}", {"Accept": "text/event-stream", "Last-Event-ID": last}) as told:
            found = {each.event: each.data for each in (next(told) for _ in names)}
            assert found.keys() == names
            assert found["power"] == 7.0


class Tank(lt.Thing):
    level: float = lt.property(default=0.0)

    def __init__(self, thing_server_interface: lt.ThingServerInterface) -> None:
        super().__init__(thing_server_interface)
        self.sensor_answers = threading.Event()

    @lt.property(observable=True)
    def pressure(self) -> float:
        """The pressure."""
        assert self.sensor_answers.wait(SECONDS)
        return 1.0


def test_a_sensor_that_hangs_keeps_nothing_else_from_whoever_comes_back(serve_live):
    live = serve_live({"tank": Tank})
    tank: Any = live.server.things["tank"]
    try:
        with following(f"{live.url}/tank/properties", {"Last-Event-ID": "1"}) as told:
            assert next(told)[::2] == ("level", 0.0)
            assert next(told)[::2] == ("", None)
            tank.level = 5.0
            assert next(told)[::2] == ("level", 5.0)
            tank.sensor_answers.set()
            assert next(told)[::2] == ("pressure", 1.0)
    finally:
        tank.sensor_answers.set()


def test_whoever_comes_back_to_a_broken_property_is_told_why(live, heater):
    heater.fault = "The sensor is unplugged."
    with following(f"{live.url}/heater/temperature?lastEventId=1") as told:
        event, _, data = next(told)
        assert (event, data["error"]["detail"]) == ("problem", "The sensor is unplugged.")


def test_whoever_was_away_for_too_long_is_told_how_much_is_lost(live, heater):
    with following(f"{live.url}/heater/overheated") as told:
        start = next(told)
    for number in range(1, 1006):
        heater.overheated.emit(float(number))
    with following(f"{live.url}/heater/overheated", {"Last-Event-ID": start.id}) as told:
        assert next(told) == ("messagesLost", "", {"count": 5})
        assert [next(told).number - start.number for _ in range(1000)] == list(range(6, 1006))


def test_a_client_can_tell_that_the_server_was_restarted(live, heater, serve_live):
    heater.overheated.emit(1.0)
    with following(f"{live.url}/heater/overheated") as told:
        last = next(told)
    restarted = serve_live({"heater": Heater})
    for data in (2.0, 3.0):
        restarted.server.things["heater"].overheated.emit(data)
    with following(f"{restarted.url}/heater/overheated", {"Last-Event-ID": last.id}) as told:
        event, _, data = next(told)
        assert (event, data["count"]) == ("messagesLost", None)
        assert f"'{last.id}' is not a position in this run of the server" in data["reason"]
        found = [next(told) for _ in range(2)]
    assert [(each.number, each.data) for each in found] == [(1, 2.0), (2, 3.0)]
    assert found[0].epoch != last.epoch


@pytest.mark.parametrize(
    "position", ["0", "x" * 5000, "12345678-1", "-1", "{epoch}-999999", "{epoch}--1", "{epoch}-" + "9" * 4000, "Ω'\"<&"]
)
def test_a_position_that_makes_no_sense_is_no_reason_to_refuse_a_client(live, heater, position):
    heater.finished.emit()
    position = position.format(epoch=live.server.message_broker.epoch)
    with following(f"{live.url}/heater/finished", {"Last-Event-ID": position.encode()}) as told:
        event, _, data = next(told)
        assert (event, data["count"]) == ("messagesLost", None)
        assert len(data["reason"]) < 250
        assert next(told).number == 1
    with following(f"{live.url}/heater/power", {"Last-Event-ID": position.encode()}) as told:
        assert next(told)[::2] == ("power", heater.power)


# --- slow, rude and many readers ------------------------------------------------------------------------------------


def test_a_stalled_reader_costs_little_and_delays_nobody_and_gets_the_last_value(live, heater):
    with ExitStack() as stack:
        stalled = [Stalled(live.port, "/heater/trace", "Accept: text/event-stream") for _ in range(5)]
        for each in stalled:
            stack.callback(each.close)
            each.begin()
        told = stack.enter_context(following(f"{live.url}/heater/trace"))
        next(told)
        tracemalloc.start()
        stack.callback(tracemalloc.stop)
        with publishing(heater) as end:
            numbers = [next(told).data[0] for _ in range(100)]
            peak = tracemalloc.get_traced_memory()[1]
            last = end()
        assert numbers == sorted(set(numbers))
        assert peak < 5_000_000
        assert last_of(told, last) < 100
        for each in stalled:
            assert last_of(each.read_on(), last) < 100


def last_of(told: Iterator[Told], value: float) -> int:
    """How many blocks come until one has a value."""
    return next(number for number, each in enumerate(told, 1) if each.data and each.data[0] == value)


def test_a_reader_that_is_too_slow_for_events_is_told_how_many_are_lost(live, heater):
    stalled = Stalled(live.port, "/heater/events")
    stalled.begin()
    with following(f"{live.url}/heater/events") as told:
        start = next(told).number
        for batch in range(start, start + 3000, 100):
            for number in range(batch, batch + 100):
                heater.logged.emit(f"{number} ".ljust(1000, "x"))
            assert [next(told).number for _ in range(100)] == list(range(batch + 1, batch + 101))
    found = list(through(start + 3000, stalled.read_on()))
    stalled.close()
    lost = sum(each.data["count"] for each in found if each.event == "messagesLost")
    numbers = [each.number for each in found if each.event == "logged"]
    assert lost > 0
    assert (len(numbers) + lost, numbers) == (3000, sorted(numbers))


def through(number: int, told: Iterator[Told]) -> Iterator[Told]:
    """The blocks that come until one has a number."""
    for each in told:
        yield each
        if each.id.endswith(f"-{number}"):
            return


@pytest.mark.parametrize("goes", [Stalled.close, Stalled.reset])
def test_nothing_is_observed_for_a_reader_that_has_gone(live, goes):
    broker = live.server.message_broker
    for path, name in {"power": "power", "events": "overheated"}.items():
        reader = Stalled(live.port, f"/heater/{path}", "Accept: text/event-stream")
        reader.begin()
        assert broker.is_observed("heater", name)
        goes(reader)
        until(lambda name=name: not broker.is_observed("heater", name))


def test_a_publisher_in_a_tight_loop_starves_nobody(live, heater):
    with publishing(heater), following(f"{live.url}/heater/trace") as told, httpx.Client() as client:
        next(told)
        took = [client.get(f"{live.url}/heater/power").elapsed.total_seconds() for _ in range(20)]
        assert next(told).data
    assert sorted(took)[10] < 0.1


def test_nothing_is_left_of_a_thousand_readers(tmp_path):
    server = lt.ThingServer.from_things({"heater": Heater}, settings_folder=str(tmp_path))
    paths = ("/heater/power", "/heater/events", "/heater/properties")
    asyncio.run(asyncio.wait_for(leave_nothing(server, one_block, paths), SECONDS))


async def leave_nothing(server: lt.ThingServer, ask: Callable[[Any, str], Any], paths: Sequence[str]) -> None:
    """Make sure that nothing is left of many requests."""
    async with server.app.router.lifespan_context(server.app):

        async def ask_often(count: int) -> int:
            tasks = len(asyncio.all_tasks())
            for number in range(count):
                await ask(server.app, paths[number % len(paths)])
            while server.message_broker._subscriptions or len(asyncio.all_tasks()) > tasks:  # noqa: ASYNC110
                await asyncio.sleep(0)
            gc.collect()
            return len(gc.get_objects())

        before = await ask_often(30)
        after = await ask_often(1000)
        assert (len(server.message_broker._inboxes), server.held_requests._ends) == (0, set())
    assert after - before < 500


async def one_block(app: Any, name: str) -> None:
    """Follow something as an ASGI server does, and go after the first block."""
    told = asyncio.Event()

    async def receive() -> dict[str, Any]:
        await told.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        if b"id: " in message.get("body", b""):
            told.set()

    await app(get(f"/heater/{name}"), receive, send)


def get(path: str) -> dict[str, Any]:
    headers = [(b"accept", b"text/event-stream"), (b"host", b"here")]
    return {"type": "http", "method": "GET", "path": path, "headers": headers, "query_string": b"", "scheme": "http"}


# --- in a browser ---------------------------------------------------------------------------------------------------


def test_a_browser_goes_on_where_it_was_when_the_connection_was_lost(live, heater, tab):
    tab.open(f"{live.url}/health")
    tab.until("document.readyState === 'complete' && location.pathname === '/health'")
    tab.evaluate(
        """(() => {
            window.told = []; window.opened = 0;
            const source = new EventSource("/heater/events");
            source.onopen = () => { opened += 1; };
            for (const name of ["overheated", "finished", "messagesLost"])
                source.addEventListener(name, (event) => told.push([event.type, JSON.parse(event.data)]));
        })()"""
    )
    tab.until("opened === 1")
    heater.overheated.emit(1.0)
    tab.until("told.length === 1")
    live.server.loop_calls.call(live.server.message_broker.close_inboxes)
    heater.overheated.emit(2.0)
    heater.finished.emit()
    tab.until("opened === 2")
    heater.overheated.emit(3.0)
    tab.until("told.length >= 4")
    expected = [["overheated", 1], ["overheated", 2], ["finished", None], ["overheated", 3]]
    assert tab.evaluate("told") == expected
