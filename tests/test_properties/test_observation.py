"""Who is told of a property's value, when, and how often it is read for that."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from pydantic import BaseModel, Field

import labthings as lt
from labthings.exceptions import (
    DependencyError,
    InvocationCancelledError,
    OverspecifiedDefaultError,
    PropertyNotObservableError,
    UnsupportedConstraintError,
)
from labthings.testing import create_thing_without_server
from tests.heard import Heard
from tests.test_websockets.asking import ask

SOON = 10.0


class Oven(lt.Thing):
    temperature: float = lt.property(default=20.0)
    target: float = lt.setting(default=20.0)
    trace: list[int] = lt.property(default_factory=list)

    def __init__(self, thing_server_interface: lt.ThingServerInterface) -> None:
        super().__init__(thing_server_interface)
        self.sensor: float | Exception = 1.0
        self.readings = Heard()
        self.position = 0

    @lt.property(poll=0.01)
    def pressure(self) -> float:
        """The pressure."""
        self.readings(self.sensor)
        if isinstance(self.sensor, Exception):
            raise self.sensor
        return self.sensor

    @lt.property(depends_on=[temperature, "target"])
    def difference(self) -> float:
        """How far it is from the target."""
        return self.target - self.temperature

    @lt.property(depends_on=["difference"])
    def is_ready(self) -> bool:
        """Whether it is at the target."""
        return abs(self.difference) < 1

    @lt.property(observable=True, unit="mm", readonly=False, ge=0)
    def door(self) -> int:
        """How far the door is open."""
        return self.position

    @door.setter
    def door(self, position: int) -> None:
        self.position = position

    @lt.property
    def silent(self) -> int:
        """It does not say when it changes."""
        return 1


@pytest.fixture
def client(client_of) -> Any:
    return client_of(Oven)


@pytest.fixture
def oven(client) -> Any:
    return client.server.things["thing"]


def observe(thing: lt.Thing, name: str, **options: Any) -> Heard:
    heard = Heard()
    thing.properties[name].on(heard, **options)
    return heard


# --- the definition -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "is_observable"),
    [
        ("temperature", True),
        ("target", True),
        ("pressure", True),
        ("difference", True),
        ("door", True),
        ("silent", False),
    ],
)
def test_what_can_be_observed(client, name: str, is_observable: bool) -> None:
    assert Oven.properties[name].is_observable is is_observable
    assert client.get("/thing/").json()["properties"][name]["observable"] is is_observable


def test_a_decorator_with_arguments_makes_a_property_like_any_other(client, oven) -> None:
    door = Oven.properties["door"]
    assert (door.title, door.unit, door.readonly) == ("How far the door is open.", "mm", False)
    assert client.put("/thing/door", json=-1).status_code == 422
    assert client.put("/thing/door", json=3).status_code == 204
    assert oven.door == 3


@pytest.mark.parametrize("options", [{"poll": 1}, {"depends_on": ["x"]}, {"observable": True}])
@pytest.mark.parametrize("make", [lt.property, lt.setting])
@pytest.mark.parametrize("default", [{"default": 1}, {"default_factory": int}])
def test_a_property_that_holds_a_value_is_told_of_anyway(make: Any, options: Any, default: Any) -> None:
    with pytest.raises(OverspecifiedDefaultError, match="for getters"):
        make(**options, **default)


@pytest.mark.parametrize("poll", [0, -1, float("inf"), float("nan")])
def test_polling_takes_time(poll: float) -> None:
    with pytest.raises(UnsupportedConstraintError, match=r"Odd.pressure.*seconds above 0"):

        class Odd(lt.Thing):
            @lt.property(poll=poll)
            def pressure(self) -> float:
                return 1.0


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("absent", "'Odd.value' depends on 'absent', which is not another property of Odd"),
        ("value", "not another property"),
        ("act", "not another property"),
        ("slient", r"not another property of Odd\. Did you mean 'silent'\?"),
        ("silent", "'silent', which does not say when it changes"),
    ],
)
def test_a_dependency_is_another_property_that_can_be_observed(name: str, words: str) -> None:
    with pytest.raises(DependencyError, match=words):

        class Odd(lt.Thing):
            @lt.property
            def silent(self) -> float:
                return 1.0

            @lt.action
            def act(self) -> None: ...

            @lt.property(depends_on=[name])
            def value(self) -> float:
                return 1.0


def test_dependencies_are_a_list() -> None:
    with pytest.raises(DependencyError, match="`depends_on` is a list"):
        lt.property(depends_on="position")


def test_a_setting_with_a_getter_can_be_observed(client_of) -> None:
    class Lamp(lt.Thing):
        _level = 1

        @lt.setting(observable=True)
        def level(self) -> int:
            """How bright it is."""
            return self._level

        @level.setter
        def _set_level(self, level: int) -> None:
            self._level = level

    client = client_of(Lamp)
    heard = observe(client.server.things["thing"], "level")
    assert client.put("/thing/level", json=4).status_code == 204
    heard.last(4)


@pytest.mark.parametrize("interruption", [asyncio.CancelledError, InvocationCancelledError])
def test_an_async_getter_that_is_interrupted_is_an_error_and_is_called_again(client_of, interruption) -> None:
    class Sensor(lt.Thing):
        is_interrupted = True

        @lt.property(observable=True)
        async def level(self) -> float:
            """Its level."""
            if self.is_interrupted:
                raise interruption
            return 1.0

    sensor = client_of(Sensor).server.things["thing"]
    heard, errors = Heard(), Heard()
    sensor.properties["level"].on(heard, on_error=errors)
    assert "It was cancelled" in str(errors.until(lambda found: found))
    sensor.is_interrupted = False
    sensor.properties["level"].notify()
    heard.last(1.0)


# --- properties that hold a value ---------------------------------------------------------------------------


def test_observers_are_told_whenever_a_value_is_set_even_to_what_it_was(oven) -> None:
    heard = observe(oven, "temperature")
    for count in range(1, 4):
        oven.temperature = 50
        heard.until(lambda found, count=count: len(found) == count)
    assert heard.all == [50, 50, 50]


def test_what_was_changed_in_place_is_told_when_the_thing_says_so(oven) -> None:
    heard = observe(oven, "trace")
    oven.trace.append(1)
    oven.properties["trace"].notify()
    assert heard.last([1])


def test_notifying_of_a_value_does_not_undo_what_another_thread_sets_meanwhile(oven) -> None:
    heard = observe(oven, "temperature")
    interface = oven._thing_server_interface

    class SetMeanwhile:
        def __enter__(self) -> None:
            interface.property_lock = threading.Lock()
            oven.temperature = 90.0

        def __exit__(self, *error: object) -> None:
            pass

    interface.property_lock = SetMeanwhile()
    oven.properties["temperature"].notify()
    heard.last(90.0)
    assert oven.temperature == 90.0


class Order(BaseModel):
    number_of_lots: int = Field(1, alias="lots")


class Shop(lt.Thing):
    _class_settings = {"validate_properties_on_set": False}  # noqa: RUF012

    order: Order = lt.property(default=Order(lots=1))
    price: float = lt.property(default=1.0)


def test_observers_are_told_the_same_as_readers(client_of) -> None:
    client = client_of(Shop)
    shop = client.server.things["thing"]
    with client.websocket_connect("/thing/ws") as websocket:
        ask(websocket, "observeallproperties")
        for name, value in (("order", Order(lots=7)), ("price", "12")):
            setattr(shop, name, value)
            assert websocket.receive_json()["value"] == client.get(f"/thing/{name}").json()
        shop.price = "dear"
        assert "does not fit its type" in websocket.receive_json()["error"]["detail"]
        assert "does not fit its type" in client.get("/thing/price").json()["detail"]


def test_the_last_value_always_arrives(oven) -> None:
    heard = observe(oven, "temperature")
    for number in range(20_000):
        oven.temperature = number
    heard.last(19_999)


# --- polling ------------------------------------------------------------------------------------------------


def test_a_polled_property_is_read_only_while_somebody_observes_it(oven) -> None:
    assert oven.readings.all == []
    heard = Heard()
    with oven.properties["pressure"].on(heard):
        heard.last(1.0)
        oven.readings.until(lambda found: len(found) > 3)
        oven.sensor = 2.0
        assert heard.last(2.0) == [1.0, 2.0]
    broker = oven._thing_server_interface.server.message_broker
    assert not broker.is_observed("thing", "pressure")
    read = len(oven.readings.all)
    with oven.properties["temperature"].on(also := Heard()):
        oven.temperature = 3
        also.last(3)
    assert len(oven.readings.all) <= read + 1  # one may have been under way


def test_two_observers_cost_no_more_readings_than_one(oven) -> None:
    one, other = observe(oven, "pressure"), observe(oven, "pressure")
    one.last(1.0)
    oven.sensor = 7.0
    one.last(7.0)
    other.last(7.0)
    assert oven._thing_server_interface.call_async_task(_tasks).count("Watching thing.pressure") == 1


def test_observers_are_told_that_it_cannot_be_read_and_when_it_can_again(oven, caplog) -> None:
    errors = Heard()
    heard = observe(oven, "pressure", on_error=errors)
    heard.last(1.0)
    oven.sensor = OSError("unplugged")
    [error] = errors.until(lambda found: found)
    assert isinstance(error, OSError) or isinstance(error.__cause__, OSError)
    assert "unplugged" in str(error)
    oven.sensor = 1.0
    assert heard.until(lambda found: len(found) > 1) == [1.0, 1.0]  # though it is the value of before
    assert len(errors.all) == 1
    assert caplog.text.count("Reading thing.pressure failed") == 1


def test_what_somebody_reads_observers_are_told_too(client_of) -> None:
    """A client must not be left with a value that it has read, and that has changed back before the next poll."""

    class Valve(lt.Thing):
        value = 1

        @lt.property(poll=1000)
        def state(self) -> int:
            """Where it is."""
            return self.value

    client = client_of(Valve)
    valve = client.server.things["thing"]
    heard = observe(valve, "state")
    heard.last(1)
    valve.value = 2
    assert client.get("/thing/state").json() == 2
    heard.last(2)


# --- dependencies -------------------------------------------------------------------------------------------


def test_a_computed_property_is_told_when_what_it_is_computed_from_changes(oven) -> None:
    heard = observe(oven, "difference")
    heard.last(0.0)
    oven.temperature = 15.0
    heard.last(5.0)
    oven.target = 30.0
    heard.last(15.0)


def test_a_value_that_is_computed_to_be_the_same_is_not_told_again(oven) -> None:
    heard = observe(oven, "is_ready")
    heard.last(True)
    oven.temperature = 20.5
    oven.temperature = 90.0
    heard.last(False)
    assert heard.all == [True, False]


def test_a_dependency_is_not_observed_any_more_when_nobody_observes_what_depends_on_it(oven) -> None:
    broker = oven._thing_server_interface.server.message_broker
    heard = Heard()
    with oven.properties["is_ready"].on(heard):
        heard.last(True)
        assert broker.is_observed("thing", "difference")
        assert broker.is_observed("thing", "temperature")
    oven._thing_server_interface.call_async_task(_breath)
    assert not any(broker.is_observed("thing", name) for name in ("is_ready", "difference", "temperature", "target"))


class Thermometer(lt.Thing):
    """A circle: each scale changes with the other."""

    def __init__(self, thing_server_interface: lt.ThingServerInterface) -> None:
        super().__init__(thing_server_interface)
        self.kelvin = 273.15

    @lt.property(depends_on=["fahrenheit"])
    def celsius(self) -> float:
        """The temperature, in °C."""
        return self.kelvin - 273.15

    @celsius.setter
    def celsius(self, value: float) -> None:
        self.kelvin = value + 273.15

    @lt.property(depends_on=["celsius"], poll=0.01)
    def fahrenheit(self) -> float:
        """The temperature, in °F."""
        return round((self.kelvin - 273.15) * 1.8 + 32, 6)


def test_properties_that_depend_on_each_other_are_not_observed_for_their_own_sake(client_of) -> None:
    client = client_of(Thermometer)
    thermometer, broker = client.server.things["thing"], client.server.message_broker
    heard, other = Heard(), Heard()
    with thermometer.properties["fahrenheit"].on(heard):
        with thermometer.properties["celsius"].on(other):
            thermometer.celsius = 100.0
            heard.last(212.0)
            other.last(100.0)
        assert broker.is_observed("thing", "celsius"), "it is what `fahrenheit` depends on"
        thermometer.celsius = 0.0
        heard.last(32.0)
    thermometer._thing_server_interface.call_async_task(_breath)
    assert not any(broker.is_observed("thing", name) for name in ("celsius", "fahrenheit"))


async def _tasks() -> list[str]:
    return [task.get_name() for task in asyncio.all_tasks()]


async def _breath() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


# --- the Thing says so --------------------------------------------------------------------------------------


def test_the_thing_says_that_a_property_has_changed(oven) -> None:
    heard = observe(oven, "door")
    heard.last(0)
    oven.position = 3
    oven.properties["door"].notify()
    heard.last(3)
    oven.properties["door"].notify()
    heard.until(lambda found: found[-2:] == [3, 3])


def test_setting_a_property_with_a_setter_tells_its_observers(client, oven) -> None:
    heard = observe(oven, "door")
    oven.door = 5
    heard.last(5)
    client.put("/thing/door", json=6)
    heard.last(6)


def test_an_async_setter_tells_observers_when_it_is_through(client_of) -> None:
    class Door(lt.Thing):
        value = 0

        @lt.property(observable=True)
        async def position(self) -> int:
            """Where it is."""
            return self.value

        @position.setter
        async def _set_position(self, position: int) -> None:
            self.value = position

    client = client_of(Door)
    heard = observe(client.server.things["thing"], "position")
    heard.last(0)
    assert client.put("/thing/position", json=8).status_code == 204
    heard.last(8)


def test_what_says_nothing_cannot_be_observed(oven) -> None:
    for attempt in (lambda: oven.properties["silent"].on(print), oven.properties["silent"].notify):
        with pytest.raises(PropertyNotObservableError, match=r"thing.silent.*depends_on"):
            attempt()


def test_nobody_is_told_of_what_nobody_observes(oven) -> None:
    broker = oven._thing_server_interface.server.message_broker
    oven.temperature = 5
    oven.properties["door"].notify()
    assert not broker._posted


def test_observing_costs_nothing_once_it_is_over(oven) -> None:
    for _ in range(50):
        with oven.properties["is_ready"].on(heard := Heard()):
            heard.last(True)
    oven._thing_server_interface.call_async_task(_breath)
    assert oven._thing_server_interface.server.message_broker._subscriptions == {}


def test_a_thing_without_a_server_tells_its_observers_at_once() -> None:
    oven = create_thing_without_server(Oven)
    temperatures, doors = observe(oven, "temperature"), observe(oven, "door")
    oven.temperature = 4.0
    oven.door = 2
    assert (temperatures.all, doors.all) == ([4.0], [2])


def test_a_listener_may_set_another_property() -> None:
    oven = create_thing_without_server(Oven)
    oven.properties["temperature"].on(lambda value: setattr(oven, "target", value))
    oven.temperature = 4.0
    assert oven.target == 4.0
