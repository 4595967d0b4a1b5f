"""A client's copy of live state."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pydantic_core
from pydantic import BaseModel

from labthings.client.moment import Moment, StateChange, StateVersion
from labthings.exceptions import StaleStateError
from labthings.state import Replica

MOST_PATCHES, MOST_BYTES = 1000, 2**22  # that are kept for readers who have not yet taken them


@dataclass(frozen=True)
class Gap:
    """Why a copy may no longer be what the server has, and since when."""

    reason: str
    since: datetime = field(default_factory=lambda: datetime.now().astimezone())

    def __str__(self) -> str:
        return f"not current since {self.since:%H:%M:%S}: {self.reason.rstrip('.')}"

    def error(self, label: str) -> StaleStateError:
        """The error that it cannot be read."""
        return StaleStateError(f"{label} is {self}. `last_known` has what it was then.", self.reason, self.since)


def gap_after(before: Gap | None, reason: str) -> Gap:
    """A gap for another reason, which does not make what was there before it current."""
    return Gap(reason) if before is None else Gap(reason, before.since)


class LiveCopy:
    """Live state as the server has it, for other threads to read while patches come in."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._replica = Replica()
        self._json: bytes | None = None
        self._recent: deque[tuple[int, bytes]] = deque()
        self._recent_bytes = 0
        self._snapshots = 0
        self.gap: Gap | None = Gap("it was not there yet")

    # --- what the server tells ----------------------------------------------------------------------------------

    def load(self, snapshot: Mapping[str, Any]) -> None:
        """Begin anew."""
        with self._lock:
            try:
                self._replica.load(snapshot)
            except Exception as error:  # noqa: BLE001 - whatever is wrong with it, the state is not known now
                self._lose(f"a snapshot makes no sense ({type(error).__name__}: {error})")
                return
            self._recent.clear()
            self._snapshots += 1
            self._json, self._recent_bytes, self.gap = None, 0, None

    def apply(self, patch: Mapping[str, Any]) -> None:
        """Apply a patch, unless the copy waits for a snapshot: then what comes before that is passed over."""
        with self._lock:
            try:
                is_news = self.gap is None and self._replica.apply(patch)
            except Exception as error:  # noqa: BLE001 - as above
                self._lose(f"{error}" if str(error).endswith(".") else f"a patch makes no sense ({error!r})")
                return
            if is_news:
                self._json = None
                self._remember(patch)

    def lose(self, reason: str) -> None:
        """Note that the server may have something else now."""
        with self._lock:
            self._lose(reason)

    def _lose(self, reason: str) -> None:
        self.gap = gap_after(self.gap, reason)

    def _remember(self, patch: Mapping[str, Any]) -> None:
        told = pydantic_core.to_json(patch)
        self._recent.append((patch["version"], told))
        self._recent_bytes += len(told)
        while len(self._recent) > MOST_PATCHES or self._recent_bytes > MOST_BYTES:
            self._recent_bytes -= len(self._recent.popleft()[1])

    # --- what readers ask ---------------------------------------------------------------------------------------

    @property
    def version(self) -> StateVersion:
        """The newest version that is known."""
        with self._lock:
            return self._version

    def newest(self, model: type[BaseModel] | None) -> Moment:
        """The newest state that is known."""
        with self._lock:
            return Moment(self._version, self._encoded(), model)

    def change_since(self, before: StateChange | None, model: type[BaseModel] | None) -> StateChange | None:
        """What has changed since a reader was told of a change, if anything has."""
        with self._lock:
            news = None if before is None or before.snapshot != self._snapshots else self._news(before.version)
            if news == []:
                return None
            version, state, snapshot = self._version, self._encoded(), self._snapshots
        patches = None if news is None else [pydantic_core.from_json(each) for each in news]
        return StateChange(version, state, model, _operations(patches), _origin(patches), snapshot)

    @property
    def _version(self) -> StateVersion:
        return StateVersion(self._replica.version, self._replica.epoch)

    def _encoded(self) -> bytes:
        if self._json is None:
            self._json = pydantic_core.to_json(self._replica.data, inf_nan_mode="constants")
        return self._json

    def _news(self, before: StateVersion) -> list[bytes] | None:
        """The patches since a version, if all of them are still there."""
        news = [told for version, told in self._recent if version > before]
        return news if len(news) == self._replica.version - before else None


def _operations(patches: list[Any] | None) -> tuple[Mapping[str, Any], ...] | None:
    return None if patches is None else tuple(each for patch in patches for each in patch["patch"])


def _origin(patches: list[Any] | None) -> Mapping[str, Any] | None:
    first, *others = [patch.get("origin") for patch in patches or [{}]]
    return first if all(each == first for each in others) else None
