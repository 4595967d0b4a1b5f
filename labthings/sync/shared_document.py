"""The live state that clients of a LabSync share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from labthings.pacing import REST, Pacer
from labthings.state import Document, ReactiveModel
from labthings.sync.cause import note_change
from labthings.workers import LoopCalls


class SharedDocument(Document[ReactiveModel]):
    """A document that is told of by the event loop.

    What is changed in the event loop is told of at its next turn; what other threads change, at once and then after a
    rest.

    :param calls: the way to the event loop.
    """

    def __init__(self, model: ReactiveModel, calls: LoopCalls) -> None:
        self._calls, self._is_due = calls, False
        self._pacer = Pacer(calls, REST)
        self.unclaimed_changes = 0
        """How many changes have been begun of which it is not known whether a command has made them."""
        super().__init__(model, schedule_flush=self._pacer.call_soon)

    def find_origin(self) -> Mapping[str, Any] | None:
        if not note_change():
            self.unclaimed_changes += 1
        return super().find_origin()

    def changed(self) -> None:
        if not self._is_due and self._calls.is_here:
            self._is_due = True
            self._calls.call_soon(self._tell_when_due)

    def _tell_when_due(self) -> None:
        self._is_due = False
        self.tell()
