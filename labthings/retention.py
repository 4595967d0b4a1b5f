"""Keep things for a while, and no more of them than there is room for."""

from __future__ import annotations

import asyncio
import heapq
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import NamedTuple

LOGGER = logging.getLogger(__name__)


class Sizes(NamedTuple):
    """How much room something takes.

    :param in_memory: in bytes.
    :param in_files: in bytes.
    :param open_files: of which the operating system allows a process so many only.
    """

    in_memory: int = 0
    in_files: int = 0
    open_files: int = 0


@dataclass(frozen=True)
class Limits:
    """How much is kept.

    :param number: of things.
    :param sizes: of all of them together.
    """

    number: int
    sizes: Sizes


class Retention:
    """Remembers until when things are to be kept, and which of them must go before that. It belongs to the event loop.

    The one that was added last always stays, however large.

    :param kind: what they are, for the log.
    :param limits: how much is kept.
    :param forget: is called with the id of each that goes.
    :param label: what to call one in the log.
    """

    def __init__(self, kind: str, limits: Limits, forget: Callable[[str], None], label: Callable[[str], str]) -> None:
        self._kind, self._limits, self._forget, self._label = kind, limits, forget, label
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._in_memory = self._in_files = self._open_files = 0
        self._expiry: list[tuple[float, int, str]] = []  # a heap of when to forget which
        self._numbers = count()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0

    @property
    def sizes(self) -> Sizes:
        """How much room all that is kept takes."""
        return Sizes(self._in_memory, self._in_files, self._open_files)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Forget what is due (from now on)."""
        self._loop = loop
        self._expire()

    def stop(self) -> None:
        """Forget nothing more until it is started again."""
        self._loop = None
        self._stop_timer()

    def add(self, id: str, seconds: float, sizes: Sizes) -> None:
        """Keep something, or keep it longer.

        :param seconds: for how long from now.
        """
        forget_at = time.monotonic() + seconds
        before = self._kept.pop(id, None)
        if before is not None:
            self._count(before.sizes, -1)
            forget_at = max(forget_at, before.forget_at)
        self._kept[id] = _Kept(sizes, forget_at)
        self._count(sizes, 1)
        heapq.heappush(self._expiry, (forget_at, next(self._numbers), id))
        self._make_room()
        if len(self._expiry) > 2 * len(self._kept) + 100:
            self._expiry = [each for each in self._expiry if each[2] in self._kept]
            heapq.heapify(self._expiry)
        if self._timer is None or forget_at < self._timer_at:
            self._set_timer()

    def resize(self, id: str, sizes: Sizes) -> None:
        """Note that something that may still be kept takes another size now."""
        before = self._kept.get(id)
        if before is not None:
            self._count(before.sizes, -1)
            self._count(sizes, 1)
            self._kept[id] = before._replace(sizes=sizes)
            self._make_room()

    def _count(self, sizes: Sizes, sign: int) -> None:
        self._in_memory += sign * sizes.in_memory
        self._in_files += sign * sizes.in_files
        self._open_files += sign * sizes.open_files

    def _make_room(self) -> None:
        while len(self._kept) > self._limits.number:
            self._drop(next(iter(self._kept)))
        while len(self._kept) > 1 and self._is_too_much:
            oldest = self._oldest_in_the_way()
            if oldest is None:
                return
            LOGGER.info(
                "%s is forgotten early: %s take %d bytes of memory, %d bytes of files and %d open files, "
                "and may take %d, %d and %d.",
                self._label(oldest),
                self._kind,
                *self.sizes,
                *self._limits.sizes,
            )
            self._drop(oldest)

    @property
    def _is_too_much(self) -> bool:
        most = self._limits.sizes
        return self._in_memory > most.in_memory or self._in_files > most.in_files or self._open_files > most.open_files

    def _oldest_in_the_way(self) -> str | None:
        """The oldest that takes some of what there is too much of; never the newest."""
        lacks = [taken > most for taken, most in zip(self.sizes, self._limits.sizes, strict=True)]
        newest = next(reversed(self._kept))
        for id, (sizes, _) in self._kept.items():
            if id == newest:
                break
            if any(too_much and takes for too_much, takes in zip(lacks, sizes, strict=True)):
                return id
        return None

    def _drop(self, id: str) -> None:
        kept = self._kept.pop(id, None)
        if kept is not None:
            self._count(kept.sizes, -1)
            self._forget(id)

    def _expire(self) -> None:
        self._timer = None
        while self._expiry and self._expiry[0][0] <= time.monotonic():
            forget_at, _, id = heapq.heappop(self._expiry)
            if id in self._kept and self._kept[id].forget_at <= forget_at:
                self._drop(id)
        self._set_timer()

    def _set_timer(self) -> None:
        self._stop_timer()
        while self._expiry and self._expiry[0][2] not in self._kept:
            heapq.heappop(self._expiry)
        if self._expiry and self._loop is not None:
            self._timer_at = self._expiry[0][0]
            self._timer = self._loop.call_later(max(0.0, self._timer_at - time.monotonic()), self._expire)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _Kept(NamedTuple):
    sizes: Sizes
    forget_at: float
