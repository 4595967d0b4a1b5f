"""One run of an action: its states, its log, its end."""

import asyncio
import threading
import uuid
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import anyio
import pytest

import labthings as lt
from labthings.exceptions import InvocationCancelledError, InvocationError
from labthings.invocation_contexts import get_invocation_id
from labthings.message_broker import Message

SOON = 10.0


class NoSampleError(InvocationError):
    pass


class Robot(lt.Thing):
    position: int = lt.property(default=0)

    def __init__(self, thing_server_interface: lt.ThingServerInterface) -> None:
        super().__init__(thing_server_interface)
        self.begun, self.go_on = threading.Semaphore(0), threading.Event()
        self.seen: list[Any] = []

    @lt.action
    def identify(self, words: str = "") -> str:
        self.logger.info("I am %s", words)
        self.seen.append((threading.current_thread(), str(get_invocation_id())))
        return str(get_invocation_id())

    @lt.action
    def hold(self) -> str:
        self.begun.release()
        while not self.go_on.is_set():
            lt.cancellable_sleep(0.005)
        return "held"

    @lt.action
    def sleep(self) -> None:
        self.begun.release()
        lt.cancellable_sleep(600)

    @lt.action
    def insist(self) -> str:
        self.begun.release()
        try:
            lt.cancellable_sleep(600)
        except InvocationCancelledError:
            lt.cancellable_sleep(0)  # tidying up may sleep
            return "done all the same"
        return "undisturbed"

    @lt.action
    def compute(self) -> int:
        self.begun.release()
        number = 0
        while not self.go_on.is_set():
            number += 1
            lt.raise_if_cancelled()
        return number

    @lt.action
    async def wait(self) -> None:
        self.begun.release()
        await asyncio.sleep(600)

    @lt.action
    async def wait_and_insist(self) -> str:
        self.begun.release()
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            return "done all the same"
        return "undisturbed"

    @lt.action
    async def identify_async(self) -> str:
        self.logger.info("async")
        return str(get_invocation_id())

    @lt.action
    def give_up(self) -> None:
        raise NoSampleError("There is no sample.")

    @lt.action
    def fail(self) -> None:
        {}["missing"]

    @lt.action
    def leave(self) -> None:
        raise SystemExit(3)

    @lt.action
    def log_much(self) -> list[str]:
        for number in range(1500):
            self.logger.info("number %d", number)
        self.logger.debug("a detail")
        return [record.getMessage() for record in self.get_current_invocation_logs()]

    @lt.action
    def catch(self) -> None:
        try:
            _ = 1 / 0
        except ZeroDivisionError:
            self.logger.exception("It happened")

    @lt.action
    def progress(self) -> None:
        lt.report_progress(0.5, "half way")
        lt.report_progress(7)
        lt.report_progress(-3, "back at the start")


class Lab:
    """A robot on a server, and what a client asks of it."""

    def __init__(self, served: tuple[lt.ThingServer, Any]) -> None:
        self.server, self.client = served
        self.robot: Any = self.server.things["robot"]

    def run(self, action: str, **arguments: Any) -> dict[str, Any]:
        answer = self.client.post(f"/robot/{action}", json=arguments, headers={"Prefer": "wait=10"})
        assert answer.status_code == 200, answer.text
        return answer.json()  # type: ignore[no-any-return]

    def start(self, action: str) -> dict[str, Any]:
        told = self.client.post(f"/robot/{action}")
        assert told.status_code == 201
        return told.json()  # type: ignore[no-any-return]

    def begin(self, action: str) -> dict[str, Any]:
        told = self.start(action)
        assert self.robot.begun.acquire(timeout=SOON)
        return told

    def end(self, told: dict[str, Any]) -> dict[str, Any]:
        return self.client.get(told["href"] + "?wait=10").json()  # type: ignore[no-any-return]

    def cancel(self, told: dict[str, Any]) -> int:
        return self.client.delete(told["href"]).status_code  # type: ignore[no-any-return]


@pytest.fixture
def lab(serve: Any) -> Iterator[Lab]:
    lab = Lab(serve({"robot": Robot}))
    yield lab
    lab.robot.go_on.set()


# --- each in a thread and a context of its own --------------------------------------------------------------


def test_each_invocation_has_its_own_id_which_its_code_knows(lab: Lab) -> None:
    first, second = lab.run("identify"), lab.run("identify")
    for told in (first, second, lab.run("identify_async")):
        assert told["id"] == told["output"]
        assert uuid.UUID(told["id"])
    assert first["id"] != second["id"]


def test_it_runs_in_a_thread_of_the_thing_and_not_in_the_loop(lab: Lab) -> None:
    lab.run("identify")
    thread, _ = lab.robot.seen[0]
    assert thread is not threading.current_thread()
    assert thread.name.startswith("robot")


def test_invocations_of_one_action_run_at_the_same_time(lab: Lab) -> None:
    told = [lab.begin("hold") for _ in range(3)]
    lab.robot.go_on.set()
    assert [lab.end(each)["output"] for each in told] == ["held"] * 3


def test_logs_are_kept_with_the_invocation_that_logged(lab: Lab) -> None:
    first, second = lab.run("identify", words="one"), lab.run("identify", words="two")
    assert [entry["message"] for entry in first["log"]] == ["I am one"]
    assert [entry["message"] for entry in second["log"]] == ["I am two"]
    assert [entry["message"] for entry in lab.run("identify_async")["log"]] == ["async"]
    entry = first["log"][0]
    assert (entry["levelname"], entry["levelno"], entry["filename"]) == ("INFO", 20, "test_invocation.py")
    assert datetime.fromisoformat(entry["created"]).tzinfo is not None
    assert isinstance(entry["lineno"], int)
    assert "traceback" not in entry


def test_what_it_was_given_and_when_is_told(lab: Lab) -> None:
    told = lab.run("identify", words="me")
    assert told["input"] == {"words": "me"}
    times = [datetime.fromisoformat(told[f"time{each}"]) for each in ("Requested", "Started", "Completed")]
    assert times == sorted(times)
    assert all(time.utcoffset() is not None for time in times)
    assert "error" not in told
    assert "progress" not in told


# --- its states ---------------------------------------------------------------------------------------------


class Observed:
    """The states of one action that an observer is told of."""

    def __init__(self, lab: Lab, action: str) -> None:
        self._call = lab.robot._thing_server_interface.call_async_task
        self._send, self._receive = anyio.create_memory_object_stream[Message](100)
        self._call(lab.server.message_broker.subscribe, "robot", action, self._send)

    def next(self) -> dict[str, Any]:
        async def receive() -> Message:
            with anyio.fail_after(SOON):
                return await self._receive.receive()

        return self._call(receive).payload  # type: ignore[no-any-return]

    def states(self, last: str) -> list[str]:
        states = [self.next()["status"]]
        while states[-1] != last:
            states.append(self.next()["status"])
        return states

    def __enter__(self) -> "Observed":
        return self

    def __exit__(self, *exception: object) -> None:
        self._send.close()
        self._receive.close()


@pytest.mark.parametrize(
    ("action", "end"),
    [("identify", "completed"), ("identify_async", "completed"), ("give_up", "error"), ("fail", "error")],
)
def test_observers_are_told_of_every_state_in_order(lab: Lab, action: str, end: str) -> None:
    with Observed(lab, action) as observed:
        told = lab.run(action)
        assert told["status"] == end
        messages = [observed.next() for _ in range(3)]
        assert [each["status"] for each in messages] == ["pending", "running", end]
        assert all(each["action name"] == action and each["id"] == told["id"] for each in messages)
        assert [each for each in messages if "error" in each] == (messages[-1:] if end == "error" else [])


def test_progress_is_kept_and_told(lab: Lab) -> None:
    with Observed(lab, "progress") as observed:
        told = lab.run("progress")
        assert told["progress"] == {"fraction": 0.0, "message": "back at the start"}
        messages = [observed.next() for _ in range(4)]
        assert messages[2]["progress"] == {"fraction": 0.5, "message": "half way"}
        assert messages[-1]["status"] == "completed"


# --- cancelling ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["hold", "sleep", "compute", "wait"])
def test_it_can_be_cancelled_while_it_runs(lab: Lab, action: str) -> None:
    with Observed(lab, action) as observed:
        told = lab.begin(action)
        assert lab.cancel(told) == 204
        ended = lab.end(told)
        assert (ended["status"], ended["output"]) == ("cancelled", None)
        assert "error" not in ended
        assert observed.states("cancelled") == ["pending", "running", "cancelled"]
    assert lab.cancel(told) == 409
    assert lab.client.delete("/action_invocations/unknown").status_code == 404


def test_cancelling_twice_is_harmless(lab: Lab) -> None:
    told = lab.begin("hold")
    invocation = lab.server.action_manager.get(told["id"])
    invocation.cancel()
    invocation.cancel()
    assert lab.end(told)["status"] == "cancelled"


@pytest.mark.parametrize("action", ["insist", "wait_and_insist"])
def test_one_that_catches_the_cancellation_may_complete(lab: Lab, action: str) -> None:
    told = lab.begin(action)
    assert lab.cancel(told) == 204
    ended = lab.end(told)
    assert (ended["status"], ended["output"]) == ("completed", "done all the same")


def test_one_that_waits_for_its_turn_never_begins_once_it_is_cancelled(lab: Lab) -> None:
    running = [lab.begin("hold") for _ in range(16)]
    waiting = lab.start("hold")
    assert waiting["status"] == "pending"
    assert lab.cancel(waiting) == 204
    ended = lab.end(waiting)
    assert (ended["status"], ended["timeStarted"]) == ("cancelled", None)
    lab.robot.go_on.set()
    assert all(lab.end(each)["status"] == "completed" for each in running)
    assert not lab.robot.begun.acquire(blocking=False)
    assert lab.end(waiting)["status"] == "cancelled"


def test_cancelling_one_leaves_the_others(lab: Lab) -> None:
    first, second = lab.begin("hold"), lab.begin("hold")
    lab.cancel(first)
    assert lab.end(first)["status"] == "cancelled"
    lab.robot.go_on.set()
    assert lab.end(second)["status"] == "completed"


# --- errors -------------------------------------------------------------------------------------------------


def test_an_invocation_error_is_logged_without_a_traceback(serve: Any) -> None:
    lab = Lab(serve({"robot": Robot}, debug=True))
    told = lab.run("give_up")
    assert told["status"] == "error"
    assert (told["error"]["title"], told["error"]["detail"]) == ("NoSampleError", "There is no sample.")
    entry = told["log"][-1]
    assert (entry["levelname"], "There is no sample." in entry["message"]) == ("ERROR", True)
    assert "exception_type" not in entry
    assert "traceback" not in entry


@pytest.mark.parametrize(("action", "title"), [("fail", "KeyError"), ("leave", "SystemExit")])
def test_any_other_exception_is_logged_with_one(serve: Any, action: str, title: str) -> None:
    for debug in (False, True):
        lab = Lab(serve({"robot": Robot}, debug=debug))
        told = lab.run(action)
        assert (told["status"], told["error"]["title"], told["error"]["status"]) == ("error", title, 500)
        entry = told["log"][-1]
        assert (entry["levelname"], entry["exception_type"]) == ("ERROR", title)
        assert ("traceback" in entry) == ("traceback" in told["error"]) == debug
        if debug:
            assert f"in {action}" in entry["traceback"]
            assert f"in {action}" in told["error"]["traceback"]


def test_an_exception_that_is_logged_says_its_type(lab: Lab) -> None:
    told = lab.run("catch")
    assert told["status"] == "completed"
    assert (told["log"][0]["message"], told["log"][0]["exception_type"]) == ("It happened", "ZeroDivisionError")


# --- its log ------------------------------------------------------------------------------------------------


def test_the_last_1000_records_are_kept(lab: Lab) -> None:
    told = lab.run("log_much")
    expected = [f"number {number}" for number in range(500, 1500)]
    assert [entry["message"] for entry in told["log"]] == told["output"] == expected


def test_in_debug_details_are_kept_too(serve: Any) -> None:
    told = Lab(serve({"robot": Robot}, debug=True)).run("log_much")
    assert told["log"][-1]["message"] == "a detail"
    assert told["log"][-1]["levelname"] == "DEBUG"


def test_cancelling_twice_does_not_interrupt_the_tidying_up(serve: Any) -> None:
    tidying, go_on = threading.Event(), threading.Event()

    class Heater(lt.Thing):
        @lt.action
        def heat(self) -> str:
            try:
                lt.cancellable_sleep(60)
            except InvocationCancelledError:
                tidying.set()
                assert go_on.wait(20)
                lt.cancellable_sleep(0)
            return "cooled down"

    _, client = serve({"heater": Heater})
    href = client.post("/heater/heat").json()["href"]
    assert client.delete(href).status_code == 204
    assert tidying.wait(20)
    assert client.delete(href).status_code == 204
    go_on.set()
    told = client.get(href, params={"wait": 20}).json()
    assert (told["status"], told["output"]) == ("completed", "cooled down")
