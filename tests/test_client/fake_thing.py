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
from labthings.state import Replica

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
        self.states: dict[str, Replica] = {}
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
                **{name: {"observable": True, "forms": [{"href": name}]} for name in {**self.values, **self.states}},
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

    def show(self, name: str, data: Any, version: int = 7, epoch: str = "aaaa") -> None:
        """Have live state."""
        self.states[name] = Replica({"epoch": epoch, "version": version, "data": data})

    def snapshot(self, name: str) -> None:
        state = self.states[name]
        told = {"epoch": state.epoch, "version": state.version, "data": state.data}
        self.send({"messageType": "propertySnapshot", "data": {name: told}})

    def change(self, name: str, path: str, value: Any, **members: Any) -> None:
        """Replace something in live state, and tell of it."""
        base, operation = self.states[name].version, {"op": "replace", "path": path, "value": value}
        patch = {"epoch": self.states[name].epoch, "baseVersion": base, "version": base + 1, "patch": [operation]}
        self.states[name].apply(patch)
        self.patch(name, **patch, **members)

    def patch(self, name: str, **members: Any) -> None:
        self.send({"messageType": "propertyPatch", "data": {name: members}})

    def refuse(self, name: str | None, status: str, detail: str) -> None:
        """Refuse to tell of live state."""
        head = {"operation": "unknown"} if name is None else {"operation": "observeproperty", "name": name}
        self.send({"messageType": "response", **head, "error": {"status": status, "title": "No", "detail": detail}})

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
        assert request.get("operation", request["messageType"]) == operation, request
        return request

    def _handle(self, connection: ServerConnection) -> None:
        self._open.append(connection)
        self.connections.put(connection)
        try:
            for text in connection:
                request = json.loads(text)
                if request.get("operation", request["messageType"]) not in self.held:
                    self._respond(request)
                self.requests.put(request)
        except (ConnectionClosed, OSError):
            pass
        finally:
            self._open.remove(connection)
            self.gone.put(connection)

    def _respond(self, request: dict[str, Any]) -> None:
        if "operation" in request:
            self.answer(request, **self._told(request))
        elif request["messageType"] == "addPropertyObservation":
            self._follow(request)

    def _follow(self, request: dict[str, Any]) -> None:
        (name,) = request["data"]
        if request.get("thingID", self.id) != self.id:
            self.refuse(None, "404", "no such Thing")
        elif name in self.states:
            self.snapshot(name)
        else:
            self.refuse(name, "403", f"'{name}' is not live state")

    def _told(self, request: dict[str, Any]) -> dict[str, Any]:
        operation = request["operation"]
        if request.get("thingID", self.id) != self.id:
            return {"error": {"status": "404", "title": "Not Found", "detail": "no such Thing"}}
        if operation in self.answers:
            return self.answers[operation]
        if operation == "readproperty":
            return {"value": self.values[request["name"]]}
        return {"epoch": self.epoch, "eventID": f"{self.epoch}-0"} if operation == "subscribeevent" else {}
