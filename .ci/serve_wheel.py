"""Serve the example Things from an installed wheel, read a property over HTTP, and stop as Ctrl+C does.

Run it with the Python that has the wheel, in a folder with a copy of the examples.
"""

import json
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from urllib.request import urlopen

import labthings

COMMAND = [str(Path(sys.executable).with_name("labthings-server")), "-c", "config.example.json", "--port", "0"]
SECONDS_TO_START, SECONDS_TO_STOP = 60, 20


def check_origin() -> None:
    """Make sure that this is not the checkout's package."""
    place = Path(labthings.__file__).resolve()
    sys.stdout.write(f"labthings comes from {place}\n")
    assert place.is_relative_to(Path(sys.prefix).resolve()), "This is not the installed wheel."


def announced_urls(server: "subprocess.Popen[str]") -> dict[str, str]:
    """The URL of each Thing, once the server has told of them."""
    urls: dict[str, str] = {}
    assert server.stdout is not None
    for line in server.stdout:
        sys.stdout.write(line)
        found = re.match(r"  (\S+)\s+(http://\S+/)$", line)
        if found:
            urls[found[1]] = found[2]
        if line.startswith("Press Ctrl+C"):
            return urls
    raise AssertionError("The server has ended before it said where the Things are.")


def read_a_property(thing_url: str) -> None:
    """Read the first property that the Thing Description tells of."""
    with urlopen(thing_url, timeout=10) as answer:
        properties = json.load(answer)["properties"]
    url = next(iter(properties.values()))["forms"][0]["href"]
    with urlopen(url, timeout=10) as answer:
        sys.stdout.write(f"{url} is {json.load(answer)!r}\n")


def main() -> None:
    check_origin()
    server = subprocess.Popen(COMMAND, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    watchdog = threading.Timer(SECONDS_TO_START, server.kill)
    watchdog.start()
    try:
        for url in announced_urls(server).values():
            read_a_property(url)
        server.send_signal(signal.SIGINT)
        exit_code = server.wait(SECONDS_TO_STOP)
        assert exit_code == 0, f"labthings-server ended with {exit_code} after Ctrl+C."
        sys.stdout.write("It stopped with exit code 0.\n")
    finally:
        watchdog.cancel()
        server.kill()


main()
