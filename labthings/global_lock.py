"""A lock that a whole server shares, so that only one thing at a time can act on the hardware."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar

from labthings.exceptions import GlobalLockBusyError
from labthings.workers import is_in_event_loop

POLL_SECONDS = 0.005


class GlobalLock:
    """A reentrant lock, held by a thread or, in the event loop, by a task and what it starts there or calls in it.

    :param timeout: how many seconds to wait for the lock before giving up. In the event loop's thread, `hold` does
        not wait at all.
    """

    def __init__(self, timeout: float = 0.05) -> None:
        self._timeout = timeout
        self._released = threading.Condition()
        self._owner: object = None
        self._depth = 0

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Hold the lock.

        :raises GlobalLockBusyError: if something else holds it.
        """
        with self._released:
            owner, timeout = self._owner_here(), 0 if is_in_event_loop() else self._timeout
            if not self._released.wait_for(lambda: self._is_free_for(owner), timeout):
                raise _busy()
            self._take(owner)
        with self._releasing(owner):
            yield

    @asynccontextmanager
    async def hold_async(self) -> AsyncIterator[None]:
        """Hold the lock in a task, without blocking the event loop while waiting for it.

        :raises GlobalLockBusyError: if something else holds it.
        """
        owner, deadline = self._owner_here(), time.monotonic() + self._timeout
        while not self._try_take(owner):
            if time.monotonic() > deadline:
                raise _busy()
            await asyncio.sleep(POLL_SECONDS)
        with self._releasing(owner):
            yield

    def _owner_here(self) -> object:
        """Who holds the lock, if that is the code that runs this; otherwise someone new."""
        owner = _owner.get(None)
        return owner if owner is not None and owner is self._owner else object()

    def _try_take(self, owner: object) -> bool:
        with self._released:
            if not self._is_free_for(owner):
                return False
            self._take(owner)
            return True

    def _is_free_for(self, owner: object) -> bool:
        return self._depth == 0 or self._owner is owner

    def _take(self, owner: object) -> None:
        self._owner = owner
        self._depth += 1

    @contextmanager
    def _releasing(self, owner: object) -> Iterator[None]:
        before = _owner.get(None)
        _owner.set(owner)
        try:
            yield
        finally:
            _owner.set(before)
            self._release()

    def _release(self) -> None:
        with self._released:
            self._depth -= 1
            if self._depth == 0:
                self._owner = None
                self._released.notify()


# A thread begins without it; a task has that of the code that started it, in whichever thread.
_owner: ContextVar[object] = ContextVar("labthings_global_lock_owner")


def _busy() -> GlobalLockBusyError:
    return GlobalLockBusyError("Something else holds the server's global lock. Wait until it has ended, or cancel it.")
