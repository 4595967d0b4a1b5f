"""A Thing whose server does what a test says, on a WebSocket with the Web Thing Protocol."""

from __future__ import annotations

import json
import queue
import socket
import threading
from typing import Any

import httpx
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import Server, ServerConnection, serve

import labthings as lt

PROTOCOL = "webthingprotocol"
ID = "urn:uuid:2bd8b686-0195-5c43-bfeb-d704a483c2fe"


class FakeThing:
    """Answers requests, except for those of operations in ``held``, which a test answers itself.

    :param properties: the properties' values.
    """

    def __init__(self, **properties: Any) -> None:
        self.values = {"position": 0.0, **properties}
        self.held: set[str] = set()
        self.requests: queue.Queue[dict[str, Any]] = queue.Queue()
        self.connections: queue.Queue[ServerConnection] = queue.Queue()
        self.gone: queue.Queue[ServerConnection] = queue.Queue()
        self.answers: dict[str, dict[str, Any]] = {}
        self.id, self.epoch = ID, "aaaa"
        self.subprotocols: list[Any] | None = [PROTOCOL]
        self._open: list[ServerConnection] = []
        self._server: Server | None = None
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = listener.getsockname()[1]

    @property
    def description(self) -> dict[str, Any]:
        form = {"href": f"ws://127.0.0.1:{self.port}/lamp/ws", "subprotocol": PROTOCOL, "op": ["observeallproperties"]}
        return {
            "@context": "https://www.w3.org/2022/wot/td/v1.1",
            "id": self.id,
            "title": "Lamp",
            "properties": {
                **{name: {"observable": True, "forms": [{"href": name}]} for name in self.values},
                "silent": {"type": "number", "forms": [{"href": "silent"}]},
            },
            "actions": {"blink": {"forms": [{"href": "blink"}]}},
            "events": {"overheated": {"data": {}, "forms": []}, "tripped": {"forms": []}},
            "forms": [form],
        }

    def http(self, kind: Any = httpx.Client, **options: Any) -> Any:
        """Makes requests to it, without a network."""
        transport = httpx.MockTransport(lambda request: httpx.Response(200, json=self.description))
        return kind(transport=transport, **options)

    def client(self, **options: Any) -> Any:
        return lt.ThingClient.from_url(f"http://127.0.0.1:{self.port}/lamp/", self.http(**options))

    async def async_client(self) -> Any:
        url = f"http://127.0.0.1:{self.port}/lamp/"
        return await lt.AsyncThingClient.from_url(url, self.http(httpx.AsyncClient))

    # --- what it does -------------------------------------------------------------------------------------------

    def start(self) -> None:
        self._server = serve(self._handle, "127.0.0.1", self.port, subprotocols=self.subprotocols)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def stop(self) -> None:
        if self._server is not None:
            vars(self._server)["SHUTDOWN_POLLING_INTERVAL"] = 0.002  # seconds, where it waits for connections to end
            self._server.shutdown()
            self._thread.join(10)
            self._server = None
        self.drop()

    def drop(self) -> None:
        """Lose the connections."""
        for each in [*self._open]:
            each.close_socket()

    def set(self, name: str, value: Any) -> None:
        self.values[name] = value
        self.notify("observeproperty", name, value=value)

    def notify(self, operation: str, name: str, **members: Any) -> None:
        self.send({"messageType": "notification", "operation": operation, "name": name, **members})

    def emit(self, name: str, number: int, **members: Any) -> None:
        self.notify("subscribeevent", name, eventID=f"{self.epoch}-{number}", **members)

    def answer(self, request: dict[str, Any], **members: Any) -> None:
        common = {key: request[key] for key in ("operation", "name", "correlationID") if key in request}
        self.send({"messageType": "response", **common, **members})

    def send(self, message: Any) -> None:
        text = message if isinstance(message, str | bytes) else json.dumps(message)
        for each in [*self._open]:
            each.send(text)

    def expect(self, operation: str) -> dict[str, Any]:
        """The next request, which must be of an operation."""
        request = self.requests.get(timeout=10)
        assert request["operation"] == operation, request
        return request

    def _handle(self, connection: ServerConnection) -> None:
        self._open.append(connection)
        self.connections.put(connection)
        try:
            for text in connection:
                request = json.loads(text)
                if request["operation"] not in self.held:
                    self.answer(request, **self._told(request))
                self.requests.put(request)
        except (ConnectionClosed, OSError):
            pass
        finally:
            self._open.remove(connection)
            self.gone.put(connection)

    def _told(self, request: dict[str, Any]) -> dict[str, Any]:
        operation = request["operation"]
        if request.get("thingID", self.id) != self.id:
            return {"error": {"status": "404", "title": "Not Found", "detail": "no such Thing"}}
        if operation in self.answers:
            return self.answers[operation]
        if operation == "readproperty":
            return {"value": self.values[request["name"]]}
        return {"epoch": self.epoch, "eventID": f"{self.epoch}-0"} if operation == "subscribeevent" else {}
