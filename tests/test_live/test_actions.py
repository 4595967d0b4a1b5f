"""An action's end is told after everything that it has changed, to whoever asks, and however it ends."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any

import pytest

import labthings as lt
from labthings.actions import telling
from labthings.state import ReactiveModel, Replica, batch, document_of

ENDS = ("completed", "error", "cancelled")


class State(ReactiveModel):
    steps: list[int] = []  # noqa: RUF012 - pydantic copies it


class Rack(lt.Thing):
    state: State = lt.property(default_factory=State)
    other: State = lt.setting(default_factory=State)

    neighbour: Rack | None = lt.thing_slot("neighbour")
    may_change: threading.Event
    has_changed: threading.Event

    @lt.action
    def run(self, steps: int = 30, fails: bool = False) -> None:
        for number in range(steps):
            self.state.steps.append(number)
            self.other.steps.append(number)
        if fails:
            raise ValueError("as it was told to")

    @lt.action
    async def run_in_loop(self, steps: int = 30, fails: bool = False) -> None:
        for number in range(steps):
            self.state.steps.append(number)
            if number % 7 == 0:
                await asyncio.sleep(0)
            with batch(self.other):
                self.other.steps.append(1)
        if fails:
            raise ValueError("as it was told to")

    @lt.action
    def run_neighbour(self) -> None:
        assert self.neighbour is not None
        self.neighbour.state.steps.append(1)
        with batch(self.neighbour.other):
            self.neighbour.other.steps.append(2)
            raise ValueError("in the middle")

    @lt.action
    def run_until_cancelled(self) -> None:
        self.state.steps.append(1)
        try:
            lt.cancellable_sleep(20)
        finally:
            self.state.steps.append(2)

    @lt.action
    def change(self) -> None:
        self.state.steps.append(1)
        self.has_changed.set()

    @lt.action
    def change_when_told(self) -> None:
        assert self.may_change.wait(5)
        self.change()

    @lt.action
    async def leave_a_thread(self) -> None:
        self.state.steps.append(1)
        threading.Thread(target=copy_context().run, args=[self._go_on]).start()

    def _go_on(self) -> None:
        assert self.may_change.wait(5)
        self.other.steps.append(2)
        self.has_changed.set()

    @lt.action
    async def change_in_loop(self) -> None:
        self.state.steps.append(1)
        self.has_changed.set()


class Observer:
    """A client that follows live state and observes actions on one WebSocket."""

    def __init__(self, socket: Any, actions: tuple[str, ...], things: tuple[str, ...] = ("rack",)) -> None:
        self._socket = socket
        self.replicas = {(thing, name): Replica() for thing in things for name in ("state", "other")}
        self.ended = dict[str, str]()
        self.changes = Counter[str | None]()
        """How many operations there were by the invocation that had caused them."""
        for thing in things:
            self._send("addPropertyObservation", thing, dict.fromkeys(("state", "other"), "patches"))
            self._send("addActionObservation", thing, dict.fromkeys(actions, True))
        while any(replica.needs_snapshot for replica in self.replicas.values()):
            self.take()

    def end_of(self, invocation: str) -> str:
        """Read until an action has ended, and tell how."""
        while invocation not in self.ended:
            self.take()
        return self.ended[invocation]

    def take(self) -> None:
        message: dict[str, Any] = self._socket.receive_json()
        data = message["data"]
        if message["messageType"] == "actionStatus":
            self.ended |= {data["id"]: data["status"]} if data["status"] in ENDS else {}
            return
        [[name, told]] = data.items()
        replica = self.replicas[message["thingID"], name]
        if message["messageType"] == "propertySnapshot":
            replica.load(told)
        else:
            assert replica.apply(told)
            self.changes[told.get("origin", {}).get("invocation")] += len(told["patch"])

    def _send(self, kind: str, thing: str, data: dict[str, Any]) -> None:
        self._socket.send_json({"messageType": kind, "thingID": thing, "data": data})


@pytest.fixture
def client(client_of: Callable[..., Any]) -> Any:
    client = client_of({"rack": Rack, "neighbour": Rack})
    for rack in client.server.things.values():
        rack.may_change, rack.has_changed = threading.Event(), threading.Event()
    return client


@contextmanager
def observing(client: Any, *actions: str, things: tuple[str, ...] = ("rack",)) -> Iterator[Observer]:
    with client.websocket_connect("/ws") as socket:
        yield Observer(socket, actions, things)


def invoke(client: Any, action: str, **arguments: Any) -> str:
    id: str = client.post(f"/rack/{action}", json=arguments).json()["id"]
    return id


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("action", ["run", "run_in_loop"])
def test_the_end_is_told_after_all_patches(client: Any, action: str, fails: bool) -> None:
    with observing(client, action) as observer:
        for turn in range(1, 6):
            id = invoke(client, action, fails=fails)
            assert observer.end_of(id) == ("error" if fails else "completed")
            assert [len(each.data["steps"]) for each in observer.replicas.values()] == [30 * turn] * 2
            assert observer.changes[id] == 60


def test_of_several_at_once_each_has_its_own_patches(client: Any) -> None:
    with observing(client, "run", "run_in_loop") as observer:
        ids = [invoke(client, ("run", "run_in_loop")[each % 2], fails=each % 3 == 0) for each in range(10)]
        while len(observer.ended) < 10:
            known = set(observer.ended)
            observer.take()
            for id in observer.ended.keys() - known:
                assert observer.changes[id] == 60
        assert observer.changes == dict.fromkeys(ids, 60)


def test_what_it_has_changed_in_another_thing_is_told_before_its_end(client: Any) -> None:
    with observing(client, "run_neighbour", things=("rack", "neighbour")) as observer:
        id = invoke(client, "run_neighbour")
        assert observer.end_of(id) == "error"
        told = {key: replica.data["steps"] for key, replica in observer.replicas.items() if key[0] == "neighbour"}
        assert told == {("neighbour", "state"): [1], ("neighbour", "other"): [2]}
        assert observer.changes == {id: 2}


def test_what_it_does_when_it_is_cancelled_is_told_before_its_end(client: Any) -> None:
    with observing(client, "run_until_cancelled") as observer:
        id = invoke(client, "run_until_cancelled")
        while not observer.changes:
            observer.take()
        client.delete(f"/action_invocations/{id}")
        assert observer.end_of(id) == "cancelled"
        assert observer.replicas["rack", "state"].data["steps"] == [1, 2]
        assert observer.changes == {id: 2}


@pytest.mark.parametrize("action", ["run", "run_in_loop"])
def test_who_asks_again_and_again_finds_its_changes_when_it_has_ended(client: Any, action: str) -> None:
    state = client.server.things["rack"].state
    causes: list[Any] = []
    document_of(state).subscribe(lambda patch: causes.append((patch.version, patch.origin)))
    for turn in range(1, 6):
        id = invoke(client, action)
        while client.get(f"/action_invocations/{id}").json()["status"] != "completed":
            continue
        told = max(version for version, cause in causes if cause == {"invocation": id})
        answer = client.get("/rack/state")
        assert len(answer.json()["steps"]) == 30 * turn
        assert answer.headers["etag"].endswith(f'-{told}"')


@pytest.mark.parametrize("action", ["change", "change_in_loop"])
def test_the_end_waits_for_a_batch_of_somebody_else(client: Any, action: str) -> None:
    rack = client.server.things["rack"]
    with observing(client, action) as observer:
        with batch(rack.state):
            id = invoke(client, action)
            assert rack.has_changed.wait(5)
            rack.state.steps.append(2)
            assert client.get(f"/action_invocations/{id}").json()["status"] == "running"
            assert client.get("/rack/state").json() == {"steps": []}
        assert observer.end_of(id) == "completed"
        assert observer.changes == {id: 1, None: 1}
        assert client.get("/rack/state").json() == {"steps": [1, 2]}


@pytest.mark.parametrize("action", ["change", "change_in_loop"])
def test_the_end_does_not_wait_for_ever(
    client: Any, action: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(telling, "LONGEST_BATCH", 0.01)
    rack = client.server.things["rack"]
    with observing(client, action) as observer, batch(rack.state), caplog.at_level(logging.WARNING):
        id = invoke(client, action)
        assert observer.end_of(id) == "completed"
        assert observer.changes == {id: 1}
        assert "A batch has not ended" in caplog.text
        rack.state.steps.append(2)
        assert client.get("/rack/state").json() == {"steps": [1]}
    assert client.get("/rack/state").json() == {"steps": [1, 2]}


def test_what_a_thread_of_its_own_changes_at_its_end_is_told_too(client: Any) -> None:
    rack = client.server.things["rack"]
    document_of(rack.state).subscribe(lambda patch: (rack.may_change.set(), rack.has_changed.wait(5)))
    with observing(client, "leave_a_thread") as observer:
        id = invoke(client, "leave_a_thread")
        assert observer.end_of(id) == "completed"
        assert observer.changes == {id: 2}


def test_an_answer_is_told_after_the_patches_before_it(client: Any) -> None:
    with client.websocket_connect("/rack/ws") as socket:
        socket.send_json({"messageType": "addPropertyObservation", "data": {"state": "patches"}})
        assert socket.receive_json()["messageType"] == "propertySnapshot"
        value = {"steps": [1]}
        socket.send_json({"messageType": "request", "operation": "writeproperty", "name": "state", "value": value})
        assert [socket.receive_json()["messageType"] for _ in range(2)] == ["propertyPatch", "response"]


def test_what_those_do_who_are_told_is_not_said_to_come_of_whoever_tells_them(client: Any) -> None:
    rack = client.server.things["rack"]
    causes, blocked, go_on, told = list[Any](), threading.Event(), threading.Event(), threading.Semaphore(0)

    async def block() -> None:
        blocked.set()
        go_on.wait(5)

    def follow(patch: Any) -> None:
        rack.other.steps.append(patch.version)
        told.release()

    document_of(rack.state).subscribe(follow)
    document_of(rack.other).subscribe(lambda patch: causes.append(patch.origin))
    invoke(client, "change_when_told")
    rack._thing_server_interface.start_async_task_soon(block)
    assert blocked.wait(5)
    rack.may_change.set()
    assert told.acquire(timeout=5)  # by the action, at its end
    rack.state.steps.append(2)
    go_on.set()
    assert told.acquire(timeout=5)  # by the event loop, which the action has woken
    document_of(rack.other).flush()
    assert rack.other.steps == [1, 2]
    assert set(causes) == {None}
