"""Jobs run once, in as many threads as they may, and what they return finds its way back to the event loop."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import sys
import threading
import time
import weakref
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labthings.exceptions import BusyError, ServerNotRunningError
from labthings.workers import BRIEF_SECONDS, Lane, LoopCalls, Workers

SOON = 10.0


@contextmanager
def closing(workers: Workers) -> Iterator[Workers]:
    try:
        yield workers
    finally:
        assert workers.close(SOON) == []


def in_loop(test: Callable[[LoopCalls, Workers], Awaitable[Any]]) -> Any:
    """Run a test in an event loop, with workers that are closed at the end."""

    async def main(workers: Workers) -> Any:
        calls = LoopCalls()
        calls.attach(asyncio.get_running_loop())
        try:
            return await asyncio.wait_for(test(calls, workers), SOON)
        finally:
            calls.detach()

    with closing(Workers("bench")) as workers:
        return asyncio.run(main(workers))


class Gate:
    """A job that says when it starts, and goes on when it may."""

    def __init__(self) -> None:
        self.started, self.may_go_on = threading.Semaphore(0), threading.Event()
        self.running = self.most_running = self.ended = 0
        self._lock = threading.Lock()

    def __call__(self) -> None:
        with self._lock:
            self.running += 1
            self.most_running = max(self.most_running, self.running)
        self.started.release()
        assert self.may_go_on.wait(SOON)
        with self._lock:
            self.running -= 1
            self.ended += 1

    def wait_for(self, number: int) -> None:
        for _ in range(number):
            assert self.started.acquire(timeout=SOON)


# --- calls in the event loop --------------------------------------------------------------------------------


def test_calls_from_threads_are_made_in_the_loops_thread_in_their_order() -> None:
    async def test(calls: LoopCalls, workers: Workers) -> None:
        made, done = [], asyncio.Event()

        def leave_calls() -> None:
            for number in range(100):
                calls.call_soon(lambda each: made.append((each, threading.get_ident())), number)
            calls.call_soon(done.set)

        workers.start(leave_calls)
        await done.wait()
        assert made == [(number, threading.get_ident()) for number in range(100)]

    in_loop(test)


def test_many_calls_wake_the_loop_once() -> None:
    async def test(calls: LoopCalls, workers: Workers) -> None:
        loop = asyncio.get_running_loop()
        wakes: list[object] = []
        call_soon_threadsafe, done = loop.call_soon_threadsafe, asyncio.Event()
        loop.call_soon_threadsafe = lambda *args, **kwargs: (wakes.append(args), call_soon_threadsafe(*args))[1]  # type: ignore[method-assign,assignment]
        for _ in range(50):
            calls.call_soon(lambda: None)
        calls.call_soon(done.set)
        await done.wait()
        assert len(wakes) == 1

    in_loop(test)


def test_a_call_that_fails_is_logged_and_does_not_hold_up_the_next(caplog: pytest.LogCaptureFixture) -> None:
    async def test(calls: LoopCalls, workers: Workers) -> None:
        done = asyncio.Event()
        calls.call_soon(lambda: 1 / 0)
        calls.call_soon(done.set)
        await done.wait()

    in_loop(test)
    assert "A call in the event loop failed" in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_without_a_loop_nothing_can_be_called() -> None:
    calls = LoopCalls()
    with pytest.raises(ServerNotRunningError):
        calls.call_soon(print)
    with pytest.raises(ServerNotRunningError):
        _ = calls.loop


def test_what_waits_in_a_loop_that_ended_without_a_word_is_done_in_the_next() -> None:
    calls, done = LoopCalls(), list[int]()

    async def leave() -> None:
        calls.attach(asyncio.get_running_loop())
        calls.call_later(1000, lambda: done.append(1))

    async def take() -> None:
        calls.attach(asyncio.get_running_loop())
        await asyncio.sleep(0)

    asyncio.run(leave())
    asyncio.run(take())
    assert done == [1]


def test_a_loop_that_is_closed_just_now_is_none() -> None:
    calls, loop = LoopCalls(), asyncio.new_event_loop()
    calls.attach(loop)
    loop.close()
    with pytest.raises(ServerNotRunningError, match="not running"):
        calls.call_soon(print)


class BriefLoop:
    """Is closed before it makes any call itself."""

    is_closed = False

    def call_soon_threadsafe(self, *args: Any, **kwargs: Any) -> None:
        if self.is_closed:
            raise RuntimeError("Event loop is closed")


def test_a_call_is_either_made_or_refused_whenever_the_loop_goes() -> None:
    calls, made, refused, enough = LoopCalls(), list[int](), list[int](), threading.Event()

    def leave_calls() -> None:
        for number in count():
            try:
                calls.call_soon(made.append, number)
            except ServerNotRunningError:
                refused.append(number)
            if enough.is_set():
                return

    thread = threading.Thread(target=leave_calls)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        thread.start()
        while len(made) < 3000 or len(refused) < 3000:
            loop: Any = BriefLoop()
            calls.attach(loop)
            calls.detach()
            loop.is_closed = True
    finally:
        enough.set()
        thread.join(SOON)
        sys.setswitchinterval(interval)
    assert sorted(made + refused) == list(range(len(made) + len(refused)))


def test_what_the_last_calls_leave_is_done_too() -> None:
    made: list[int] = []

    async def main() -> None:
        calls = LoopCalls()
        calls.attach(asyncio.get_running_loop())
        calls.call_soon(lambda: calls.call_soon(made.append, 1))
        calls.detach()

    asyncio.run(main())
    assert made == [1]


def test_calls_that_were_left_before_the_loop_goes_are_still_made() -> None:
    async def main() -> list[int]:
        calls, made = LoopCalls(), []
        calls.attach(asyncio.get_running_loop())
        calls.call_soon(made.append, 1)
        calls.detach()
        return made

    assert asyncio.run(main()) == [1]


def test_calls_can_be_attached_to_another_loop() -> None:
    calls = LoopCalls()

    async def main() -> bool:
        calls.attach(asyncio.get_running_loop())
        done = asyncio.Event()
        calls.call_soon(done.set)
        await asyncio.wait_for(done.wait(), SOON)
        calls.detach()
        return True

    assert asyncio.run(main())
    assert asyncio.run(main())


# --- workers ------------------------------------------------------------------------------------------------


def test_jobs_run_at_once_however_many_there_are() -> None:
    gate = Gate()
    with closing(Workers("bench")) as workers:
        for _ in range(20):
            workers.start(gate)
        gate.wait_for(20)
        assert gate.most_running == 20
        gate.may_go_on.set()


def test_threads_are_named_after_their_workers_and_used_again() -> None:
    threads: list[threading.Thread] = []
    deadline = time.monotonic() + SOON
    with closing(Workers("bench")) as workers:
        while len(threads) == len(set(threads)):  # a thread is free again only a moment after its job has ended
            assert time.monotonic() < deadline
            done = threading.Event()
            workers.start(lambda done=done: (threads.append(threading.current_thread()), done.set()))  # type: ignore[misc]
            assert done.wait(SOON)
    assert all(thread.name.startswith("bench") for thread in threads)


def test_a_thread_without_work_goes_and_another_comes_when_there_is_some() -> None:
    workers, threads = Workers("bench", idle_seconds=0.001), []
    for _ in range(2):
        done = threading.Event()
        workers.start(lambda done=done: (threads.append(threading.current_thread()), done.set()))  # type: ignore[misc]
        assert done.wait(SOON)
        threads[-1].join(SOON)
        assert not threads[-1].is_alive()


def test_a_job_that_fails_is_logged_and_its_thread_lives_on(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise SystemExit("no more")

    gate = Gate()
    gate.may_go_on.set()
    with closing(Workers("bench")) as workers:
        workers.start(fail)
        workers.start(gate)
        gate.wait_for(1)
    assert "A job of 'bench' failed" in caplog.text


@pytest.mark.parametrize("number", [1, 2])
def test_what_a_job_refers_to_is_let_go_when_it_ends(number: int) -> None:
    class Camera:
        def expose(self) -> None:
            pass

    with closing(Workers("bench")) as workers:
        for _ in range(number):
            freed, camera = threading.Event(), Camera()
            weakref.finalize(camera, freed.set)
            workers.start(camera.expose)
            del camera
            gc.collect()
            assert freed.wait(SOON / 4), "the thread, which waits for more work, still refers to the camera"


def test_closing_names_the_threads_that_go_on() -> None:
    workers, gate = Workers("bench"), Gate()
    workers.start(gate)
    gate.wait_for(1)
    assert workers.close(0) == ["bench 1"]
    gate.may_go_on.set()


def test_jobs_run_even_if_they_come_while_the_workers_close() -> None:
    workers, gate = Workers("bench"), Gate()
    gate.may_go_on.set()
    workers.start(gate)
    gate.wait_for(1)
    crew = workers._crew  # what `Workers.start` may have looked up just before it was closed
    workers.close(SOON)
    crew.start(gate)
    gate.wait_for(1)
    workers.start(gate)
    gate.wait_for(1)
    assert workers.close(SOON) == []


def test_a_thread_that_cannot_be_started_is_reported_and_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def test(calls: LoopCalls, workers: Workers) -> int:
        lane = Lane("camera.image", workers, calls, running=1)
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            with pytest.raises(RuntimeError, match="can't start"):
                lane.run(int)
        return await lane.run(lambda: 3)

    assert in_loop(test) == 3


# --- lanes --------------------------------------------------------------------------------------------------


def test_a_call_gives_its_result_or_its_error() -> None:
    async def test(calls: LoopCalls, workers: Workers) -> None:
        lane = Lane("camera.image", workers, calls, running=2)
        assert await lane.run(divmod, 7, 2) == (3, 1)
        with pytest.raises(ZeroDivisionError):
            await lane.run(divmod, 7, 0)

    in_loop(test)


@pytest.mark.parametrize("error", [StopIteration("dry"), SystemExit("bye"), KeyboardInterrupt("now")])
def test_an_error_that_would_upset_the_loop_is_told_as_another(error: BaseException) -> None:
    def fail() -> None:
        raise error

    async def test(calls: LoopCalls, workers: Workers) -> None:
        with pytest.raises(RuntimeError, match=f"{type(error).__name__}: {error}"):
            await Lane("camera.image", workers, calls, running=1).run(fail)

    in_loop(test)


def test_a_call_sees_the_callers_context_variables() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="nothing")

    async def test(calls: LoopCalls, workers: Workers) -> tuple[str, str]:
        lane = Lane("camera.image", workers, calls, running=1)
        variable.set("something")
        found = await lane.run(variable.get)
        await lane.run(variable.set, "changed in the thread")
        return found, variable.get()

    assert in_loop(test) == ("something", "something")


def test_a_call_whose_caller_has_gone_harms_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def test(calls: LoopCalls, workers: Workers) -> None:
        lane, gate = Lane("camera.image", workers, calls, running=1), Gate()
        abandoned = lane.run(gate)
        abandoned.cancel()
        gate.may_go_on.set()
        assert await lane.run(lambda: "next") == "next"

    in_loop(test)
    assert caplog.text == ""


def test_what_nobody_waits_for_any_more_does_not_begin() -> None:
    made = []

    async def test(calls: LoopCalls, workers: Workers) -> None:
        lane, gate = Lane("camera.image", workers, calls, running=1), Gate()
        running, abandoned = lane.run(gate), lane.run(made.append, "nothing")
        abandoned.cancel()
        gate.may_go_on.set()
        await running
        assert await lane.run(lambda: "next") == "next"

    in_loop(test)
    assert made == []


def test_only_so_many_run_and_only_so_many_wait() -> None:
    async def test(calls: LoopCalls, workers: Workers) -> None:
        lane, gate = Lane("camera.image", workers, calls, running=2, waiting=3), Gate()
        futures = [lane.run(gate) for _ in range(5)]
        gate.wait_for(2)
        with pytest.raises(BusyError, match=r"'camera.image' is busy: 2 calls are running and 3 are waiting"):
            lane.run(gate)
        with pytest.raises(BusyError):
            lane.check()
        gate.may_go_on.set()
        await asyncio.gather(*futures)
        lane.check()
        assert (gate.most_running, gate.ended) == (2, 5)

    in_loop(test)


def test_a_slow_lane_does_not_hold_up_another() -> None:
    async def test(calls: LoopCalls, workers: Workers) -> None:
        slow, gate = Lane("camera.image", workers, calls, running=1), Gate()
        waiting = [slow.run(gate) for _ in range(10)]
        assert await Lane("camera.gain", workers, calls, running=1).run(lambda: 1.5) == 1.5
        gate.may_go_on.set()
        await asyncio.gather(*waiting)

    in_loop(test)


def test_a_brief_lane_is_helped_by_more_threads_when_a_call_is_not_brief() -> None:
    async def test(calls: LoopCalls, workers: Workers) -> None:
        lane, gate = Lane("camera.image", workers, calls, running=3, brief=True), Gate()
        slow = [lane.run(gate), lane.run(gate)]
        assert await lane.run(lambda: "brief") == "brief"
        gate.may_go_on.set()
        await asyncio.gather(*slow)

    in_loop(test)


def test_a_brief_lane_is_helped_by_no_more_threads_than_may_run() -> None:
    async def test(calls: LoopCalls, workers: Workers) -> int:
        lane, gate = Lane("camera.image", workers, calls, running=2, brief=True), Gate()
        futures, help_is_over = [lane.run(gate) for _ in range(6)], asyncio.Event()
        await asyncio.to_thread(gate.wait_for, 2)
        asyncio.get_running_loop().call_later(5 * BRIEF_SECONDS, help_is_over.set)
        await help_is_over.wait()
        gate.may_go_on.set()
        await asyncio.gather(*futures)
        return gate.most_running

    assert in_loop(test) == 2


def test_brief_calls_are_made_by_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labthings.workers.BRIEF_SECONDS", 10)  # on a busy machine, even these may take long

    async def test(calls: LoopCalls, workers: Workers) -> set[int]:
        lane, gate = Lane("camera.image", workers, calls, running=3, brief=True), Gate()
        gate.may_go_on.set()
        return set(await asyncio.gather(*(lane.run(threading.get_ident) for _ in range(20))))

    assert len(in_loop(test)) == 1


def test_a_call_that_ends_after_the_loop_has_gone_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    gate = Gate()

    async def test(calls: LoopCalls, workers: Workers) -> None:
        Lane("camera.image", workers, calls, running=1).run(gate)
        gate.wait_for(1)

    async def main(workers: Workers) -> None:
        calls = LoopCalls()
        calls.attach(asyncio.get_running_loop())
        await test(calls, workers)
        calls.detach()

    with closing(Workers("bench")) as workers:
        asyncio.run(main(workers))
        gate.may_go_on.set()
    assert "'camera.image' ended after the server had stopped" in caplog.text


@settings(max_examples=40, deadline=None)
@given(
    most_running=st.integers(1, 4),
    brief=st.booleans(),
    bursts=st.lists(st.lists(st.sampled_from(["return", "raise"]), max_size=8), max_size=6),
)
def test_every_job_runs_once_and_never_too_many_at_once(
    most_running: int, brief: bool, bursts: list[list[str]]
) -> None:
    lock, running, exceeded, ran = threading.Lock(), [0], [], []

    def job(number: int, kind: str) -> int:
        with lock:
            running[0] += 1
            ran.append(number)
            if running[0] > most_running:
                exceeded.append(number)
        sum(range(200))
        with lock:
            running[0] -= 1
        if kind == "raise":
            raise ValueError(number)
        return number

    async def test(calls: LoopCalls, workers: Workers) -> list[Any]:
        lane, futures = Lane("camera.image", workers, calls, most_running, brief=brief), []
        for burst in bursts:
            futures += [lane.run(job, len(futures) + index, kind) for index, kind in enumerate(burst)]
            await asyncio.sleep(0)
        return await asyncio.gather(*futures, return_exceptions=True)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        results = in_loop(test)
    finally:
        sys.setswitchinterval(interval)
    kinds = [kind for burst in bursts for kind in burst]
    expected = [number if kind == "return" else ("error", number) for number, kind in enumerate(kinds)]
    assert [("error", each.args[0]) if isinstance(each, ValueError) else each for each in results] == expected
    assert sorted(ran) == list(range(len(kinds)))
    assert exceeded == []
