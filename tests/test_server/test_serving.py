"""A server as its own process, as it runs in a laboratory."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

LAB = """
import asyncio, sys, time
import labthings as lt

class Stage(lt.Thing):
    x: float = lt.property(default=0.0)
    label: str = lt.property(default="")
    speed: float = lt.setting(default=1.0)

    @lt.action
    def move(self) -> None:
        lt.cancellable_sleep(120)

    @lt.action
    async def move_async(self) -> None:
        await asyncio.sleep(120)

    @lt.action
    def block(self) -> None:
        hang("action")

    @lt.property
    def blocked(self) -> int:
        hang("getter")

    @lt.endpoint("get")
    async def page(self) -> str:
        print("endpoint hangs", flush=True)
        await asyncio.sleep(120)

def hang(where: str) -> None:
    print(f"{where} hangs", flush=True)
    time.sleep(120)

class Broken(lt.Thing):
    def __enter__(self):
        raise OSError("unplugged")

class Hanging(lt.Thing):
    def __enter__(self):
        hang("start")

class Last(lt.Thing):
    hanging: Hanging = lt.thing_slot()

    def __enter__(self):
        print("the last is entered", flush=True)

class Door(lt.Thing):
    def __exit__(self, *error):
        print("the door is closed", flush=True)

folder, config, port = sys.argv[1:]
config = eval(config)
things = {"stage": Stage, "broken": Broken, **{name: globals()[cls] for name, cls in config.pop("others", {}).items()}}
server = lt.ThingServer.from_things(things, settings_folder=folder, **config)
server.serve("127.0.0.1", int(port))
print("served")
"""


class Process:
    """A server in a process of its own."""

    def __init__(self, folder: Path, port: int = 0, **config: Any) -> None:
        script = folder / "lab.py"
        script.write_text(LAB)
        warnings = ["-W", "error", "-W", "ignore::ResourceWarning"]  # uvloop hangs if its own warning is an error
        command = [sys.executable, *warnings, str(script), str(folder / "settings"), repr(config), str(port)]
        self.popen = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if "others" in config:
            return
        self.announcement = "".join(iter(self.line, "Press Ctrl+C to stop.\n"))
        found = re.search(r"  stage +(http://127\.0\.0\.1:(\d+))/stage/", self.announcement)
        assert found is not None, self.announcement
        self.url, self.port = found[1], int(found[2])

    def line(self) -> str:
        """The next line that it prints."""
        line = self.popen.stdout.readline()
        assert line, self.popen.communicate(timeout=20)[1]
        return line

    def end(self, number: int = signal.SIGTERM, within: float = 20) -> tuple[int, str, str]:
        """Send a signal, and give the exit code, and what was printed since the announcement."""
        self.popen.send_signal(number)
        out, err = self.popen.communicate(timeout=within)
        return self.popen.returncode, out, err


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    with ExitStack() as stack:

        def start_one(**options: Any) -> Process:
            process = Process(tmp_path, **options)
            stack.callback(process.popen.communicate)
            stack.callback(process.popen.kill)
            return process

        yield start_one


def test_what_it_announces_is_so(start):
    process = start()
    assert process.announcement.startswith("Serving 2 Things, of which 1 failed to start:\n")
    assert "failed to start: OSError: unplugged" in process.announcement
    assert f"in a web browser at {process.url}\n" in process.announcement
    assert httpx.get(f"{process.url}/stage/").json()["base"] == f"{process.url}/"
    assert httpx.get(f"{process.url}/docs").status_code == 200
    behind_a_local_proxy = httpx.get(f"{process.url}/stage/", headers={"X-Forwarded-Proto": "https"})
    assert behind_a_local_proxy.json()["base"] == f"https://127.0.0.1:{process.port}/"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_soon_and_well_though_clients_wait(start, number):
    process = start(stop_timeout=60)
    answers: dict[str, httpx.Response] = {}

    def ask(method: str, path: str) -> None:
        with httpx.Client(base_url=process.url, timeout=30, headers={"Prefer": "wait=120"}) as client:
            answers[path] = client.request(method, path)

    with ExitStack() as stack:
        sockets = [stack.enter_context(connect(f"ws://127.0.0.1:{process.port}/stage/ws")) for _ in range(3)]
        sockets[0].send('{"messageType": "addActionObservation", "data": {"move": true, "move_async": true}}')
        sockets[0].send("settle")
        assert "400" in sockets[0].recv(timeout=20)
        stack.callback(stalled_reader(process.port).close)
        idle = stack.enter_context(httpx.Client(base_url=process.url))
        for number_of_value in range(60):
            assert idle.put("/stage/label", json=f"{number_of_value} {'x' * 100_000}").status_code == 204
        threads = [threading.Thread(target=ask, args=("POST", f"/stage/{name}")) for name in ("move", "move_async")]
        for thread in threads:
            thread.start()
        statuses = [json.loads(sockets[0].recv(timeout=20))["data"]["status"] for _ in range(4)]
        assert statuses.count("running") == 2

        code, out, err = process.end(number)  # which takes as long as a busy machine needs, but not a minute
        assert (code, out) == (0, "served\n"), err
        for thread in threads:
            thread.join(20)
        for websocket in sockets:
            assert close_code(websocket) in (1001, 1012)
    assert {path: answer.status_code for path, answer in answers.items()} == {
        "/stage/move": 201,
        "/stage/move_async": 201,
    }


def test_uploads_that_are_under_way_end_with_a_word(start):
    process = start()
    with socket.create_connection(("127.0.0.1", process.port)) as client:
        client.sendall(b"POST /blob/ HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n")
        assert b"100 Continue" in client.recv(1000)
        code, _, err = process.end()
    assert code == 0
    assert "Cancel 1 running task" in err
    assert "Traceback" not in err


def stalled_reader(port: int) -> socket.socket:
    """A client that observes a property, and does not read what it is sent, not even the end."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", port))
    client.sendall(
        b"GET /stage/ws HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    assert b" 101 " in client.recv(1000)
    message = b'{"messageType": "addPropertyObservation", "data": {"label": true}}'
    client.sendall(bytes([0x81, 0x80 | len(message), 0, 0, 0, 0]) + message)
    return client


def close_code(websocket: Any) -> int:
    """The code that a connection ends with."""
    try:
        while True:
            websocket.recv(timeout=20)
    except ConnectionClosed as closed:
        return int(closed.rcvd.code)


def test_it_ends_though_the_things_own_code_hangs(start):
    process = start(stop_timeout=0.1)

    def ask(path: str) -> None:
        with suppress(httpx.HTTPError):
            httpx.get(f"{process.url}{path}", timeout=30)

    threads = [threading.Thread(target=ask, args=(path,)) for path in ("/stage/blocked", "/stage/page")]
    for thread in threads:
        thread.start()
    httpx.post(f"{process.url}/stage/block")
    assert {process.line() for _ in range(3)} == {"action hangs\n", "getter hangs\n", "endpoint hangs\n"}
    code, out, err = process.end(within=10)
    assert (code, out) == (0, "served\n"), err
    assert "stage.block goes on although it was cancelled" in err
    for thread in threads:
        thread.join(10)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_though_a_thing_hangs_while_it_starts(start, number):
    others = {"door": "Door", "last": "Last", "hanging": "Hanging"}
    process = start(others=others, start_timeout=60, stop_timeout=0.1)
    assert process.line() == "start hangs\n"
    code, out, err = process.end(number)  # long before the time is over that it has to start
    assert (code, out) == (0, "the door is closed\nserved\n"), err
    assert "'hanging' has not finished starting" in err


def test_a_setting_that_was_answered_outlives_a_sudden_death(start):
    process = start()
    for speed in (2.5, 4.5):
        assert httpx.put(f"{process.url}/stage/speed", json=speed).status_code == 204
    process.end(signal.SIGKILL)
    again = start(port=process.port)
    assert httpx.get(f"{again.url}/stage/speed").json() == 4.5
    assert again.end()[0] == 0


def test_a_port_that_is_taken(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        (tmp_path / "lab.py").write_text(LAB)
        command = [sys.executable, str(tmp_path / "lab.py"), str(tmp_path), "{}", str(taken.getsockname()[1])]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=30, env={**os.environ})
    assert ended.returncode != 0
    assert "Serving" not in ended.stdout
    assert "address already in use" in ended.stderr.lower()
