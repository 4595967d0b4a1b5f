"""Blobs of actions that have ended, on their way from memory to files."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from labthings.actions.invocation import Invocation
from labthings.outputs.blob_data import LocalData
from labthings.retention import Sizes

LOGGER = logging.getLogger(__name__)


class Spool:
    """Moves large blobs to temporary files, and makes those wait that come faster than the disk takes them.

    :param larger_than: how many bytes of a blob may stay in memory.
    :param folder: where to make the files; by default, where the system has temporary files.
    :param at_once: how many bytes may be on their way; more, if they are of one invocation.
    """

    def __init__(self, larger_than: int, folder: str | None, at_once: int) -> None:
        self._larger_than, self._folder, self._at_once = larger_than, folder, at_once
        self._on_the_way = 0
        self._has_room = threading.Condition()

    def takes(self, invocation: Invocation) -> bool:
        """Whether an invocation has large blobs in memory."""
        return bool(invocation.blobs and self._large(invocation))

    @contextmanager
    def room_for(self, invocation: Invocation) -> Iterator[None]:
        """Wait until the blobs of an invocation may be on their way, which they are in the block."""
        size = sum(each.in_memory for each in self._large(invocation))
        with self._has_room:
            self._has_room.wait_for(lambda: not self._on_the_way or self._on_the_way + size <= self._at_once)
            self._on_the_way += size
        try:
            yield
        finally:
            with self._has_room:
                self._on_the_way -= size
                self._has_room.notify_all()

    def sizes_to_be(self, invocation: Invocation) -> Sizes:
        """How much room an invocation takes once its large blobs are in files."""
        large, now = self._large(invocation), invocation.sizes
        moving = sum(each.in_memory for each in large)
        return Sizes(now.in_memory - moving, now.in_files + moving, now.open_files + len(large))

    def move(self, invocation: Invocation) -> None:
        """Move the large blobs of an invocation to files. What cannot be moved stays where it is, with a word."""
        for each in self._large(invocation):
            try:
                each.move_to_file(self._folder)
            except OSError as error:
                LOGGER.warning("A blob of %s stays in memory: it cannot be moved to a file: %s", invocation.info, error)

    def _large(self, invocation: Invocation) -> list[LocalData]:
        return [each for each in invocation.blobs if each.in_memory > self._larger_than]
