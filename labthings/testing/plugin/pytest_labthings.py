"""Fixtures for pytest, with which Things are tested.

Every run of pytest imports this, so it imports ``labthings`` only where a fixture is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture
def thing_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Start a server of Things: ``thing_server({"counter": Counter})``. It stops when the test ends."""
    from labthings.testing import RunningServers

    with RunningServers(lambda: tmp_path_factory.mktemp("settings")) as servers:
        yield servers


@pytest.fixture
def thing_client(thing_server: Any) -> Any:
    """Start a server of one Thing, and give a client of it: ``thing_client(Counter)``.

    ``thing_client("counter")`` gives a client of a Thing that the test's ``thing_server`` has.
    """
    return thing_server.client_of
