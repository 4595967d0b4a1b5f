import asyncio
import threading
import uuid
from datetime import datetime, timedelta
from typing import Annotated, Any

import httpx
import pytest
from pydantic import BaseModel, Field

import labthings as lt


class Sample(BaseModel):
    name: str
    mass: float = 1.0


class Robot(lt.Thing):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.begun, self.go_on = threading.Semaphore(0), threading.Event()

    def __exit__(self, *args: Any) -> None:
        self.go_on.set()

    @lt.action
    def add(self, a: int, b: int = 2) -> int:
        return a + b

    @lt.action
    def nothing(self) -> None:
        pass

    @lt.action
    def hold(self) -> str:
        self.begun.release()
        while not self.go_on.is_set():
            lt.cancellable_sleep(0.005)
        return "held"

    @lt.action
    async def wait_async(self) -> str:
        self.begun.release()
        await asyncio.sleep(60)
        return "never"

    @lt.action
    async def double(self, number: int) -> int:
        await asyncio.sleep(0)
        return 2 * number


def test_an_invocation_is_created(client_of):
    client = client_of({"robot": Robot})
    response = client.post("/robot/hold")
    assert response.status_code == 201
    assert response.headers["content-type"] == "application/json"
    told = response.json()
    assert told["status"] in ("pending", "running")
    assert told["action"] == "/robot/hold"
    assert uuid.UUID(told["id"])
    assert told["href"] == f"http://testserver/action_invocations/{told['id']}" == response.headers["location"]
    assert told["links"] == [
        {"rel": "self", "href": told["href"]},
        {"rel": "output", "href": f"{told['href']}/output"},
    ]
    assert (told["input"], told["output"], told["log"], told["timeCompleted"]) == ({}, None, [], None)
    assert not {"error", "progress"} & told.keys()
    assert client.get(response.headers["location"]).json()["id"] == told["id"]


@pytest.mark.parametrize("wait", ["header", "query"])
def test_a_client_that_waits_gets_the_result(client_of, wait):
    client = client_of({"robot": Robot})
    how: dict[str, Any] = {"headers": {"Prefer": "wait=10"}} if wait == "header" else {"params": {"wait": "10"}}
    response = client.post("/robot/add", json={"a": 3}, **how)
    assert response.status_code == 200
    assert response.headers["preference-applied"] == "wait=10"
    assert response.headers["location"] == response.json()["href"]
    told = response.json()
    assert (told["status"], told["output"], told["input"]) == ("completed", 5, {"a": 3, "b": 2})


@pytest.mark.parametrize("preference", ["wait=0.01", "respond-async, wait=0.01", 'foo; wait="0.01"', "WAIT=0.01"])
def test_a_client_that_waits_in_vain_gets_what_there_is(client_of, preference):
    response = client_of({"robot": Robot}).post("/robot/hold", headers={"Prefer": preference})
    assert response.status_code == 201
    assert response.json()["status"] == "running"
    assert "preference-applied" not in response.headers


@pytest.mark.parametrize("preference", ["wait=soon", "wait", "wait=nan", "return=minimal", ""])
def test_a_preference_that_makes_no_sense_is_passed_over(client_of, preference):
    assert client_of({"robot": Robot}).post("/robot/hold", headers={"Prefer": preference}).status_code == 201


@pytest.mark.parametrize("wait", ["soon", "nan", ""])
def test_a_wait_in_the_query_that_is_no_number(client_of, refused, wait):
    client = client_of({"robot": Robot})
    refused(client.post(f"/robot/hold?wait={wait}&x=1"), 400, "'wait'")
    assert client.get("/robot/actions").json() == []


def test_other_words_in_the_query_are_passed_over(client_of):
    response = client_of({"robot": Robot}).post("/robot/add?await=x&nowait=1", json={"a": 1})
    assert response.status_code == 201
    assert "preference-applied" not in response.headers


def test_a_response_timeout_is_waited_for_when_the_client_does_not_say(client_of):
    class Thing(lt.Thing):
        @lt.action(response_timeout=10)
        def quick(self) -> int:
            return 1

    response = client_of(Thing).post("/thing/quick")
    assert (response.status_code, response.json()["status"], response.json()["output"]) == (201, "completed", 1)


def test_times_have_an_offset_and_are_in_order(client_of):
    told = client_of({"robot": Robot}).post("/robot/add?wait=9", json={"a": 1}).json()
    times = [datetime.fromisoformat(told[key]) for key in ("timeRequested", "timeStarted", "timeCompleted")]
    assert times == sorted(times)
    assert all(each.utcoffset() == timedelta(0) for each in times)


# --- arguments ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b"", b"null", b"{}", b" \n"])
def test_no_arguments_may_be_sent_in_several_ways(client_of, body):
    response = client_of({"robot": Robot}).post(
        "/robot/nothing?wait=9", content=body, headers={"content-type": "application/json"}
    )
    assert (response.status_code, response.json()["status"], response.json()["input"]) == (200, "completed", {})


@pytest.mark.parametrize("body", [{"a": 1}, [], 0, False, "", [None]])
def test_an_action_without_arguments_refuses_them(client_of, refused, body):
    refused(client_of({"robot": Robot}).post("/robot/nothing", json=body), 422, "robot.nothing", "no input")


@pytest.mark.parametrize(
    ("sent", "location"),
    [({}, ["a"]), ({"a": "x"}, ["a"]), ({"a": 1, "c": 3}, ["c"]), ([1, 2], []), (3, []), ({"a": 1, "b": None}, ["b"])],
)
def test_arguments_that_do_not_fit(client_of, refused, sent, location):
    client = client_of({"robot": Robot})
    problem = refused(client.post("/robot/add", json=sent), 422, "robot.add")
    assert problem["errors"][0]["loc"] == location
    assert client.get("/robot/actions").json() == []


def test_all_arguments_are_optional(client_of):
    class Thing(lt.Thing):
        @lt.action
        def greet(self, name: str = "you", loud: bool | None = None) -> str:
            return f"{name} {loud}"

    client = client_of(Thing)
    assert client.post("/thing/greet?wait=9").json()["output"] == "you None"
    assert client.post("/thing/greet?wait=9", json={"loud": False}).json()["output"] == "you False"
    assert client.post("/thing/greet?wait=9", json={"loud": None}).json()["output"] == "you None"


def test_arguments_are_models_and_constrained(client_of, refused):
    class Thing(lt.Thing):
        @lt.action
        def weigh(self, sample: Sample, times: Annotated[int, Field(ge=1, description="How often")] = 1) -> float:
            return sample.mass * times

    client = client_of(Thing)
    assert client.post("/thing/weigh?wait=9", json={"sample": {"name": "a"}, "times": 3}).json()["output"] == 3
    problem = refused(client.post("/thing/weigh", json={"sample": {"mass": 1}, "times": 0}), 422, "thing.weigh")
    assert [each["loc"] for each in problem["errors"]] == [["sample", "name"], ["times"]]


def test_any_further_arguments(client_of):
    class Thing(lt.Thing):
        @lt.action
        def collect(self, first: int = 1, **others: Any) -> dict[str, Any]:
            return {"first": first, **others}

    client = client_of(Thing)
    assert client.post("/thing/collect?wait=9", json={"x": 1, "y": [2]}).json()["output"] == {
        "first": 1,
        "x": 1,
        "y": [2],
    }
    assert client.post("/thing/collect?wait=9").json()["output"] == {"first": 1}


def test_each_invocation_has_its_own_default_argument(client_of):
    class Thing(lt.Thing):
        @lt.action
        def collect(self, values: list[int] = []) -> list[int]:  # noqa: B006
            values.append(1)
            return values

    client = client_of(Thing)
    assert [client.post("/thing/collect?wait=9").json()["output"] for _ in range(2)] == [[1], [1]]


# --- outputs and errors -------------------------------------------------------------------------------------


def test_an_async_action_returns_what_it_returns(client_of):
    told = client_of({"robot": Robot}).post("/robot/double?wait=9", json={"number": 4}).json()
    assert (told["status"], told["output"]) == ("completed", 8)


def test_an_action_that_raises(client_of):
    class Thing(lt.Thing):
        @lt.action
        def jam(self) -> None:
            raise ValueError("paper jam")

    told = client_of(Thing).post("/thing/jam?wait=9").json()
    assert (told["status"], told["output"]) == ("error", None)
    assert told["error"] == {
        "type": "urn:labthings:error:affordance",
        "title": "ValueError",
        "status": 500,
        "detail": "paper jam",
    }
    assert told["log"][-1]["exception_type"] == "ValueError"
    assert "traceback" not in told["log"][-1]


def test_where_it_was_raised_is_told_in_debug(client_of):
    class Thing(lt.Thing):
        @lt.action
        def jam(self) -> None:
            raise ValueError("paper jam")

    told = client_of(Thing, debug=True).post("/thing/jam?wait=9").json()
    assert "in jam" in told["error"]["traceback"]
    assert "in jam" in told["log"][-1]["traceback"]


def test_an_invocation_error_is_logged_without_a_traceback(client_of):
    class DoorOpenError(lt.exceptions.InvocationError):
        pass

    class Thing(lt.Thing):
        @lt.action
        def cut(self) -> None:
            raise DoorOpenError("the door is open")

    told = client_of(Thing, debug=True).post("/thing/cut?wait=9").json()
    assert (told["status"], told["error"]["title"]) == ("error", "DoorOpenError")
    assert told["error"]["type"] == "urn:labthings:error:door-open"
    assert told["log"][-1]["levelname"] == "ERROR"
    assert "the door is open" in told["log"][-1]["message"]
    assert not {"traceback", "exception_type"} & told["log"][-1].keys()


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit, StopIteration])
def test_an_action_that_raises_what_is_not_an_error(client_of, kind):
    class Thing(lt.Thing):
        @lt.action
        def leave(self) -> None:
            raise kind("bye")

    client = client_of(Thing)
    assert client.post("/thing/leave?wait=9").json()["error"]["title"] == kind.__name__
    assert client.post("/thing/leave?wait=9").json()["status"] == "error"


def test_an_action_that_cannot_take_the_global_lock(client_of):
    client = client_of({"robot": Robot}, enable_global_lock=True, global_lock_log_level="WARNING")
    held = client.post("/robot/hold").json()
    assert client.server.things["robot"].begun.acquire(timeout=10)
    for action in ("nothing", "double"):
        told = client.post(f"/robot/{action}?wait=9", json={"number": 1} if action == "double" else None).json()
        assert (told["status"], told["error"]["title"], told["error"]["status"]) == (
            "error",
            "GlobalLockBusyError",
            409,
        )
        assert told["log"][-1]["levelname"] == "WARNING"
        assert "exception_type" not in told["log"][-1]
    client.server.things["robot"].go_on.set()
    assert client.get(held["href"], params={"wait": 9}).json()["status"] == "completed"
    assert client.post("/robot/nothing?wait=9").json()["status"] == "completed"


# --- lists --------------------------------------------------------------------------------------------------


def test_lists_of_an_action_and_of_a_thing(client_of):
    client = client_of({"robot": Robot, "other": Robot})
    ids = [
        client.post(f"/{path}?wait=9", json={"a": 1} if path.endswith("add") else None).json()["id"]
        for path in ("robot/add", "robot/nothing", "other/add", "robot/add")
    ]
    listed = client.get("/robot/add").json()
    assert [each["id"] for each in listed] == [ids[0], ids[3]]
    assert [each["id"] for each in client.get("/robot/actions").json()] == [ids[0], ids[1], ids[3]]
    assert client.get("/other/nothing").json() == []
    assert not {"input", "output", "log", "error"} & listed[0].keys()
    assert listed[0].keys() == {
        "status",
        "id",
        "action",
        "href",
        "timeRequested",
        "timeStarted",
        "timeCompleted",
        "links",
    }


@pytest.mark.parametrize("path", ["/robot/add", "/robot/actions", "/action_invocations"])
def test_head_of_lists(client_of, path):
    client = client_of({"robot": Robot})
    head = client.head(path)
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", "2")


def test_the_methods_of_an_action(client_of, refused):
    client = client_of({"robot": Robot})
    refusal = client.put("/robot/add", json={})
    refused(refusal, 405, "PUT")
    assert refusal.headers["allow"] == client.options("/robot/add").headers["allow"] == "GET, HEAD, OPTIONS, POST"


# --- many at once -------------------------------------------------------------------------------------------


def test_cancelling_what_waits_for_its_turn_takes_effect_at_once(client_of):
    client = client_of({"robot": Robot})
    robot = client.server.things["robot"]
    invoked = [client.post("/robot/hold").json() for _ in range(40)]
    for _ in range(16):
        assert robot.begun.acquire(timeout=10)
    assert not robot.begun.acquire(blocking=False)
    last = client.get(invoked[-1]["href"]).json()
    assert (last["status"], last["timeStarted"]) == ("pending", None)

    assert client.delete(last["href"]).status_code == 204
    last = client.get(last["href"]).json()
    assert (last["status"], last["timeStarted"]) == ("cancelled", None)
    assert last["timeCompleted"] is not None

    robot.go_on.set()
    ended = [client.get(each["href"], params={"wait": 10}).json()["status"] for each in invoked]
    assert ended == ["completed"] * 39 + ["cancelled"]


def test_one_busy_action_does_not_hold_up_another(client_of):
    client = client_of({"robot": Robot})
    for _ in range(40):
        client.post("/robot/hold")
    assert client.post("/robot/add?wait=9", json={"a": 1}).json()["output"] == 3


def test_a_flood_of_invocations_is_refused(client_of, refused):
    client = client_of({"robot": Robot})

    async def flood() -> list[int]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(client.app), base_url="http://here") as own:
            return [(await own.post("/robot/hold")).status_code for _ in range(1020)]

    statuses = client.portal.call(flood)
    assert statuses == [201] * 1016 + [503] * 4
    refused(client.post("/robot/hold"), 503, "robot.hold", "busy")
    client.server.things["robot"].go_on.set()
