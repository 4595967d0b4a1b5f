"""Live state that a client follows."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from labthings.client.live_reader import Awaited, LiveReader
from labthings.client.mailbox import Value
from labthings.client.observation import HEED_SECONDS, Observation


class LiveState(Observation, LiveReader):
    """Live state as the server has it: read it at any time, in any thread, and be told of its changes.

    Use it in a ``for`` loop, or with a callback, for its changes: the state as it is, and then what it becomes, each a
    `StateChange`. It goes on when the connection is lost and comes back, until it is closed: by `close`, at the end of
    a ``with`` block, with the client, or when nobody refers to it any more.
    """

    def wait_until(self, predicate: Callable[[Any], object], timeout: float | None = None) -> Any:
        """Wait until the state is current and a function says that it is right, and give its `value`.

        :param predicate: is called with the `value`, now and at later versions, in the thread that waits.
        :param timeout: how many seconds to wait at most.
        :raises StateTimeoutError: if that takes longer, which is a ``TimeoutError``.
        :raises StaleStateError: if it is closed meanwhile.
        """
        awaited, arrived = Awaited(self, predicate), threading.Event()
        end = None if timeout is None else time.monotonic() + timeout
        with self._mailbox.watched(arrived):
            while (met := awaited.met()) is None:
                left = HEED_SECONDS if end is None else min(HEED_SECONDS, end - time.monotonic())
                if left <= 0:
                    raise awaited.timeout(timeout)
                arrived.wait(left)
                arrived.clear()
        return met.value

    def _next(self) -> Value | None:
        while super()._next() is not None:
            change = self._changed()
            if change is not None:
                return Value(change)
        return None
