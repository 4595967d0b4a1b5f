"""The newest patches, for everybody who follows them at a place of their own."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import islice

from labthings.state.operations import Patch

MOST_PATCHES = 1000
MOST_BYTES = 2**22
OBJECT_BYTES = 200  # that an operation takes beside what it says


class PatchLog:
    """Keeps the newest patches, each of which is made a text when it is first asked for, and once.

    Clients take from it what they have not been sent; who is too slow finds it gone, and needs a snapshot. So a slow
    client costs nothing here. Either one thread uses it, or whoever holds the document's lock.

    :param to_text: makes of a patch what is sent.
    """

    def __init__(self, to_text: Callable[[Patch], str]) -> None:
        self._to_text = to_text
        self._entries: deque[_Entry] = deque()
        self._bytes = 0
        self.version = 0
        """The newest."""

    def add(self, patch: Patch) -> None:
        """Keep a patch, and perhaps drop the oldest."""
        if patch.base_version != self.version:  # some came while nobody listened
            self._entries.clear()
            self._bytes = 0
        entry = _Entry(patch)
        self._entries.append(entry)
        self._bytes += entry.size
        self.version = patch.version
        while len(self._entries) > MOST_PATCHES or (self._bytes > MOST_BYTES and len(self._entries) > 1):
            self._bytes -= self._entries.popleft().size

    def after(self, version: int) -> str | None:
        """What tells of the patch that follows a version before the newest; None if it is no longer kept."""
        index = len(self._entries) - (self.version - version)
        return self._text(self._entries[index]) if index >= 0 else None

    def all_after(self, version: int) -> list[str] | None:
        """What tells of all patches that follow a version; None if one of them is no longer kept."""
        first = len(self._entries) - max(self.version - version, 0)
        return None if first < 0 else [self._text(entry) for entry in islice(self._entries, first, None)]

    def _text(self, entry: _Entry) -> str:
        if entry.patch is not None:
            entry.text, entry.patch = self._to_text(entry.patch), None
        return entry.text


class _Entry:
    __slots__ = ("patch", "size", "text")

    def __init__(self, patch: Patch) -> None:
        self.patch: Patch | None = patch  # until it is a text
        self.size = sum(len(each.path) + len(each.json or b"") + OBJECT_BYTES for each in patch.operations)
        self.text = ""
