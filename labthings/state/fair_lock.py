"""A lock for a thread that changes something all the time, and others who want it now and then."""

from __future__ import annotations

import threading
from collections.abc import Callable


class FairLock:
    """A reentrant lock that whoever waits for it gets next.

    Python's own locks let a thread that releases one take it again before anybody who waits wakes up, so that an event
    loop may wait long for a thread in a tight loop.
    """

    __slots__ = ("_depth", "_gate", "_lock", "_owner", "after_release")

    def __init__(self) -> None:
        self._gate = threading.Lock()  # is held while waiting for the lock, which keeps others from overtaking
        self._lock = threading.Lock()
        self._owner: int | None = None
        self._depth = 0
        self.after_release: Callable[[], object] | None = None
        """What to call once, when whoever has the lock now has let it go."""

    def acquire(self) -> None:
        """Wait until nobody else has it."""
        thread = threading.get_ident()
        if self._owner != thread:
            with self._gate:
                self._lock.acquire()
            self._owner = thread
        self._depth += 1

    def release(self) -> None:
        """Let it go, as often as it was acquired.

        :raises RuntimeError: if this thread does not have it.
        """
        if self._owner != threading.get_ident():
            raise RuntimeError("A lock was released by a thread that does not have it.")
        self._depth -= 1
        if not self._depth:
            after, self.after_release, self._owner = self.after_release, None, None
            self._lock.release()
            if after is not None:
                after()

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()
