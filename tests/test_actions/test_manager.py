"""Invocations run in bounded threads, and are forgotten in time."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import labthings as lt
from labthings.actions import ActionManager, InvocationStatus
from labthings.exceptions import BusyError, InvocationEndedError, NotFoundError, ServerNotRunningError
from labthings.workers import LoopCalls, Workers

SOON = 10.0


class Robot(lt.Thing):
    def __init__(self, thing_server_interface: lt.ThingServerInterface) -> None:
        super().__init__(thing_server_interface)
        self.begun, self.go_on = threading.Semaphore(0), threading.Event()
        self.interrupted: list[str] = []

    @lt.action
    def hold(self) -> None:
        self.begun.release()
        try:
            while not self.go_on.is_set():
                lt.cancellable_sleep(0.005)
        except lt.exceptions.InvocationCancelledError:
            self.interrupted.append("hold")
            raise

    @lt.action
    async def hold_async(self) -> None:
        self.begun.release()
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            self.interrupted.append("hold_async")
            raise

    @lt.action
    def stubborn(self) -> None:
        self.begun.release()
        self.go_on.wait(SOON)

    @lt.action(retention_time=0)
    def brief(self) -> None:
        pass

    @lt.action(retention_time=0.02)
    async def brief_async(self) -> None:
        pass

    @lt.action
    def other(self) -> str:
        return "done"


@pytest.fixture
def robot(serve: Any) -> Iterator[Any]:
    server, client = serve({"robot": Robot})
    robot = server.things["robot"]
    robot.server, robot.client = server, client
    yield robot
    robot.go_on.set()


def begin(robot: Any, action: str, number: int = 1) -> list[str]:
    told = [robot.client.post(f"/robot/{action}").json() for _ in range(number)]
    return [each["id"] for each in told]


def wait(robot: Any, action: str) -> Any:
    return robot.client.post(f"/robot/{action}", headers={"Prefer": "wait=10"}).json()


def statuses(robot: Any) -> list[InvocationStatus]:
    return [each.status for each in robot.server.action_manager.invocations]


# --- bounds -------------------------------------------------------------------------------------------------


def test_a_flood_of_invocations_uses_few_threads_and_all_run_in_the_end(robot: Any) -> None:
    before = threading.active_count()
    ids = begin(robot, "hold", 40)
    for _ in range(16):
        assert robot.begun.acquire(timeout=SOON)
    assert statuses(robot) == [InvocationStatus.RUNNING] * 16 + [InvocationStatus.PENDING] * 24
    assert threading.active_count() - before <= 16
    assert wait(robot, "other")["output"] == "done", "another action is not held up"
    robot.go_on.set()
    ended = [robot.client.get(f"/action_invocations/{id}?wait=10").json()["status"] for id in ids]
    assert ended == ["completed"] * 40


def test_they_run_in_the_order_of_the_requests(robot: Any) -> None:
    begin(robot, "hold", 20)
    robot.go_on.set()
    wait(robot, "hold")
    invocations = robot.server.action_manager.invocations
    for each in invocations:
        assert robot.client.get(f"/action_invocations/{each.id}?wait=10").json()["status"] == "completed"
    assert [each.time_requested for each in invocations] == sorted(each.time_requested for each in invocations)
    later = [each.time_started for each in invocations[16:]]
    assert min(later) >= max(each.time_requested for each in invocations[:16])


def test_too_many_that_wait_are_refused_and_leave_no_invocation(tmp_path: Path) -> None:
    async def main() -> None:
        calls = LoopCalls()
        calls.attach(asyncio.get_running_loop())
        manager = ActionManager(calls)
        server = lt.ThingServer.from_things({"robot": Robot}, settings_folder=str(tmp_path))
        robot: Any = server.things["robot"]
        workers = Workers("robot")
        info = robot.actions["hold"]
        for _ in range(1016):
            manager.invoke(info, {}, workers)
        with pytest.raises(BusyError, match=r"'robot\.hold' is busy: 16 calls are running and 1000 are waiting"):
            manager.invoke(info, {}, workers)
        assert len(manager.invocations) == 1016
        robot.go_on.set()
        await manager.stop(SOON)
        assert workers.close(SOON) == []
        calls.detach()

    asyncio.run(main())


# --- looking up and cancelling ------------------------------------------------------------------------------


def test_an_unknown_id_is_told(robot: Any) -> None:
    manager = robot.server.action_manager
    for use in (manager.get, manager.cancel):
        with pytest.raises(NotFoundError, match="There is no invocation 'nonsense'"):
            use("nonsense")


def test_one_that_has_ended_cannot_be_cancelled(robot: Any) -> None:
    id = wait(robot, "other")["id"]
    with pytest.raises(InvocationEndedError, match=rf"'{id}' of robot\.other has ended already \(completed\)"):
        robot.server.action_manager.cancel(id)


# --- forgetting ---------------------------------------------------------------------------------------------


def pass_time(robot: Any, seconds: float) -> None:
    """Let the event loop's clock go on, so that what is due in the meantime has happened."""

    async def later() -> None:
        done = asyncio.Event()
        asyncio.get_running_loop().call_later(seconds, done.set)
        await done.wait()

    robot._thing_server_interface.call_async_task(later)


@pytest.mark.parametrize("action", ["brief", "brief_async"])
def test_once_its_retention_time_has_passed_it_is_forgotten_with_no_other_invocation(robot: Any, action: str) -> None:
    id = wait(robot, action)["id"]
    kept = wait(robot, "other")["id"]
    pass_time(robot, 0.05)
    assert robot.client.get(f"/action_invocations/{id}").status_code == 404
    assert robot.client.get(f"/action_invocations/{kept}").status_code == 200


def test_a_running_one_is_not_forgotten(serve: Any) -> None:
    class Robot(lt.Thing):
        go_on = threading.Event()

        @lt.action(retention_time=0)
        def hold(self) -> None:
            assert self.go_on.wait(SOON)

    server, client = serve({"robot": Robot})
    robot: Any = server.things["robot"]
    told = client.post("/robot/hold").json()
    pass_time(robot, 0.02)
    assert client.get(told["href"]).status_code == 200
    robot.go_on.set()


def test_of_many_only_the_last_are_kept(serve: Any) -> None:
    server, client = serve({"robot": Robot}, maximum_invocations=3)
    ids = [client.post("/robot/other", headers={"Prefer": "wait=10"}).json()["id"] for _ in range(10)]
    robot: Any = server.things["robot"]
    pass_time(robot, 0)
    assert [each.id for each in server.action_manager.invocations] == ids[-3:]


# --- stopping -----------------------------------------------------------------------------------------------


def test_stopping_cancels_what_runs_and_waits_for_its_end(tmp_path: Path) -> None:
    server = lt.ThingServer.from_things({"robot": Robot}, settings_folder=str(tmp_path))
    robot: Any = server.things["robot"]
    with server.test_client() as client:
        for action in ("hold", "hold_async"):
            client.post(f"/robot/{action}")
            assert robot.begun.acquire(timeout=SOON)
    assert sorted(robot.interrupted) == ["hold", "hold_async"]
    assert statuses_of(server) == [InvocationStatus.CANCELLED] * 2


def statuses_of(server: lt.ThingServer) -> list[InvocationStatus]:
    return [each.status for each in server.action_manager.invocations]


def test_one_that_does_not_stop_is_left_behind_with_a_word(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    server = lt.ThingServer.from_things({"robot": Robot}, settings_folder=str(tmp_path), stop_timeout=0.05)
    robot: Any = server.things["robot"]
    with server.test_client() as client:
        client.post("/robot/stubborn")
        assert robot.begun.acquire(timeout=SOON)
    assert "robot.stubborn goes on although it was cancelled" in caplog.text
    robot.go_on.set()


def test_a_manager_that_has_stopped_starts_no_action_until_it_is_started(tmp_path: Path) -> None:
    async def main() -> None:
        calls = LoopCalls()
        calls.attach(asyncio.get_running_loop())
        manager, workers = ActionManager(calls), Workers("robot")
        info = (
            lt.ThingServer.from_things({"robot": Robot}, settings_folder=str(tmp_path)).things["robot"].actions["other"]
        )
        await manager.stop(0)
        with pytest.raises(ServerNotRunningError):
            manager.invoke(info, {}, workers)
        manager.start()
        assert await manager.invoke(info, {}, workers).wait(SOON)
        await manager.stop(0)
        assert workers.close(SOON) == []
        calls.detach()

    asyncio.run(main())
