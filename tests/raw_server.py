"""A server that answers as a test wants it to, with broken connections too."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO, NamedTuple


class Request(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]
    body: BinaryIO


Answer = Callable[[Request], bytes | Iterable[bytes]]


@contextmanager
def raw_server(answer: Answer) -> Iterator[str]:
    """Serve on a real socket, and give the URL. Each connection is closed after its first answer, however short."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_serve, args=(listener, answer))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            with suppress(OSError):  # it is closed already, if an answer has failed
                listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)
            assert not thread.is_alive()


def _serve(listener: socket.socket, answer: Answer) -> None:
    with listener:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as incoming:
                request = _read(incoming)
                if request is not None:
                    _send(connection, answer(request))


def _read(incoming: BinaryIO) -> Request | None:
    method, _, path = incoming.readline().decode().partition(" ")
    lines = iter(lambda: incoming.readline().decode().strip(), "")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Request(method, path.partition(" ")[0], headers, incoming) if method else None


def _send(connection: socket.socket, answer: bytes | Iterable[bytes]) -> None:
    try:
        for piece in [answer] if isinstance(answer, bytes) else answer:
            connection.sendall(piece)
    except ConnectionError:
        return  # the client has gone


def response(status: int, body: bytes = b"", **headers: object) -> bytes:
    """An answer. Its ``content_length`` need not be true."""
    told = {"content_length": len(body), "connection": "close", **headers}
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in told.items() if value is not None]
    return "\r\n".join([f"HTTP/1.1 {status} Status", *lines, "", ""]).encode() + body


class Content:
    """Answers with some bytes, of which it sends no more than ``cuts`` says, request by request.

    :param etag: tells the version; without one, there are no parts of it.
    """

    def __init__(self, content: bytes, *cuts: int, etag: str | None = '"1"') -> None:
        self.content, self.etag = content, etag
        self._cuts = iter(cuts)
        self.ranges: list[str | None] = []

    def __call__(self, request: Request) -> bytes:
        asked = request.headers.get("range")
        self.ranges.append(asked)
        status, body, headers = 200, self.content, {"etag": self.etag, "content_type": "image/png"}
        if asked and self.etag and request.headers["if-range"] == self.etag:
            start, size = int(asked.removeprefix("bytes=").removesuffix("-")), len(self.content)
            status, body = 206, self.content[start:]
            headers["content_range"] = f"bytes {start}-{size - 1}/{size}"
        return response(status, body[: next(self._cuts, None)], content_length=len(body), **headers)
