"""What live state of a Thing costs, over real WebSockets: ``python tests/benchmarks/live_things.py``.

How many changes a second a thread makes while 0, 1 and 100 WebSockets follow them; what a change costs in a document
with 10,000 floats, compared with one that has 10; how long a patch takes to arrive at 100 Hz, compared with a bare
server that sends the same text in the same run; and how much memory 100,000 changes leave behind.
"""

from __future__ import annotations

import asyncio
import json
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from pydantic import Field
from websockets.sync.client import connect

import labthings as lt
from labthings.state import ReactiveModel

ROUNDS = 5
CHANGES = 20_000
PATCHES = 300
RATE = 100  # hertz
FOLLOW = '{"messageType":"addPropertyObservation","data":{"%s":"patches"}}'
PATCH = (
    '{{"messageType":"propertyPatch","data":{{"small":{{"epoch":"0123456789abcdef","baseVersion":{},"version":{},"patch":'
    '[{{"op":"replace","path":"/time","value":{}}}],"origin":{{"invocation":"00000000-0000-0000-0000-000000000000"}}}}}}}}'
)
KINDS = ("things", "bare")


class State(ReactiveModel):
    """An instrument."""

    voltage: float = 0.0
    time: float = 0.0
    spectrum: list[float] = Field(default_factory=lambda: [0.5] * 10)


class Supply(lt.Thing):
    """An instrument whose state changes quickly."""

    small: State = lt.property(default_factory=State)
    large: State = lt.property(default_factory=lambda: State(spectrum=[0.5] * 10_000))

    @lt.action
    def change(self, name: str, changes: int = CHANGES) -> float:
        """Change a field again and again, and give what one change has taken, in microseconds."""
        state = getattr(self, name)
        begun = time.perf_counter()
        for number in range(changes):
            state.voltage = number
        return (time.perf_counter() - begun) / changes * 1e6

    @lt.action
    def tick(self, name: str) -> None:
        """Change a field at a steady rate."""
        state, begun = getattr(self, name), time.perf_counter()
        for number in range(PATCHES):
            time.sleep(max(0.0, begun + number / RATE - time.perf_counter()))
            state.time = time.perf_counter()
        state.voltage = time.perf_counter()  # which tells that this is the end


async def bare(scope: Any, receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
    """An ASGI application that sends what a thread has for it, as directly as can be."""
    if scope["type"] != "websocket":
        return
    loop, texts = asyncio.get_running_loop(), asyncio.Queue[str | None]()
    await receive()
    await send({"type": "websocket.accept"})
    await receive()
    threading.Thread(target=_tick_bare, args=[lambda text: loop.call_soon_threadsafe(texts.put_nowait, text)]).start()
    while (text := await texts.get()) is not None:
        await send({"type": "websocket.send", "text": text})
    await send({"type": "websocket.close"})


def _tick_bare(tell: Callable[[str | None], object]) -> None:
    begun = time.perf_counter()
    for number in range(PATCHES):
        time.sleep(max(0.0, begun + number / RATE - time.perf_counter()))
        tell(PATCH.format(number, number + 1, time.perf_counter()))
    tell(None)


# --- processes --------------------------------------------------------------------------------------------------


@contextmanager
def another(*arguments: object) -> Iterator[int]:
    """This program in another process, once it is ready, which gives the process's id."""
    command = [sys.executable, __file__, *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        while not process.stdout.readline().startswith("Ready"):
            assert process.poll() is None
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def serve(kind: str, port: int, folder: str) -> None:
    """Serve the Thing, or the bare application."""
    app = bare if kind == "bare" else lt.ThingServer.from_things({"supply": Supply}, settings_folder=folder).app
    server = uvicorn.Server(uvicorn.Config(app, port=port, ws="websockets-sansio", log_level="warning"))
    print("Ready", flush=True)
    server.run()


def follow(port: int, name: str, count: int) -> None:
    """Follow a property with some WebSockets, and take what comes without looking at it."""
    selector = selectors.DefaultSelector()
    for _ in range(count):
        selector.register(following(port, name), selectors.EVENT_READ)
    print("Ready", flush=True)
    while True:
        for key, _ in selector.select():
            assert key.fileobj.recv(2**20)  # type: ignore[union-attr]


def following(port: int, name: str) -> socket.socket:
    """A connection that follows a property."""
    made = socket.create_connection(("127.0.0.1", port))
    made.sendall(
        b"GET /supply/ws HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    assert b" 101 " in made.recv(4096)
    text = (FOLLOW % name).encode()
    made.sendall(bytes((0x81, 0x80 | len(text))) + bytes(4) + text)
    assert b"propertySnapshot" in made.recv(4096)
    return made


# --- measuring --------------------------------------------------------------------------------------------------


def microseconds(client: httpx.Client, name: str) -> float:
    """What a change takes the thread that makes it."""
    answer = client.post("/supply/change?wait=60", json={"name": name}).raise_for_status().json()
    return float(answer["output"])


def changes_per_second(client: httpx.Client, port: int) -> dict[str, dict[str, int]]:
    """How many changes a thread makes, by how many clients follow: the median and the worst."""
    found = {}
    for count in (0, 1, 100):
        with another("follow", port, "small", count):
            rates = sorted(1e6 / microseconds(client, "small") for _ in range(ROUNDS))
        found[f"{count} followers"] = {"median": round(statistics.median(rates)), "worst": round(rates[0])}
    return found


def ratio(client: httpx.Client, port: int) -> float:
    """What a change in the large document costs, compared with the small one, by turns."""
    with another("follow", port, "small", 1), another("follow", port, "large", 1):
        ratios = [microseconds(client, "large") / microseconds(client, "small") for _ in range(ROUNDS)]
    return round(statistics.median(ratios), 2)


def latencies(port: int, start: Callable[[], object]) -> dict[str, float]:
    """How many milliseconds after a change its patch is there."""
    with connect(f"ws://127.0.0.1:{port}/supply/ws", compression=None) as websocket:
        websocket.send(FOLLOW % "small")
        start()
        times: list[float] = []
        text = ""
        while len(times) < PATCHES and '"path":"/voltage"' not in text:  # there are fewer if some were late
            text = str(websocket.recv(timeout=10))
            arrived = time.perf_counter()
            if '"path":"/time"' in text:
                patch = json.loads(text)["data"]["small"]["patch"]
                times += [(arrived - each["value"]) * 1e3 for each in patch if each["path"] == "/time"]
    ordered = sorted(times)
    return {"median_ms": round(statistics.median(ordered), 3), "p99_ms": round(ordered[len(ordered) * 99 // 100], 3)}


def resident_kilobytes(pid: int) -> int:
    """How much memory a process occupies."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1])


def memory(client: httpx.Client, port: int, pid: int) -> dict[str, int]:
    """How much memory the server occupies before and after many changes, which one client follows."""
    with another("follow", port, "small", 1):
        microseconds(client, "small")
        before = resident_kilobytes(pid)
        for _ in range(100_000 // CHANGES):
            microseconds(client, "small")
        return {"before_kB": before, "after_kB": resident_kilobytes(pid)}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def main() -> None:
    if sys.argv[1:2] == ["serve"]:
        serve(sys.argv[2], int(sys.argv[3]), sys.argv[4])
    elif sys.argv[1:2] == ["follow"]:
        follow(int(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
    else:
        measure()


def measure() -> None:
    ports = free_port(), free_port()
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        pid, _ = [stack.enter_context(another("serve", *each, folder)) for each in zip(KINDS, ports, strict=True)]
        client = stack.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{ports[0]}", timeout=70))
        delays: list[tuple[Any, ...]] = [
            (latencies(ports[0], lambda: client.post("/supply/tick", json={"name": "small"})), latencies(ports[1], str))
            for _ in range(3)
        ]
        found = {
            "memory over 100,000 changes": memory(client, ports[0], pid),
            "changes a second": changes_per_second(client, ports[0]),
            "10,000 floats, as a ratio to 10": ratio(client, ports[0]),
            "a patch arrives after": {"a Thing's": [one for one, _ in delays], "bare": [other for _, other in delays]},
            "as a ratio to bare": {
                each: round(statistics.median(one[each] / other[each] for one, other in delays), 2)
                for each in ("median_ms", "p99_ms")
            },
        }
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
