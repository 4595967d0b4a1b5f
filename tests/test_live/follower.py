"""Clients that come and go, stall, and remember which state they had at which version."""

from __future__ import annotations

import json
import socket
import threading
from typing import Any

from websockets.sync.client import connect

from labthings.state import Replica
from tests.test_state.followers import words

SMALL = 4096
ENDS = ("completed", "error", "cancelled")


def small_socket(port: int) -> socket.socket:
    """A connection that takes little before it is read from."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
    made.settimeout(20)
    made.connect(("127.0.0.1", port))
    return made


class Follower:
    """A client that follows properties by the messages of a WebSocket.

    :param port: of the server.
    :param script: what it does: read a number of messages, ``again``, ``leave``, or ``stall`` until it is to `finish`.
    :param names: the properties.
    :param actions: that it observes too.
    :param replicas: what it knows from before.
    """

    def __init__(
        self,
        port: int,
        script: list[Any],
        names: tuple[str, ...],
        actions: tuple[str, ...] = (),
        replicas: dict[str, Replica] | None = None,
    ) -> None:
        self._port, self._script, self._names, self._actions = port, script, names, actions
        self.replicas = replicas or {name: Replica() for name in names}
        self._resume, self._end = threading.Event(), ""
        self.states = {name: set[tuple[str, int, str]]() for name in names}
        self.faults, self.snapshots = list[BaseException](), 0
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def finish(self, end: str) -> None:
        """Have it read on, and wait until it has all there is.

        :param end: the note that the properties have in the end.
        """
        self._end = end
        self._resume.set()
        self._thread.join(30)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        steps = iter([*self._script, "stall", "finish"])
        try:
            while self._stay(steps):
                continue
        except BaseException as error:  # noqa: BLE001
            self.faults.append(error)

    def _stay(self, steps: Any) -> bool:
        self._ended = set[str]()
        url = f"ws://127.0.0.1:{self._port}/garden/ws"
        with connect(
            url, sock=small_socket(self._port), max_queue=1, compression=None, close_timeout=0.01, max_size=None
        ) as self._websocket:
            self._ask()
            for step in steps:
                if step == "leave":
                    return True
                self._do(step)
        return False

    def _do(self, step: Any) -> None:
        if step == "again":
            self._ask()
        elif step == "stall":
            assert self._resume.wait(20)
        elif step == "finish":
            while any(replica.data is None or replica.data["note"] != self._end for replica in self.replicas.values()):
                self._take(20)
        else:
            for _ in range(step):
                self._take(0.01)

    def _ask(self) -> None:
        wanted = dict.fromkeys(self._names, "patches")
        self._websocket.send(json.dumps({"messageType": "addPropertyObservation", "data": wanted}))
        if self._actions:
            actions = dict.fromkeys(self._actions, True)
            self._websocket.send(json.dumps({"messageType": "addActionObservation", "data": actions}))

    def _take(self, timeout: float) -> None:
        try:
            message = json.loads(self._websocket.recv(timeout=timeout))
        except TimeoutError:
            assert timeout < 1, [replica.version for replica in self.replicas.values()]
            return
        kind, data = message["messageType"], message["data"]
        if kind == "actionStatus":
            if data["status"] in ENDS:
                self._ended.add(data["id"])
            return
        [[name, told]] = data.items()
        self._follow(kind, name, told)

    def _follow(self, kind: str, name: str, told: Any) -> None:
        replica = self.replicas[name]
        if kind == "propertySnapshot":
            assert told["epoch"] != replica.epoch or told["version"] >= replica.version, "it was told of the past"
            replica.load(told)
            self.snapshots += 1
        else:
            assert kind == "propertyPatch"
            assert told.get("origin", {}).get("invocation") not in self._ended, "a patch came after its action's end"
            assert replica.apply(told), "it was told what it knew"
        self.states[name].add((replica.epoch, replica.version, words(replica.data)))
