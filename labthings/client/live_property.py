"""A property whose live state a server is asked to tell of."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from labthings.client.latest_state import LatestState
from labthings.client.live_copy import LiveCopy
from labthings.client.mailbox import Mailbox, Value
from labthings.client.topic import Message, Topic, problem_of
from labthings.exceptions import ClientPropertyError, LabThingsError, UnobservableClientPropertyError
from labthings.problem_reports import failed_attempt

LOGGER = logging.getLogger("labthings.client")


class LiveProperty(Topic):
    """A property that is live state, of which there is one copy for whoever has a mailbox.

    It is spoken of in LabThings' own dialect, whatever else is said on the same WebSocket.

    :param name: its name.
    :param label: the names of the Thing and of it.
    :param model: what whoever asks for it makes of the state.
    """

    operation = "live"
    refusal = ClientPropertyError
    trying = "Following"
    mailbox_type = LatestState
    snapshot = "propertySnapshot"
    messages = (snapshot, "propertyPatch")

    def __init__(self, name: str, label: str, model: type[BaseModel] | None) -> None:
        super().__init__(name, label, lambda value, text: value)
        self.model = require_model(model, label)
        self._copy = LiveCopy()
        self._gaps, self._last_gap = 0, 0.0

    @property
    def opening(self) -> dict[str, Any]:
        return {"messageType": "addPropertyObservation", "data": {self.name: "patches"}}

    @property
    def closing(self) -> dict[str, Any]:
        return {"messageType": "removePropertyObservation", "data": {self.name: True}}

    @property
    def live(self) -> str:
        return self.name

    def admit(self, mailbox: Mailbox) -> None:
        super().admit(mailbox)
        if isinstance(mailbox, LatestState):
            mailbox.copy, mailbox.is_connected = self._copy, True
        if self.is_open:
            mailbox.put(Value(None))

    def opened(self, response: Message, text: str) -> None:
        """What a snapshot opens, `follow` has opened already."""

    def follow(self, message: Message, text: str) -> LabThingsError | None:
        """Take note of what the server has told, and give the error if that means that a snapshot has to be asked for.

        While that is on its way, patches do not mean that.
        """
        was_open = self.is_open
        self.notified(message, text)
        gap = self._copy.gap if was_open or message["messageType"] == self.snapshot else None
        return None if gap is None else self.failure(f"{gap.reason.rstrip('.')}.")

    def notified(self, message: Message, text: str) -> None:
        take = self._copy.load if message["messageType"] == self.snapshot else self._copy.apply
        take(message["data"][self.name])
        was_open, self.is_open = self.is_open, self._copy.gap is None
        if was_open and not self.is_open:
            LOGGER.warning("%s is %s. Asking for all of it.", self.label, self._copy.gap)
        if was_open or self.is_open:
            self._tell()

    def connected(self, is_connected: bool, reason: str = "") -> None:
        if not is_connected:  # that it is back, the snapshot tells
            self._copy.lose(reason)
            super().connected(False)

    def refused(self, error: Mapping[str, Any]) -> LabThingsError:
        problem = problem_of(error)
        kind = UnobservableClientPropertyError if problem.status == 403 else self.refusal
        if problem.status == 400:
            detail = f"the server seems to be too old to tell of live state: {problem.detail}"
            problem = dataclasses.replace(problem, detail=detail)
        return failed_attempt(kind, self.attempt, problem)

    def fail(self, error: LabThingsError) -> None:
        LOGGER.warning("%s", error)
        self._copy.lose(str(error))
        super().fail(error)

    def count_gap(self, seconds: float) -> int:
        """How often something was missing, including now, at intervals of less than some seconds."""
        now = time.monotonic()
        self._gaps = self._gaps + 1 if now - self._last_gap < seconds else 1
        self._last_gap = now
        return self._gaps

    def misses(self, gaps: int) -> bool:
        """Whether somebody still waits for a snapshot, and nothing else was missing since some gaps were counted."""
        return not self.is_open and bool(self.mailboxes) and gaps == self._gaps

    def _tell(self) -> None:
        for each in self.mailboxes:
            each.connect(self.is_open)
            if self.is_open:
                each.put(Value(None))


def require_model(model: Any, label: str) -> type[BaseModel] | None:
    """Make sure that a model, if there is one, is a class of pydantic's."""
    if model is None or (isinstance(model, type) and issubclass(model, BaseModel)):
        return model
    hint = f" Is it the callback? Use `callback={getattr(model, '__name__', '...')}`." if callable(model) else ""
    raise TypeError(f"{label} cannot be read as {model!r}, which is not a model of pydantic's.{hint}")
