"""What live state of a LabSync costs, over real WebSockets: ``python tests/benchmarks/lab_sync.py``.

How many changes a second a thread makes while 0, 1 and 100 WebSockets follow them, how many patches these make, how
much processor time a change takes the server, and how long somebody else who reads the state waits meanwhile; the same
of a thread that waits for an instrument before each change, and of a stream; and how long the patch of a lone change
takes to arrive, at 100 Hz. With ``--against FOLDER``, the package in another folder is measured, too, by turns.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import selectors
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from websockets.sync.client import connect

from labthings.sync import LabSync, ReactiveModel

SECONDS = 1.0
INSTRUMENT_SECONDS = 0.0002
PATCHES = 300
RATE = 100  # hertz


class State(ReactiveModel):
    """An instrument."""

    voltage: float = 0.0
    time: float = 0.0


def panel() -> Starlette:
    """An application with a LabSync, and with requests that have a thread change what there is."""
    sync = LabSync()
    state = sync.bind_state(State())
    trace = sync.stream("trace", capacity=1000)
    trace.append([0.0])  # which takes long for the first time

    def rates(change: Callable[[float], object]) -> dict[str, float]:
        version, begun, used, number = sync.document.version, time.perf_counter(), time.process_time(), 0
        while (seconds := time.perf_counter() - begun) < SECONDS:
            number += 1
            change(number)
        patches, used = sync.document.version - version, time.process_time() - used
        return {"changes": number / seconds, "patches": patches / seconds, "cpu_us": used / number * 1e6}

    def change(_: Request) -> Response:
        return JSONResponse(rates(lambda number: setattr(state, "voltage", number)))

    def poll(_: Request) -> Response:
        def change(number: float) -> None:
            time.sleep(INSTRUMENT_SECONDS)
            state.voltage = number

        return JSONResponse(rates(change))

    def append(_: Request) -> Response:
        return JSONResponse(rates(lambda number: trace.append([number])))

    def tick(_: Request) -> Response:
        begun = time.perf_counter()
        for number in range(PATCHES):
            time.sleep(max(0.0, begun + number / RATE - time.perf_counter()))
            state.time = time.perf_counter()
        state.voltage += 1  # which tells that this is the end
        return Response()

    routes = [Route(f"/{each.__name__}", each) for each in (change, poll, append, tick)]
    return Starlette(routes=[*sync.routes, *routes], lifespan=sync.lifespan)


# --- processes --------------------------------------------------------------------------------------------------


@contextmanager
def another(*arguments: object, package: str = "") -> Iterator[None]:
    """This program in another process, once it is ready.

    :param package: the folder that the package is in; otherwise the one that is installed.
    """
    command = [sys.executable, __file__, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": package} if package else None
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert process.stdout is not None
        while not process.stdout.readline().startswith("Ready"):
            assert process.poll() is None
        yield
    finally:
        process.terminate()
        process.wait()


def serve(port: int) -> None:
    """Serve a LabSync."""
    server = uvicorn.Server(uvicorn.Config(panel(), ws="websockets-sansio", log_level="warning"))
    with socket.create_server(("127.0.0.1", port)) as listener:
        print("Ready", flush=True)
        server.run([listener])


def follow(port: int, count: int) -> None:
    """Follow everything with some WebSockets, and take what comes without looking at it."""
    selector = selectors.DefaultSelector()
    for _ in range(count):
        selector.register(following(port), selectors.EVENT_READ)
    print("Ready", flush=True)
    while True:
        for key, _ in selector.select():
            assert key.fileobj.recv(2**20)  # type: ignore[union-attr]


def following(port: int) -> socket.socket:
    """A connection that follows everything."""
    made = socket.create_connection(("127.0.0.1", port))
    made.sendall(
        b"GET /sync/ws HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    assert b" 101 " in made.recv(4096)
    return made


# --- measuring --------------------------------------------------------------------------------------------------


@contextmanager
def reading(port: int) -> Iterator[list[float]]:
    """How many milliseconds somebody waits for the state who reads it every 10 ms meanwhile."""
    times, ends = list[float](), threading.Event()

    def read() -> None:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            while not ends.wait(0.01):
                begun = time.perf_counter()
                client.get("/sync/state").raise_for_status()
                times.append((time.perf_counter() - begun) * 1e3)

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield times
    finally:
        ends.set()
        thread.join()


def busy(port: int, what: str, count: int) -> dict[str, float]:
    """What a thread in a tight loop achieves while some follow, and how long a reader waits meanwhile."""
    with ExitStack() as stack:
        if count:
            stack.enter_context(another("follow", port, count))
        times = stack.enter_context(reading(port))
        found: dict[str, float] = httpx.get(f"http://127.0.0.1:{port}/{what}", timeout=60).raise_for_status().json()
        return {**found, "read_ms": statistics.median(times), "read_p99_ms": percentile(times, 99)}


def latencies(port: int) -> dict[str, float]:
    """How many milliseconds after a lone change its patch is there."""
    with ExitStack() as stack:
        websocket = stack.enter_context(connect(f"ws://127.0.0.1:{port}/sync/ws", compression=None))
        asking = threading.Thread(target=httpx.get, args=[f"http://127.0.0.1:{port}/tick"], kwargs={"timeout": 60})
        asking.start()
        stack.callback(asking.join)
        times: list[float] = []
        is_end = False
        while not is_end:
            text = websocket.recv(timeout=10)
            arrived = time.perf_counter()
            patch = json.loads(text).get("patch", ()) if isinstance(text, str) else ()
            times += [(arrived - each["value"]) * 1e3 for each in patch if each["path"] == "/time"]
            is_end = any(each["path"] == "/voltage" for each in patch)
        return {"median_ms": statistics.median(times), "p99_ms": percentile(times, 99)}


def percentile(times: Sequence[float], percent: int) -> float:
    return sorted(times)[len(times) * percent // 100]


def medians(rounds: Sequence[dict[str, float]]) -> dict[str, float]:
    """The median of each figure over the rounds."""
    found = {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}
    return {name: round(value) if value > 100 else round(value, 2) for name, value in found.items()}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def measure(packages: Sequence[str], rounds: int) -> Iterator[dict[str, dict[str, dict[str, float]]]]:
    """Each figure of each package, which are measured by turns."""
    measures: dict[str, Callable[[int], dict[str, float]]] = {"a lone change": latencies}
    for command, count in itertools.product(("change", "poll", "append"), (0, 1, 100)):
        measures[f"{command}, {count} followers"] = partial(busy, what=command, count=count)
    with ExitStack() as stack:
        ports = [free_port() for _ in packages]
        for port, package in zip(ports, packages, strict=True):
            stack.enter_context(another("serve", port, package=package))
        for name, act in measures.items():
            found = zip(*([act(port) for port in ports] for _ in range(rounds)), strict=True)
            yield {name: {package or "this": medians(each) for package, each in zip(packages, found, strict=True)}}


def main() -> None:
    if sys.argv[1:2] == ["serve"]:
        serve(int(sys.argv[2]))
    elif sys.argv[1:2] == ["follow"]:
        follow(int(sys.argv[2]), int(sys.argv[3]))
    else:
        parser = argparse.ArgumentParser(description=__doc__)
        parser.add_argument("--against", action="append", default=[], metavar="FOLDER")
        parser.add_argument("--rounds", type=int, default=5)
        options = parser.parse_args()
        for each in measure(["", *options.against], options.rounds):
            print(json.dumps(each, indent=1), flush=True)


if __name__ == "__main__":
    main()
