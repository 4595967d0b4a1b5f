"""What has come for somebody who follows live state."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from labthings.client.live_copy import Gap, LiveCopy, gap_after
from labthings.client.mailbox import Item, LatestValue, Signal


class LatestState(LatestValue):
    """Holds whether there is news: what it is, the copy of the state tells.

    :param arrived: is set while there is something in it, and once it is closed.
    """

    def __init__(self, arrived: Signal) -> None:
        super().__init__(arrived)
        self.copy = LiveCopy()
        """The copy that is kept by the topic, once that has admitted this."""
        self._end: Gap | None = None
        self._watchers: set[Signal] = set()

    @property
    def gap(self) -> Gap | None:
        """Why the state may not be what the server has, if that is so."""
        return self._end or self.copy.gap

    def put(self, item: Item) -> None:
        super().put(item)
        self._wake()

    def close(self) -> None:
        self._end = self._end or gap_after(self.copy.gap, "it was closed")
        super().close()
        self._wake()

    @contextmanager
    def watched(self, signal: Signal) -> Iterator[None]:
        """Have a signal set meanwhile, whenever something is put in, and when it is closed."""
        with self._lock:
            self._watchers.add(signal)
        try:
            yield
        finally:
            with self._lock:
                self._watchers.remove(signal)

    def _wake(self) -> None:
        with self._lock:
            for each in self._watchers:
                each.set()
