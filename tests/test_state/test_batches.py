"""Which changes make one patch, and what caused them."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import pytest
from pydantic import Field, computed_field

from labthings.state import Document, Patch, ReactiveModel, Replica, origin


class Channel(ReactiveModel):
    bias: float = 0.0


class State(ReactiveModel):
    number: int = 0
    name: str = ""
    main: Channel = Field(default_factory=Channel)
    channels: list[Channel] = Field(default_factory=lambda: [Channel()])
    table: dict[str, list[int]] = Field(default_factory=lambda: {"a": [1]})
    kept: int = Field(7, exclude=True)


def test_a_batch_makes_one_patch_and_may_have_others_in_it(follow: Any) -> None:
    replica = follow(State())
    document, state = replica.document, replica.document.model
    with document.batch():
        state.number = 1
        with document.batch():
            state.name = "x"
        assert (document.version, replica.patches) == (0, [])
        assert json.loads(document.snapshot().data)["number"] == 0
        state.number = 2
    assert len(replica.patches) == 1
    with document.batch():
        pass
    assert len(replica.patches) == 1
    replica.check()


def test_a_batch_that_fails_tells_of_what_was_done(follow: Any) -> None:
    replica = follow(State())

    def fail() -> None:
        with replica.document.batch():
            replica.document.model.number = 1
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert replica.data["number"] == 1
    replica.document.model.number = 2
    replica.check()


def test_who_joins_during_a_batch_misses_nothing_and_splits_nothing(follow: Any) -> None:
    replica = follow(State())
    document, state = replica.document, replica.document.model
    with document.batch():
        state.channels.append(Channel())
        late = Replica(document.subscribe(lambda patch: late.apply(patch)))
        assert len(late.data["channels"]) == 1
        state.channels[1].bias = 5
    assert len(replica.patches) == 1
    assert late.data == replica.data
    replica.check()


def test_a_batch_may_be_flushed(follow: Any) -> None:
    replica = follow(State())
    with replica.document.batch():
        replica.document.model.number = 1
        replica.document.flush()
        assert replica.data["number"] == 1
        replica.document.model.number = 2
    assert len(replica.patches) == 2


def test_a_batch_goes_on_while_others_wait(follow: Any) -> None:
    replica = follow(State())
    document = replica.document

    async def change(name: str, value: Any, first: asyncio.Event, then: asyncio.Event) -> None:
        with document.batch():
            setattr(document.model, name, value)
            then.set()
            await first.wait()

    async def main() -> None:
        one, other = asyncio.Event(), asyncio.Event()
        await asyncio.gather(change("number", 1, one, other), change("name", "x", other, one))

    asyncio.run(main())
    assert len(replica.patches) == 1
    replica.check()


def test_origins(follow: Any) -> None:
    replica = follow(State())
    document, state = replica.document, replica.document.model
    state.number = 1
    with origin({"by": "outer"}):
        state.number = 2
        with document.origin({"by": "inner"}):
            state.number = 3
        with origin(None):
            state.number = 4
        threading.Thread(target=lambda: setattr(state, "number", 5)).start()
        while len(replica.patches) < 5:
            continue
    assert [patch.origin for patch in replica.patches] == [None, {"by": "outer"}, {"by": "inner"}, None, None]
    assert json.loads(replica.patches[1].json)["origin"] == {"by": "outer"}
    with pytest.raises(ValueError, match="serialize"), origin({"by": object()}):
        state.number = 6


def test_one_patch_has_one_origin(follow: Any) -> None:
    class Sum(ReactiveModel):
        items: list[int] = Field([])

        @computed_field
        @property
        def total(self) -> int:
            return sum(self.items)

    replica = follow(Sum())
    document, items = replica.document, replica.document.model.items
    with document.batch():
        with origin({"by": 1}):
            items.append(1)
            items.append(2)
        items.append(3)
        with origin({"by": 2}):
            items.append(4)
        assert replica.patches == []
        news: list[bool] = []
        late = Replica(document.subscribe(lambda patch: news.append(late.apply(patch))))
        assert (late.data, late.version) == ({"items": [], "total": 0}, 0)
    assert [patch.origin for patch in replica.patches] == [{"by": 1}, None, {"by": 2}]
    assert [patch.operations[-1].value for patch in replica.patches] == [3, 6, 10]
    assert late.data == replica.data
    assert news == [True, True, True]
    replica.check()


def test_tasks_have_origins_of_their_own(follow: Any) -> None:
    replica = follow(State())

    async def change(number: int) -> None:
        with origin({"by": number}):
            await asyncio.sleep(0)
            replica.document.model.number = number

    async def main() -> None:
        await asyncio.gather(change(1), change(2))

    asyncio.run(main())
    assert [patch.origin for patch in replica.patches] == [{"by": 1}, {"by": 2}]


def test_changes_of_one_turn_of_an_event_loop_make_one_patch() -> None:
    async def main() -> list[Patch]:
        loop, patches, done = asyncio.get_running_loop(), list[Patch](), asyncio.Event()
        document = Document(State(), schedule_flush=loop.call_soon_threadsafe)
        document.subscribe(lambda patch: (patches.append(patch), done.set()))
        for number in range(1, 4):
            document.model.number = number
        assert patches == []
        await done.wait()
        done.clear()
        await asyncio.to_thread(setattr, document.model, "number", 9)
        await done.wait()
        document.model.number = 10
        assert json.loads(document.snapshot().data)["number"] == 10
        with document.batch():
            document.model.number = 11
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert len(patches) == 3
        return patches

    assert [[each.value for each in patch.operations] for patch in asyncio.run(main())] == [[3], [9], [10], [11]]


def test_changes_are_told_of_at_once_if_the_loop_is_closed(caplog: pytest.LogCaptureFixture) -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    document, patches = Document(State(), schedule_flush=loop.call_soon_threadsafe), list[Patch]()
    document.subscribe(patches.append)
    document.model.number = 1
    assert len(patches) == 1
    assert "told of at once" in caplog.text


def test_one_may_wait_until_all_that_has_changed_is_told_of(follow: Any) -> None:
    replica, told = follow(State()), list[int]()
    document = replica.document
    document.when_told(lambda: told.append(document.version))
    assert told == [0]
    with document.batch():
        document.model.number = 1
        document.when_told(lambda: told.append(replica.version))
        with document.batch():
            document.model.number = 2
        assert told == [0]
    assert told == [0, 1]
    document.model.number = 3
    assert told == [0, 1]


def test_a_flush_may_be_scheduled_for_now() -> None:
    document, patches = Document(State(), schedule_flush=lambda flush: flush()), list[Patch]()
    document.subscribe(patches.append)
    document.model.number = 1
    document.model.number = 2
    assert [each.version for each in patches] == [1, 2]


def test_nobody_who_joins_sees_half_of_a_batch_that_others_have_changed_something_before() -> None:
    document, flushes = Document(State(), schedule_flush=lambda flush: flushes.append(flush)), list[Any]()
    early = Replica(document.subscribe(lambda patch: early.apply(patch.json)))
    for number, name in enumerate("abc"):
        with origin({"by": name}):
            document.model.number = number + 1
    with document.batch():
        for name in "de":
            with origin({"by": name}):
                document.model.name += name
        late = Replica(document.subscribe(lambda patch: late.apply(patch.json)))
        assert (late.data["number"], late.data["name"]) == (2, "")
        flushes.pop()()
        assert early.version == 0
    assert early.data == late.data == json.loads(document.snapshot().data)
    assert (early.version, late.version, early.data["number"], early.data["name"]) == (5, 5, 3, "de")
