"""Have the event loop do something soon, but not all the time."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from labthings.exceptions import ServerNotRunningError
from labthings.workers import LoopCalls

REST = 0.004  # seconds in which further changes of live state are gathered into one patch

LOGGER = logging.getLogger(__name__)


class Pacer:
    """Has the event loop call a function at once, or as soon as it has rested since it called one before.

    So a thread that asks for that all the time costs the event loop no more than one that does so now and then.

    :param calls: the way to the event loop.
    :param rest: how many seconds pass between two calls at least.
    """

    def __init__(self, calls: LoopCalls, rest: float) -> None:
        self._calls, self._rest = calls, rest
        self._lock = threading.Lock()
        self._function: Callable[[], object] | None = None
        self._is_resting = False

    def call_soon(self, function: Callable[[], object]) -> None:
        """Have a function called, in place of one that waits to be; at once, here, if there is no event loop.

        Any thread may call this.
        """
        with self._lock:
            self._function = function
            was_resting, self._is_resting = self._is_resting, True
        if not was_resting:
            try:
                self._calls.call_soon(self._run)
            except ServerNotRunningError:
                self._run_without_rest()

    def _run(self) -> None:
        function = self._take()
        if function is None:
            return
        _call(function)
        try:
            self._calls.call_later(self._rest, self._run)
        except ServerNotRunningError:
            self._run_without_rest()

    def _run_without_rest(self) -> None:
        while (function := self._take()) is not None:
            _call(function)

    def _take(self) -> Callable[[], object] | None:
        """The function that waits; if there is none, then there is nothing to rest from."""
        with self._lock:
            function, self._function = self._function, None
            self._is_resting = function is not None
            return function


def _call(function: Callable[[], object]) -> None:
    try:
        function()
    except Exception:  # or else nothing would be called any more
        LOGGER.exception("What was to be done soon has failed: %r", function)
