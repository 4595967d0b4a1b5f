"""Every client has the state of its version, whoever changes it, and whoever comes, goes or stalls."""

from __future__ import annotations

import json
import random
import threading
from contextlib import nullcontext
from typing import Any

import pytest
from pydantic import Field
from websockets.sync.client import connect

from labthings.state import Patch, Replica, patch_log
from labthings.sync import LabSync, ReactiveModel
from tests.test_state.followers import words


class Leaf(ReactiveModel):
    number: float = 0
    tags: list[str] = Field(default_factory=list)


class Tree(ReactiveModel):
    leaves: list[Leaf] = Field(default_factory=list)
    table: dict[str, Leaf] = Field(default_factory=dict)
    done: bool = False


class Truth:
    """What the state was at each version."""

    def __init__(self, sync: LabSync) -> None:
        self.replica = Replica(sync.document.subscribe(self.told))
        self.states = {0: words(self.replica.data)}

    def told(self, patch: Patch) -> None:
        self.replica.apply(patch)
        self.states[patch.version] = words(self.replica.data)


class Follower:
    """A client that comes and goes, stalls, and asks for changes, until it is told the last state."""

    def __init__(self, url: str, seed: int) -> None:
        self._url, self._chance, self._compression = url, random.Random(seed), None if seed % 2 else "deflate"
        self.replica = Replica()
        self.states, self.seen, self.faults = list[tuple[int, str]](), set[str](), list[Exception]()
        self.thread = threading.Thread(target=self.run)

    def run(self) -> None:
        try:
            while not self.is_done:
                with connect(self._url, max_queue=1, compression=self._compression, close_timeout=0.01) as websocket:
                    self.stay(websocket)
        except Exception as error:  # noqa: BLE001
            self.faults.append(error)

    @property
    def is_done(self) -> bool:
        return bool(self.replica.data and self.replica.data["done"])

    def stay(self, websocket: Any) -> None:
        for _ in range(self._chance.randrange(5, 60)):
            if self._chance.random() < 0.05:
                websocket.send('{"type": "resync"}')
            if self._chance.random() < 0.2:
                params = {"seed": self._chance.random()}
                websocket.send(json.dumps({"type": "command", "command": "change", "params": params}))
            self.take(json.loads(websocket.recv(timeout=10)))
            if self.is_done:
                return

    def take(self, message: Any) -> None:
        self.seen.add(message["type"])
        if message["type"] == "command_ack":
            return
        if message["type"] == "snapshot":
            self.replica.load(message)
        else:
            assert self.replica.apply(message)
        self.states.append((self.replica.version, words(self.replica.data)))


def change(tree: Tree, chance: random.Random) -> None:
    kind = chance.randrange(6)
    try:
        if kind == 0:
            tree.leaves.insert(0, Leaf(number=chance.random()))
        elif kind == 1:
            tree.leaves.pop(chance.randrange(3))
        elif kind == 2:
            tree.leaves[-1].tags.append("x" * chance.randrange(5))
        elif kind == 3:
            tree.leaves.reverse()
        elif kind == 4:
            tree.table[chance.choice("ab")] = Leaf()
        else:
            tree.table["a"].number += 1
    except (IndexError, KeyError):
        return


@pytest.mark.parametrize("kept", [1000, 2])
def test_every_client_has_the_state_of_its_version(serve_sync: Any, monkeypatch: Any, kept: int) -> None:
    monkeypatch.setattr(patch_log, "MOST_PATCHES", kept)
    sync = LabSync()
    tree = sync.bind_state(Tree())
    truth = Truth(sync)

    @sync.command(name="change")
    def change_for_client(seed: float) -> None:
        change(tree, random.Random(seed))

    def work(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(150):
            with sync.batch() if chance.random() < 0.2 else nullcontext():
                for _ in range(chance.randrange(1, 4)):
                    change(tree, chance)
            if chance.random() < 0.03:
                sync.load_state({"leaves": [{"number": 1}]})
            ticks.acquire(timeout=0.002)

    ticks = threading.Semaphore(0)  # which nobody releases: it is what paces the writers
    with serve_sync(sync) as url:
        followers = [Follower(url, each) for each in range(6)]
        writers = [threading.Thread(target=work, args=[seed]) for seed in range(3)]
        for each in [*writers, *(follower.thread for follower in followers)]:
            each.start()
        for each in writers:
            each.join(20)
        tree.done = True
        for follower in followers:
            follower.thread.join(20)
    assert not any(follower.thread.is_alive() for follower in followers)
    assert [follower.faults for follower in followers] == [[]] * 6
    assert set.union(*(follower.seen for follower in followers)) == {"snapshot", "patch", "command_ack"}
    told = {state for follower in followers for state in follower.states}
    assert told <= truth.states.items()
    assert words(truth.replica.data) == words(json.loads(tree.model_dump_json()))
    assert truth.replica.version == sync.document.version
    assert sync.publish() is None
