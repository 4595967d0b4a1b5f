"""Servers that run while a test does."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from typing_extensions import Self

from labthings.client import ThingClient
from labthings.exceptions import NotFoundError, ThingFailedError
from labthings.server import ThingServer
from labthings.thing import Thing


class RunningServers:
    """Starts servers, and stops them at the end of a ``with`` block. They use no network.

    The fixture ``thing_server`` is one of these, and the fixture ``thing_client`` its `client_of`.

    :param new_folder: makes a folder for the settings of a server's Things.
    """

    def __init__(self, new_folder: Callable[[], Path]) -> None:
        self._new_folder = new_folder
        self._running: list[tuple[ThingServer, Any]] = []
        self._stack = ExitStack()

    def __call__(self, things: Mapping[str, Any], /, **config: Any) -> ThingServer:
        """Start a server.

        :param things: for each name a Thing's class, its import string, or a configuration of it.
        :param config: the rest of the server's configuration; by default, settings are kept in a folder of their own.
        :raises ThingFailedError: if a Thing does not start.
        """
        __tracebackhide__ = True
        server = ThingServer.from_things(things, **{"settings_folder": self._new_folder(), **config})
        client = self._stack.enter_context(server.test_client())
        self._running.append((server, client))
        _require_all_things(server)
        return server

    def client_of(self, thing: type[Thing] | str, /, *args: Any, name: str | None = None, **kwargs: Any) -> ThingClient:
        """A client of a Thing, on a server that is started for it, or of one on a server that runs already.

        :param thing: the Thing's class or its import string, or the name of a Thing on a server that runs.
        :param args: positional arguments for the class.
        :param name: what to call the Thing; by default, its class's name in lower case.
        :param kwargs: keyword arguments for the class.
        :raises ThingFailedError: if the Thing does not start.
        :raises NotFoundError: if no Thing has that name.
        """
        __tracebackhide__ = True  # pytest then shows the test, not this
        if isinstance(thing, str) and not {":", "."} & set(thing):
            return self._client_of(thing)
        class_name = thing.__name__ if isinstance(thing, type) else re.split("[:.]", thing)[-1]
        name = name or class_name.lower()
        self({name: {"class": thing, "args": args, "kwargs": kwargs}})
        return self._client_of(name)

    @property
    def http_client(self) -> Any:
        """Makes requests to the server that was started last, with the interface of ``httpx.Client``."""
        if not self._running:
            raise NotFoundError("No server has been started. Start one, with `thing_server` or `thing_client`.")
        return self._running[-1][1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def _client_of(self, name: str) -> ThingClient:
        __tracebackhide__ = True
        for server, client in reversed(self._running):
            if name in server.things:
                return ThingClient.from_url(server.path_for_thing(name), client)
        known = ", ".join(each for server, _ in self._running for each in server.things)
        raise NotFoundError(
            f"No server of this test has a Thing '{name}'. There is: {known or 'none'}. "
            "To start one, give its class, or its import string, as in 'package.module:ClassName'."
        )


def _require_all_things(server: ThingServer) -> None:
    __tracebackhide__ = True
    for name, status in server.statuses.items():
        if status.state != "running":
            reason = f"{type(status.error).__name__}: {status.error}" if status.error else f"it is {status.state}"
            raise ThingFailedError(f"The Thing '{name}' did not start: {reason}") from status.error
