"""What is in a stream reaches all clients, also those who come late or are slow."""

from __future__ import annotations

import asyncio
import json
import math
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from labthings.exceptions import ConfigurationError, InvalidValueError, StateError
from labthings.sync import LabSync, audience
from labthings.sync.streams import Stream

Share = Callable[..., Any]


def decoded(message: str | bytes) -> dict[str, Any]:
    """A message of a stream, of either kind."""
    if isinstance(message, str):
        return dict(json.loads(message))
    start = 4 + int.from_bytes(message[:4], "little")
    head = dict(json.loads(message[4:start]))
    assert start % 8 == 0
    return {**head, "data": message[start:]}


class Reader:
    """What a client knows of a stream."""

    def __init__(self, dtype: Any = None) -> None:
        self.dtype, self.items, self.sequence, self.kinds = dtype, list[Any](), -1, list[str]()

    def take(self, message: str | bytes) -> Any:
        told = decoded(message)
        data = told["data"] if self.dtype is None else np.frombuffer(told["data"], self.dtype).tolist()
        self.kinds.append(told["op"])
        if told["op"] == "replace":
            self.capacity, self.items = told["capacity"], data
        else:
            assert told["baseSequence"] == self.sequence
            self.items = [*self.items, *data][-self.capacity :]
        self.sequence = told["sequence"]
        return self.items


@pytest.mark.parametrize(("dtype", "number"), [("float32", "<f4"), ("float64", "<f8")])
def test_numbers_are_sent_in_binary(share: Share, dtype: Any, number: str) -> None:
    shared = share()
    trace = shared.sync.stream("trace", capacity=4, dtype=dtype)
    trace.append([0.5])
    shared.start()
    websocket, reader = shared.connect(), Reader(number)
    assert reader.take(websocket.receive_bytes()) == [0.5]
    trace.append(np.array([1, 2]))
    assert reader.take(websocket.receive_bytes()) == [0.5, 1, 2]
    trace.append(each for each in (3, float("inf"), 5.25))
    assert reader.take(websocket.receive_bytes()) == [2, 3, float("inf"), 5.25]
    trace.replace([7])
    assert reader.take(websocket.receive_bytes()) == [7]
    trace.append(range(10))
    assert reader.take(websocket.receive_bytes()) == [6, 7, 8, 9]
    assert reader.kinds == ["replace", "append", "append", "replace", "replace"]


def test_anything_else_is_sent_as_json(share: Share) -> None:
    shared = share()
    log = shared.sync.stream("log", capacity=2, dtype="json")
    shared.start()
    websocket, reader = shared.connect(), Reader()
    first = decoded(websocket.receive_text())
    assert first == {
        "type": "stream",
        "stream": "log",
        "op": "replace",
        "mode": "append",
        "dtype": "json",
        "capacity": 2,
        "sequence": 0,
        "data": [],
    }
    reader.take(json.dumps(first))
    log.append([{"a": float("nan")}, "b"])
    assert reader.take(websocket.receive_text()) == [{"a": None}, "b"]
    log.append(np.array([1, 2]))
    assert reader.take(websocket.receive_text()) == [1, 2]
    log.append(["b", "c"])
    assert reader.take(websocket.receive_text()) == ["b", "c"]
    assert log.sequence == reader.sequence == 6


def test_a_stream_may_be_replaced_as_a_whole(share: Share) -> None:
    shared = share()
    trace = shared.sync.stream("trace", mode="replace", capacity=3, dtype="json")
    shared.start()
    websocket, reader = shared.connect(), Reader()
    assert reader.take(websocket.receive_text()) == []
    trace.replace([1, 2, 3])
    assert reader.take(websocket.receive_text()) == [1, 2, 3]
    trace.replace([])
    assert reader.take(websocket.receive_text()) == []
    with pytest.raises(InvalidValueError, match="has room for 3 items, not 4"):
        trace.replace(range(4))
    with pytest.raises(StateError, match="are replaced, not appended to"):
        trace.append([1])
    assert trace.sequence == 2


def test_what_does_not_fit_leaves_a_stream_as_it_was() -> None:
    sync = LabSync()
    numbers, log = sync.stream("numbers"), sync.stream("log", dtype="json")
    for wrong in (["a"], [1j], [[1], [2]], 5 * [object()], [[1], 2]):
        with pytest.raises(InvalidValueError):
            numbers.append(wrong)
        with pytest.raises(InvalidValueError):
            numbers.replace(wrong)
    for change in (log.append, log.replace):
        with pytest.raises(InvalidValueError, match="cannot be made JSON"):
            change([1, object()])
        for item in ({"a": 1}, "hello", b"hello", 5, np.float64(3), np.array(3)):
            with pytest.raises(InvalidValueError, match=r"takes a list of items, as in `append\(\[item\]\)`"):
                change(item)
    for item in (b"12345678", {"a": 1}):
        with pytest.raises(InvalidValueError, match=r"^A stream takes a list of items"):
            numbers.append(item)
    assert numbers.sequence == log.sequence == 0


def test_a_number_that_is_too_large_for_a_stream_is_refused() -> None:
    trace = LabSync().stream("trace", dtype="float32")
    with pytest.raises(InvalidValueError, match="too large for a stream of float32"):
        trace.append([1e300])
    trace.append([math.inf, math.nan])
    assert trace.sequence == 2


async def _fed(trace: Any) -> None:
    loop = asyncio.get_running_loop()
    await asyncio.create_task(trace.append([1]))
    await asyncio.gather(trace.append([2]), trace.append([3]))
    feed = asyncio.run_coroutine_threadsafe
    await asyncio.to_thread(lambda: feed(trace.append([4]), loop).result(10))


def test_what_feeds_a_stream_is_taken_for_a_coroutine() -> None:
    trace = LabSync().stream("trace")
    asyncio.run(_fed(trace))
    trace.append([5])  # without a warning that nobody awaits it
    assert trace.sequence == 5


def test_streams_are_told_of_again(share: Share) -> None:
    shared = share()
    one, _ = (shared.sync.stream(each, dtype="json") for each in ("one", "two"))
    one.append([1])
    shared.start()
    websocket = shared.connect()
    before = [websocket.receive_text() for _ in range(2)]
    websocket.send_json({"type": "resync", "streams": ["one", "three"]})
    assert websocket.receive_text() == before[0]
    websocket.send_json({"type": "resync"})
    assert [websocket.receive_json(), *(websocket.receive_text() for _ in range(2))] == [websocket.snapshot, *before]


def test_a_coroutine_that_feeds_a_stream_may_let_others_have_their_turn(share: Share) -> None:
    shared = share()
    trace = shared.sync.stream("trace", dtype="json", capacity=5)

    @shared.sync.command  # type: ignore[untyped-decorator]
    async def feed() -> None:
        for number in range(3):
            await trace.append([number])

    shared.start()
    websocket, reader = shared.connect(), Reader()
    reader.take(websocket.receive_text())
    websocket.send_json({"type": "command", "command": "feed"})
    while reader.sequence < 3:
        message = websocket.receive_text()
        if '"stream"' in message:
            reader.take(message)
    assert reader.items == [0, 1, 2]


def test_what_comes_quickly_is_told_at_once_and_then_gathered(share: Share, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audience, "REST", 1000)
    shared = share()
    trace = shared.sync.stream("trace", dtype="json")
    shared.start()
    websocket, reader = shared.connect(), Reader()
    reader.take(websocket.receive_text())
    trace.append([1])
    assert reader.take(websocket.receive_text()) == [1]
    trace.append([2])
    websocket.send_json({"type": "ping"})
    assert websocket.receive_json() == {"type": "pong"}
    trace.append([3])
    websocket.send_json({"type": "resync", "streams": ["trace"]})
    assert reader.take(websocket.receive_text()) == [1, 2, 3]


def test_a_new_stream_is_told_of(share: Share) -> None:
    shared = share()
    shared.start()
    websocket = shared.connect()
    shared.sync.stream("late", dtype="json")
    assert websocket.receive_json()["stream"] == "late"


def test_readers_of_any_speed_have_the_same_while_threads_append() -> None:
    stream = Stream("s", "append", 7, "float64", lambda stream: None)
    readers, threads = [Reader("<f8") for _ in range(3)], []
    positions: list[int | None] = [None] * 3
    for seed in range(2):
        threads.append(threading.Thread(target=lambda seed=seed: [stream.append([seed, n]) for n in range(300)]))

    def read(index: int) -> None:
        message, positions[index] = stream.since(positions[index])
        if message is not None:
            readers[index].take(message)

    for thread in threads:
        thread.start()
    turn = 0
    while any(each.is_alive() for each in threads):
        turn += 1
        for index in range(3):
            if turn % (index * 2 + 1) == 0:
                read(index)
    for index in range(3):
        read(index)
        read(index)
    assert [each.sequence for each in readers] == [1200] * 3
    assert readers[0].items == readers[1].items == readers[2].items
    assert len(readers[0].items) == 7


def test_a_stream_that_cannot_be_is_refused() -> None:
    sync = LabSync()
    sync.stream("a")
    with pytest.raises(ConfigurationError, match="There is a stream 'a' already"):
        sync.stream("a")
    wrong: list[dict[str, Any]] = [{"mode": "ring"}, {"dtype": "int8"}, {"capacity": 0}, {"capacity": 1.5}]
    for each in wrong:
        with pytest.raises(ConfigurationError, match="stream 'b'"):
            sync.stream("b", **each)
