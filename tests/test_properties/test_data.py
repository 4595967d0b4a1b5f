"""Properties that hold a value."""

import asyncio
import threading
from typing import Any

import anyio
import pytest

import labthings as lt
from labthings.exceptions import InvalidClassSettingsError, InvalidValueError
from labthings.message_broker import Message

SOON = 10.0


class Stage(lt.Thing):
    position: int = lt.property(default=3)
    limits: list[int] = lt.property(default_factory=lambda: [0, 10])
    shared: list[int] = lt.property(default=[1])
    measured: float = lt.property(default=1.5, readonly=True)
    angle: float = lt.property(default=0, unit="deg")

    @lt.action
    async def move_async(self, to: int) -> int:
        self.position = to
        return self.position

    @lt.action
    def move(self, to: int) -> int:
        self.position = to
        self.measured = to
        return self.position


@pytest.fixture
def stage(serve: Any) -> Any:
    return serve({"stage": Stage})[0].things["stage"]


# --- values -------------------------------------------------------------------------------------------------


def test_a_value_is_the_default_until_it_is_set(stage: Stage) -> None:
    assert stage.position == 3
    stage.position = 4
    assert stage.position == 4
    assert Stage.properties["position"].default == 3


def test_on_the_class_it_is_the_descriptor() -> None:
    assert isinstance(Stage.position, lt.DataProperty)
    assert not isinstance(Stage.position, lt.DataSetting)


def test_things_of_one_class_do_not_share_mutable_values(serve: Any) -> None:
    server, client = serve({"a": Stage, "b": Stage})
    a, b = server.things["a"], server.things["b"]
    for name in ("limits", "shared"):
        before = list(getattr(b, name))
        getattr(a, name).append(7)
        assert getattr(a, name) == [*before, 7]
        assert getattr(b, name) == before
        assert client.get(f"/b/{name}").json() == before
        assert Stage.properties[name].default == before


def test_a_mutable_default_is_the_same_object_each_time_it_is_read(stage: Stage) -> None:
    assert stage.limits is stage.limits


def test_what_default_gave_at_definition_may_change_later() -> None:
    default = [1]

    class Stage(lt.Thing):
        x: list[int] = lt.property(default=default)

    Stage.properties["x"].default.append(2)
    assert Stage.properties["x"].default == [1]


def test_a_default_is_converted_to_the_type(stage: Stage) -> None:
    assert isinstance(stage.angle, float)
    assert isinstance(Stage.properties["angle"].default, float)


def test_a_default_that_does_not_fit_is_kept(serve: Any) -> None:
    class Stage(lt.Thing):
        x: int = lt.property(default=None)
        y: int = lt.property(default=1)

    server, client = serve({"stage": Stage})
    assert server.things["stage"].x is None
    assert client.get("/stage/y").json() == 1


def test_the_unit_is_known() -> None:
    assert Stage.properties["angle"].unit == "deg"
    assert Stage.properties["position"].unit is None


def test_a_value_set_in_init_is_the_value_at_first(serve: Any) -> None:
    class Pump(lt.Thing):
        speed: int = lt.property(default=0)

        def __init__(self, thing_server_interface: lt.ThingServerInterface, speed: int) -> None:
            super().__init__(thing_server_interface)
            self.speed = speed

    _, client = serve({"pump": {"cls": Pump, "kwargs": {"speed": 5}}})
    assert client.get("/pump/speed").json() == 5


# --- validation ---------------------------------------------------------------------------------------------


def test_what_is_set_is_validated_and_converted(stage: Stage) -> None:
    stage.position = "7"  # type: ignore[assignment]
    assert stage.position == 7
    with pytest.raises(InvalidValueError, match=r"stage\.position"):
        stage.position = "far"  # type: ignore[assignment]
    assert stage.position == 7


def test_validation_of_what_python_sets_can_be_turned_off_for_a_class(serve: Any) -> None:
    class Quick(lt.Thing):
        _class_settings = {"validate_properties_on_set": False}  # noqa: RUF012
        x: int = lt.property(default=1, ge=0)

    class Slow(Quick):
        _class_settings = {"validate_properties_on_set": True}  # noqa: RUF012
        y: int = lt.property(default=1)

    class StillQuick(Quick):
        y: int = lt.property(default=1)

    server, client = serve({"quick": Quick, "slow": Slow, "still": StillQuick})
    for name in ("quick", "still"):
        server.things[name].x = "far"
        assert server.things[name].x == "far"
        assert client.put(f"/{name}/x", json="far").status_code == 422
        assert client.put(f"/{name}/x", json=-1).status_code == 422
        assert client.get(f"/{name}/x").status_code == 500
    with pytest.raises(InvalidValueError):
        server.things["slow"].x = "far"


@pytest.mark.parametrize(
    "class_settings",
    [{"validate_on_set": True}, {"validate_properties_on_set": "yes"}, {"validate_properties_on_set": 1}, ["a"]],
)
def test_class_settings_are_checked_when_the_class_is_defined(class_settings: Any) -> None:
    with pytest.raises(InvalidClassSettingsError, match=r"'Stage\._class_settings' is wrong: .*validate_properties"):
        type("Stage", (lt.Thing,), {"_class_settings": class_settings})


# --- who may write ------------------------------------------------------------------------------------------


def test_readonly_stops_clients_and_not_the_things_own_code(serve: Any) -> None:
    server, client = serve({"stage": Stage})
    response = client.put("/stage/measured", json=2)
    assert response.status_code == 405
    assert "PUT" not in response.headers["allow"]
    assert client.post("/stage/measured/reset").status_code in (404, 405)
    stage = server.things["stage"]
    stage.measured = 2.5
    assert client.get("/stage/measured").json() == 2.5
    stage.properties["measured"].reset()
    assert stage.measured == 1.5


def test_setting_one_in_the_event_loop_works(serve: Any) -> None:
    server, client = serve({"stage": Stage})
    answer = client.post("/stage/move_async", json={"to": 8}, headers={"Prefer": "wait=10"}).json()
    assert (answer["status"], answer["output"]) == ("completed", 8)
    assert server.things["stage"].position == 8


def test_it_can_be_reset_over_http(serve: Any) -> None:
    server, client = serve({"stage": Stage})
    server.things["stage"].limits.append(99)
    assert client.post("/stage/limits/reset").status_code == 204
    assert client.get("/stage/limits").json() == [0, 10]


# --- observers ----------------------------------------------------------------------------------------------


class Observed:
    """What an observer of one Thing's properties receives."""

    def __init__(self, thing: lt.Thing, *names: str, size: int = 100) -> None:
        self._interface = thing._thing_server_interface
        self._send, self._receive = anyio.create_memory_object_stream[Message](size)
        broker = self._interface.server.message_broker
        for name in names:
            self._interface.call_async_task(broker.subscribe, thing.name, name, self._send)

    def next(self) -> tuple[str, Any]:
        async def receive() -> Message:
            with anyio.fail_after(SOON):
                return await self._receive.receive()

        message = self._interface.call_async_task(receive)
        return message.affordance, message.payload

    def __enter__(self) -> "Observed":
        return self

    def __exit__(self, *exception: object) -> None:
        self._send.close()
        self._receive.close()


def test_observers_are_told_of_every_way_to_set_it(serve: Any) -> None:
    server, client = serve({"stage": Stage})
    stage = server.things["stage"]
    with Observed(stage, "position") as observed:
        stage.position = 4
        assert observed.next() == ("position", 4)
        client.put("/stage/position", json=5)
        assert observed.next() == ("position", 5)
        client.post("/stage/move", json={"to": 6}, headers={"Prefer": "wait=10"})
        assert observed.next() == ("position", 6)
        client.post("/stage/move_async", json={"to": 7}, headers={"Prefer": "wait=10"})
        assert observed.next() == ("position", 7)
        client.post("/stage/position/reset")
        assert observed.next() == ("position", 3)
        stage.properties["position"].set(9)
        assert observed.next() == ("position", 9)


def test_observers_are_told_of_readonly_properties_and_of_values_that_stay_the_same(stage: Stage) -> None:
    with Observed(stage, "measured") as observed:
        stage.measured = 1.5
        assert observed.next() == ("measured", 1.5)


def test_observers_are_not_told_of_a_value_that_was_refused(stage: Stage) -> None:
    with Observed(stage, "position") as observed:
        with pytest.raises(InvalidValueError):
            stage.position = "far"  # type: ignore[assignment]
        stage.position = 1
        assert observed.next() == ("position", 1)


def test_the_last_value_that_threads_set_is_the_last_that_observers_are_told(stage: Stage) -> None:
    def turn(first: int) -> None:
        for number in range(first, first + 300):
            stage.position = number

    with Observed(stage, "position", size=10_000) as observed:
        threads = [threading.Thread(target=turn, args=(1000 * each,)) for each in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(SOON)
        last = stage.position
        stage._thing_server_interface.call_async_task(asyncio.sleep, 0)
        told = [observed.next()[1]]
        while told[-1] != last:
            told.append(observed.next()[1])
        stage.position = -1
        assert observed.next() == ("position", -1), "nothing comes after the last value"
