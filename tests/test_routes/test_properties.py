import json
import logging
import threading
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, PlainSerializer

import labthings as lt
from labthings.exceptions import GlobalLockBusyError


class Point(BaseModel):
    x: float
    y: float = 0


@pytest.mark.parametrize(
    ("kind", "default", "value"),
    [
        (int, 1, 0),
        (float, 1.0, 2.5),
        (bool, True, False),
        (str, "a", ""),
        (str, "a", "größe \u2028 😀"),
        (int | None, 1, None),
        (list[int], [1], []),
        (dict[str, Any], {"a": 1}, {}),
        (tuple[int, str], (1, "a"), [2, "b"]),
        (Any, None, {"a": [1, None, "x"]}),
        (Point, Point(x=1), {"x": 3.0, "y": 4.0}),
    ],
)
def test_a_value_is_bare_json_both_ways(client_of, kind, default, value):
    class Thing(lt.Thing):
        it: kind = lt.property(default=default)

    client = client_of(Thing)
    written = client.put("/thing/it", content=json.dumps(value), headers={"content-type": "application/json"})
    assert (written.status_code, written.content) == (204, b"")
    assert "content-type" not in written.headers

    read = client.get("/thing/it")
    assert (read.status_code, read.headers["content-type"]) == (200, "application/json")
    assert read.headers["content-length"] == str(len(read.content))
    assert read.json() == value


def test_python_sees_the_type_that_is_annotated(client_of):
    class Thing(lt.Thing):
        point: Point = lt.property(default=Point(x=1))

    client = client_of(Thing)
    client.put("/thing/point", json={"x": 5})
    assert client.server.things["thing"].point == Point(x=5, y=0)


def test_clients_see_what_python_sets(client_of):
    class Thing(lt.Thing):
        number: int = lt.property(default=1)

    client = client_of(Thing)
    client.server.things["thing"].number = 7
    assert client.get("/thing/number").json() == 7


class Oven(lt.Thing):
    temperature: float = lt.property(default=20.0, ge=0, le=300)
    measured: float = lt.property(default=21.5, readonly=True)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.calls: list[tuple[str, Any]] = []
        self.fan_speed = 1

    @lt.property
    def fan(self) -> int:
        return self.fan_speed

    @fan.setter
    def _set_fan(self, value: int) -> None:
        self.calls.append(("fan", value))
        if value > 9:
            raise ValueError("the fan would fly off")
        self.fan_speed = value

    @fan.resetter
    def _reset_fan(self) -> None:
        self.fan_speed = 1

    @lt.property
    def serial(self) -> str:
        return "A1"


def test_a_value_that_does_not_fit(client_of, refused):
    client = client_of({"oven": Oven})
    problem = refused(client.put("/oven/temperature", json=301), 422, "oven.temperature", "300")
    assert problem["title"] == "InvalidValueError"
    assert problem["errors"] == [{"loc": [], "msg": problem["errors"][0]["msg"], "type": "less_than_equal"}]
    assert client.get("/oven/temperature").json() == 20


def test_where_a_nested_value_does_not_fit(client_of, refused):
    class Thing(lt.Thing):
        points: list[Point] = lt.property(default_factory=list)

    problem = refused(client_of(Thing).put("/thing/points", json=[{"x": 1}, {"x": "no"}]), 422, "thing.points", "1.x")
    assert problem["errors"][0]["loc"] == [1, "x"]


def test_a_setter_is_not_called_with_a_value_that_does_not_fit(client_of, refused):
    client = client_of({"oven": Oven})
    refused(client.put("/oven/fan", json="fast"), 422, "oven.fan")
    assert client.server.things["oven"].calls == []


@pytest.mark.parametrize("name", ["measured", "serial"])
def test_a_read_only_property_cannot_be_written(client_of, refused, name):
    client = client_of({"oven": Oven})
    response = client.put(f"/oven/{name}", json=1)
    refused(response, 405, name, "PUT")
    assert response.headers["allow"] == "GET, HEAD, OPTIONS"


def test_the_things_own_code_sets_a_read_only_property(client_of):
    client = client_of({"oven": Oven})
    client.server.things["oven"].measured = 99.0
    assert client.get("/oven/measured").json() == 99


@pytest.mark.parametrize("path", ["/oven/temperature", "/oven/fan", "/oven/properties", "/oven/"])
def test_head_answers_as_get_does_but_without_the_body(client_of, path):
    client = client_of({"oven": Oven})
    head, get = client.head(path), client.get(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers == get.headers


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/oven/temperature", "GET, HEAD, OPTIONS, PUT"),
        ("/oven/measured", "GET, HEAD, OPTIONS"),
        ("/oven/temperature/reset", "OPTIONS, POST"),
        ("/oven/properties", "GET, HEAD, OPTIONS, PUT"),
        ("/oven/actions", "GET, HEAD, OPTIONS"),
        ("/oven/", "GET, HEAD, OPTIONS"),
    ],
)
def test_which_methods_there_are(client_of, refused, path, allowed):
    client = client_of({"oven": Oven})
    options = client.options(path)
    assert (options.status_code, options.content, options.headers["allow"]) == (204, b"", allowed)
    refusal = client.patch(path, json=1)
    refused(refusal, 405, "PATCH", allowed)
    assert refusal.headers["allow"] == allowed


def test_a_slash_at_the_end_makes_no_difference(client_of):
    client = client_of({"oven": Oven})
    assert client.put("/oven/temperature/", json=50).status_code == 204
    assert client.get("/oven/temperature/").json() == 50
    assert client.get("/oven/properties/").json()["temperature"] == 50
    assert client.post("/oven/temperature/reset/").status_code == 204
    assert client.get("/oven", follow_redirects=False).json()["title"] == "Oven"


# --- reset --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "default"), [("temperature", 20), ("fan", 1)])
def test_reset(client_of, name, default):
    client = client_of({"oven": Oven})
    client.put(f"/oven/{name}", json=5)
    reset = client.post(f"/oven/{name}/reset")
    assert (reset.status_code, reset.content) == (204, b"")
    assert client.get(f"/oven/{name}").json() == default


@pytest.mark.parametrize("name", ["measured", "serial"])
def test_there_is_no_reset_of_what_cannot_be_reset(client_of, refused, name):
    refused(client_of({"oven": Oven}).post(f"/oven/{name}/reset"), 404)


def test_reset_gives_each_time_a_new_default(client_of):
    class Thing(lt.Thing):
        numbers: list[int] = lt.property(default=[1])

    client = client_of(Thing)
    client.server.things["thing"].numbers.append(2)
    client.post("/thing/numbers/reset")
    client.server.things["thing"].numbers.append(3)
    client.post("/thing/numbers/reset")
    assert client.get("/thing/numbers").json() == [1]


# --- all at once --------------------------------------------------------------------------------------------


def test_read_all(client_of):
    response = client_of({"oven": Oven}).get("/oven/properties")
    assert response.headers["content-type"] == "application/json"
    assert response.json() == {"temperature": 20, "measured": 21.5, "fan": 1, "serial": "A1"}


def test_read_all_of_a_thing_without_properties(client_of):
    assert client_of(lt.Thing).get("/thing/properties").json() == {}


def test_write_several(client_of):
    client = client_of({"oven": Oven})
    written = client.put("/oven/properties", json={"temperature": 30, "fan": 2})
    assert (written.status_code, written.content) == (204, b"")
    assert client.get("/oven/properties").json() == {"temperature": 30, "measured": 21.5, "fan": 2, "serial": "A1"}


def test_write_none_of_them(client_of):
    assert client_of({"oven": Oven}).put("/oven/properties", json={}).status_code == 204


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"temperature": 30, "fan": "fast"}, "fan"),
        ({"temperature": 30, "measured": 1}, "measured"),
        ({"temperature": 30, "door": 1}, "door"),
        ({"fan": 2, "temperature": -1}, "temperature"),
    ],
)
def test_several_are_validated_before_any_is_written(client_of, refused, values, name):
    client = client_of({"oven": Oven})
    problem = refused(client.put("/oven/properties", json=values), 422, "oven", name)
    assert problem["errors"][0]["loc"] == [name]
    assert client.server.things["oven"].calls == []
    assert client.get("/oven/temperature").json() == 20


def test_what_was_written_before_a_setter_failed_is_put_back(client_of, refused):
    client = client_of({"oven": Oven})
    refused(client.put("/oven/properties", json={"temperature": 30, "fan": 10}), 500, "oven.fan", "fly off")
    assert client.get("/oven/temperature").json() == 20
    client.put("/oven/fan", json=3)
    assert client.get("/oven/fan").json() == 3


def test_a_functional_property_is_put_back_with_its_setter(client_of, refused):
    class Thing(lt.Thing):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.written = []
            self.position = 1

        @lt.property
        def first(self) -> int:
            return self.position

        @first.setter
        def _set_first(self, value: int) -> None:
            self.written.append(value)
            self.position = value

        @lt.property
        def second(self) -> int:
            return 0

        @second.setter
        def _set_second(self, value: int) -> None:
            raise OSError("stuck")

    client = client_of(Thing)
    refused(client.put("/thing/properties", json={"first": 5, "second": 6}), 500, "thing.second", "stuck")
    assert client.server.things["thing"].written == [5, 1]


def test_what_cannot_be_put_back_is_logged(client_of, refused, caplog):
    class Thing(lt.Thing):
        @lt.property
        def first(self) -> int:
            return 1

        @first.setter
        def _set_first(self, value: int) -> None:
            if value == 1:
                raise OSError("no way back")

        @lt.property
        def second(self) -> int:
            return 0

        @second.setter
        def _set_second(self, value: int) -> None:
            raise OSError("stuck")

    refused(client_of(Thing).put("/thing/properties", json={"first": 5, "second": 6}), 500, "thing.second", "stuck")
    assert "thing.first was written together with another property" in caplog.text
    assert "no way back" in caplog.text


def test_a_getter_that_fails_before_several_are_written_is_named(client_of, refused):
    class Thing(lt.Thing):
        other: int = lt.property(default=1)

        @lt.property
        def sensor(self) -> int:
            raise OSError("unplugged")

        @sensor.setter
        def _set_sensor(self, value: int) -> None:
            pass

    client = client_of(Thing)
    refused(client.put("/thing/properties", json={"other": 2, "sensor": 3}), 500, "thing.sensor", "unplugged")
    assert client.get("/thing/other").json() == 1


def test_one_broken_getter_is_named_when_all_are_read(client_of, refused):
    class Thing(lt.Thing):
        other: int = lt.property(default=1)

        @lt.property
        def sensor(self) -> int:
            raise OSError("unplugged")

    refused(client_of(Thing).get("/thing/properties"), 500, "thing.sensor", "unplugged")


# --- where code runs ----------------------------------------------------------------------------------------


def test_getters_and_setters_run_in_threads_named_after_the_thing(client_of):
    class Thing(lt.Thing):
        @lt.property
        def reader(self) -> str:
            return threading.current_thread().name

        @reader.setter
        def _set_reader(self, value: str) -> None:
            self.writer = threading.current_thread().name

    client = client_of({"stage": Thing})
    client.put("/stage/reader", json="")
    assert client.get("/stage/reader").json().startswith("stage")
    assert client.server.things["stage"].writer.startswith("stage")


def test_data_properties_and_async_code_run_in_the_event_loop(client_of):
    def current(value: int) -> int:
        return threading.get_ident()

    class Thing(lt.Thing):
        data: Annotated[int, PlainSerializer(current)] = lt.property(default=0)

        @lt.property
        async def coroutine(self) -> int:
            return threading.get_ident()

        @coroutine.setter
        async def _set_coroutine(self, value: int) -> None:
            self.writer = threading.get_ident()

    client = client_of(Thing)
    loop_thread = client.portal.call(threading.get_ident)
    assert client.put("/thing/coroutine", json=1).status_code == 204
    assert client.server.things["thing"].writer == loop_thread
    assert client.get("/thing/coroutine").json() == loop_thread
    assert client.get("/thing/data").json() == loop_thread


def test_async_setters_and_resetters_have_an_effect(client_of):
    class Thing(lt.Thing):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.number = 1

        @lt.property
        async def it(self) -> int:
            return self.number

        @it.setter
        async def _set_it(self, value: int) -> None:
            self.number = value

        @it.resetter
        async def _reset_it(self) -> None:
            self.number = 1

    client = client_of(Thing)
    client.put("/thing/it", json=5)
    assert client.get("/thing/it").json() == 5
    assert client.put("/thing/properties", json={"it": 6}).status_code == 204
    assert client.get("/thing/properties").json() == {"it": 6}
    client.post("/thing/it/reset")
    assert client.get("/thing/it").json() == 1


def test_values_are_written_one_after_the_other(client_of):
    class Thing(lt.Thing):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.begun, self.go_on = threading.Semaphore(0), threading.Event()
            self.order = []

        @lt.property
        def it(self) -> int:
            return 0

        @it.setter
        def _set_it(self, value: int) -> None:
            self.order.append(f"begin {value}")
            self.begun.release()
            assert self.go_on.wait(10)
            self.order.append(f"end {value}")

    client = client_of(Thing)
    thing = client.server.things["thing"]
    first = threading.Thread(target=client.put, args=("/thing/it",), kwargs={"json": 1})
    first.start()
    assert thing.begun.acquire(timeout=10)
    second = threading.Thread(target=client.put, args=("/thing/it",), kwargs={"json": 2})
    second.start()
    assert not thing.begun.acquire(timeout=0.05)
    thing.go_on.set()
    first.join(10)
    second.join(10)
    assert thing.order == ["begin 1", "end 1", "begin 2", "end 2"]


# --- the global lock ----------------------------------------------------------------------------------------


class Locked(lt.Thing):
    value: int = lt.property(default=0)
    free: int = lt.property(default=0, use_global_lock=False)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.position = 0
        self.begun, self.go_on = threading.Event(), threading.Event()

    def hold(self) -> None:
        with self._thing_server_interface.hold_global_lock():
            self.begun.set()
            assert self.go_on.wait(20)

    @lt.property
    def first(self) -> int:
        return self.position

    @first.setter
    def _set_first(self, value: int) -> None:
        self.position = value

    @first.resetter
    def _reset_first(self) -> None:
        self.position = 0

    @lt.property
    def second(self) -> int:
        return 0

    @second.setter
    def _set_second(self, value: int) -> None:
        intruder = threading.Thread(target=self.intrude)
        intruder.start()
        intruder.join(20)

    def intrude(self) -> None:
        try:
            with self._thing_server_interface.hold_global_lock():
                self.intruded = True
        except GlobalLockBusyError:
            self.intruded = False


def test_nothing_is_written_while_something_else_holds_the_global_lock(client_of, refused):
    client = client_of(Locked, enable_global_lock=True)
    thing = client.server.things["thing"]
    holder = threading.Thread(target=thing.hold)
    holder.start()
    assert thing.begun.wait(10)
    for method, path, body in [
        ("PUT", "value", 1),
        ("PUT", "first", 1),
        ("POST", "value/reset", None),
        ("POST", "first/reset", None),
        ("PUT", "properties", {"value": 1}),
    ]:
        problem = refused(client.request(method, f"/thing/{path}", json=body), 409, "global lock")
        assert problem["title"] == "GlobalLockBusyError"
    assert client.put("/thing/free", json=1).status_code == 204
    assert client.get("/thing/value").json() == client.get("/thing/first").json() == 0
    thing.go_on.set()
    holder.join(10)
    assert client.put("/thing/value", json=1).status_code == client.put("/thing/first", json=1).status_code == 204


def test_nothing_takes_the_global_lock_between_several_writes(client_of):
    client = client_of(Locked, enable_global_lock=True)
    assert client.put("/thing/properties", json={"free": 1, "first": 1, "second": 1}).status_code == 204
    assert client.server.things["thing"].intruded is False


@pytest.mark.parametrize("value", ["7", True, [7], {"x": 7}, None, 7.5])
def test_a_value_of_another_json_type_is_refused(client_of, refused, value):
    class Thing(lt.Thing):
        x: int = lt.property(default=1)

        @lt.action
        def double(self, x: int) -> int:
            return 2 * x

    client = client_of(Thing)
    refused(client.put("/thing/x", json=value), 422, "thing.x")
    refused(client.put("/thing/properties", json={"x": value}), 422, "x")
    refused(client.post("/thing/double", json={"x": value}), 422, "thing.double")
    assert client.get("/thing/x").json() == 1


def test_a_whole_number_may_have_a_decimal_point(client_of):
    class Thing(lt.Thing):
        x: int = lt.property(default=1)

    client = client_of(Thing)
    assert client.put("/thing/x", content=b"7.0", headers={"content-type": "application/json"}).status_code == 204
    assert client.get("/thing/x").content == b"7"


# --- settings -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("several", [False, True])
def test_a_setting_is_on_disk_when_its_write_is_answered(client_of, tmp_path, several):
    class Thing(lt.Thing):
        speed: float = lt.setting(default=1.0)

    client = client_of(Thing)
    path, value = ("/thing/properties", {"speed": 4.5}) if several else ("/thing/speed", 4.5)
    assert client.put(path, json=value).status_code == 204
    file = tmp_path / "settings" / "thing" / "Settings-Thing.json"
    assert json.loads(file.read_text())["speed"] == 4.5
    client.post("/thing/speed/reset")
    assert json.loads(file.read_text())["speed"] == 1


def test_a_setting_that_cannot_be_saved_is_told(client_of, refused, tmp_path):
    class Thing(lt.Thing):
        speed: float = lt.setting(default=1.0)

    client = client_of(Thing)
    (tmp_path / "settings" / "thing").mkdir(parents=True, exist_ok=True)
    (tmp_path / "settings" / "thing" / "Settings-Thing.json").mkdir()
    problem = refused(client.put("/thing/speed", json=2), 500, "thing")
    assert problem["title"] == "SettingsNotSavedError"
    assert client.get("/thing/speed").json() == 2


# --- getters and setters that fail --------------------------------------------------------------------------


class Sensor(lt.Thing):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.error: Exception | None = OSError("unplugged")

    @lt.property
    def value(self) -> int:
        if self.error:
            raise self.error
        return 1


def test_a_getter_that_fails_again_and_again_is_logged_once_until_it_works(client_of, refused, caplog):
    client = client_of({"sensor": Sensor})
    caplog.set_level(logging.INFO, "labthings.things.sensor")
    for _ in range(3):
        refused(client.get("/sensor/value"), 500, "sensor.value", "unplugged")
    sensor = client.server.things["sensor"]
    sensor.error = OSError("on fire")
    refused(client.get("/sensor/value"), 500, "on fire")
    sensor.error = None
    assert client.get("/sensor/value").json() == 1
    logged = [(each.levelname, each.getMessage()) for each in caplog.records if each.name.endswith(".sensor")]
    assert logged == [
        ("ERROR", "Reading sensor.value failed: OSError: unplugged"),
        ("ERROR", "Reading sensor.value failed: OSError: on fire"),
        ("INFO", "Reading sensor.value works again"),
    ]


def test_a_problem_has_the_class_of_what_was_raised(client_of, refused):
    problem = refused(client_of({"sensor": Sensor}).get("/sensor/value"), 500)
    assert problem["title"] == "OSError"
    assert "traceback" not in problem


def test_tracebacks_are_told_in_debug(client_of, refused):
    problem = refused(client_of({"sensor": Sensor}, debug=True).get("/sensor/value"), 500)
    assert "raise self.error" in problem["traceback"]


def test_an_error_may_say_its_own_status(client_of, refused):
    class NoSampleError(Exception):
        status_code = 409

    client = client_of({"sensor": Sensor})
    client.server.things["sensor"].error = NoSampleError("there is no sample")
    refused(client.get("/sensor/value"), 409, "there is no sample")
