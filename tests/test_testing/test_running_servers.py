"""Servers that run while a test does: what the fixtures are made of."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import labthings as lt
from labthings.exceptions import NotFoundError, ThingFailedError, ThingSlotError
from labthings.testing import RunningServers


class Counter(lt.Thing):
    count: int = lt.property(default=0)
    step: int = lt.setting(default=1)

    def __init__(self, start: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.count = start

    @lt.action
    def increment(self) -> int:
        """Count one step on."""
        self.count += self.step
        return self.count


class Display(lt.Thing):
    counter: Counter = lt.thing_slot()


class Unplugged(lt.Thing):
    exited = False

    def __enter__(self) -> Unplugged:
        raise OSError("unplugged")


@pytest.fixture
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServers]:
    with RunningServers(lambda: tmp_path_factory.mktemp("settings")) as servers:
        yield servers


def test_a_server_of_one_thing(servers: RunningServers) -> None:
    counter = servers.client_of(Counter)
    assert counter.increment() == 1
    assert counter.thing_description.title == "Counter"


def test_it_takes_arguments_and_a_name(servers: RunningServers) -> None:
    assert servers.client_of(Counter, 3, name="mine").count == 3
    assert servers.client_of(Counter, start=4).count == 4
    assert servers.client_of("mine").count == 3


def test_a_class_by_its_import_string(servers: RunningServers) -> None:
    assert servers.client_of("example_things.counter:Counter").thing_description.title == "Counter"
    assert servers.client_of("example_things.counter.Counter", name="other").thing_description.title == "Counter"


def test_a_server_of_several_things(servers: RunningServers, tmp_path: Path) -> None:
    server = servers({"counter": Counter, "display": Display}, application_config={"room": 1}, settings_folder=tmp_path)
    assert server.statuses["display"].state == "running"
    assert server.application_config == {"room": 1}
    servers.client_of("counter").step = 5
    assert server.things["counter"].step == 5
    assert (tmp_path / "counter" / "Settings-Counter.json").exists()
    assert servers.http_client.get("/counter/step").json() == 5


def test_each_server_has_settings_of_its_own(servers: RunningServers) -> None:
    servers.client_of(Counter).step = 2
    assert servers.client_of(Counter).step == 1


def test_the_server_that_was_started_last_is_asked_first(servers: RunningServers) -> None:
    servers({"counter": {"class": Counter, "args": [1]}})
    servers({"counter": {"class": Counter, "args": [2]}})
    assert servers.client_of("counter").count == 2


def test_they_stop_at_the_end_of_the_block(tmp_path: Path) -> None:
    with RunningServers(lambda: tmp_path) as servers:
        server = servers({"counter": Counter})
    assert server.statuses["counter"].state == "stopped"


@pytest.mark.parametrize(
    "start", [lambda servers: servers.client_of(Unplugged), lambda servers: servers({"it": Unplugged})]
)
def test_a_thing_that_does_not_start_is_an_error_with_its_reason(servers: RunningServers, start: Any) -> None:
    with pytest.raises(ThingFailedError, match="did not start: OSError: unplugged") as failure:
        start(servers)
    assert isinstance(failure.value.__cause__, OSError)


def test_a_thing_that_is_still_starting_is_an_error_too(servers: RunningServers) -> None:
    go_on = threading.Event()

    class Slow(lt.Thing):
        def __enter__(self) -> Slow:
            assert go_on.wait(20)
            return self

    with pytest.raises(ThingFailedError, match="'slow' did not start: it is starting"):
        servers({"slow": Slow}, start_timeout=0.01)
    go_on.set()


def test_a_thing_that_needs_others_needs_a_server_of_all(servers: RunningServers) -> None:
    with pytest.raises(ThingSlotError, match="needs a Counter"):
        servers.client_of(Display)


def test_names_that_are_not_there(servers: RunningServers) -> None:
    with pytest.raises(NotFoundError, match="thing_client"):
        _ = servers.http_client
    servers({"counter": Counter})
    with pytest.raises(NotFoundError, match="has a Thing 'conter'") as error:
        servers.client_of("conter")
    assert "There is: counter. To start one, give its class" in str(error.value)
