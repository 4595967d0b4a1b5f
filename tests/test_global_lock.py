"""Only one thread, or one task and what it starts, holds the global lock; it may do so more than once."""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import labthings as lt
from labthings.exceptions import GlobalLockBusyError
from labthings.global_lock import GlobalLock

SOON = 10.0


class Holder:
    """A thread that holds a lock until it is told to let go."""

    def __init__(self, hold: Callable[[], Any]) -> None:
        self._held, self._let_go = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, args=(hold,))

    def _run(self, hold: Callable[[], Any]) -> None:
        with hold():
            self._held.set()
            assert self._let_go.wait(SOON)

    def __enter__(self) -> "Holder":
        self._thread.start()
        assert self._held.wait(SOON)
        return self

    def let_go(self) -> None:
        self._let_go.set()

    def __exit__(self, *exception: object) -> None:
        self.let_go()
        self._thread.join(SOON)


def is_free(lock: GlobalLock) -> bool:
    """Whether another thread can hold a lock."""
    found = []

    def attempt() -> None:
        try:
            with lock.hold():
                found.append(True)
        except GlobalLockBusyError:
            found.append(False)

    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join(SOON)
    return found[0]


# --- threads ------------------------------------------------------------------------------------------------


def test_another_thread_waits_50_ms_and_is_then_refused() -> None:
    lock = GlobalLock()
    with Holder(lock.hold):
        before = time.monotonic()
        with pytest.raises(GlobalLockBusyError, match="Something else holds the server's global lock"), lock.hold():
            pass
        assert 0.045 < time.monotonic() - before < 2
    with lock.hold():
        pass


def test_a_thread_that_waits_gets_the_lock_when_it_is_let_go() -> None:
    lock = GlobalLock(timeout=SOON)
    with Holder(lock.hold) as holder:
        threading.Timer(0.01, holder.let_go).start()
        with lock.hold():
            assert not lock._is_free_for(object())


def test_a_thread_may_hold_it_again_and_lets_go_when_it_has_let_go_of_all() -> None:
    lock = GlobalLock(timeout=0)
    with lock.hold():
        with lock.hold(), lock.hold():
            pass
        assert not is_free(lock)
    assert is_free(lock)


def test_an_error_lets_go() -> None:
    lock = GlobalLock(timeout=0)
    with pytest.raises(ZeroDivisionError), lock.hold(), lock.hold():
        _ = 1 / 0
    assert is_free(lock)


def test_a_thread_that_the_holder_starts_does_not_hold_it() -> None:
    lock = GlobalLock(timeout=0)
    with lock.hold():
        assert not is_free(lock)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.lists(st.integers(1, 3), min_size=1, max_size=5), min_size=1, max_size=4))
def test_never_two_threads_at_once(depths: list[list[int]]) -> None:
    lock, inside, intruders, done = GlobalLock(timeout=SOON), [], [], []

    def hold(depth: int) -> None:
        with lock.hold():
            if depth:
                hold(depth - 1)
            else:
                inside.append(threading.get_ident())
                intruders.extend(each for each in inside if each != threading.get_ident())
                inside.pop()
                done.append(1)

    def work(depths: list[int]) -> None:
        for depth in depths:
            hold(depth)

    threads = [threading.Thread(target=work, args=(each,)) for each in depths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOON)
    assert intruders == []
    assert len(done) == sum(map(len, depths))


# --- tasks --------------------------------------------------------------------------------------------------


def test_a_task_that_waits_does_not_hold_up_the_loop() -> None:
    lock = GlobalLock(timeout=SOON)

    async def hold() -> str:
        async with lock.hold_async():
            return "held"

    async def main(holder: Holder) -> str:
        waiting = asyncio.create_task(hold())
        await asyncio.sleep(0)
        assert not waiting.done()
        holder.let_go()
        return await asyncio.wait_for(waiting, SOON)

    with Holder(lock.hold) as holder:
        assert asyncio.run(main(holder)) == "held"


def test_another_task_is_refused_after_the_timeout() -> None:
    lock = GlobalLock(timeout=0.01)

    async def attempt() -> None:
        async with lock.hold_async():
            pass

    async def main() -> None:
        task = asyncio.create_task(wait_for_go())
        await started.wait()
        with pytest.raises(GlobalLockBusyError):
            await attempt()
        with pytest.raises(GlobalLockBusyError), lock.hold():
            pass
        go.set()
        await task
        await attempt()

    async def wait_for_go() -> None:
        async with lock.hold_async():
            started.set()
            await go.wait()

    started, go = asyncio.Event(), asyncio.Event()
    asyncio.run(main())


def test_in_the_loop_holding_without_await_does_not_wait() -> None:
    lock = GlobalLock(timeout=SOON)

    async def main() -> float:
        before = time.monotonic()
        with pytest.raises(GlobalLockBusyError), lock.hold():
            pass
        return time.monotonic() - before

    with Holder(lock.hold):
        assert asyncio.run(main()) < SOON / 2


def test_what_a_task_starts_while_it_holds_the_lock_may_hold_it_too() -> None:
    lock = GlobalLock(timeout=0)

    async def part() -> None:
        with lock.hold():
            await asyncio.sleep(0)

    async def main() -> None:
        async with lock.hold_async(), lock.hold_async():
            await asyncio.gather(part(), part(), asyncio.to_thread(lambda: asyncio.run(part())))
            assert not is_free(lock)
        assert is_free(lock)

    asyncio.run(main())


def test_a_task_that_outlives_the_holder_holds_nothing() -> None:
    lock, go = GlobalLock(timeout=0), asyncio.Event()

    async def late() -> bool:
        await go.wait()
        try:
            async with lock.hold_async():
                return True
        except GlobalLockBusyError:
            return False

    async def main() -> bool:
        async with lock.hold_async():
            task = asyncio.create_task(late())
            await asyncio.sleep(0)
        async with lock.hold_async():
            go.set()
            return await task

    assert asyncio.run(main()) is False


# --- Things -------------------------------------------------------------------------------------------------


class Stage(lt.Thing):
    position: int = lt.property(default=0)
    measured: int = lt.property(default=0, readonly=True)
    note: str = lt.property(default="", use_global_lock=False)

    def __init__(self, thing_server_interface: lt.ThingServerInterface) -> None:
        super().__init__(thing_server_interface)
        self._speed = self._shutter = 0

    @lt.property
    def speed(self) -> int:
        return self._speed

    @speed.setter
    def _set_speed(self, speed: int) -> None:
        self._speed = speed

    @speed.resetter
    def _reset_speed(self) -> None:
        self._speed = -1

    @lt.property
    def shutter(self) -> int:
        return self._shutter

    @shutter.setter
    def _set_shutter(self, shutter: int) -> None:
        self._shutter = shutter

    shutter.use_global_lock = False

    @lt.property
    def lens(self) -> int:
        return self._speed

    @lens.setter
    async def _set_lens(self, lens: int) -> None:
        self.position = lens  # holds the lock again

    @lt.action
    def move(self, to: int) -> int:
        self.position = to
        self.speed = to
        self.lens = to
        return self.position

    @lt.action
    async def move_slowly(self, to: int) -> int:
        async def approach() -> None:
            self.position = to

        await asyncio.gather(approach(), approach())
        return self.position

    @lt.action(use_global_lock=False)
    def look(self) -> str:
        return "looked"


def invoke(client: Any, action: str, **arguments: Any) -> Any:
    return client.post(f"/stage/{action}", json=arguments, headers={"Prefer": "wait=10"}).json()


@pytest.mark.parametrize("action", ["move", "move_slowly"])
def test_an_action_may_set_properties_of_all_kinds_while_it_holds_the_lock(serve: Any, action: str) -> None:
    _, client = serve({"stage": Stage}, enable_global_lock=True)
    invocation = invoke(client, action, to=7)
    assert (invocation["status"], invocation["output"]) == ("completed", 7)


def test_while_it_is_held_actions_and_writes_are_refused(serve: Any) -> None:
    server, client = serve({"stage": Stage}, enable_global_lock=True)
    stage = server.things["stage"]
    with Holder(stage._thing_server_interface.hold_global_lock):
        for name in ("position", "speed", "lens"):
            response = client.put(f"/stage/{name}", json=3)
            assert (response.status_code, response.json()["title"]) == (409, "GlobalLockBusyError")
            with pytest.raises(GlobalLockBusyError):
                setattr(stage, name, 4)
        for name in ("position", "speed"):
            assert client.post(f"/stage/{name}/reset").status_code == 409
        for action in ("move", "move_slowly"):
            invocation = invoke(client, action, to=5)
            assert (invocation["status"], invocation["error"]["title"]) == ("error", "GlobalLockBusyError")
            assert "traceback" not in str(invocation["log"])
            assert [entry["levelname"] for entry in invocation["log"]] == ["ERROR"]
        with pytest.raises(GlobalLockBusyError):
            stage.move(5)
    assert (stage.position, stage.speed) == (0, 0)
    assert client.put("/stage/speed", json=3).status_code == 204


def test_reading_and_what_does_without_it_go_on_while_it_is_held(serve: Any) -> None:
    server, client = serve({"stage": Stage}, enable_global_lock=True)
    stage = server.things["stage"]
    with Holder(stage._thing_server_interface.hold_global_lock):
        assert client.get("/stage/position").json() == 0
        assert client.get("/stage/speed").json() == 0
        assert client.put("/stage/note", json="busy").status_code == 204
        assert client.put("/stage/shutter", json=2).status_code == 204
        assert invoke(client, "look")["output"] == "looked"
        stage.measured = 6
        stage.note = "from Python"
        assert stage.look() == "looked"
    assert (stage.note, stage.shutter, stage.measured) == ("from Python", 2, 6)


def test_an_action_called_from_python_holds_it_while_it_runs(serve: Any) -> None:
    class Pump(lt.Thing):
        @lt.action
        def prime(self) -> bool:
            return is_free(self._thing_server_interface.global_lock)  # type: ignore[arg-type]

        @lt.action
        async def prime_async(self) -> bool:
            return is_free(self._thing_server_interface.global_lock)  # type: ignore[arg-type]

    server, client = serve({"stage": Pump}, enable_global_lock=True)
    assert server.things["stage"].prime() is False
    assert asyncio.run(server.things["stage"].prime_async()) is False
    assert invoke(client, "prime")["output"] is False
    assert invoke(client, "prime_async")["output"] is False
    assert is_free(server.global_lock)


def test_the_level_at_which_a_busy_lock_is_logged_is_configured(serve: Any) -> None:
    server, client = serve({"stage": Stage}, enable_global_lock=True, global_lock_log_level="WARNING")
    with Holder(server.global_lock.hold):
        assert [entry["levelname"] for entry in invoke(client, "move", to=1)["log"]] == ["WARNING"]


def test_without_the_lock_nothing_is_refused(serve: Any) -> None:
    server, client = serve({"stage": Stage})
    assert server.global_lock is None
    assert client.put("/stage/position", json=3).status_code == 204
    assert invoke(client, "move", to=5)["output"] == 5
