"""What the shared benchmark does not measure, against a real server: ``python tests/benchmarks/over_http.py``.

Property reads while actions are cancelled; memory over 10,000 invocations once their retention has passed; and the
time that ``import labthings`` takes, as a ratio to the packages that it is built on.
"""

from __future__ import annotations

import json
import select
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

import labthings as lt

INVOCATIONS = 10_000
READS = 500
SLEEPERS = 50


class Device(lt.Thing):
    """An instrument."""

    value: float = lt.property(default=1.5)

    @lt.action(retention_time=1)
    def noop(self) -> None:
        """Do nothing."""

    @lt.action(retention_time=1)
    def sleep(self) -> None:
        """Wait to be cancelled."""
        lt.cancellable_sleep(600)


@contextmanager
def server() -> Iterator[tuple[str, int]]:
    """The URL of a Device that is served by another process, and the process's id."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [sys.executable, __file__, "serve", str(port), folder], stdout=subprocess.PIPE, text=True
        )
        try:
            assert process.stdout is not None
            assert "Serving" in process.stdout.readline()
            yield f"http://127.0.0.1:{port}", process.pid
        finally:
            process.terminate()
            process.wait()


def resident_kilobytes(pid: int) -> int:
    """How much memory a process occupies."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1])


def cancelling(url: str) -> dict[str, float]:
    """Read a property while another process starts and cancels actions."""
    command = [sys.executable, __file__, "cancel", url]
    canceller = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    times = []
    with httpx.Client(base_url=url) as client:
        while not any(each["status"] == "cancelled" for each in client.get("/device/sleep").json()):
            time.sleep(0.01)
        for _ in range(READS):
            begun = time.perf_counter()
            client.get("/device/value").raise_for_status()
            times.append(1000 * (time.perf_counter() - begun))
    count, _ = canceller.communicate(b"stop")
    return {"median_ms": round(statistics.median(times), 2), "cancelled": int(count)}


def cancel_again_and_again(url: str) -> None:
    """Start actions and cancel them, until something is written to standard input."""
    cancelled = 0
    with httpx.Client(base_url=url) as client:
        while not select.select([sys.stdin], [], [], 0)[0]:
            started = [client.post("/device/sleep").json()["href"] for _ in range(SLEEPERS)]
            for href in started:
                client.delete(href).raise_for_status()
                cancelled += 1
    print(cancelled)


def memory(url: str, pid: int) -> dict[str, float]:
    """Invoke an action very often, and see what is left after its retention time."""

    def invoke(count: int) -> None:
        with httpx.Client(base_url=url) as client:
            for _ in range(count):
                client.post("/device/noop", headers={"Prefer": "wait=5"}).raise_for_status()
            while client.get("/action_invocations").json():
                time.sleep(0.1)

    invoke(1000)
    before = resident_kilobytes(pid)
    invoke(INVOCATIONS)
    return {"before_kB": before, "after_kB": resident_kilobytes(pid)}


def imports() -> dict[str, float]:
    """Time imports in new interpreters, by turns."""

    def seconds(code: str) -> float:
        begun = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        return time.perf_counter() - begun

    codes = ("pass", "import fastapi, uvicorn, httpx", "import labthings")
    rounds = [[seconds(code) for code in codes] for _ in range(7)]
    bare, base, ours = (min(times) for times in zip(*rounds, strict=True))
    ratio = (ours - bare) / (base - bare)
    return {"base_s": round(base - bare, 3), "labthings_s": round(ours - bare, 3), "ratio": round(ratio, 2)}


def main() -> None:
    if sys.argv[1:2] == ["serve"]:
        lt.ThingServer.from_things({"device": Device}, settings_folder=sys.argv[3]).serve("127.0.0.1", int(sys.argv[2]))
        return
    if sys.argv[1:2] == ["cancel"]:
        cancel_again_and_again(sys.argv[2])
        return
    with server() as (url, pid):
        found = {"cancelling": cancelling(url), "memory": memory(url, pid), "imports": imports()}
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
