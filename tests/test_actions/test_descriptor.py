"""Methods of all signatures become actions, and stay methods."""

import asyncio
import enum
import socket
import threading
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

import labthings as lt
from labthings.actions import ActionDescriptor
from labthings.exceptions import UnserialisableTypeError


class Point(BaseModel):
    x: float
    y: float = 0


class Mode(enum.Enum):
    FAST = "fast"
    FINE = "fine"


class Robot(lt.Thing):
    @lt.action
    def required(self, a: int, b: str) -> Any:
        return [a, b]

    @lt.action
    def optional(self, a: int, b: int = 2, c: list[int] = [], d: Point = Point(x=1)) -> Any:  # noqa: B006, B008
        c.append(a)
        return [a, b, c, d]

    @lt.action
    def keyword_only(self, *, a: int, b: int = 2) -> Any:
        return [a, b]

    @lt.action
    def positional_only(self, a: int, b: int = 2, c: int = 3, /, d: int = 4) -> Any:
        return [a, b, c, d]

    @lt.action
    def others(self, a: int, **others: Any) -> Any:
        return [a, others]

    @lt.action
    def only_others(self, **others: Any) -> Any:
        return others

    @lt.action
    def annotated(
        self, a: Annotated[int, Field(ge=0, description="How many.")], mode: Mode = Mode.FAST, kind: Literal["x"] = "x"
    ) -> Any:
        return [a, mode, kind]

    @lt.action
    def model(self, point: Point, several: dict[str, Point] = {}) -> Point:  # noqa: B006
        assert isinstance(point, Point)
        assert all(isinstance(each, Point) for each in several.values())
        return Point(x=point.x + 1, y=len(several))

    @lt.action
    def bare(self, a, b=2):
        return [a, b]

    @lt.action
    def maybe(self, a: int | None = None, _b: int = 1) -> Any:
        return [a, _b]

    @lt.action
    def nothing(self) -> None:
        """Do nothing."""

    @lt.action
    async def later(self, a: int, b: int = 2) -> int:
        await asyncio.sleep(0)
        return a + b


@pytest.fixture
def invoke(serve: Any) -> Any:
    server, client = serve({"robot": Robot})

    def wait_for(action: str, arguments: Any = None) -> Any:
        options = {} if arguments is None else {"json": arguments}
        response = client.post(f"/robot/{action}", headers={"Prefer": "wait=10"}, **options)
        if response.status_code != 200:
            return response.status_code
        assert response.json()["status"] == "completed", response.text
        return response.json()["output"]

    wait_for.robot = server.things["robot"]  # type: ignore[attr-defined]
    return wait_for


@pytest.mark.parametrize(
    ("action", "arguments", "output"),
    [
        ("required", {"a": 1, "b": "x"}, [1, "x"]),
        ("required", {"a": 1.0, "b": "x"}, [1, "x"]),
        ("required", {"a": "1", "b": "x"}, 422),
        ("required", {"a": 1}, 422),
        ("required", {"a": "one", "b": "x"}, 422),
        ("required", {"a": 1, "b": "x", "c": 1}, 422),
        ("required", None, 422),
        ("required", [1, "x"], 422),
        ("required", "x", 422),
        ("optional", {"a": 1}, [1, 2, [1], {"x": 1, "y": 0}]),
        ("optional", {"a": 1, "b": 5, "c": [3], "d": {"x": 9}}, [1, 5, [3, 1], {"x": 9, "y": 0}]),
        ("keyword_only", {"a": 1}, [1, 2]),
        ("keyword_only", {"a": 1, "b": 3}, [1, 3]),
        ("positional_only", {"a": 1}, [1, 2, 3, 4]),
        ("positional_only", {"a": 1, "c": 7}, [1, 2, 7, 4]),
        ("positional_only", {"a": 1, "b": 5, "c": 7, "d": 9}, [1, 5, 7, 9]),
        ("others", {"a": 1, "x": [2], "y": None}, [1, {"x": [2], "y": None}]),
        ("others", {"x": 1}, 422),
        ("only_others", {"x": 1}, {"x": 1}),
        ("only_others", None, {}),
        ("only_others", {"self": 1}, 422),
        ("annotated", {"a": 1}, [1, "fast", "x"]),
        ("annotated", {"a": 1, "mode": "fine"}, [1, "fine", "x"]),
        ("annotated", {"a": -1}, 422),
        ("annotated", {"a": 1, "mode": "slow"}, 422),
        ("model", {"point": {"x": 1}}, {"x": 2, "y": 0}),
        ("model", {"point": {"x": 1}, "several": {"a": {"x": 0}}}, {"x": 2, "y": 1}),
        ("model", {"point": {"y": 1}}, 422),
        ("bare", {"a": [None, "x"]}, [[None, "x"], 2]),
        ("maybe", {}, [None, 1]),
        ("maybe", {"a": None, "_b": 5}, [None, 5]),
        ("nothing", None, None),
        ("nothing", {}, None),
        ("nothing", {"a": 1}, 422),
        ("nothing", [], 422),
        ("nothing", 0, 422),
        ("nothing", False, 422),
        ("later", {"a": 1}, 3),
        ("later", {"a": 1, "b": "far"}, 422),
    ],
)
def test_clients_give_arguments_by_name(invoke: Any, action: str, arguments: Any, output: Any) -> None:
    assert invoke(action, arguments) == output


def test_mutable_defaults_are_not_shared_between_invocations(invoke: Any) -> None:
    assert [invoke("optional", {"a": each})[2] for each in (1, 2)] == [[1], [2]]


@pytest.mark.parametrize("output", [0, False, "", None, [], {}, 0.0, "text", {"a": [1]}])
def test_any_output_is_told_even_if_it_is_false(serve: Any, output: Any) -> None:
    class Robot(lt.Thing):
        @lt.action
        def give(self) -> Any:
            return output

    _, client = serve({"robot": Robot})
    invocation = client.post("/robot/give", headers={"Prefer": "wait=10"}).json()
    assert (invocation["status"], invocation["output"]) == ("completed", output)
    bare = client.get(f"/action_invocations/{invocation['id']}/output")
    assert (bare.status_code, bare.json()) == (200, output)


@pytest.mark.parametrize(
    ("kind", "output", "text"),
    [(int, "many", "valid integer"), (None, 3, "None"), (Any, socket, "no JSON form"), (Point, {"y": 1}, "x: Field")],
)
def test_an_output_that_does_not_fit_its_type_is_an_error(serve: Any, kind: Any, output: Any, text: str) -> None:
    class Robot(lt.Thing):
        @lt.action
        def give(self) -> kind:
            return output

    _, client = serve({"robot": Robot})
    invocation = client.post("/robot/give", headers={"Prefer": "wait=10"}).json()
    assert (invocation["status"], invocation["error"]["title"]) == ("error", "InvalidReturnValueError")
    assert "'robot.give'" in invocation["error"]["detail"]
    assert text in invocation["error"]["detail"]


# --- in Python ----------------------------------------------------------------------------------------------


def test_in_python_an_action_is_a_method_that_runs_in_the_callers_thread(invoke: Any) -> None:
    class Caller(Robot):
        @lt.action
        def where(self) -> int:
            return threading.get_ident()

    robot = invoke.robot
    assert robot.required(1, b="x") == [1, "x"]
    assert robot.positional_only(1, 5) == [1, 5, 3, 4]
    assert robot.others(1, x=2) == [1, {"x": 2}]
    assert robot.required.__name__ == "required"
    assert Robot.required(robot, 1, "x") == [1, "x"]
    assert asyncio.run(robot.later(1)) == 3
    with pytest.raises(TypeError):
        robot.required(1)
    caller = Caller(robot._thing_server_interface)
    assert caller.where() == threading.get_ident()


def test_on_the_class_it_is_the_descriptor() -> None:
    assert isinstance(Robot.nothing, ActionDescriptor)
    assert Robot.nothing.__doc__ == "Do nothing."
    assert Robot.nothing.__wrapped__.__name__ == "nothing"


def test_a_subclass_may_call_the_action_it_overrides(serve: Any) -> None:
    class Better(Robot):
        @lt.action
        def required(self, a: int, b: str) -> Any:
            return [*super().required(a, b), "better"]

    server, client = serve({"better": Better})
    answer = client.post("/better/required", json={"a": 1, "b": "x"}, headers={"Prefer": "wait=10"}).json()
    assert answer["output"] == server.things["better"].required(1, "x") == [1, "x", "better"]


# --- the definition -----------------------------------------------------------------------------------------


def test_the_decorator_takes_arguments_or_none() -> None:
    class Robot(lt.Thing):
        @lt.action
        def plain(self) -> None: ...

        @lt.action()
        def called(self) -> None: ...

        @lt.action(retention_time=5, response_timeout=1.5, use_global_lock=False, safe=True, idempotent=True)
        def full(self) -> None: ...

    plain, called, full = (Robot.actions[name] for name in ("plain", "called", "full"))
    for info in (plain, called):
        assert (info.retention_time, info.response_timeout, info.safe, info.idempotent) == (300, 0, False, False)
        assert info.descriptor.takes_global_lock
    assert (full.retention_time, full.response_timeout, full.safe, full.idempotent) == (5, 1.5, True, True)
    assert not full.descriptor.takes_global_lock


def test_an_unknown_argument_of_the_decorator_is_refused() -> None:
    with pytest.raises(TypeError, match="retention"):
        lt.action(retention=5)(lambda self: None)  # type: ignore[call-overload]


def test_positional_arguments_of_any_number_are_refused_when_the_class_is_defined() -> None:
    with pytest.raises(UnserialisableTypeError, match=r"'Robot\.move' takes '\*steps', but clients give arguments by"):

        class Robot(lt.Thing):
            @lt.action
            def move(self, *steps: int) -> None: ...


def test_a_parameter_that_has_no_json_form_is_refused_when_the_class_is_defined() -> None:
    with pytest.raises(UnserialisableTypeError, match=r"'Robot\.talk'"):

        class Robot(lt.Thing):
            @lt.action
            def talk(self, to: socket.socket) -> None: ...


def test_a_result_that_has_no_json_form_is_refused_when_the_class_is_defined() -> None:
    with pytest.raises(UnserialisableTypeError, match=r"'Robot\.listen'"):

        class Robot(lt.Thing):
            @lt.action
            def listen(self) -> socket.socket: ...
