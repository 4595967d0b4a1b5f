"""Functions that are called again and again while the server runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

LOGGER = logging.getLogger(__name__)


class Updater:
    """Calls a function every so often.

    :param interval: seconds from one call to the next, if calls are shorter than that.
    """

    def __init__(self, function: Callable[[], Any], interval: float) -> None:
        self._function, self._interval = function, interval
        self._failure = ""

    async def run(self, call: Callable[[Callable[[], Any]], Awaitable[Any]]) -> None:
        """Go on until cancelled.

        :param call: how a function is called.
        """
        clock = asyncio.get_running_loop().time
        while True:
            due = clock() + self._interval
            await self._update(call)
            await asyncio.sleep(max(0.0, due - clock()))

    async def _update(self, call: Callable[[Callable[[], Any]], Awaitable[Any]]) -> None:
        try:
            await call(self._function)
        except Exception as error:
            failure = repr(error)
            if failure != self._failure:  # or else it would fill the log
                LOGGER.exception("An updater failed, and is called again: %r", self._function)
            self._failure = failure
        else:
            self._failure = ""
