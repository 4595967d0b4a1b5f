"""A server that says what a test has it say."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from importlib.resources import files
from queue import Queue
from typing import Any

from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import Server, ServerConnection, serve

from tests.test_labthings_js.pages import page

SECONDS = 20
SCRIPT = (files("labthings.server") / "labthings.js").read_bytes()


class Talk:
    """The server's end of a WebSocket."""

    def __init__(self, socket: ServerConnection) -> None:
        self._socket = socket
        self.path = socket.request.path if socket.request else ""

    def heard(self) -> Any:
        """What the page has said."""
        return json.loads(self._socket.recv(timeout=SECONDS))

    def say(self, message: Any) -> None:
        self._socket.send(message if isinstance(message, str | bytes) else json.dumps(message))

    def snapshot(self, version: int, data: Any, epoch: str = "e1", name: str = "state") -> None:
        told = {"epoch": epoch, "version": version, "data": data}
        self.say({"messageType": "propertySnapshot", "data": {name: told}})

    def patch(self, base: int, *operations: Any, epoch: str = "e1", **more: Any) -> None:
        told = {"epoch": epoch, "baseVersion": base, "version": base + 1, "patch": operations, **more}
        self.say({"messageType": "propertyPatch", "data": {"state": told}})

    def set(self, base: int, path: str, value: Any, epoch: str = "e1") -> None:
        self.patch(base, {"op": "replace", "path": path, "value": value}, epoch=epoch)

    def answer(self, question: Any) -> None:
        """Answer what is asked of a server that is silent."""
        self.say({"messageType": "response", "correlationID": question["correlationID"], "values": {}})

    def hang_up(self) -> None:
        self._socket.close(1001, "The server is stopping")

    def wait_for_end(self) -> None:
        """Read until the page has closed the connection."""
        try:
            while True:
                self._socket.recv(timeout=SECONDS)
        except ConnectionClosed:
            return


class FakeServer:
    """A Thing `supply` with a property `state`, and a page that follows it.

    :ivar refusal: what the Thing answers to WebSockets and by HTTP, with a status, if it is not there.
    """

    def __init__(self) -> None:
        self._ended = threading.Event()
        self.url = ""
        self.forget()

    def forget(self) -> None:
        """Be as at the beginning."""
        self._talks: Queue[ServerConnection] = Queue()
        self.refusal: tuple[int, dict[str, Any] | None] | None = None
        self.asked: Queue[str] = Queue()

    def next_talk(self) -> Talk:
        """The next WebSocket that the page opens."""
        return Talk(self._talks.get(timeout=SECONDS))

    @contextmanager
    def running(self) -> Iterator[FakeServer]:
        with serve(
            self._talk, "127.0.0.1", 0, process_request=self._answer, ping_interval=None, compression=None
        ) as server:
            self.url = f"http://127.0.0.1:{server.socket.getsockname()[1]}"
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            yield self
            self._stop(server, thread)

    def _stop(self, server: Server, thread: threading.Thread) -> None:
        self._ended.set()
        server.shutdown()
        thread.join(SECONDS)

    def _talk(self, socket: ServerConnection) -> None:
        self._talks.put(socket)
        self._ended.wait()
        socket.close_timeout = 0.01

    def _answer(self, socket: ServerConnection, request: Request) -> Response | None:
        path, _, _ = request.path.partition("?")
        if path.endswith(".js"):
            return _response(200, SCRIPT, "text/javascript")
        if path.endswith("/page"):
            return _response(200, page().encode(), "text/html")
        self.asked.put(request.path)
        is_socket = "upgrade" in request.headers
        if self.refusal is not None:
            status, problem = self.refusal
            if problem is not None or is_socket:
                return _response(status, json.dumps(problem).encode(), "application/problem+json")
        return None if is_socket else _response(200, b"{}", "application/json")


def _response(status: int, body: bytes, media_type: str) -> Response:
    headers = {"content-type": media_type, "content-length": str(len(body)), "connection": "close"}
    return Response(status, HTTPStatus(status).phrase, Headers(headers), body)
