"""A function that listens, and remembers what it is called with."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

SECONDS = 10.0  # in which everything must have happened


class Heard:
    """Remembers what it is called with, and lets tests wait for it."""

    def __init__(self) -> None:
        self.all: list[Any] = []
        self._changed = threading.Condition()

    def __call__(self, value: Any) -> None:
        with self._changed:
            self.all.append(value)
            self._changed.notify_all()

    def until(self, test: Callable[[list[Any]], object]) -> list[Any]:
        with self._changed:
            assert self._changed.wait_for(lambda: test(self.all), SECONDS), self.all
            return self.all

    def wait(self, count: int) -> list[Any]:
        """Wait until it has been called so many times."""
        return self.until(lambda found: len(found) >= count)

    def last(self, value: Any) -> list[Any]:
        """Wait until it is called with a value."""
        return self.until(lambda found: found and found[-1] == value)
