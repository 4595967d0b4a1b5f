"""Long-polling, through sockets where that matters."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

import labthings as lt
from labthings.outputs.blob import Blob
from labthings.routes import observation
from tests.event_source import SECONDS, Stalled, until
from tests.test_routes import test_server_sent_events


class Heater(test_server_sent_events.Heater):
    anything: Any = lt.property(default=None)
    picture: Blob = lt.property(default_factory=lambda: Blob.from_bytes(b"1", "text/plain"))


@pytest.fixture(scope="module")
def live(serve_live_to_all: Any) -> Any:
    return serve_live_to_all({"heater": Heater})


@pytest.fixture
def heater(live: Any) -> Iterator[Heater]:
    heater: Heater = live.server.things["heater"]
    yield heater
    heater.fault = ""


@pytest.fixture
def client(live: Any) -> Iterator[httpx.Client]:
    """A client that keeps its connection."""
    with httpx.Client(base_url=f"{live.url}/heater", timeout=SECONDS) as client:
        yield client


@pytest.fixture
def later() -> Iterator[Callable[..., Future[Any]]]:
    """Do something in another thread."""
    with ThreadPoolExecutor() as threads:
        yield threads.submit


def known(answer: httpx.Response) -> dict[str, str]:
    """The header by which a client says that it has got an answer."""
    return {"If-None-Match": answer.headers["etag"]}


def observed(live: Any, name: str) -> None:
    until(lambda: live.server.message_broker.is_observed("heater", name))


# --- waiting --------------------------------------------------------------------------------------------------------


def test_a_poll_is_answered_with_the_next_value(live, heater, client, later):
    answer = later(client.get, "/power/observe")
    observed(live, "power")
    heater.power = 7.5
    assert (answer.result().status_code, answer.result().text) == (200, "7.5")
    assert answer.result().headers["content-type"] == "application/json"
    assert answer.result().headers["cache-control"] == "no-store"


def test_a_poll_is_answered_with_the_next_event(live, heater, client, later):
    for name, emit, text in (("overheated", lambda: heater.overheated.emit(9.5), "9.5"), ("finished", None, "null")):
        answer = later(client.get, f"/{name}/observe")
        observed(live, name)
        (emit or heater.finished.emit)()
        assert (answer.result().status_code, answer.result().text) == (200, text)


@pytest.mark.parametrize("path", ["power", "overheated", "temperature"])
def test_head_answers_at_once(client, path):
    answer = client.head(f"/{path}/observe")
    assert (answer.status_code, answer.content) == (200, b"")
    assert re.fullmatch(r'"[0-9a-f]{8}-\d+"', answer.headers["etag"])


@pytest.mark.parametrize("wait", [{"params": {"wait": "0.01"}}, {"headers": {"Prefer": "wait=0"}}])
@pytest.mark.parametrize("path", ["power", "overheated"])
def test_who_does_not_want_to_wait_for_long_is_told_that_there_is_nothing(client, path, wait):
    answer = client.get(f"/{path}/observe", **wait)
    assert (answer.status_code, answer.content) == (204, b"")
    assert client.head(f"/{path}/observe").headers["etag"] == answer.headers["etag"]


def test_a_wait_that_makes_no_sense_is_refused(client, refused):
    refused(client.get("/power/observe?wait=soon"), 400, "'wait' must be a number of seconds, not 'soon'")
    assert client.get("/power/observe?wait=0", headers={"Prefer": "wait=soon"}).status_code == 204


def test_what_cannot_be_waited_for_is_refused(client, refused):
    refused(client.get("/silent/observe"), 403, "'heater.silent' cannot be observed")
    refused(client.get("/pressure/observe"), 404)
    refused(client.put("/power/observe"), 405)
    assert client.head("/silent/observe").status_code == 403


def test_a_thing_that_does_not_run_has_no_changes(client_of, refused):
    class Broken(Heater):
        def __enter__(self) -> Any:
            raise OSError("unplugged")

    client = client_of(Broken)
    for path in ("power", "overheated"):
        refused(client.get(f"/thing/{path}/observe"), 503, "unplugged")


def test_a_property_that_cannot_be_read_is_a_problem_that_is_told_once(heater, client, refused):
    before = client.get("/temperature/observe", headers={"If-None-Match": '"0"'})
    assert before.text == "20.0"
    heater.fault = "The sensor is unplugged."
    heater.properties["temperature"].notify()
    problem = client.get("/temperature/observe", headers=known(before))
    while problem.status_code == 200:  # the first reading for whoever observes it, which may come late
        problem = client.get("/temperature/observe", headers=known(problem))
    refused(problem, 500, "The sensor is unplugged.")
    assert client.get("/temperature/observe?wait=0", headers=known(problem)).status_code == 204
    refused(client.get("/temperature/observe", headers={"If-None-Match": '"0"'}), 500, "The sensor is unplugged.")


def test_a_value_that_has_no_json_form_is_a_problem(heater, client, refused):
    start = client.head("/anything/observe")
    heater.anything = object()
    refused(client.get("/anything/observe", headers=known(start)), 500)


def test_a_blob_has_the_address_that_the_client_uses(live, client, later):
    url = live.url.replace("127.0.0.1", "localhost")
    start = known(client.head("/picture/observe"))
    live.server.things["heater"].picture = Blob.from_bytes(b"2", "text/plain")
    answers = [httpx.get(f"{each}/heater/picture/observe", headers=start).json()["href"] for each in (url, live.url)]
    assert [link.partition("/blob/")[0] for link in answers] == [url, live.url]
    assert httpx.get(answers[0]).content == b"2"


# --- going on -------------------------------------------------------------------------------------------------------


def test_a_change_between_polls_is_not_missed(heater, client):
    start = client.head("/power/observe")
    heater.power = 1.0
    heater.power = 2.0
    answer = client.get("/power/observe", headers=known(start))
    assert answer.text == "2.0"
    assert client.get("/power/observe?wait=0", headers=known(answer)).status_code == 204
    heater.power = 2.0
    assert client.get("/power/observe", headers=known(answer)).text == "2.0"


def test_events_between_polls_come_one_after_the_other(heater, client):
    answer = client.head("/overheated/observe")
    for data in (1.0, 2.0, 3.0):
        heater.overheated.emit(data)
    found = []
    while (answer := client.get("/overheated/observe?wait=0", headers=known(answer))).status_code == 200:
        found.append(answer.json())
        assert "messages-lost" not in answer.headers
    assert found == [1.0, 2.0, 3.0]


def test_a_poll_by_the_same_connection_goes_on_where_the_last_was_answered(live, heater, client):
    client.head("/overheated/observe")
    for data in (1.0, 2.0):
        heater.overheated.emit(data)
    assert [client.get("/overheated/observe").json() for _ in range(2)] == [1.0, 2.0]
    heater.overheated.emit(3.0)
    with httpx.Client(base_url=f"{live.url}/heater") as other:
        assert other.get("/overheated/observe?wait=0").status_code == 204
    assert client.get("/overheated/observe").json() == 3.0
    client.get("/power/observe?wait=0")
    heater.power = 4.0
    assert client.get("/power/observe").json() == 4.0


def test_who_was_away_for_too_long_is_told_how_much_is_lost(heater, client):
    start = client.head("/overheated/observe")
    for number in range(1005):
        heater.overheated.emit(float(number))
    answer = client.get("/overheated/observe", headers=known(start))
    assert (answer.json(), answer.headers["messages-lost"]) == (5.0, "5")
    assert client.get("/overheated/observe", headers=known(answer)).json() == 6.0


TAGS = ['"0"', "nonsense", '"12345678-1"', '"{epoch}-999999"', '"{epoch}-' + "9" * 4000 + '"', '""', "\xff, ,"]


@pytest.mark.parametrize("tag", TAGS)
def test_who_comes_with_an_unknown_position_is_answered_with_what_there_is(live, heater, client, tag):
    headers = {"If-None-Match": tag.format(epoch=live.server.message_broker.epoch).encode("latin-1")}
    heater.power = 5.0
    assert client.get("/power/observe", headers=headers).json() == 5.0
    heater.overheated.emit(6.0)
    assert client.get("/overheated/observe", headers=headers).headers["messages-lost"] == "unknown"


def test_who_comes_with_an_unknown_position_when_nothing_has_happened_is_told_when_something_does(serve):
    server, client = serve({"heater": Heater})
    headers = {"If-None-Match": '"12345678-1"'}
    nothing = client.get("/heater/overheated/observe?wait=0", headers=headers)
    assert (nothing.status_code, "etag" in nothing.headers) == (204, False)
    server.things["heater"].overheated.emit(1.0)
    answer = client.get("/heater/overheated/observe", headers=headers)
    assert (answer.json(), answer.headers["messages-lost"]) == (1.0, "unknown")


def test_of_several_tags_the_newest_counts_and_weak_ones_do_too(heater, client):
    first = client.head("/overheated/observe").headers["etag"]
    heater.overheated.emit(1.0)
    second = client.head("/overheated/observe").headers["etag"]
    heater.overheated.emit(2.0)
    for tags in (f"{first}, W/{second}", f"{second},{first}", f"W/{second}"):
        assert client.get("/overheated/observe", headers={"If-None-Match": tags}).json() == 2.0
    assert httpx.get(f"{client.base_url}overheated/observe?wait=0", headers={"If-None-Match": "*"}).status_code == 204


def test_a_property_is_observed_for_a_while_after_a_poll_and_then_no_more(monkeypatch, live, heater, client):
    client.get("/power/observe?wait=0")
    assert live.server.message_broker.is_observed("heater", "power")
    with monkeypatch.context() as patch:
        patch.setattr(observation, "LINGER_SECONDS", 0.01)
        answer = client.get("/power/observe?wait=0")
        until(lambda: not live.server.message_broker.is_observed("heater", "power"))
    assert client.get("/power/observe", headers=known(answer)).json() == heater.power
    assert client.get("/power/observe?wait=0").status_code == 204


def test_a_client_can_tell_that_the_server_was_restarted(heater, client, serve):
    start = client.head("/power/observe")
    server, restarted = serve({"heater": Heater})
    server.things["heater"].power = 8.0
    answer = restarted.get("/heater/power/observe", headers=known(start))
    assert answer.json() == 8.0
    assert answer.headers["etag"].partition("-")[0] != start.headers["etag"].partition("-")[0]


# --- slow, rude and many clients ------------------------------------------------------------------------------------


def test_polls_get_the_last_value_of_a_publisher_in_a_tight_loop(heater, client):
    last = 3000.0
    answer = client.head("/power/observe")

    def publish() -> None:
        for number in range(1, int(last) + 1):
            heater.power = float(number)

    thread = threading.Thread(target=publish)
    thread.start()
    found = []
    while not found or found[-1] != last:
        answer = client.get("/power/observe", headers=known(answer))
        found.append(answer.json())
    thread.join()
    assert found == sorted(set(found))


@pytest.mark.parametrize("goes", [Stalled.close, Stalled.reset])
def test_nothing_is_observed_for_a_client_that_has_gone(monkeypatch, live, goes):
    monkeypatch.setattr(observation, "LINGER_SECONDS", 0.001)
    for name in ("power", "overheated"):
        gone = Stalled(live.port, f"/heater/{name}/observe")
        observed(live, name)
        goes(gone)
        until(lambda name=name: not live.server.message_broker.is_observed("heater", name))


def test_nothing_is_left_of_a_thousand_polls(monkeypatch, tmp_path):
    monkeypatch.setattr(observation, "LINGER_SECONDS", 0)
    server = lt.ThingServer.from_things({"heater": Heater}, settings_folder=str(tmp_path))
    paths = ("/heater/power/observe", "/heater/overheated/observe", "/heater/temperature/observe")
    asyncio.run(asyncio.wait_for(test_server_sent_events.leave_nothing(server, leave_poll, paths), SECONDS))


async def leave_poll(app: Any, path: str) -> None:
    """Poll as an ASGI server does, and go before there is an answer."""
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0)
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": path, "headers": [], "query_string": b"", "scheme": "http"}
    await app(scope, receive, send)
    await asyncio.sleep(0)
    assert sent == [] or sent[-1]["body"] == b"20.0"


def test_who_waits_when_the_server_stops_is_told_so_and_may_come_again_when_it_starts(tmp_path, later, refused):
    server = lt.ThingServer.from_things({"heater": Heater}, settings_folder=str(tmp_path))
    for _ in range(2):
        with server.test_client() as client:
            answers = [later(client.get, f"/heater/{name}/observe") for name in ("power", "overheated")]
            for name in ("power", "overheated"):
                until(lambda name=name: server.message_broker.is_observed("heater", name))
            client.portal.call(server.end_streams)
            for answer in answers:
                refused(answer.result(), 503, "The server is stopping")
            refused(client.get("/heater/power/observe?wait=0"), 503, "The server is stopping")
            assert client.head("/heater/events").status_code == 503


LAB = """
import threading
import labthings as lt

class Heater(lt.Thing):
    trace: str = lt.property(default="0")
    idle: float = lt.property(default=0.0)
    overheated: lt.Event[float] = lt.event()
    "Overheated"

    def __enter__(self):
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.work)
        self.thread.start()
        return self

    def work(self):
        number = 0
        while not self.ended.wait(0.01):
            number += 1
            self.trace = f"{number} ".ljust(150_000, "x")

    def __exit__(self, *error):
        self.ended.set()
        self.thread.join()
"""


def test_the_server_stops_soon_while_many_wait_some_of_whom_have_stalled(tmp_path):
    (tmp_path / "lab.py").write_text(LAB)
    (tmp_path / "config.json").write_text('{"things": {"heater": "lab:Heater"}}')
    command = [sys.executable, "-W", "error", "-W", "ignore::ResourceWarning", "-m", "labthings.server.cli"]
    command += ["-c", "config.json", "--port", "0"]
    with (
        subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process,
        ExitStack() as stack,
        ThreadPoolExecutor(40) as threads,
    ):
        stack.callback(process.kill)
        assert process.stdout is not None
        announced = "".join(iter(process.stdout.readline, "Press Ctrl+C to stop.\n"))
        found = re.search(r"http://127\.0\.0\.1:(\d+)/heater/", announced)
        assert found, process.communicate(timeout=SECONDS)
        port, trace = int(found[1]), f"{found[0]}trace"

        def open_client(path: str) -> Stalled:
            client = Stalled(port, path, "Accept: text/event-stream")
            stack.callback(client.close)
            return client

        streams = [open_client(f"/heater/{name}") for name in ("trace", "properties", "events") for _ in range(10)]
        for each in streams:
            each.begin()
        polls = [open_client(f"/heater/{name}/observe") for name in ("idle", "overheated", "trace") for _ in range(10)]
        reading = [threads.submit(lambda each=each: list(each.read_on())) for each in streams[::2]]
        until(lambda: int(httpx.get(trace, verify=False).json().split()[0]) > 15)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=SECONDS)
        took = time.monotonic() - began
        told = [each.result(SECONDS) for each in reading]
        assert all(b" 503 " in each.rest() for each in polls[:20])
    assert took < 10  # on a busy machine; what waits for a client until that is cancelled says so on stderr
    assert [len(each) > 1 for each in told] == [True] * 10 + [False] * 5
    assert (process.returncode, err) == (0, "")
