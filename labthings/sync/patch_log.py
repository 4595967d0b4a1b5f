"""The newest patches, for all clients."""

from __future__ import annotations

from collections import deque

from labthings.state import Patch
from labthings.sync.messages import patch_text

MOST_PATCHES = 1000
MOST_CHARACTERS = 2**22


class PatchLog:
    """Keeps the newest patches as they are on the wire, each of which is encoded once.

    Clients take from it what they have not been sent; who is too slow finds it gone, and needs a snapshot. So a slow
    client costs nothing here. For the event loop's thread only.
    """

    def __init__(self) -> None:
        self._patches: deque[tuple[int, str]] = deque()
        self._characters = 0
        self.version = 0
        """The newest."""

    def add(self, patch: Patch) -> None:
        """Keep a patch, and perhaps drop the oldest."""
        if patch.base_version != self.version:  # some came while nobody listened
            self._patches.clear()
            self._characters = 0
        text = patch_text(patch)
        self._patches.append((patch.version, text))
        self._characters += len(text)
        self.version = patch.version
        while len(self._patches) > MOST_PATCHES or (self._characters > MOST_CHARACTERS and len(self._patches) > 1):
            self._characters -= len(self._patches.popleft()[1])

    def after(self, version: int) -> str | None:
        """The patch that follows a version before the newest; None if it is no longer kept."""
        index = len(self._patches) - (self.version - version)
        return self._patches[index][1] if index >= 0 else None
