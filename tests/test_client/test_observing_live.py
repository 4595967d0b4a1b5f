"""Clients observe Things on a real server, also when that is stopped and started again."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy
import pytest
import uvicorn

import labthings as lt
from labthings.exceptions import UnobservableClientPropertyError
from labthings.outputs.blob import Blob
from labthings.types.numpy import NDArray

SOON = 10.0


class Stage(lt.Thing):
    position: float = lt.property(default=0.0)
    image: NDArray = lt.property(default_factory=lambda: numpy.zeros((2, 3)))
    overheated: lt.Event[float] = lt.event()
    """It is too hot."""

    @lt.property
    def plain(self) -> int:
        return 1

    @lt.property(observable=True)
    def sensor(self) -> float:
        if self.is_unplugged:
            raise OSError("the sensor is unplugged")
        return 3.5

    @lt.property(observable=True)
    def picture(self) -> Blob:
        return self.blob

    is_unplugged = False
    blob = Blob.from_bytes(b"picture", "image/png")


@contextmanager
def running(folder: Path, port: int = 0) -> Iterator[tuple[Any, int]]:
    """A new server, at a port."""
    server = lt.ThingServer.from_things({"stage": Stage}, settings_folder=str(folder))
    config = uvicorn.Config(server.app, port=port, ws="websockets-sansio", log_config=None, timeout_graceful_shutdown=1)
    runner = Runner(config)
    thread = threading.Thread(target=runner.run)
    thread.start()
    try:
        assert runner.is_up.wait(SOON)
        yield server.things["stage"], runner.servers[0].sockets[0].getsockname()[1]
    finally:
        runner.should_exit = True
        thread.join(SOON)


class Runner(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_up = threading.Event()

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        self.is_up.set()


@pytest.fixture
def live(tmp_path):
    with running(tmp_path) as (stage, port):
        stage.url = f"http://127.0.0.1:{port}/stage/"
        yield stage


@pytest.mark.usefixtures("short_pauses")
def test_observations_survive_a_restart_of_the_server_and_say_so(tmp_path, caplog):
    values: queue.Queue[Any] = queue.Queue()
    events: queue.Queue[Any] = queue.Queue()
    noted: queue.Queue[bool] = queue.Queue()
    with running(tmp_path) as (stage, port):
        client: Any = lt.ThingClient.from_url(f"http://127.0.0.1:{port}/stage/")
        position = client.observe("position", values.put, on_connection=noted.put)
        overheated = client.subscribe("overheated", events.put)
        assert values.get(timeout=SOON) == 0.0
        stage.position = 1
        stage.overheated.emit(90)
        assert (values.get(timeout=SOON), events.get(timeout=SOON)) == (1, 90)
    assert noted.get(timeout=SOON) is False
    assert not position.is_connected
    with client, running(tmp_path, port) as (stage, _):
        assert noted.get(timeout=SOON) is True
        assert values.get(timeout=SOON) == 0.0
        stage.position = 2
        stage.overheated.emit(95)
        assert (values.get(timeout=SOON), events.get(timeout=SOON)) == (2, 95)
        assert overheated.is_connected
    assert "is lost" in caplog.text
    assert "stage.overheated: Some events may have been lost, since the server was restarted." in caplog.text
    assert values.empty()
    assert events.empty()


def test_the_last_value_arrives_however_fast_it_changes(live):
    with lt.ThingClient.from_url(live.url) as client:
        observation = client.observe("position")
        for number in range(2000):
            live.position = number
        assert next(value for value in observation if value == 1999)


def test_a_property_that_cannot_be_read_for_a_while(live):
    errors: queue.Queue[Exception] = queue.Queue()
    values: queue.Queue[Any] = queue.Queue()
    with lt.ThingClient.from_url(live.url) as client:
        live.is_unplugged = True
        client.observe("sensor", values.put, on_error=errors.put)
        assert "Reading stage.sensor failed" in str(errors.get(timeout=SOON))
        live.is_unplugged = False
        live.properties["sensor"].notify()
        assert values.get(timeout=SOON) == 3.5


def test_arrays_and_blobs(live):
    with lt.ThingClient.from_url(live.url) as client:
        image = next(client.observe("image"))
        assert isinstance(image, numpy.ndarray)
        assert image.shape == (2, 3)
        assert next(client.observe("picture")).content == b"picture"


def test_a_callback_is_given_arrays(live):
    images: queue.Queue[Any] = queue.Queue()
    with lt.ThingClient.from_url(live.url) as client:
        client.observe("image", images.put)
        assert images.get(timeout=SOON).shape == (2, 3)
        live.image = numpy.ones(5)
        assert images.get(timeout=SOON).shape == (5,)


def test_property_that_cannot_be_observed(live):
    with (
        lt.ThingClient.from_url(live.url) as client,
        pytest.raises(UnobservableClientPropertyError, match="of its chan"),
    ):
        client.observe("plain")
