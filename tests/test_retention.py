"""Things are kept for their time, within bounds, and the newest always."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labthings.retention import Limits, Retention, Sizes

SOON = 10.0


def retention(number: int = 100, in_memory: int = 10**9, in_files: int = 10**9) -> tuple[Retention, list[str]]:
    forgotten: list[str] = []
    limits = Limits(number, Sizes(in_memory, in_files))
    return Retention("captures", limits, forgotten.append, "The capture '{}'".format), forgotten


def test_the_oldest_go_when_there_are_too_many() -> None:
    kept, forgotten = retention(number=2)
    for id in "abcd":
        kept.add(id, 60, Sizes(1))
    assert forgotten == ["a", "b"]
    assert kept.sizes == Sizes(2)


def test_the_oldest_go_when_there_are_too_many_bytes_and_that_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    kept, forgotten = retention(in_memory=10)
    with caplog.at_level(logging.INFO):
        for id, size in (("a", 6), ("b", 0), ("c", 6)):
            kept.add(id, 60, Sizes(size))
    assert forgotten == ["a"]
    assert "The capture 'a' is forgotten early: captures take 12 bytes of memory" in caplog.text


def test_what_takes_no_files_does_not_go_for_files() -> None:
    kept, forgotten = retention(in_files=10)
    kept.add("memory", 60, Sizes(100, 0))
    kept.add("old file", 60, Sizes(0, 8))
    kept.add("new file", 60, Sizes(0, 8))
    assert forgotten == ["old file"]


def test_the_oldest_go_when_there_are_too_many_open_files() -> None:
    kept = Retention("captures", Limits(100, Sizes(100, 100, 2)), (forgotten := []).append, str)  # type: ignore[var-annotated]
    for id, sizes in (("memory", Sizes(1)), ("a", Sizes(0, 1, 1)), ("b", Sizes(0, 1, 1)), ("c", Sizes(0, 1, 1))):
        kept.add(id, 60, sizes)
    assert forgotten == ["a"]


def test_the_newest_stays_however_large() -> None:
    kept, forgotten = retention(in_memory=10)
    kept.add("small", 60, Sizes(1))
    kept.add("huge", 60, Sizes(1000))
    assert forgotten == ["small"]
    assert kept.sizes == Sizes(1000)


def test_what_moves_from_memory_to_a_file_is_counted_there() -> None:
    kept, forgotten = retention(in_memory=10)
    kept.add("a", 60, Sizes(9))
    kept.resize("a", Sizes(0, 9))
    kept.add("b", 60, Sizes(9))
    assert forgotten == []
    assert kept.sizes == Sizes(9, 9)
    kept.resize("unknown", Sizes(5))
    assert kept.sizes == Sizes(9, 9)


def test_each_goes_when_its_time_has_come() -> None:
    async def main() -> None:
        gone = asyncio.Event()
        order: list[str] = []

        def forget(id: str) -> None:
            order.append(id)
            if id == "longer":
                gone.set()

        kept = Retention("captures", Limits(100, Sizes(100, 100)), forget, str)
        kept.start(asyncio.get_running_loop())
        kept.add("longer", 0.05, Sizes(1))
        kept.add("for ever", 1000, Sizes(1))
        kept.add("shorter", 0.01, Sizes(1))
        await asyncio.wait_for(gone.wait(), SOON)
        assert order == ["shorter", "longer"]
        assert kept.sizes == Sizes(1)
        kept.stop()

    asyncio.run(main())


def test_what_is_added_again_is_kept_longer() -> None:
    async def main() -> None:
        gone = asyncio.Event()
        forgotten: list[str] = []

        def forget(id: str) -> None:
            forgotten.append(id)
            if id == "other":
                gone.set()

        kept = Retention("captures", Limits(100, Sizes(100, 100)), forget, str)
        kept.start(asyncio.get_running_loop())
        kept.add("wanted", 0.01, Sizes(1))
        kept.add("wanted", 1000, Sizes(2))
        kept.add("wanted", 0.01, Sizes(2))
        kept.add("other", 0.02, Sizes(1))
        await asyncio.wait_for(gone.wait(), SOON)
        assert forgotten == ["other"]
        assert kept.sizes == Sizes(2)
        kept.stop()

    asyncio.run(main())


def test_what_was_due_while_it_was_stopped_goes_when_it_is_started() -> None:
    async def main() -> None:
        kept, forgotten = retention()
        kept.add("a", 0, Sizes(1))
        assert forgotten == []
        kept.start(asyncio.get_running_loop())
        assert forgotten == ["a"]

    asyncio.run(main())


def test_a_flood_of_short_lived_things_leaves_nothing_behind() -> None:
    kept, forgotten = retention(number=10)
    for number in range(5000):
        kept.add(str(number), 300, Sizes(1))
    assert len(forgotten) == 4990
    assert len(kept._expiry) < 200


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 30), st.integers(0, 30)), max_size=40))
def test_what_is_counted_is_what_is_kept(added: list[tuple[int, int, int]]) -> None:
    held: dict[str, Sizes] = {}
    kept = Retention("captures", Limits(8, Sizes(50, 50)), lambda id: held.pop(id) and None, str)
    for number, in_memory, in_files in added:
        sizes: Any = Sizes(in_memory, in_files)
        held[str(number)] = sizes
        kept.add(str(number), 60, sizes)
        assert kept.sizes == Sizes(sum(each[0] for each in held.values()), sum(each[1] for each in held.values()))
        assert str(number) in held
        assert kept.sizes.in_memory <= max(50, in_memory)
        assert kept.sizes.in_files <= max(50, in_files)
