"""The counter, as its users see it."""

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from example_things.counter import Counter


@pytest.fixture
def client(serve: Callable[..., Any]) -> Any:
    return serve({"counter": Counter})


def test_it_counts_in_steps(client: Any) -> None:
    assert client.post("/counter/increment?wait=10").json()["output"] == 1
    assert client.put("/counter/step", json=5).status_code == 204
    assert client.post("/counter/increment?wait=10").json()["output"] == 6
    assert client.get("/counter/count").json() == 6


def test_it_starts_at_zero_again(client: Any) -> None:
    client.post("/counter/increment?wait=10")
    assert client.post("/counter/reset?wait=10").json()["status"] == "completed"
    assert client.get("/counter/count").json() == 0


def test_clients_cannot_set_the_count(client: Any, refused: Callable[..., Any]) -> None:
    refused(client.put("/counter/count", json=3), 405, "does not take PUT")


@pytest.mark.parametrize("step", [0, 101, 1.5, "many", None])
def test_a_step_is_a_whole_number_from_1_to_100(client: Any, refused: Callable[..., Any], step: Any) -> None:
    refused(client.put("/counter/step", json=step), 422, "counter.step")
    assert client.get("/counter/step").json() == 1


def test_the_step_is_kept_but_not_the_count(make_server: Callable[..., Any]) -> None:
    with make_server({"counter": Counter}).test_client() as client:
        client.put("/counter/step", json=5)
        client.post("/counter/increment?wait=10")
    with make_server({"counter": Counter}).test_client() as client:
        assert client.get("/counter/properties").json() == {"count": 0, "step": 5}


def test_every_count_counts_when_many_come_at_once(client: Any) -> None:
    counter = client.server.things["counter"]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda _: [counter.increment() for _ in range(200)], range(8)))
    finally:
        sys.setswitchinterval(interval)
    assert counter.count == 1600
