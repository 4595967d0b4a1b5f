"""The motor stage, as its users see it."""

from collections.abc import Callable
from typing import Any

import pytest

from example_things.motor_stage import Limit, MotorStage, Position
from labthings.exceptions import InvocationError

FAST, SLOW = 1e6, 0.1  # times real time: a move takes one step; it takes longer than a test


@pytest.fixture
def start(serve: Callable[..., Any]) -> Callable[[float], Any]:
    def started(time_scale: float) -> Any:
        return serve({"stage": {"class": MotorStage, "kwargs": {"time_scale": time_scale}}})

    return started


def test_it_moves_to_a_position(start: Callable[[float], Any]) -> None:
    client = start(FAST)
    move = client.post("/stage/move_to?wait=10", json={"x": 1200.5, "y": -40, "z": 3}).json()
    assert move["output"] == client.get("/stage/position").json() == {"x": 1200.5, "y": -40, "z": 3}


def test_a_coordinate_that_is_not_given_stays_as_it_is(start: Callable[[float], Any]) -> None:
    client = start(FAST)
    client.post("/stage/move_to?wait=10", json={"x": 100, "y": 200})
    assert client.post("/stage/move_to?wait=10", json={"y": 0}).json()["output"] == {"x": 100, "y": 0, "z": 0}


def test_it_moves_by_a_distance(start: Callable[[float], Any]) -> None:
    client = start(FAST)
    client.post("/stage/move_to?wait=10", json={"x": 100, "z": 50})
    moved = client.post("/stage/move_by?wait=10", json={"x": -300, "z": 0.125}).json()
    assert moved["output"] == {"x": -200, "y": 0, "z": 50.125}


def test_a_move_on_the_spot_ends_at_once(start: Callable[[float], Any]) -> None:
    assert start(SLOW).post("/stage/move_by?wait=10").json()["output"] == {"x": 0, "y": 0, "z": 0}


def test_it_goes_in_a_straight_line_at_its_speed(start: Callable[[float], Any], watch: Callable[..., Any]) -> None:
    client = start(SLOW)
    client.put("/stage/speed", json=50)
    with watch(client, "stage", ["position"]) as until:
        client.post("/stage/move_to", json={"x": 300, "y": 400})
        position = until(lambda data: data["position"]["y"] > 0)["position"]
    assert position["x"] == pytest.approx(position["y"] * 3 / 4)
    assert position["y"] < 300


@pytest.mark.parametrize(("axis", "value"), [("x", 5001), ("y", -5000.5), ("z", -1), ("z", 2000.1)])
def test_clients_cannot_send_it_beyond_its_limits(
    start: Callable[[float], Any], refused: Callable[..., Any], axis: str, value: float
) -> None:
    client = start(FAST)
    refused(client.post("/stage/move_to", json={axis: value}), 422, f"stage.move_to: {axis}")
    move = client.post("/stage/move_by?wait=10", json={axis: value}).json()
    assert move["error"]["title"] == "InvocationError"
    assert f"{axis} cannot be {value:g}" in move["error"]["detail"].replace(".0 µm", " µm")
    assert client.get("/stage/position").json() == {"x": 0, "y": 0, "z": 0}


def test_it_tells_when_it_comes_to_a_limit(start: Callable[[float], Any], listen: Callable[..., Any]) -> None:
    client = start(FAST)
    next_limit = listen(client.server.things["stage"], "limit_reached")
    for destination in ({"x": 5000, "z": 100}, {"y": -5000}, {"x": 10, "y": 10}, {"z": 2000}, {"z": 0}):
        assert client.post("/stage/move_to?wait=10", json=destination).json()["status"] == "completed"
    assert [next_limit() for _ in range(4)] == [
        Limit(axis="x", is_upper=True),
        Limit(axis="y", is_upper=False),
        Limit(axis="z", is_upper=True),
        Limit(axis="z", is_upper=False),
    ]


def test_other_things_cannot_send_it_beyond_its_limits(start: Callable[[float], Any]) -> None:
    stage = start(FAST).server.things["stage"]
    with pytest.raises(InvocationError, match=r"x cannot be 6000.* y cannot be nan"):
        stage.move_to(x=6000, y=float("nan"))
    assert stage.position == Position()
    assert stage.move_to(x=1) == Position(x=1)


def test_a_cancelled_move_stops_at_a_true_position(start: Callable[[float], Any], watch: Callable[..., Any]) -> None:
    client = start(SLOW)
    with watch(client, "stage", ["position", "is_moving"]) as until:
        href = client.post("/stage/move_to", json={"x": 5000}).json()["href"]
        until(lambda data: data.get("position", {}).get("x", 0) > 0)
        assert client.delete(href).status_code == 204
        assert client.get(f"{href}?wait=10").json()["status"] == "cancelled"
        until(lambda data: data.get("is_moving") is False)
    stopped = client.get("/stage/position").json()["x"]
    assert 0 < stopped < 5000
    assert client.post("/stage/move_by?wait=10", json={"x": 1}).json()["output"]["x"] == pytest.approx(stopped + 1)


@pytest.mark.parametrize("second", ["move_to", "move_by", "home"])
def test_a_second_move_is_refused_and_the_first_goes_on(
    start: Callable[[float], Any], watch: Callable[..., Any], second: str
) -> None:
    client = start(SLOW)
    with watch(client, "stage", ["is_moving", "position"]) as until:
        first = client.post("/stage/move_to", json={"x": 5000}).json()["href"]
        until(lambda data: data.get("is_moving"))
        error = client.post(f"/stage/{second}?wait=10").json()["error"]
        assert error["title"] == "InvocationError"
        assert "moving already" in error["detail"]
        assert client.get("/stage/is_moving").json() is True
        until(lambda data: data.get("position", {}).get("x", 0) > 0)
    assert client.get(first).json()["status"] == "running"


def test_homing_goes_to_the_origin(start: Callable[[float], Any]) -> None:
    client = start(FAST)
    client.post("/stage/move_to?wait=10", json={"x": 100, "y": -200, "z": 300})
    assert client.get("/stage/is_homed").json() is False
    assert client.post("/stage/home?wait=10").json()["status"] == "completed"
    assert client.get("/stage/properties").json() == {
        "position": {"x": 0, "y": 0, "z": 0},
        "is_moving": False,
        "is_homed": True,
        "speed": 1000,
    }


def test_homing_goes_down_first(start: Callable[[float], Any], watch: Callable[..., Any]) -> None:
    client = start(FAST)
    client.post("/stage/move_to?wait=10", json={"x": 100, "z": 300})
    client.server.things["stage"]._time_scale = SLOW
    with watch(client, "stage", ["position"]) as until:
        client.post("/stage/home")
        assert until(lambda data: True)["position"]["x"] == 100


def test_the_speed_is_kept_but_not_the_position(make_server: Callable[..., Any]) -> None:
    things = {"stage": {"class": MotorStage, "kwargs": {"time_scale": FAST}}}
    with make_server(things).test_client() as client:
        client.put("/stage/speed", json=250)
        client.post("/stage/move_to?wait=10", json={"x": 100})
    with make_server(things).test_client() as client:
        assert client.get("/stage/speed").json() == 250
        assert client.get("/stage/position").json()["x"] == 0


def test_the_position_is_read_only(start: Callable[[float], Any], refused: Callable[..., Any]) -> None:
    refused(start(FAST).put("/stage/position", json={"x": 1, "y": 1, "z": 1}), 405, "does not take PUT")


def test_the_time_scale_is_above_zero(start: Callable[[float], Any]) -> None:
    assert isinstance(start(-1).server.statuses["stage"].error, ValueError)
