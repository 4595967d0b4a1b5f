"""The temperature controller, as its users see it, and the block that it simulates."""

import math
import threading
from collections.abc import Callable
from typing import Any

import pytest

from example_things.temperature_controller import SimulatedBlock, TemperatureController

FAST, SLOW = 200, 10  # times real time: a ramp is over at once; a ramp takes longer than a test


@pytest.fixture
def start(serve: Callable[..., Any]) -> Callable[[float], Any]:
    def started(time_scale: float) -> Any:
        return serve({"thermostat": {"class": TemperatureController, "kwargs": {"time_scale": time_scale}}})

    return started


# --- the temperature ------------------------------------------------------------------------------------------------


def test_the_temperature_drifts_to_the_set_point(start: Callable[[float], Any], watch: Callable[..., Any]) -> None:
    client = start(FAST)
    with watch(client, "thermostat", ["temperature"]) as until:
        assert client.put("/thermostat/set_point", json=30).status_code == 204
        until(lambda data: data["temperature"] == pytest.approx(30, abs=0.1))
    assert client.get("/thermostat/is_stable").json() is True


def test_the_temperature_does_not_jump(start: Callable[[float], Any], watch: Callable[..., Any]) -> None:
    client = start(3)
    with watch(client, "thermostat", ["temperature"]) as until:
        client.put("/thermostat/set_point", json=90)
        assert until(lambda data: data["temperature"] > 20.05)["temperature"] < 25
    assert client.get("/thermostat/is_stable").json() is False


def test_the_offset_is_added_to_readings(start: Callable[[float], Any], watch: Callable[..., Any]) -> None:
    client = start(1)
    with watch(client, "thermostat", ["temperature"]) as until:
        client.put("/thermostat/calibration_offset", json=3)
        until(lambda data: data["temperature"] > 22)


def test_the_set_point_is_reached_by_the_corrected_reading(start: Callable[[float], Any]) -> None:
    client = start(FAST)
    client.put("/thermostat/calibration_offset", json=3)
    assert client.post("/thermostat/ramp_to?wait=10", json={"temperature": 30}).json()["status"] == "completed"
    assert client.get("/thermostat/temperature").json() == pytest.approx(30, abs=0.3)


def test_only_settings_are_kept(make_server: Callable[..., Any]) -> None:
    with make_server({"thermostat": TemperatureController}).test_client() as client:
        values = {"set_point": 50, "ramp_rate": 10, "calibration_offset": -0.5}
        assert client.put("/thermostat/properties", json=values).status_code == 204
    with make_server({"thermostat": TemperatureController}).test_client() as client:
        values = client.get("/thermostat/properties").json()
    assert (values["ramp_rate"], values["calibration_offset"]) == (10, -0.5)
    assert values["set_point"] == 20


@pytest.mark.parametrize(
    ("name", "value"), [("set_point", 95.1), ("set_point", 4.9), ("ramp_rate", 0), ("calibration_offset", -6)]
)
def test_values_out_of_range_are_refused(
    start: Callable[[float], Any], refused: Callable[..., Any], name: str, value: float
) -> None:
    client = start(1)
    before = client.get(f"/thermostat/{name}").json()
    refused(client.put(f"/thermostat/{name}", json=value), 422, f"thermostat.{name}")
    assert client.get(f"/thermostat/{name}").json() == before


def test_whether_it_is_stable_is_told_when_that_changes(
    start: Callable[[float], Any], watch: Callable[..., Any]
) -> None:
    client = start(FAST)
    with watch(client, "thermostat", ["is_stable"]) as until:
        client.put("/thermostat/set_point", json=30)
        until(lambda data: data["is_stable"] is False)
        until(lambda data: data["is_stable"] is True)
    assert client.get("/thermostat/temperature").json() == pytest.approx(30, abs=0.3)


def test_it_tells_once_of_each_time_that_it_overheats(
    start: Callable[[float], Any], listen: Callable[..., Any]
) -> None:
    client = start(FAST)
    next_alarm = listen(client.server.things["thermostat"], "overheated")
    client.put("/thermostat/alarm_temperature", json=25)
    for highest in (30, 40):
        client.post("/thermostat/ramp_to?wait=10", json={"temperature": highest})
        client.post("/thermostat/ramp_to?wait=10", json={"temperature": 20})
        assert 25 < next_alarm() < 41
    client.put("/thermostat/alarm_temperature", json=15)
    assert next_alarm() < 21  # had it been told of more than once before, that would come first


def test_the_thread_ends_with_the_server(make_server: Callable[..., Any]) -> None:
    with make_server({"thermostat": TemperatureController}).test_client():
        assert "thermostat monitor" in _names_of_threads()
    assert "thermostat monitor" not in _names_of_threads()


def test_it_can_be_started_again(make_server: Callable[..., Any], watch: Callable[..., Any]) -> None:
    server = make_server({"thermostat": TemperatureController})
    for _ in range(2):
        with server.test_client() as client, watch(client, "thermostat", ["temperature"]) as until:
            until(lambda data: data["temperature"] == pytest.approx(20, abs=0.2))


def test_the_time_scale_is_above_zero(start: Callable[[float], Any]) -> None:
    error = start(0).server.statuses["thermostat"].error
    assert isinstance(error, ValueError)
    assert "time_scale" in str(error)


def _names_of_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate()]


# --- ramps ----------------------------------------------------------------------------------------------------------


def test_a_ramp_ends_at_its_temperature(start: Callable[[float], Any]) -> None:
    ramp = start(FAST).post("/thermostat/ramp_to?wait=10", json={"temperature": 37}).json()
    assert ramp["status"] == "completed"
    assert ramp["output"] == pytest.approx(37, abs=0.2)
    assert ramp["progress"]["fraction"] == 1
    assert [each["message"][:7] for each in ramp["log"]] == ["Ramping", "Reached"]


def test_a_ramp_to_where_it_is_ends_at_once(start: Callable[[float], Any]) -> None:
    assert start(SLOW).post("/thermostat/ramp_to?wait=10", json={"temperature": 20}).json()["status"] == "completed"


def test_a_ramp_can_be_watched(start: Callable[[float], Any], watch: Callable[..., Any]) -> None:
    client = start(SLOW)
    with watch(client, "thermostat", ["temperature"], ["ramp_to"]) as until:
        href = client.post("/thermostat/ramp_to", json={"temperature": 95}).json()["href"]
        until(lambda data: data.get("status") == "running")
        until(lambda data: data.get("temperature", 20) > 20.1)
        until(lambda data: "progress" in data and data["progress"]["fraction"] > 0)
        client.delete(href)
        until(lambda data: data.get("status") == "cancelled")


def test_a_cancelled_ramp_holds_the_temperature(start: Callable[[float], Any], watch: Callable[..., Any]) -> None:
    client = start(SLOW)
    with watch(client, "thermostat", ["temperature"]) as until:
        href = client.post("/thermostat/ramp_to", json={"temperature": 95}).json()["href"]
        until(lambda data: data["temperature"] > 20.2)
    assert client.delete(href).status_code == 204
    ramp = client.get(f"{href}?wait=10").json()
    assert ramp["status"] == "cancelled"
    held = client.get("/thermostat/set_point").json()
    assert 20.2 < held < 95
    assert any(f"Holding {held:.1f} °C" in each["message"] for each in ramp["log"])


def test_a_second_ramp_is_refused_until_the_first_ends(
    start: Callable[[float], Any], watch: Callable[..., Any]
) -> None:
    client = start(SLOW)
    with watch(client, "thermostat", ["set_point"]) as until:
        first = client.post("/thermostat/ramp_to", json={"temperature": 95}).json()
        until(lambda data: data["set_point"] == 95)
    second = client.post("/thermostat/ramp_to?wait=10", json={"temperature": 20}).json()
    assert second["error"]["title"] == "InvocationError"
    assert "running already" in second["error"]["detail"]
    client.delete(first["href"])
    assert client.get(f"{first['href']}?wait=10").json()["status"] == "cancelled"
    held = client.get("/thermostat/set_point").json()
    assert client.post("/thermostat/ramp_to?wait=10", json={"temperature": held}).json()["status"] == "completed"


@pytest.mark.parametrize("interruption", ["set_point", "hold"])
def test_a_ramp_ends_when_the_set_point_is_changed(
    start: Callable[[float], Any], watch: Callable[..., Any], interruption: str
) -> None:
    client = start(SLOW)
    with watch(client, "thermostat", ["set_point"]) as until:
        href = client.post("/thermostat/ramp_to", json={"temperature": 95}).json()["href"]
        until(lambda data: data["set_point"] == 95)
    if interruption == "hold":
        client.post("/thermostat/hold?wait=10")
    else:
        client.put("/thermostat/set_point", json=50)
    assert "set point was changed" in client.get(f"{href}?wait=10").json()["error"]["detail"]


@pytest.mark.parametrize("temperature", [4.9, 95.1, "hot", None])
def test_a_ramp_out_of_range_is_refused(
    start: Callable[[float], Any], refused: Callable[..., Any], temperature: Any
) -> None:
    client = start(SLOW)
    refused(client.post("/thermostat/ramp_to", json={"temperature": temperature}), 422, "temperature")
    assert client.get("/thermostat/set_point").json() == 20


# --- the simulated block --------------------------------------------------------------------------------------------


def test_the_block_follows_with_a_lag_of_first_order() -> None:
    block = SimulatedBlock()
    block.advance(block.time_constant, set_point=30, rate=1e9)
    assert block.temperature == pytest.approx(30 - 10 / math.e)


def test_the_block_lags_behind_a_ramp_by_its_time_constant() -> None:
    block = SimulatedBlock()
    for _ in range(10_000):
        block.advance(0.01, set_point=1000, rate=0.5)
    assert block.temperature == pytest.approx(20 + 0.5 * (100 - block.time_constant), abs=0.01)


@pytest.mark.parametrize("seconds", [0.01, 1, 1e6])
def test_the_block_does_not_overshoot_however_fast_time_passes(seconds: float) -> None:
    block, temperatures = SimulatedBlock(), []
    for _ in range(100):
        block.advance(seconds, set_point=-40, rate=10)
        temperatures.append(block.temperature)
    assert temperatures == sorted(temperatures, reverse=True)
    assert temperatures[-1] >= -40
