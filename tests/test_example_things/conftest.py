"""What the tests of the example Things share."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from queue import Queue
from typing import Any

import pytest

import labthings as lt


@pytest.fixture
def make_server(tmp_path: Path) -> Callable[[dict[str, Any]], lt.ThingServer]:
    """Makes a server of Things; all that a test makes have one settings folder."""
    return lambda things: lt.ThingServer.from_things(things, settings_folder=str(tmp_path))


@pytest.fixture
def serve(make_server: Callable[..., lt.ThingServer]) -> Iterator[Callable[[dict[str, Any]], Any]]:
    """Starts a server of Things, and gives a client of it, whose ``server`` it is."""
    with ExitStack() as stack:

        def start(things: dict[str, Any]) -> Any:
            server = make_server(things)
            client = stack.enter_context(server.test_client())
            client.server = server
            return client

        yield start


@pytest.fixture
def refused() -> Callable[..., None]:
    """Checks that a response is a problem document with a status, whose detail has some words in it."""

    def check(response: Any, status: int, *words: str) -> None:
        assert response.status_code == status
        assert response.headers["content-type"] == "application/problem+json"
        for word in words:
            assert word in response.json()["detail"]

    return check


@pytest.fixture
def watch() -> Callable[..., Any]:
    """Observes a Thing, and gives a function that waits until what is observed meets a condition."""

    @contextmanager
    def watching(client: Any, thing: str, properties: Sequence[str] = (), actions: Sequence[str] = ()) -> Iterator[Any]:
        with client.websocket_connect(f"/{thing}/ws") as websocket:
            for kind, names in (("Action", actions), ("Property", [*properties, "not-a-property"])):
                data = dict.fromkeys(names, True)
                websocket.send_json({"messageType": f"add{kind}Observation", "data": data})
            while "error" not in websocket.receive_json():  # which comes when all the rest is observed
                pass

            def until(condition: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
                while not condition(data := websocket.receive_json()["data"]):
                    pass
                return data

            yield until

    return watching


@pytest.fixture
def listen() -> Iterator[Callable[[Any, str], Callable[[], Any]]]:
    """Listens to an event of a Thing, and gives a function that waits for the next one, and gives its data."""
    with ExitStack() as stack:

        def listening(thing: lt.Thing, event: str) -> Callable[[], Any]:
            heard: Queue[Any] = Queue()
            stack.callback(thing.events[event].on(heard.put).close)
            return partial(heard.get, timeout=10)

        yield listening
