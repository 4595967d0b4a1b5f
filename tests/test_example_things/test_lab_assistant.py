"""The lab assistant, as its users see it."""

from collections.abc import Callable
from typing import Any

import pytest

from example_things.counter import Counter
from example_things.lab_assistant import LabAssistant
from example_things.motor_stage import MotorStage
from example_things.temperature_controller import TemperatureController
from labthings.exceptions import ThingSlotError

STAGE = {"stage": {"class": MotorStage, "kwargs": {"time_scale": 1e6}}}
THERMOSTAT = {"thermostat": {"class": TemperatureController, "kwargs": {"time_scale": 1000}}}
ASSISTANT = {"assistant": LabAssistant}


@pytest.fixture
def start(serve: Callable[..., Any]) -> Callable[..., Any]:
    """Starts an assistant with other Things, which measures as fast as it can."""

    def started(*others: dict[str, Any]) -> Any:
        client = serve({name: each for things in (*others, ASSISTANT) for name, each in things.items()})
        client.put("/assistant/integration_time", json=0.01)
        return client

    return started


def columns_of(measurement: dict[str, Any]) -> dict[str, list[float]]:
    return {each["name"]: each["values"] for each in measurement["columns"]}


def test_a_scan_finds_the_spot_of_light(start: Callable[..., Any]) -> None:
    client = start(STAGE, THERMOSTAT)
    scan = client.post("/assistant/scan?wait=10", json={"length": 1200, "points": 5}).json()
    assert scan["status"] == "completed"
    columns = columns_of(scan["output"])
    assert columns["x"] == [-600, -300, 0, 300, 600]
    assert columns["signal"] == pytest.approx([0.05, 0.92, 2.5, 0.92, 0.05], abs=0.4)
    assert columns["temperature"] == pytest.approx([20] * 5, abs=0.2)
    assert [each["unit"] for each in scan["output"]["columns"]] == ["µm", "µm", "µm", "°C", "V"]
    assert scan["output"] == client.get("/assistant/latest").json()
    assert scan["progress"] == {"fraction": 1, "message": "5 of 5 points"}


def test_a_scan_is_around_where_the_stage_is_and_ends_there(start: Callable[..., Any]) -> None:
    client = start(STAGE)
    client.post("/stage/move_to?wait=10", json={"x": 20, "y": 100})
    scan = client.post("/assistant/scan?wait=10", json={"length": 50, "points": 2, "axis": "y"}).json()
    assert columns_of(scan["output"])["y"] == [75, 125]
    assert columns_of(scan["output"])["x"] == [20, 20]
    assert client.get("/stage/position").json() == {"x": 20, "y": 100, "z": 0}


def test_a_scan_waits_for_a_temperature(start: Callable[..., Any]) -> None:
    client = start(STAGE, THERMOSTAT)
    scan = client.post("/assistant/scan?wait=10", json={"points": 2, "temperature": 37}).json()
    assert columns_of(scan["output"])["temperature"] == pytest.approx([37, 37], abs=0.3)
    assert any("Reached" in each["message"] for each in scan["log"])


def test_every_counter_counts_the_points(start: Callable[..., Any]) -> None:
    client = start(STAGE, {"shots": Counter, "points": Counter})
    client.put("/shots/step", json=10)
    client.post("/assistant/scan?wait=10", json={"points": 3})
    assert client.get("/shots/count").json() == 30
    assert client.get("/points/count").json() == 3


def test_it_can_do_without_a_heater_but_does_not_pretend(start: Callable[..., Any]) -> None:
    client = start(STAGE)
    scan = client.post("/assistant/scan?wait=10", json={"points": 2}).json()
    assert list(columns_of(scan["output"])) == ["x", "y", "z", "signal"]
    refusal = client.post("/assistant/scan?wait=10", json={"points": 2, "temperature": 37}).json()
    assert "no heater" in refusal["error"]["detail"]


def test_it_cannot_do_without_a_stage(start: Callable[..., Any]) -> None:
    with pytest.raises(ThingSlotError, match="MotorStage"):
        start(THERMOSTAT)


def test_a_scan_out_of_reach_is_refused_before_anything_moves(
    start: Callable[..., Any], watch: Callable[..., Any]
) -> None:
    client = start(STAGE)
    with watch(client, "stage", ["position", "speed"]) as until:
        scan = client.post("/assistant/scan?wait=10", json={"axis": "z", "length": 100}).json()
        client.put("/stage/speed", json=500)
        assert "position" not in until(lambda data: True)
    assert "z cannot be -50" in scan["error"]["detail"]
    assert client.get("/assistant/latest").json() is None


@pytest.mark.parametrize("arguments", [{"axis": "w"}, {"points": 1}, {"length": 0}, {"temperature": 96}])
def test_arguments_that_make_no_sense_are_refused(
    start: Callable[..., Any], refused: Callable[..., Any], arguments: dict[str, Any]
) -> None:
    refused(start(STAGE).post("/assistant/scan", json=arguments), 422, "assistant.scan", *arguments)


def test_a_cancelled_scan_keeps_its_points(start: Callable[..., Any], watch: Callable[..., Any]) -> None:
    client = start(STAGE)
    with watch(client, "assistant", ["latest"], ["scan"]) as until:
        href = client.post("/assistant/scan", json={"points": 1000}).json()["href"]
        until(lambda data: "latest" in data and len(columns_of(data["latest"])["signal"]) >= 2)
        client.delete(href)
        until(lambda data: data.get("status") == "cancelled")
    assert 2 <= len(columns_of(client.get("/assistant/latest").json())["signal"]) < 1000
    assert 0 < client.get(href).json()["progress"]["fraction"] < 1
    assert client.get("/stage/is_moving").json() is False


def test_cancelling_a_scan_stops_the_ramp_that_it_waits_for(
    start: Callable[..., Any], watch: Callable[..., Any]
) -> None:
    client = start(STAGE, {"thermostat": TemperatureController})
    with watch(client, "thermostat", ["set_point"]) as until:
        href = client.post("/assistant/scan", json={"temperature": 90}).json()["href"]
        until(lambda data: data["set_point"] == 90)
        client.delete(href)
        assert until(lambda data: data["set_point"] < 90)["set_point"] == pytest.approx(20, abs=5)
    assert client.get(f"{href}?wait=10").json()["status"] == "cancelled"


def test_a_second_scan_is_refused(start: Callable[..., Any], watch: Callable[..., Any]) -> None:
    client = start(STAGE)
    with watch(client, "assistant", ["latest"]) as until:
        client.post("/assistant/scan", json={"points": 1000})
        until(lambda data: data["latest"])
    assert "running already" in client.post("/assistant/scan?wait=10").json()["error"]["detail"]
