"""Clients of server-sent events: one that reads, and one that does not."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, NamedTuple

import httpx

SECONDS = 20  # in which everything must have happened


class Told(NamedTuple):
    """One block of a stream: what a client is told."""

    event: str
    id: str
    data: Any

    @property
    def epoch(self) -> str:
        return self.id.partition("-")[0]

    @property
    def number(self) -> int:
        return int(self.id.partition("-")[2])


@contextmanager
def following(url: str, headers: dict[str, str] | dict[str, bytes] | None = None) -> Iterator[Iterator[Told]]:
    """The blocks of a stream, as they come."""
    wanted = {"Accept": "text/event-stream", **(headers or {})}
    with httpx.stream("GET", url, headers=wanted, timeout=SECONDS, verify=False) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"] == "text/event-stream"
        yield blocks(answer.iter_lines())


def blocks(lines: Iterable[str]) -> Iterator[Told]:
    fields: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(": ")
        if line and name:  # a comment has no name
            assert name in ("event", "id", "data", "retry")
            assert name not in fields
            fields[name] = value
        elif fields:
            data = json.loads(fields["data"]) if "data" in fields else None
            yield Told(fields.get("event", ""), fields.get("id", ""), data)
            fields = {}
    assert not fields


class Stalled:
    """A client that reads the start of an answer, and nothing after that until it is told to."""

    def __init__(self, port: int, path: str, *headers: str) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._socket.settimeout(SECONDS)
        self._socket.connect(("127.0.0.1", port))
        head = "\r\n".join([f"GET {path} HTTP/1.1", "Host: 127.0.0.1", *headers, "", ""])
        self._socket.sendall(head.encode())

    def begin(self) -> None:
        """Wait for the start of the answer."""
        assert b" 200 OK" in self._socket.recv(100)

    def read_on(self) -> Iterator[Told]:
        """Read what there is."""
        with self._socket.makefile("rb") as file:
            yield from blocks(_lines(file))

    def rest(self) -> bytes:
        """Read all that comes until the end of the connection."""
        return b"".join(iter(lambda: self._socket.recv(65536), b""))

    def close(self) -> None:
        self._socket.close()

    def reset(self) -> None:
        """Go without a word."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self._socket.close()


def _lines(file: BinaryIO) -> Iterator[str]:
    """The lines of an answer's body. The framing of the chunks is taken off."""
    while file.readline() != b"\r\n":
        pass
    rest = b""
    while size := int(file.readline(), 16):
        rest += file.read(size)
        file.readline()
        *lines, rest = rest.split(b"\n")
        yield from (line.decode() for line in lines)


def until(condition: Callable[[], object]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)
