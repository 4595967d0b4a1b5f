"""What tests of every floor use."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import pytest
from hypothesis import HealthCheck, settings

import labthings as lt
from tests.live_server import served

IN_ONE_PROCESS = ("test_client/test_discovery", "test_consumers", "test_docs", "test_example_things", "test_server")
"""What uses ports that others might use, or finds servers on the network."""

settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")  # a machine that is may take long for anything

Serve: TypeAlias = Callable[..., tuple[lt.ThingServer, Any]]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Say which tests may run beside which, if there are several processes."""
    if not config.pluginmanager.hasplugin("xdist"):
        return
    for item in items:
        file = item.path.relative_to(Path(__file__).parent).as_posix()
        group = "in one process" if file.startswith(IN_ONE_PROCESS) else file
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, Any, Any]:
    """Have a report that can travel from one process to another: what was logged may have half characters in it."""
    report = yield
    report.sections = [(name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections]
    return report


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Start a server of Things, and give it and a client of it: ``server, client = serve({"stage": Stage})``."""
    with ExitStack() as stack:

        def start(things: Any, *, debug: bool = False, **config: Any) -> tuple[lt.ThingServer, Any]:
            config = {"settings_folder": str(tmp_path / "settings"), **config}
            server = lt.ThingServer.from_things(things, debug=debug, **config)
            return server, stack.enter_context(server.test_client())

        yield start


@pytest.fixture
def client_of(serve: Serve) -> Callable[..., Any]:
    """Start a server of Things, or of one class as ``thing``, and give a client, which has it as its ``server``."""

    def start(things: Any, **config: Any) -> Any:
        server, client = serve({"thing": things} if isinstance(things, type) else things, **config)
        client.server = server
        return client

    return start


@pytest.fixture
def refused() -> Callable[..., dict[str, Any]]:
    """Check that a response is a problem document with a status, and that its detail has some words in it."""

    def check(response: Any, status: int, *words: str) -> dict[str, Any]:
        assert response.status_code == status, response.text
        assert response.headers["content-type"] == "application/problem+json"
        problem: dict[str, Any] = response.json()
        assert problem["status"] == status
        assert problem["type"].startswith("urn:labthings:error:")
        assert problem["title"]
        for word in words:
            assert word in problem["detail"]
        return problem

    return check


class Live(NamedTuple):
    """A server that uvicorn serves, in a thread of this process."""

    server: lt.ThingServer
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@pytest.fixture
def serve_live(tmp_path: Path) -> Iterator[Callable[..., Live]]:
    """Start a server of Things with uvicorn, so that clients talk to it through sockets."""
    with _live_servers(tmp_path) as start:
        yield start


@pytest.fixture(scope="module")
def serve_live_to_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Live]]:
    """The same, for all tests of a module, since stopping takes a moment."""
    with _live_servers(tmp_path_factory.mktemp("live")) as start:
        yield start


@contextmanager
def _live_servers(folder: Path) -> Iterator[Callable[..., Live]]:
    with ExitStack() as stack:

        def start(things: Any, **config: Any) -> Live:
            server = lt.ThingServer.from_things(things, **{"settings_folder": str(folder / "settings"), **config})
            return Live(server, stack.enter_context(served(server.app, timeout_graceful_shutdown=1)))

        yield start
