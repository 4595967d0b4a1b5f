"""A 1000 x 1000 uint16 image over loopback, in each form: ``python tests/benchmarks/arrays.py``.

With ``--predecessor PYTHON``, the interpreter of an environment that has labthings-fastapi, its JSON is read in the
same run, by turns with ours, and the ratios are to that. Reading includes making an array of what was read, with
``json`` and with numpy alone, so that it is the same client for all; the last line is our ThingClient.
"""

from __future__ import annotations

import argparse
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from typing import Any

ROUNDS = 7
PATH = "/camera/image"

SERVER = """
import sys
import numpy
if sys.argv[1] == "labthings":
    import labthings as lt
    from labthings.types.numpy import NDArray
else:
    import labthings_fastapi as lt
    from labthings_fastapi.types.numpy import NDArray

IMAGE = (numpy.arange(1_000_000, dtype=numpy.uint32) % 65521).astype(numpy.uint16).reshape(1000, 1000)

class Camera(lt.Thing):
    @lt.property
    def image(self) -> NDArray:
        return IMAGE

lt.ThingServer.from_things({"camera": Camera}, settings_folder=sys.argv[3]).serve("127.0.0.1", int(sys.argv[2]))
"""


@contextmanager
def server(python: str, package: str) -> Iterator[int]:
    """The port of a Camera that another process serves."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        script = f"{folder}/camera_server.py"
        with open(script, "w", encoding="utf-8") as file:
            file.write(SERVER)
        process = subprocess.Popen(
            [python, script, package, str(port), folder], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            wait_for(port)
            yield port
        finally:
            process.terminate()
            process.wait()


def wait_for(port: int) -> None:
    """Wait until something listens at a port."""
    for _ in range(300):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit(f"Nothing listens at port {port}.")


def reader(port: int, accept: str | None) -> Callable[[], Any]:
    """What reads the image in one form, over a connection that stays open."""
    from labthings.types import array_formats
    from labthings.types.media_types import JSON

    connection = HTTPConnection("127.0.0.1", port)

    def read() -> Any:
        connection.request("GET", PATH, headers={"accept": accept} if accept else {})
        response = connection.getresponse()
        body = response.read()
        assert response.status == 200, body
        if accept is None or accept == JSON:
            return json.loads(body)
        return array_formats.decode(body, accept, {name.lower(): value for name, value in response.getheaders()})

    return read


def thing_client(port: int) -> Callable[[], Any]:
    """What reads the image with a ThingClient."""
    import labthings as lt

    client = lt.ThingClient.from_url(f"http://127.0.0.1:{port}/camera/")
    return lambda: client.get_property("image")


def milliseconds(read: Callable[[], Any]) -> float:
    """How long reading takes, at its best of some attempts in a row."""
    times = []
    for _ in range(5):
        begun = time.perf_counter()
        read()
        times.append(1000 * (time.perf_counter() - begun))
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--predecessor", metavar="PYTHON", help="an interpreter that has labthings-fastapi")
    wanted = parser.parse_args()
    with ExitStack() as stack:
        port = stack.enter_context(server(sys.executable, "labthings"))
        readers: dict[str, Callable[[], Any]] = {
            "JSON": reader(port, "application/json"),
            "x-npy": reader(port, "application/x-npy"),
            "octets": reader(port, "application/octet-stream"),
            "CBOR": reader(port, "application/cbor"),
            "ThingClient": thing_client(port),
        }
        if wanted.predecessor:
            old_port = stack.enter_context(server(wanted.predecessor, "labthings_fastapi"))
            readers = {"labthings-fastapi": reader(old_port, None), **readers}
        rounds = [{name: milliseconds(read) for name, read in readers.items()} for _ in range(ROUNDS)]
    first = next(iter(readers))
    for name in readers:
        ratio = statistics.median(each[first] / each[name] for each in rounds)
        took = statistics.median(each[name] for each in rounds)
        print(f"{name:18} {took:9.2f} ms   {ratio:7.1f} times as fast as {first}")


if __name__ == "__main__":
    main()
