"""Properties with a getter, and perhaps a setter and a resetter."""

import asyncio
import threading
from typing import Any

import pytest

import labthings as lt
from labthings.exceptions import (
    InconsistentTypeError,
    InvalidValueError,
    MissingDefaultError,
    MissingTypeError,
    OverspecifiedDefaultError,
    PropertyRedefinitionError,
    ReadOnlyPropertyError,
)
from labthings.properties import FunctionalProperty

SOON = 10.0


class Number(lt.Thing):
    def __init__(self, thing_server_interface: lt.ThingServerInterface) -> None:
        super().__init__(thing_server_interface)
        self._number, self._angle, self._zoom = 0, 0.0, 1
        self.threads: dict[str, Any] = {}

    @lt.property
    def the_answer(self) -> int:
        """A read-only property.

        It is 42.
        """
        self.threads["answer"] = threading.current_thread()
        return 42

    @lt.property
    def number(self) -> int:
        """A property that's got extra attributes set."""
        return self._number

    @number.setter
    def _set_number(self, value: int) -> None:
        self._number = value

    @number.resetter
    def _reset_number(self) -> None:
        self._number = -1

    number.readonly = True
    number.constraints = {"ge": 0}  # noqa: RUF012
    number.default = 0
    number.unit = "pcs"

    @lt.property
    def angle(self) -> float:
        return self._angle

    @angle.setter
    def angle(self, value: float) -> None:
        self.threads["angle"] = threading.current_thread()
        self._angle = value

    @angle.resetter
    def reset_angle(self) -> None:
        self.threads["reset"] = threading.current_thread()
        self._angle = 90.0

    angle.default_factory = lambda: 1.0

    @lt.property
    async def zoom(self) -> int:
        self.threads["async getter"] = threading.current_thread()
        await asyncio.sleep(0)
        return self._zoom

    @zoom.setter
    async def _set_zoom(self, value: int) -> None:
        self.threads["async setter"] = threading.current_thread()
        await asyncio.sleep(0)
        self._zoom = value

    @zoom.resetter
    async def _reset_zoom(self) -> None:
        await asyncio.sleep(0)
        self._zoom = 1


# --- definition ---------------------------------------------------------------------------------------------


def test_the_getter_says_type_title_and_description() -> None:
    info = Number.properties["the_answer"]
    assert (info.value_type, info.title, info.description) == (int, "A read-only property.", "It is 42.")
    assert isinstance(Number.the_answer, FunctionalProperty)


def test_a_setter_may_have_the_getters_name_or_another(serve: Any) -> None:
    server, _ = serve({"number": Number})
    number = server.things["number"]
    number.angle = 2
    number.number = 3
    assert (number.angle, number.number) == (2.0, 3)
    assert "_set_number" not in Number.properties
    number._set_number(4)  # a setter of another name is still a method
    assert number.number == 4


def test_what_class_body_assignments_say(serve: Any) -> None:
    info = Number.properties["number"]
    assert (info.readonly, info.default, info.unit) == (True, 0, "pcs")
    assert info.descriptor.constraints == {"ge": 0}
    assert Number.properties["angle"].default == 1.0
    server, client = serve({"number": Number})
    assert client.put("/number/number", json=3).status_code == 405
    with pytest.raises(InvalidValueError, match="greater than or equal to 0"):
        server.things["number"].number = -1
    described = client.get("/number/").json()["properties"]["number"]
    assert (described["readOnly"], described["minimum"], described["default"], described["unit"]) == (True, 0, 0, "pcs")


def test_a_default_is_not_shared() -> None:
    class Stage(lt.Thing):
        @lt.property
        def limits(self) -> list[int]:
            return []

        limits.default = [0]  # noqa: RUF012

    Stage.properties["limits"].default.append(1)
    assert Stage.properties["limits"].default == [0]


def test_a_default_and_a_default_factory_are_too_much() -> None:
    first, second = lt.property(lambda self: 1), lt.property(lambda self: 1)
    first.default = 1
    with pytest.raises(OverspecifiedDefaultError):
        first.default_factory = int
    second.default_factory = int
    with pytest.raises(OverspecifiedDefaultError):
        second.default = 1


def test_without_a_default_there_is_none() -> None:
    assert not Number.properties["the_answer"].has_default
    with pytest.raises(MissingDefaultError, match="the_answer"):
        _ = Number.properties["the_answer"].default
    with pytest.raises(MissingDefaultError):
        _ = Number.the_answer.default


def test_a_second_setter_or_resetter_is_refused() -> None:
    def getter(self: Any) -> int:
        return 1

    def other(self: Any, *values: Any) -> None:
        pass

    x = lt.property(getter)
    x.setter(other)
    x.resetter(other)
    with pytest.raises(PropertyRedefinitionError, match="two setters"):
        x.setter(other)
    with pytest.raises(PropertyRedefinitionError, match="defined already"):
        x.resetter(other)


def test_a_resetter_needs_a_name_of_its_own() -> None:
    def x(self: Any) -> int:
        return 1

    with pytest.raises(PropertyRedefinitionError, match="name of its own"):
        lt.property(x).resetter(x)


def test_a_getter_that_does_not_say_what_it_returns_is_refused() -> None:
    with pytest.raises(MissingTypeError, match=r"'Stage\.x' does not say what it returns"):

        class Stage(lt.Thing):
            @lt.property
            def x(self):
                return 1


def test_a_setter_of_another_type_is_refused() -> None:
    with pytest.raises(InconsistentTypeError, match=r"'Stage\.x' returns .*int.* but its setter says .*str"):

        class Stage(lt.Thing):
            @lt.property
            def x(self) -> int:
                return 1

            @x.setter
            def _set_x(self, value: str) -> None:
                pass


def test_an_annotation_of_another_type_is_refused() -> None:
    with pytest.raises(InconsistentTypeError, match=r"'Stage\.x' returns .*int.* but its annotation says .*float"):

        class Stage(lt.Thing):
            x: float

            @lt.property
            def x(self) -> int:
                return 1


def test_a_setter_that_does_not_say_its_type_has_the_getters(serve: Any) -> None:
    class Stage(lt.Thing):
        stored = 0

        @lt.property
        def x(self) -> int:
            return self.stored

        @x.setter
        def x(self, value):
            self.stored = value

    server, _ = serve({"stage": Stage})
    server.things["stage"].x = "5"
    assert server.things["stage"].stored == 5


# --- subclasses ---------------------------------------------------------------------------------------------


def test_a_subclass_may_change_the_setter_and_leaves_the_base_alone(serve: Any) -> None:
    class Careful(Number):
        @Number.angle.setter
        def angle(self, value: float) -> None:
            self._angle = min(value, 10.0)

    server, client = serve({"careful": Careful, "number": Number})
    for name, expected in (("careful", 10.0), ("number", 50.0)):
        assert client.put(f"/{name}/angle", json=50).status_code == 204
        assert server.things[name].angle == expected
        assert client.post(f"/{name}/angle/reset").status_code == 204
        assert server.things[name].angle == 90.0


def test_a_setter_of_another_name_cannot_change_the_base() -> None:
    with pytest.raises(PropertyRedefinitionError, match=r"'Number\.angle' belongs to another class"):

        class Careless(Number):
            @Number.angle.setter
            def _set_angle(self, value: float) -> None:
                pass


def test_a_subclass_may_override_the_getter(serve: Any) -> None:
    class Better(Number):
        @lt.property
        def the_answer(self) -> int:
            return super().the_answer + 1

    assert serve({"better": Better})[1].get("/better/the_answer").json() == 43


# --- reading and writing ------------------------------------------------------------------------------------


def test_without_a_setter_it_is_readonly(serve: Any) -> None:
    server, client = serve({"number": Number})
    assert Number.properties["the_answer"].readonly
    with pytest.raises(ReadOnlyPropertyError, match=r"'number\.the_answer' cannot be set: it has no setter") as caught:
        server.things["number"].the_answer = 43
    assert isinstance(caught.value, AttributeError)
    assert client.put("/number/the_answer", json=43).status_code == 405


def test_what_a_client_or_python_sets_is_validated_before_the_setter_sees_it(serve: Any) -> None:
    server, client = serve({"number": Number})
    number = server.things["number"]
    number.angle = "2.5"
    assert number._angle == 2.5
    with pytest.raises(InvalidValueError, match=r"number\.angle"):
        number.angle = "steep"
    assert client.put("/number/angle", json="steep").status_code == 422
    assert number._angle == 2.5


def test_validation_of_what_python_sets_can_be_turned_off(serve: Any) -> None:
    class Quick(Number):
        _class_settings = {"validate_properties_on_set": False}  # noqa: RUF012

    server, client = serve({"quick": Quick})
    server.things["quick"].angle = "steep"
    assert server.things["quick"].angle == "steep"
    assert client.put("/quick/angle", json="steep").status_code == 422


def test_getters_setters_and_resetters_run_in_the_things_own_threads(serve: Any) -> None:
    server, client = serve({"number": Number})
    client.get("/number/the_answer")
    client.put("/number/angle", json=1)
    client.post("/number/angle/reset")
    threads = server.things["number"].threads
    assert all(threads[each].name.startswith("number") for each in ("answer", "angle", "reset"))


def test_in_python_they_run_in_the_callers_thread(serve: Any) -> None:
    server, _ = serve({"number": Number})
    number = server.things["number"]
    _ = number.the_answer
    number.angle = 2
    assert number.threads == {"answer": threading.current_thread(), "angle": threading.current_thread()}


def test_it_cannot_be_observed() -> None:
    assert not any(Number.properties[name].is_observable for name in ("the_answer", "number", "angle", "zoom"))


def test_it_can_be_reset_where_it_has_a_resetter(serve: Any) -> None:
    server, client = serve({"number": Number})
    resettable = {name for name, info in Number.properties.items() if info.is_resettable}
    assert resettable == {"angle", "zoom"}
    assert client.post("/number/angle/reset").status_code == 204
    assert server.things["number"].angle == 90.0
    assert client.post("/number/the_answer/reset").status_code in (404, 405)
    server.things["number"].properties["number"].reset()
    assert server.things["number"].number == -1, "its own code may reset what clients may not"


@pytest.mark.parametrize(
    ("returned", "status", "text"),
    [("many", 500, "valid integer"), (None, 500, "valid integer"), (object(), 500, "valid integer"), (7, 200, "7")],
)
def test_what_a_getter_returns_must_fit_its_type(serve: Any, returned: Any, status: int, text: str) -> None:
    class Stage(lt.Thing):
        @lt.property
        def x(self) -> int:
            return returned  # type: ignore[no-any-return]

    _, client = serve({"stage": Stage})
    response = client.get("/stage/x")
    assert response.status_code == status
    assert text in response.text
    if status == 500:
        problem = response.json()
        assert problem["title"] == "InvalidReturnValueError"
        assert "stage.x" in problem["detail"]


def test_what_has_no_json_form_is_an_error_that_names_the_property(serve: Any) -> None:
    class Stage(lt.Thing):
        @lt.property
        def x(self) -> Any:
            return {1, object()}

    response = serve({"stage": Stage})[1].get("/stage/x")
    assert (response.status_code, response.json()["title"]) == (500, "InvalidReturnValueError")
    assert "'stage.x' returned a value that has no JSON form" in response.json()["detail"]


def test_what_a_setter_raises_is_told_and_harms_nothing_else(serve: Any) -> None:
    class Stage(lt.Thing):
        @lt.property
        def x(self) -> int:
            return 1

        @x.setter
        def _set_x(self, value: int) -> None:
            raise OSError(f"No stage at {value}")

    server, client = serve({"stage": Stage})
    response = client.put("/stage/x", json=3)
    assert (response.status_code, response.json()["detail"]) == (500, "Writing stage.x failed: No stage at 3")
    assert client.get("/stage/x").json() == 1
    with pytest.raises(OSError, match="No stage"):
        server.things["stage"].x = 3


# --- async --------------------------------------------------------------------------------------------------


def test_async_getters_and_setters_run_in_the_event_loop(serve: Any) -> None:
    server, client = serve({"number": Number})
    number = server.things["number"]
    assert client.put("/number/zoom", json=5).status_code == 204
    assert client.get("/number/zoom").json() == 5
    loop_thread = number._thing_server_interface.call_async_task(current_thread)
    assert number.threads["async setter"] is number.threads["async getter"] is loop_thread
    assert client.post("/number/zoom/reset").status_code == 204
    assert number._zoom == 1
    assert client.put("/number/zoom", json="far").status_code == 422


async def current_thread() -> threading.Thread:
    return threading.current_thread()


def test_in_python_an_async_setter_is_waited_for_and_a_getter_awaited(serve: Any) -> None:
    server, _ = serve({"number": Number})
    number = server.things["number"]
    number.zoom = 3
    assert number._zoom == 3
    assert asyncio.run(number.zoom) == 3
    with pytest.raises(InvalidValueError):
        number.zoom = "far"


def test_a_slow_getter_does_not_hold_up_other_things_nor_other_properties(serve: Any) -> None:
    begun, go_on = threading.Semaphore(0), threading.Event()

    class Slow(Number):
        @lt.property
        def slow(self) -> int:
            begun.release()
            assert go_on.wait(SOON)
            return 1

    _, client = serve({"slow": Slow, "number": Number})
    readers = [threading.Thread(target=client.get, args=("/slow/slow",)) for _ in range(5)]
    for reader in readers:
        reader.start()
    assert begun.acquire(timeout=SOON)
    assert client.get("/number/the_answer").json() == 42
    assert client.get("/slow/the_answer").json() == 42
    go_on.set()
    for reader in readers:
        reader.join(SOON)
