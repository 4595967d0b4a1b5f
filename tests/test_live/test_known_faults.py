"""Ways in which live state of other systems has been wrong, through a Thing and a WebSocket."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import labthings as lt
from labthings.exceptions import AlreadyInStateError
from labthings.state import Patch, Replica, batch, document_of, patch_log
from labthings.websockets import wire
from tests.live_server import served
from tests.test_live.follower import SMALL
from tests.test_live.garden import Branch, Garden, Leaf, Tree
from tests.test_live.truth import Truth
from tests.test_websockets.raw_client import RawClient

FOLLOW = '{"messageType": "addPropertyObservation", "data": {"tree": "patches"}}'


class Client:
    """Has a replica of what a WebSocket tells of."""

    def __init__(self, websocket: Any) -> None:
        self._websocket, self.replica, self.kinds = websocket, Replica(), list[str]()
        self.ask()

    def ask(self) -> None:
        """Ask for a snapshot, and what comes after it."""
        self._websocket.send_text(FOLLOW)

    def take(self) -> Any:
        """Take a message, and give the data that there is then."""
        message = self._websocket.receive_json()
        self.kinds.append(message["messageType"].removeprefix("property"))
        if self.kinds[-1] == "Snapshot":
            self.replica.load(message["data"]["tree"])
        else:
            assert self.replica.apply(message["data"]["tree"])
        return self.replica.data


@pytest.fixture
def served_garden(client_of: Callable[..., Any]) -> Any:
    return client_of({"garden": Garden})


@pytest.fixture
def garden(served_garden: Any) -> Garden:
    found: Garden = served_garden.server.things["garden"]
    return found


@pytest.fixture
def follower(served_garden: Any) -> Iterator[Client]:
    with served_garden.websocket_connect("/garden/ws") as websocket:
        client = Client(websocket)
        client.take()
        yield client


def in_one_turn(garden: Garden, change: Callable[[], object]) -> None:
    """Do something in the event loop, which tells of it when it is done."""

    async def do() -> None:
        change()

    garden._thing_server_interface.call_async_task(do)


def assign_and_change(tree: Tree) -> None:
    tree.branches = [Branch(), Branch(leaves=[Leaf()])]
    tree.branches[1].leaves[0].number = 5
    del tree.branches[0]
    tree.table = {"a": Leaf()}
    tree.table["a"].number = 6


def put_in_two_places(tree: Tree) -> None:
    leaf = tree.branches[0].leaves[0]
    with pytest.raises(AlreadyInStateError):
        tree.table["a"] = leaf
    with pytest.raises(AlreadyInStateError):
        tree.branches[0].leaves.append(leaf)
    leaf.number = 7


def copy_a_model(tree: Tree) -> None:
    copied = tree.branches[0].leaves[0].model_copy()
    tree.branches[0].leaves[0].number = 1
    copied.number = 8
    tree.branches[0].leaves.append(copied)
    copied.number += 1


def change_what_is_excluded(tree: Tree) -> None:
    tree.branches[0].hidden = 5
    tree.branches.append(Branch(hidden=6))
    tree.branches[1].hidden = 7


def set_what_is_no_number(tree: Tree) -> None:
    tree.branches[0].leaves[0].number = math.nan
    tree.branches[0].leaves[1].number = math.inf
    tree.flag = [math.nan, {"a": -math.inf}]


def replace_by_what_is_equal(tree: Tree) -> None:
    tree.flag = 1
    tree.flag = True
    tree.table["a"] = Leaf(tag=[0, False, 0.0])
    tree.table["a"].tag[1] = 0


def change_what_is_serialised(tree: Tree) -> None:
    tree.angle = 2
    tree.angle = math.nan


def change_what_is_computed_from(tree: Tree) -> None:
    tree.branches[0].leaves[0].number = 4
    tree.branches[0].leaves.append(Leaf(number=5))
    tree.branches.insert(0, Branch())


def shift_what_has_changed(tree: Tree) -> None:
    leaf = tree.branches[0].leaves[1]
    leaf.number = 3
    tree.branches[0].leaves.insert(0, Leaf(number=-1))
    leaf.number = 4
    tree.branches[0].leaves.pop(1)
    leaf.tag = ["here"]
    tree.branches.insert(0, Branch())
    leaf.tag.append("and here")
    tree.branches.reverse()
    leaf.number = 5


@pytest.mark.parametrize(
    "change",
    [
        assign_and_change,
        put_in_two_places,
        copy_a_model,
        change_what_is_excluded,
        set_what_is_no_number,
        replace_by_what_is_equal,
        change_what_is_serialised,
        change_what_is_computed_from,
        shift_what_has_changed,
    ],
)
def test_what_is_done_in_one_turn_is_one_patch_and_right(
    change: Callable[[Tree], None], garden: Garden, follower: Client
) -> None:
    truth = Truth(document_of(garden.tree))
    in_one_turn(garden, lambda: change(garden.tree))
    assert follower.take() == truth[1]
    assert follower.replica.version == 1
    assert document_of(garden.tree).publish() is None


def test_a_batch_that_fails_is_told_of_as_far_as_it_came(garden: Garden, follower: Client) -> None:
    def fail() -> None:
        with batch(garden.tree):
            garden.tree.note = "begun"
            garden.tree.branches[0].leaves.clear()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    told = follower.take()
    assert (told["note"], told["branches"][0]["leaves"]) == ("begun", [])
    garden.tree.note = "and on"
    assert follower.take()["note"] == "and on"
    assert follower.replica.version == 2


class Live(NamedTuple):
    """A Thing that uvicorn serves, to clients that may be slow."""

    garden: Garden
    document: Any
    connect: Callable[[], Client]


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Live]:
    server = lt.ThingServer.from_things({"garden": Garden}, settings_folder=str(tmp_path))
    with ExitStack() as stack:
        port = stack.enter_context(served(server.app, send_buffer=SMALL, timeout_graceful_shutdown=1))

        def connect() -> Client:
            return Client(stack.enter_context(closing(RawClient(port, "/garden/ws"))))

        garden: Any = server.things["garden"]
        yield Live(garden, document_of(garden.tree), connect)


@pytest.mark.parametrize("is_batch", [False, True])
def test_who_joins_during_a_write_misses_nothing(live: Live, is_batch: bool) -> None:
    is_writing, may_go_on = threading.Event(), threading.Event()

    def write() -> None:
        with batch(live.garden.tree) if is_batch else live.document.lock:
            live.garden.tree.note = "half"
            is_writing.set()
            assert may_go_on.wait(10)
            live.garden.tree.level = 2

    thread, truth = threading.Thread(target=write), Truth(live.document)
    early = live.connect()
    early.take()
    thread.start()
    assert is_writing.wait(10)
    early.ask()
    if is_batch:
        assert early.take()["note"] == live.connect().take()["note"] == ""
    may_go_on.set()
    late = live.connect()
    thread.join(10)
    live.garden.tree.flag = "end"
    for each in (early, late):
        while each.take()["flag"] != "end":
            assert each.replica.data == truth[each.replica.version]
        assert (each.replica.data["note"], each.replica.data["level"]) == ("half", 2)


@pytest.mark.parametrize("limit", [("MOST_PATCHES", 20), ("MOST_BYTES", 200_000)])
def test_who_is_too_slow_gets_a_snapshot_and_delays_nobody(
    live: Live, limit: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patch_log, *limit)
    truth, stalled, other = Truth(live.document), live.connect(), live.connect()
    for each in (stalled, other):
        each.take()
    for number in range(100):
        live.garden.tree.note = f"{number} {'x' * 10_000}"
        assert other.take()["note"] == live.garden.tree.note
    assert 10 < len(live.document.log._entries) <= 20
    while stalled.replica.version < 100:
        assert stalled.take() == truth[stalled.replica.version]
    assert stalled.kinds.count("Snapshot") == 2
    assert len(stalled.kinds) < 100
    assert set(other.kinds[1:]) == {"Patch"}
    live.garden.tree.note = "end"
    assert stalled.take() == other.take() == truth[101]


def test_a_patch_is_encoded_once_for_a_hundred(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded, texts, frames = list[Any](), list[Any](), list[Any]()
    monkeypatch.setattr(Patch, "_encode", counting(Patch._encode, encoded))
    monkeypatch.setattr(live.document.log, "_to_text", counting(live.document.log._to_text, texts))
    monkeypatch.setattr(wire, "_shared_frame", lru_cache(4)(counting(wire._frame, frames)))
    clients = [live.connect() for _ in range(100)]
    for each in clients:
        each.take()
    frames.clear()
    for number in range(3):
        live.garden.tree.level = number
        assert [each.take()["level"] for each in clients] == [number] * 100
    assert len(encoded) == len(texts) == len(frames) == 3


def counting(function: Callable[..., Any], calls: list[Any]) -> Callable[..., Any]:
    return lambda *args: (calls.append(args), function(*args))[1]
