"""Which event loop things happen in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from labthings.exceptions import StateError
from labthings.workers import LoopCalls


class Presence:
    """Keeps the way to the event loop open as long as somebody is in it.

    :param ended: is called when there is none any more.
    """

    def __init__(self, calls: LoopCalls, ended: Callable[[], object]) -> None:
        self._calls, self._ended = calls, ended
        self._count = 0

    @contextmanager
    def here(self) -> Iterator[None]:
        """Be in the event loop that this is called in.

        :raises StateError: if somebody is in another one.
        """
        self.enter()
        try:
            yield
        finally:
            self.leave()

    def enter(self) -> None:
        loop = asyncio.get_running_loop()
        if self._count and self._calls.loop is not loop:
            raise StateError("A LabSync is for one event loop at a time. In tests: `with TestClient(app) as client`.")
        if not self._count:
            self._calls.attach(loop)
        self._count += 1

    def leave(self) -> None:
        self._count -= 1
        if not self._count:
            self._calls.detach()
            self._ended()
