"""Doing something soon, but not all the time."""

from __future__ import annotations

import asyncio
import threading

import pytest

from labthings.pacing import Pacer
from labthings.workers import LoopCalls

REST = 0.02


def test_without_an_event_loop_it_is_done_at_once() -> None:
    done: list[int] = []
    pacer = Pacer(LoopCalls(), REST)
    pacer.call_soon(lambda: done.append(1))
    pacer.call_soon(lambda: done.append(2))
    assert done == [1, 2]


def test_without_an_event_loop_one_that_fails_does_not_keep_the_next_from_being_done(
    caplog: pytest.LogCaptureFixture,
) -> None:
    done: list[int] = []
    pacer = Pacer(LoopCalls(), REST)
    pacer.call_soon(lambda: 1 / 0)
    pacer.call_soon(lambda: done.append(2))
    assert done == [2]
    assert "ZeroDivisionError" in caplog.text


def test_the_first_is_done_soon_and_of_the_rest_the_last_is_done_later() -> None:
    done: list[tuple[int, float]] = []

    async def main() -> None:
        loop, enough = asyncio.get_running_loop(), asyncio.Event()
        calls = LoopCalls()
        calls.attach(loop)
        pacer = Pacer(calls, REST)

        def do(number: int) -> None:
            done.append((number, loop.time()))
            if number == 9:
                enough.set()

        begun = loop.time()
        pacer.call_soon(lambda: do(0))
        await asyncio.sleep(0)
        assert [number for number, _ in done] == [0]
        threads = [
            threading.Thread(target=pacer.call_soon, args=(lambda number=number: do(number),)) for number in (1, 9)
        ]
        for each in threads:
            each.start()
            each.join()
        await enough.wait()
        assert [number for number, _ in done] == [0, 9]
        assert done[1][1] - begun >= REST / 2
        calls.detach()

    asyncio.run(main())


def test_after_a_rest_it_is_done_soon_again() -> None:
    async def main() -> None:
        calls, done = LoopCalls(), asyncio.Event()
        calls.attach(asyncio.get_running_loop())
        pacer = Pacer(calls, 0.001)
        for _ in range(3):
            pacer.call_soon(done.set)
            await done.wait()
            done.clear()
        calls.detach()

    asyncio.run(main())


def test_after_one_that_fails_the_next_is_done_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        calls, failing, done = LoopCalls(), asyncio.Event(), asyncio.Event()
        calls.attach(asyncio.get_running_loop())
        pacer = Pacer(calls, REST)

        def fail() -> None:
            failing.set()
            raise ZeroDivisionError

        pacer.call_soon(fail)
        await failing.wait()
        pacer.call_soon(done.set)
        await asyncio.wait_for(done.wait(), 10)
        calls.detach()

    asyncio.run(main())
    assert "ZeroDivisionError" in caplog.text


def test_what_waits_when_the_event_loop_ends_is_done_then() -> None:
    done: list[int] = []

    async def main() -> Pacer:
        calls = LoopCalls()
        calls.attach(asyncio.get_running_loop())
        pacer = Pacer(calls, 1000)
        pacer.call_soon(lambda: done.append(1))
        await asyncio.sleep(0)
        pacer.call_soon(lambda: done.append(2))
        calls.detach()
        return pacer

    pacer = asyncio.run(main())
    assert done == [1, 2]
    pacer.call_soon(lambda: done.append(3))
    assert done == [1, 2, 3]


def test_it_begins_anew_after_an_event_loop_that_has_died() -> None:
    done: list[int] = []
    calls, died = LoopCalls(), asyncio.new_event_loop()
    pacer = Pacer(calls, 1000)
    calls.attach(died)
    pacer.call_soon(lambda: done.append(1))
    died.close()

    async def main() -> None:
        calls.attach(asyncio.get_running_loop())
        pacer.call_soon(lambda: done.append(2))
        await asyncio.sleep(0)
        assert done == [2]
        calls.detach()

    asyncio.run(main())


def test_one_that_waits_to_be_done_for_the_first_time_is_done_at_the_end_too() -> None:
    done: list[int] = []

    async def main() -> None:
        calls = LoopCalls()
        calls.attach(asyncio.get_running_loop())
        Pacer(calls, 1000).call_soon(lambda: done.append(1))
        calls.detach()

    asyncio.run(main())
    assert done == [1]
